"""Rewards, money, keys and the log through the RPC."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.clock import read_wall_ms
from node.keystore import create_key
from node.paths import DataPaths
from node.telemetry import configure_logging
from protocol.phases import SubmissionStatus, TaskStatus
from tests.support.builders import VALIDATORS, a_seed, an_address
from tests.support.market import FakeWorker, Market
from tests.support.rpc import RpcRefused, ServedPeer, a_served_peer
from tests.support.waiting import wait_until


@asynccontextmanager
async def a_settled_task(folder: Path) -> AsyncIterator[tuple[Market, ServedPeer]]:
    """A market in which bob has a reward to claim, and bob's RPC."""
    async with a_served_peer(folder, name="bob") as shell, trio.open_nursery() as nursery:
        market = Market(nursery, folder / "market")
        await market.register("bob", *VALIDATORS)
        await market.start_miner("bob", FakeWorker())
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
        peer = replace(shell.peer, state=market.state, author=market.author("bob"))
        yield market, ServedPeer(peer)
        nursery.cancel_scope.cancel()


async def test_a_reward_is_locked_then_claimable_then_gone(tmp_path: Path) -> None:
    (tmp_path / "market").mkdir(mode=0o700)
    async with a_settled_task(tmp_path) as (market, served):
        (entry,) = (await served.call("reward_list"))["items"]
        assert (entry["state"], entry["role"]) == ("locked", "winner")
        assert (await served.call("reward_claim"))["tx_ids"] == []
        market.seal_to(entry["claimable_after"] + 1)
        account = await served.call("account_get")
        assert int(account["claimable"]) == int(entry["amount"])
        with pytest.raises(RpcRefused, match="no_such_reward"):
            await served.call("reward_claim", entry_id="00" * 32)
        (tx_id,) = (await served.call("reward_claim", entry_id=entry["entry_id"]))["tx_ids"]
        # It waits for its seal: a second claim would only be refused.
        assert (await served.call("reward_claim"))["tx_ids"] == []
        market.seal()
        assert (await served.call("tx_get", tx_id=tx_id))["state"] == "applied"
        assert (await served.call("reward_list"))["items"] == []
        addresses = [an_address(name).hex() for name in VALIDATORS]
        others = [await served.call("reward_list", address=one, limit=1) for one in addresses]
        assert {item["role"] for other in others for item in other["items"]} == {"validator"}


async def test_the_money_of_the_network_adds_up(tmp_path: Path) -> None:
    (tmp_path / "market").mkdir(mode=0o700)
    async with a_settled_task(tmp_path) as (_, served):
        ledger = await served.call("ledger_get")
        places = ("balances", "escrowed", "staked", "treasury", "burned")
        assert sum(int(ledger[place]) for place in places) == int(ledger["supply"])
        assert int(ledger["escrowed"]) > 0
        report = await served.call("check_run")
        assert (report["ok"], report["broken"]) == (True, [])


async def test_keys_are_listed_without_their_secrets(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path / "data")
    for name in ("bob", "carol"):
        create_key(paths.keys, None, seed=a_seed(name), allow_unencrypted=True)
    async with a_served_peer(tmp_path, name="bob") as shell:
        served = ServedPeer(replace(shell.peer, paths=paths))
        page = await served.call("key_list")
        assert {(item["address"], item["used"]) for item in page["items"]} == {
            (an_address("bob").hex(), True),
            (an_address("carol").hex(), False),
        }
        assert a_seed("bob").hex() not in str(page)


async def test_the_level_of_the_log_is_changed_while_the_node_runs(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as shell:
        with pytest.raises(RpcRefused):
            await shell.call("node_log_level", level="debug")
        control = configure_logging("info", "json", read_wall_ms=read_wall_ms, stream=io.StringIO())
        try:
            served = ServedPeer(replace(shell.peer, log_control=control))
            await served.call("node_log_level", level="warning,p2p=debug")
            assert control.levels.areas == {"p2p": 10}
            with pytest.raises(RpcRefused, match="bad_log_level"):
                await served.call("node_log_level", level="loud")
        finally:
            control.close()
