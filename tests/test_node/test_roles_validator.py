"""The validator: which answers it judges, and what its votes say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.roles.vote_box import VERSION, BoxedVote, make_key, open_vote_box
from node.workers.messages import WorkerFault
from protocol.answers import compute_commitment, compute_submission_id
from protocol.genesis import Genesis
from protocol.hashing import compute_content_hash
from protocol.kinds.reveal_answer import RevealAnswer
from protocol.kinds.reveal_vote import REASONING_BYTES_MAX
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.params import MINIMAL
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import RejectReason, Validation, Verdict, VoteCommitment
from protocol.tables import VALIDATIONS, VOTE_COMMITMENTS, validation_key
from tests.support.builders import (
    STAKE,
    VALIDATORS,
    a_genesis,
    a_hash,
    a_reveal,
    a_submission_id,
    a_task,
    a_vote,
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

    def key(self, validator: str, miner: str = "bob") -> bytes:
        """Return the key of somebody's vote on an answer."""
        network = self.market.state.network
        submission_id = a_submission_id(network, self.task_id, miner)
        return validation_key(submission_id, an_address(validator), 0)

    def vote(self, validator: str, miner: str = "bob") -> Validation | None:
        return self.market.state.open.get(VALIDATIONS, self.key(validator, miner))

    def bound(self, validator: str, miner: str = "bob") -> VoteCommitment | None:
        return self.market.state.open.get(VOTE_COMMITMENTS, self.key(validator, miner))

    async def wait_bound(self, validator: str, miner: str = "bob") -> VoteCommitment:
        """Wait until somebody has committed to a vote."""
        await wait_until(lambda: self.bound(validator, miner) is not None)
        bound = self.bound(validator, miner)
        assert bound is not None
        return bound

    def open_votes(self) -> None:
        """Seal until votes can be shown."""
        self.market.seal_to(self.market.task(self.task_id).lifecycle.validation_deadline)

    async def wait_vote(self, validator: str, miner: str = "bob") -> Validation:
        """Wait for a commitment, open the votes, and wait until it is shown."""
        await self.wait_bound(validator, miner)
        self.open_votes()
        await wait_until(lambda: self.vote(validator, miner) is not None)
        vote = self.vote(validator, miner)
        assert vote is not None
        return vote


@asynccontextmanager
async def a_bench(folder: Path, genesis: Genesis | None = None) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, folder, genesis)
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
        await bench.wait_bound("vera", "bob")
        await bench.wait_bound("vera", "carol")
        assert (await bench.wait_vote("vera", "bob")).score == 80
        assert (await bench.wait_vote("vera", "carol")).score == 55
        bench.market.seal()
        await trio.sleep(LONG)
        assert bench.market.vote_box("vera").list_keys() == []
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
        assert (await bench.wait_bound("vera")).stake == STAKE // 2 + 1


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
        await wait_until(lambda: market.state.open.get(VOTE_COMMITMENTS, key) is not None)
        market.seal_to(market.task(task_id).lifecycle.validation_deadline)
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
            await bench.wait_bound("vera", "bob")
            await bench.wait_bound("vera", "carol")
            first_life.cancel_scope.cancel()
        worker = FakeWorker("scorer")
        await bench.market.start_validator("vera", worker)
        await trio.sleep(LONG)
        bench.market.seal()
        await trio.sleep(LONG)
        assert worker.scored == []


