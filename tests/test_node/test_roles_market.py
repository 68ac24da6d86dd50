"""The roles together: from a publication to claimed rewards, driven by state alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio.testing import MockClock

from protocol.phases import RewardState, SubmissionStatus, TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR, RewardRole
from protocol.tables import ACCOUNTS, REWARDS, reward_key
from tests.support.builders import SOLVERS, VALIDATORS, an_address
from tests.support.market import FakeWorker, Market
from tests.support.waiting import wait_until


@asynccontextmanager
async def a_market(folder: Path) -> AsyncIterator[Market]:
    async with trio.open_nursery() as nursery:
        yield Market(nursery, folder)
        nursery.cancel_scope.cancel()


async def test_a_task_goes_from_publication_to_claimed_rewards(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_market(tmp_path) as market:
        for name in SOLVERS:
            market.start_registrar(name, ROLE_SOLVER)
            await market.start_miner(name, FakeWorker(output=f"by {name}"))
            market.start_claimer(name)
        for name in VALIDATORS:
            market.start_registrar(name, ROLE_VALIDATOR)
            await market.start_validator(name, FakeWorker("scorer"))
            market.start_claimer(name)
        everybody = (*SOLVERS, *VALIDATORS)
        await wait_until(lambda: len(market.told) == len(everybody))
        market.seal()
        assert all(market.miner(name) for name in everybody)

        task_id = await market.publish()
        await market.wait_answers(task_id, len(SOLVERS))
        deadline = market.task(task_id).lifecycle.submission_deadline
        market.seal_to(deadline)
        await wait_until(
            lambda: all(
                one.status is SubmissionStatus.UNDER_REVIEW for one in market.submissions(task_id)
            )
        )
        market.seal()
        assert len(market.task(task_id).panel) == len(VALIDATORS)
        await market.bind_votes(task_id)
        await market.wait_status(task_id, TaskStatus.COMPLETED)
        market.seal()
        reveals = [one.reveal_tx for one in market.submissions(task_id)]
        found = [market.state.store.journal.get(tx_id or b"") for tx_id in reveals]
        contents = {tx.payload.content for tx in found if tx is not None}
        assert contents == {b"by bob", b"by carol", b"by dave"}

        settled = market.task(task_id).lifecycle.dispute_deadline
        assert settled is not None
        market.seal_to(settled + 1)
        distribution = market.state.store.view.get(REWARDS, reward_key(task_id, 0))
        assert distribution is not None
        roles = {entry.role for entry in distribution.entries}
        assert roles >= {RewardRole.WINNER, RewardRole.VALIDATOR}

        def are_claimed() -> bool:
            row = market.state.open.get(REWARDS, reward_key(task_id, 0))
            return row is not None and all(
                entry.state is RewardState.CLAIMED for entry in row.entries
            )

        await wait_until(are_claimed)
        claims = len(market.told)
        market.seal_to(market.state.epoch + 3)
        await trio.sleep(10)
        assert len(market.told) == claims, "nothing is left to do"
        assert market.state.open.rulings() == ()
        assert all(len(market.box(name)) == 0 for name in SOLVERS)
        assert all(len(market.vote_box(name)) == 0 for name in VALIDATORS)


async def test_the_winner_has_more_than_before(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with a_market(tmp_path) as market:
        await market.register("bob", *VALIDATORS)
        start = market.state.store.view.get(ACCOUNTS, an_address("bob"))
        await market.start_miner("bob", FakeWorker())
        market.start_claimer("bob")
        for name in VALIDATORS:
            await market.start_validator(name, FakeWorker("scorer"))
        task_id = await market.publish()
        await market.wait_answers(task_id, 1)
        market.seal_to(market.task(task_id).lifecycle.submission_deadline)
        await wait_until(
            lambda: market.submissions(task_id)[0].status is SubmissionStatus.UNDER_REVIEW
        )
        market.seal()
        await market.bind_votes(task_id)
        await market.wait_status(task_id, TaskStatus.COMPLETED)
        market.seal()
        market.seal_to((market.task(task_id).lifecycle.dispute_deadline or 0) + 1)
        count = len(market.told)
        await wait_until(lambda: len(market.told) > count)
        market.seal()
        after = market.state.store.view.get(ACCOUNTS, an_address("bob"))
        assert start is not None
        assert after is not None
        assert after.balance > start.balance
