"""The registrar and the claimer: once each, whatever was missed in between."""

from pathlib import Path

import trio
from trio.testing import MockClock

from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from tests.support.builders import COIN, SLUG, a_genesis
from tests.support.market import Market
from tests.support.waiting import wait_until

LONG = 60.0


async def test_an_account_is_registered_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, tmp_path)
        market.start_registrar("bob", ROLE_SOLVER | ROLE_VALIDATOR)
        await wait_until(lambda: len(market.told) == 1)
        await trio.sleep(LONG)
        market.seal()
        miner = market.miner("bob")
        assert miner is not None
        assert (miner.roles, miner.specializations) == (ROLE_SOLVER | ROLE_VALIDATOR, (SLUG,))
        assert miner.stake == market.state.params.miner_stake_min
        # A second life, and a third.
        market.start_registrar("bob", ROLE_SOLVER)
        market.start_registrar("bob", ROLE_SOLVER)
        await trio.sleep(LONG)
        assert len(market.told) == 1
        nursery.cancel_scope.cancel()


async def test_nobody_is_registered_before_the_worker_says_what_it_can_do(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, tmp_path)
        market.start_registrar("bob", ROLE_SOLVER, kinds=())
        await trio.sleep(LONG)
        assert market.told == []
        nursery.cancel_scope.cancel()


async def test_an_account_without_money_tries_once_an_epoch(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, tmp_path, a_genesis(balance=COIN))
        market.start_registrar("bob", ROLE_SOLVER)
        for _ in range(3):
            await trio.sleep(LONG)
            market.seal()
        assert market.told == []
        assert market.miner("bob") is None
        nursery.cancel_scope.cancel()