async def test_a_restarted_validator_shows_what_it_committed_to(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        async with trio.open_nursery() as first_life:
            first = bench.market.live_again(first_life)
            await first.start_validator("vera", FakeWorker("scorer", score_of=lambda output: 77))
            await bench.wait_bound("vera", "bob")
            first_life.cancel_scope.cancel()
        other = FakeWorker("scorer", score_of=lambda output: 1)
        await bench.market.start_validator("vera", other)
        assert (await bench.wait_vote("vera", "bob")).score == 77


async def test_a_vote_that_was_boxed_and_not_committed_to_is_committed_to_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        box = bench.market.vote_box("vera")
        for miner in ("bob", "carol"):
            answer = a_submission_id(bench.market.state.network, bench.task_id, miner)
            box.put(BoxedVote(VERSION, bench.task_id, 0, a_vote(answer, 66)))
        worker = FakeWorker("scorer", is_up=False)
        await bench.market.start_validator("vera", worker)
        await bench.wait_bound("vera", "carol")
        assert (await bench.wait_vote("vera", "bob")).score == 66
        assert worker.scored == []


async def test_a_commitment_to_a_vote_that_no_seal_took_in_is_made_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    genesis = a_genesis(params=replace(MINIMAL, late_epochs=0))
    async with a_bench(tmp_path, genesis) as bench:
        worker = FakeWorker("scorer")
        await bench.market.start_validator("vera", worker)
        first = await bench.wait_bound("vera")
        await bench.wait_bound("vera", "carol")
        # What a sealer without these transactions would seal.
        bench.market.state.open.effective.clear()
        bench.market.seal()
        again = await bench.wait_bound("vera")
        assert again.commitment == first.commitment
        assert again.commit_tx != first.commit_tx
        assert len(worker.scored) == 1


async def test_a_vote_stays_hidden_while_others_can_still_commit(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        await bench.market.start_validator("vera", FakeWorker("scorer"))
        await bench.wait_bound("vera")
        deadline = bench.market.task(bench.task_id).lifecycle.validation_deadline
        while bench.market.state.epoch < deadline:
            await trio.sleep(LONG)
            assert bench.vote("vera") is None
            bench.market.seal()
        await wait_until(lambda: bench.vote("vera") is not None)


async def test_when_the_whole_panel_is_bound_votes_are_shown_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        assert len(bench.market.task(bench.task_id).panel) == len(VALIDATORS)
        for name in VALIDATORS:
            await bench.market.start_validator(name, FakeWorker("scorer"))
        await bench.market.bind_votes(bench.task_id)
        await bench.market.wait_status(bench.task_id, TaskStatus.COMPLETED)
        assert all(bench.vote(name, "carol") is not None for name in VALIDATORS)


async def test_a_vote_of_which_the_salt_is_lost_is_not_guessed_at(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        async with trio.open_nursery() as first_life:
            first = bench.market.live_again(first_life)
            await first.start_validator("vera", FakeWorker("scorer"), box=open_vote_box(None))
            await bench.wait_bound("vera", "carol")
            first_life.cancel_scope.cancel()
        bench.open_votes()
        signed = len(bench.market.told)
        worker = FakeWorker("scorer")
        await bench.market.start_validator("vera", worker)
        await trio.sleep(LONG)
        bench.market.seal()
        await trio.sleep(LONG)
        assert bench.vote("vera") is None
        assert len(bench.market.told) == signed
        assert worker.scored == []


def test_a_vote_box_is_on_disk_and_private(tmp_path: Path) -> None:
    box = open_vote_box(tmp_path / "votes")
    boxed = BoxedVote(VERSION, a_hash("task"), 1, a_vote(a_hash("answer"), 80))
    box.put(boxed)
    (file,) = (tmp_path / "votes").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    key = make_key(a_hash("answer"), 1)
    assert open_vote_box(tmp_path / "votes").get(key) == boxed
    box.remove(key)
    assert open_vote_box(tmp_path / "votes").list_keys() == []


def test_a_vote_with_the_longest_reasoning_fits_its_file(tmp_path: Path) -> None:
    box = open_vote_box(tmp_path / "votes")
    vote = a_vote(a_hash("answer"), 80, reasoning="x" * REASONING_BYTES_MAX)
    box.put(BoxedVote(VERSION, a_hash("task"), 255, vote))
    assert len(open_vote_box(tmp_path / "votes")) == 1


async def test_a_scorer_that_fails_is_asked_again_in_the_next_epoch(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_bench(tmp_path) as bench:
        worker = FakeWorker("scorer", faults=[WorkerFault("task_failed")])
        await bench.market.start_validator("vera", worker)
        await trio.sleep(LONG)
        assert bench.bound("vera") is None
        bench.market.seal()
        await bench.wait_bound("vera")
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
