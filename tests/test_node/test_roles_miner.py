"""The miner: what it takes, what it leaves, and that nothing it began is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.roles.answer_box import VERSION, BoxedAnswer, open_answer_box
from node.roles.box import ITEMS_MAX
from node.workers.messages import WorkerFault
from protocol.hashing import compute_content_hash
from protocol.params import MINIMAL
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import ROLE_VALIDATOR
from tests.support.builders import STAKE, VALIDATORS, a_genesis, a_hash, a_task
from tests.support.market import FakeWorker, Market
from tests.support.waiting import wait_until

LONG = 60.0
"""Of virtual time: whatever is going to happen has happened by then."""


@asynccontextmanager
async def a_market(folder: Path) -> AsyncIterator[Market]:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, folder)
        await market.register("bob")
        await market.register(*VALIDATORS[:3], roles=ROLE_VALIDATOR)
        yield market
        nursery.cancel_scope.cancel()


async def test_a_task_of_its_kind_is_solved_and_committed_to_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker()
        await market.start_miner("bob", worker)
        task_id = await market.publish()
        await market.wait_answers(task_id, 1)
        await trio.sleep(LONG)
        market.seal()
        await trio.sleep(LONG)
        assert [request.id for request in worker.solved] == [task_id.hex()]
        assert market.submissions(task_id)[0].status is SubmissionStatus.PENDING


async def test_the_worker_is_told_the_terms_and_the_input(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker()
        await market.start_miner("bob", worker)
        data = b"pear\napple"
        market.state.store.put_blob(compute_content_hash(data), data)
        terms = a_task(data_hash=compute_content_hash(data), data_bytes=len(data))
        await market.wait_answers(await market.publish(terms=terms), 1)
        (request,) = worker.solved
        assert request.input == "pear\napple"
        assert request.title == terms.title
        assert request.params == {"category": "misc", "subcategory": None}


async def test_a_task_waits_for_its_input(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker()
        await market.start_miner("bob", worker)
        data = b"late"
        terms = a_task(data_hash=compute_content_hash(data), data_bytes=len(data))
        task_id = await market.publish(terms=terms)
        await trio.sleep(LONG)
        assert worker.solved == []
        market.state.store.put_blob(compute_content_hash(data), data)
        await market.wait_answers(task_id, 1)


async def test_an_input_that_is_no_text_is_left_to_others(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker()
        await market.start_miner("bob", worker)
        data = b"\xff\xfe"
        market.state.store.put_blob(compute_content_hash(data), data)
        await market.publish(terms=a_task(data_hash=compute_content_hash(data), data_bytes=2))
        await trio.sleep(LONG)
        assert worker.solved == []


@pytest.mark.parametrize("kinds", [("code_analysis",), ()])
async def test_a_worker_of_other_kinds_takes_nothing(
    tmp_path: Path, autojump_clock: MockClock, kinds: tuple[str, ...]
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker(kinds=kinds, is_up=bool(kinds))
        await market.start_miner("bob", worker)
        await market.publish()
        await trio.sleep(LONG)
        assert worker.solved == []


async def test_nobody_answers_his_own_task(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker()
        await market.start_miner("bob", worker)
        await market.publish("bob")
        await trio.sleep(LONG)
        assert worker.solved == []


async def test_a_validator_without_the_role_of_a_solver_takes_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        await market.register("carol", roles=ROLE_VALIDATOR)
        worker = FakeWorker()
        await market.start_miner("carol", worker)
        await market.publish()
        await trio.sleep(LONG)
        assert worker.solved == []


async def test_a_task_that_too_few_could_judge_is_left_until_there_are_enough(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, tmp_path)
        await market.register("bob")
        await market.register(*VALIDATORS[:2], roles=ROLE_VALIDATOR)
        worker = FakeWorker()
        await market.start_miner("bob", worker)
        task_id = await market.publish()
        await trio.sleep(LONG)
        assert worker.solved == []
        await market.register(VALIDATORS[2], roles=ROLE_VALIDATOR)
        await market.wait_answers(task_id, 1)
        nursery.cancel_scope.cancel()


async def test_no_more_tasks_at_a_time_than_allowed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker(gate=trio.Event())
        await market.start_miner("bob", worker, concurrency=2)
        ids = [await market.publish() for _ in range(5)]
        await trio.sleep(LONG)
        assert len(worker.solved) == 2
        assert worker.gate is not None
        worker.gate.set()
        for task_id in ids:
            await market.wait_answers(task_id, 1)


async def test_the_best_paid_task_comes_first(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_market(tmp_path) as market:
        poor = await market.publish(terms=a_task(reward=6 * STAKE))
        rich = await market.publish(terms=a_task(reward=12 * STAKE))
        worker = FakeWorker()
        await market.start_miner("bob", worker, concurrency=1)
        await market.wait_answers(poor, 1)
        assert [request.id for request in worker.solved] == [rich.hex(), poor.hex()]


async def test_stakes_stay_below_the_bound(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_market(tmp_path) as market:
        await market.start_miner("bob", FakeWorker(), stake_max=2 * STAKE)
        ids = [await market.publish() for _ in range(4)]
        await trio.sleep(LONG)
        market.seal()
        await trio.sleep(LONG)
        assert sum(len(market.task(task_id).participants) for task_id in ids) == 2


async def test_an_answer_is_revealed_after_the_deadline_and_not_before(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        await market.start_miner("bob", FakeWorker(output="42"))
        task_id = await market.publish(terms=a_task(max_participants=1))
        await market.wait_answers(task_id, 1)
        deadline = market.task(task_id).lifecycle.submission_deadline
        while market.state.epoch < deadline - 1:
            market.seal()
            await trio.sleep(LONG)
            assert market.submissions(task_id)[0].status is SubmissionStatus.PENDING
        market.seal()
        await wait_until(lambda: market.submissions(task_id)[0].reveal_tx is not None)


async def test_a_restarted_miner_reveals_what_it_committed_to(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        async with trio.open_nursery() as first_life:
            first = market.live_again(first_life)
            await first.start_miner("bob", FakeWorker(output="42"))
            task_id = await market.publish()
            await market.wait_answers(task_id, 1)
            first_life.cancel_scope.cancel()
        market.seal_to(market.task(task_id).lifecycle.submission_deadline)
        worker = FakeWorker(output="another")
        await market.start_miner("bob", worker)
        await wait_until(lambda: market.submissions(task_id)[0].reveal_tx is not None)
        (submission,) = market.submissions(task_id)
        assert submission.content_hash == compute_content_hash(b"42")
        assert worker.solved == []


async def test_an_answer_that_was_boxed_and_not_committed_is_committed_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        task_id = await market.publish()
        market.box("bob").put(
            BoxedAnswer(VERSION, task_id, a_hash("salt"), b"solved before the power went")
        )
        worker = FakeWorker()
        await market.start_miner("bob", worker)
        await market.wait_answers(task_id, 1)
        assert worker.solved == []


async def test_a_commitment_that_no_seal_took_in_is_made_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        genesis = a_genesis(params=replace(MINIMAL, late_epochs=0))
        market = Market(nursery, tmp_path, genesis)
        await market.register("bob")
        await market.register(*VALIDATORS[:3], roles=ROLE_VALIDATOR)
        task_id = await market.publish(terms=a_task(submission_epochs=8))
        market.seal()
        worker = FakeWorker()
        await market.start_miner("bob", worker)
        await market.wait_answers(task_id, 1)
        (lost,) = market.state.open.transactions.values()
        # What a sealer without this transaction would seal.
        market.state.open.effective.pop(lost.tx_id)
        market.seal()
        assert market.state.store.journal.sealed_epoch(lost.tx_id) is None
        await market.wait_answers(task_id, 1)
        market.seal()
        assert len(market.task(task_id).participants) == 1
        assert len(worker.solved) == 1
        nursery.cancel_scope.cancel()


async def test_a_worker_that_fails_gets_three_attempts(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker(faults=[WorkerFault("task_failed") for _ in range(9)])
        await market.start_miner("bob", worker)
        await market.publish(terms=a_task(submission_epochs=20))
        for _ in range(6):
            await trio.sleep(LONG)
            market.seal()
        assert [request.attempt for request in worker.solved] == [1, 2, 3]


async def test_a_task_that_the_worker_refuses_is_not_offered_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker(faults=[WorkerFault("task_refused", retryable=False)])
        await market.start_miner("bob", worker)
        await market.publish(terms=a_task(submission_epochs=20))
        for _ in range(4):
            await trio.sleep(LONG)
            market.seal()
        assert len(worker.solved) == 1


async def test_a_paused_worker_leaves_its_task_and_takes_it_up_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker(gate=trio.Event())
        desk = await market.start_miner("bob", worker)
        task_id = await market.publish()
        await wait_until(lambda: desk.current == (task_id.hex(),))
        desk.pause()
        await wait_until(lambda: desk.current == ())
        await trio.sleep(LONG)
        assert len(worker.solved) == 1
        assert worker.gate is not None
        worker.gate.set()
        desk.resume()
        market.seal()
        await market.wait_answers(task_id, 1)
        assert worker.resets == 1


async def test_a_finishing_worker_ends_its_task_and_takes_no_other(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        worker = FakeWorker(gate=trio.Event())
        desk = await market.start_miner("bob", worker)
        first = await market.publish()
        await wait_until(lambda: desk.current == (first.hex(),))
        desk.finish()
        second = await market.publish()
        assert worker.gate is not None
        worker.gate.set()
        await market.wait_answers(first, 1)
        await trio.sleep(LONG)
        assert market.task(second).participants == ()


async def test_without_the_box_nothing_is_revealed_and_nothing_breaks(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        async with trio.open_nursery() as first_life:
            first = market.live_again(first_life)
            await first.start_miner("bob", FakeWorker(), box=open_answer_box(None))
            task_id = await market.publish()
            await market.wait_answers(task_id, 1)
            first_life.cancel_scope.cancel()
        market.seal_to(market.task(task_id).lifecycle.submission_deadline)
        await market.start_miner("bob", FakeWorker())
        await trio.sleep(LONG)
        assert market.submissions(task_id)[0].reveal_tx is None
        market.seal_to(market.task(task_id).lifecycle.reveal_deadline + 1)
        assert market.task(task_id).status is TaskStatus.EXPIRED


async def test_the_box_forgets_a_task_that_is_over(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        await market.start_miner("bob", FakeWorker())
        task_id = await market.publish()
        await market.wait_answers(task_id, 1)
        assert market.box("bob").list_keys() == [task_id]
        market.seal_to(market.task(task_id).lifecycle.submission_deadline)
        await wait_until(lambda: market.submissions(task_id)[0].reveal_tx is not None)
        market.seal_to(market.task(task_id).lifecycle.finalize_deadline + 1)
        assert market.task(task_id).status is TaskStatus.EXPIRED
        await wait_until(lambda: len(market.box("bob")) == 0)


async def test_salts_come_from_where_the_peer_was_told(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        await market.start_miner("bob", FakeWorker(), draw_bytes=lambda size: b"s" * size)
        task_id = await market.publish()
        await market.wait_answers(task_id, 1)
        answer = market.box("bob").get(task_id)
        assert answer is not None
        assert answer.salt == b"s" * 32


def test_a_box_is_on_disk_and_private(tmp_path: Path) -> None:
    box = open_answer_box(tmp_path / "answers")
    box.put(BoxedAnswer(VERSION, a_hash("task"), a_hash("salt"), b"content"))
    (file,) = (tmp_path / "answers").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    again = open_answer_box(tmp_path / "answers")
    answer = again.get(a_hash("task"))
    assert answer is not None
    assert (answer.salt, answer.content) == (a_hash("salt"), b"content")
    again.remove(a_hash("task"))
    assert open_answer_box(tmp_path / "answers").list_keys() == []


def test_a_damaged_box_file_is_told_and_left(tmp_path: Path) -> None:
    box = open_answer_box(tmp_path / "answers")
    box.put(BoxedAnswer(VERSION, a_hash("task"), a_hash("salt"), b"content"))
    (file,) = (tmp_path / "answers").iterdir()
    file.write_bytes(b"\x00")
    assert open_answer_box(tmp_path / "answers").list_keys() == []
    assert file.exists()


def test_a_box_has_a_bound() -> None:
    box = open_answer_box(None)
    for number in range(ITEMS_MAX):
        assert not box.is_full
        box.put(BoxedAnswer(VERSION, number.to_bytes(32, "big"), bytes(32), b""))
    assert box.is_full
