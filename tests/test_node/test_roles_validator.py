"""The validator: which answers it judges, and what its votes say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.workers.messages import WorkerFault
from protocol.answers import compute_commitment, compute_submission_id
from protocol.hashing import compute_content_hash
from protocol.kinds.reveal_answer import RevealAnswer
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.phases import SubmissionStatus
from protocol.records import RejectReason, Validation, Verdict
from protocol.tables import VALIDATIONS, validation_key
from tests.support.builders import (
    STAKE,
    VALIDATORS,
    a_hash,
    a_reveal,
    a_submission_id,
    a_task,
    an_address,
    an_answer,
)
from tests.support.market import FakeWorker, Market
from tests.support.waiting import wait_until

LONG = 60.0


@dataclass
class Bench:
    """A market with one task under validation, answered by bob and carol."""

    market: Market
    task_id: bytes

    def vote(self, validator: str, miner: str = "bob") -> Validation | None:
        network = self.market.state.network
        submission_id = a_submission_id(network, self.task_id, miner)
        key = validation_key(submission_id, an_address(validator), 0)
        return self.market.state.open.get(VALIDATIONS, key)

    async def wait_vote(self, validator: str, miner: str = "bob") -> Validation:
        await wait_until(lambda: self.vote(validator, miner) is not None)
        vote = self.vote(validator, miner)
        assert vote is not None
        return vote


@asynccontextmanager
async def a_bench(folder: Path, content: bytes | None = None) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, folder)
        network = market.state.network
        await market.register("bob", "carol", *VALIDATORS)
        task_id = await market.publish(terms=a_task(stake_required=STAKE + 1))
        for name in ("bob", "carol"):
            payload = an_answer(network, task_id, name, stake=STAKE + 1)
            await market.author(name).submit("submit_answer", payload, subject=task_id)
        market.seal_to(market.task(task_id).lifecycle.submission_deadline)
        for name in ("bob", "carol"):
            opening = a_reveal(network, task_id, name)
            await market.author(name).submit("reveal_answer", opening, subject=task_id)
        market.seal()
        statuses = {one.status for one in market.submissions(task_id)}
        assert statuses == {SubmissionStatus.UNDER_REVIEW}
        yield Bench(market, task_id)
        nursery.cancel_scope.cancel()


async def test_every_answer_is_judged_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_bench(tmp_path) as bench:
        worker = FakeWorker("scorer", score_of=lambda output: 80 if "bob" in output else 55)
        await bench.market.start_validator("vera", worker)
        assert (await bench.wait_vote("vera", "bob")).score == 80
        assert (await bench.wait_vote("vera", "carol")).score == 55
        bench.market.seal()
        await trio.sleep(LONG)
        assert len(worker.scored) == 1
        assert {one.output for one in worker.scored[0].answers} == {
            "the answer of bob",
            "the answer of carol",
        }


async def test_a_vote_stakes_at_least_half_of_what_an_answer_stakes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        await bench.market.start_validator("vera", FakeWorker("scorer"))
        assert (await bench.wait_vote("vera")).stake == STAKE // 2 + 1


@pytest.mark.parametrize(
    ("score", "verdict", "reason"),
    [
        (100, Verdict.APPROVE, RejectReason.NONE),
        (1, Verdict.APPROVE, RejectReason.NONE),
        (0, Verdict.REJECT, RejectReason.INCORRECT_ANSWER),
        (None, Verdict.ABSTAIN, RejectReason.NONE),
    ],
)
async def test_a_score_becomes_a_verdict(
    tmp_path: Path,
    autojump_clock: MockClock,
    score: int | None,
    verdict: Verdict,
    reason: RejectReason,
) -> None:
    async with a_bench(tmp_path) as bench:
        worker = FakeWorker("scorer", score_of=lambda output: score)
        await bench.market.start_validator("vera", worker)
        vote = await bench.wait_vote("vera")
        assert (vote.verdict, vote.score, vote.reason) == (verdict, score or 0, reason)


async def test_an_answer_that_is_no_text_is_rejected_without_a_scorer(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, tmp_path)
        network, content, salt = market.state.network, b"\xff\xfe", a_hash("salt")
        await market.register("bob", *VALIDATORS)
        task_id = await market.publish()
        content_hash, own = compute_content_hash(content), an_address("bob")
        commitment = compute_commitment(network, task_id, own, content_hash, salt)
        payload = SubmitAnswer(commitment, STAKE, 80, 0)
        await market.author("bob").submit("submit_answer", payload, subject=task_id)
        market.seal_to(market.task(task_id).lifecycle.submission_deadline)
        submission_id = compute_submission_id(task_id, own, commitment)
        opening = RevealAnswer(submission_id, content_hash, salt, content)
        await market.author("bob").submit("reveal_answer", opening, subject=task_id)
        market.seal()
        worker = FakeWorker("scorer")
        await market.start_validator("vera", worker)
        key = validation_key(submission_id, an_address("vera"), 0)
        await wait_until(lambda: market.state.open.get(VALIDATIONS, key) is not None)
        vote = market.state.open.get(VALIDATIONS, key)
        assert vote is not None
        assert (vote.verdict, vote.reason) == (Verdict.REJECT, RejectReason.TECHNICAL_ERROR)
        assert worker.scored == []
        nursery.cancel_scope.cancel()


async def test_after_an_alarm_nothing_is_signed(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_bench(tmp_path) as bench:
        bench.market.state.alarm = "another root"
        worker = FakeWorker("scorer")
        await bench.market.start_validator("vera", worker)
        await trio.sleep(LONG)
        assert worker.scored == []


async def test_who_is_not_on_the_panel_judges_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        worker = FakeWorker("scorer")
        # Bob is a validator too, but a party of this task.
        await bench.market.start_validator("bob", worker)
        await trio.sleep(LONG)
        assert worker.scored == []


async def test_a_restarted_validator_does_not_vote_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        async with trio.open_nursery() as first_life:
            first = bench.market.live_again(first_life)
            await first.start_validator("vera", FakeWorker("scorer"))
            await bench.wait_vote("vera", "bob")
            await bench.wait_vote("vera", "carol")
            first_life.cancel_scope.cancel()
        worker = FakeWorker("scorer")
        await bench.market.start_validator("vera", worker)
        await trio.sleep(LONG)
        bench.market.seal()
        await trio.sleep(LONG)
        assert worker.scored == []


async def test_a_scorer_that_fails_is_asked_again_in_the_next_epoch(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        worker = FakeWorker("scorer", faults=[WorkerFault("task_failed")])
        await bench.market.start_validator("vera", worker)
        await trio.sleep(LONG)
        assert bench.vote("vera") is None
        bench.market.seal()
        await bench.wait_vote("vera")
        assert [request.attempt for request in worker.scored] == [1, 2]


async def test_nothing_is_judged_before_the_panel_is_sealed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, tmp_path)
        await market.register("bob", *VALIDATORS)
        worker = FakeWorker("scorer")
        for name in VALIDATORS:
            await market.start_validator(name, worker)
        await market.start_miner("bob", FakeWorker())
        task_id = await market.publish()
        await market.wait_answers(task_id, 1)
        market.seal_to(market.task(task_id).lifecycle.submission_deadline)
        await wait_until(lambda: market.submissions(task_id)[0].reveal_tx is not None)
        await trio.sleep(LONG)
        assert worker.scored == []
        market.seal()
        await wait_until(lambda: len(worker.scored) == len(VALIDATORS))
        nursery.cancel_scope.cancel()
