"""A running node drops tasks that closed long ago, when it is told to and by itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.cleaner import SHARE
from node.config import StoreConfig
from node.options import ConfigError
from node.transport.memory import MemoryNetwork
from protocol.closing import compute_archive_epochs
from storage.errors import Corrupt
from storage.memory import MemoryEngine
from storage.store import Store
from storage.tombstones import TOMBSTONES
from tests.support.builders import a_genesis
from tests.support.rpc import QUICK, RpcRefused, ServedPeer, a_served_peer
from tests.support.waiting import wait_until
from tests.test_node.test_rpc_database import TERMS

RETENTION = compute_archive_epochs(a_genesis().params)
CLEANING = replace(QUICK, store=StoreConfig(retention_epochs=RETENTION))


async def play_cancelled_task(served: ServedPeer, data: str = "0x78") -> str:
    """Have a task published, sealed, cancelled and sealed; return its id."""
    made = await served.call("task_publish", terms=TERMS, data=data)
    served.seal()
    await served.call("task_cancel", task_id=made["task_id"])
    served.seal()
    return str(made["task_id"])


def pass_epochs(served: ServedPeer, count: int) -> None:
    for _ in range(count):
        served.seal()


async def clean_up(served: ServedPeer, retention: int = RETENTION) -> dict[str, Any]:
    await served.call("db_prune", retention=retention)
    await wait_until(lambda: not served.peer.cleaner.status.is_running)
    status: dict[str, Any] = await served.call("db_prune_status")
    return status


async def test_a_node_cleans_up_when_it_is_told_to(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        task_id = await play_cancelled_task(served)
        open_id = (await served.call("task_publish", terms=TERMS, data="0x79"))["task_id"]
        pass_epochs(served, RETENTION)
        root = served.peer.state.state_root
        status = await clean_up(served)
        assert (status["running"], status["error"], status["tasks"]) == (False, None, 1)
        assert status["dropped_bytes"] > 0
        assert served.peer.state.state_root == root
        with pytest.raises(RpcRefused, match=f"task_pruned.*{task_id}.*closed in epoch 2"):
            await served.call("task_get", task_id=task_id)
        assert (await served.call("task_get", task_id=open_id))["has_data"] is True
        assert (await served.call("db_info"))["pruned"]["tasks"] == 1
        assert (await served.call("check_run"))["ok"] is True


async def test_what_became_of_a_transaction_is_not_made_up(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        task_id = await play_cancelled_task(served)
        tx_id = served.peer.state.store.journal.sealed_ids(1)[0].hex()
        assert (await served.call("tx_get", tx_id=tx_id))["state"] == "applied"
        pass_epochs(served, RETENTION)
        await clean_up(served)
        assert (await served.call("tx_get", tx_id=tx_id))["state"] == "pruned"
        with pytest.raises(RpcRefused, match="task_archived"):
            await served.call("task_cancel", task_id=task_id)


async def test_a_node_with_a_retention_cleans_up_by_itself(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path, config=CLEANING) as served:
        await play_cancelled_task(served)
        for _ in range(RETENTION + RETENTION // SHARE + 1):
            assert served.peer.state.store.pruned.tasks == 0
            served.seal()
            await wait_until(lambda: not served.peer.cleaner.status.is_running)
        await wait_until(lambda: served.peer.state.store.pruned.tasks == 1)


async def test_peers_with_other_retentions_stay_equal_and_raise_no_dead(tmp_path: Path) -> None:
    wire = MemoryNetwork()
    async with (
        a_served_peer(tmp_path, network=wire, config=CLEANING) as alice,
        a_served_peer(tmp_path, name="bob", network=wire) as bob,
    ):
        await bob.peer.transport.dial("/memory/alice/p2p/alice")
        task_id = bytes.fromhex(await play_cancelled_task(alice))
        task = alice.peer.state.store.queries.task(task_id)
        assert task is not None
        data_hash = task.terms.data_hash
        await wait_until(lambda: bob.peer.state.epoch == 2)
        for _ in range(RETENTION + 2):
            alice.seal()
            await wait_until(lambda: bob.peer.state.epoch == alice.peer.state.epoch)
        await wait_until(lambda: alice.peer.state.store.pruned.tasks == 1)
        assert bob.peer.state.store.pruned.tasks == 0
        # Bob offers the whole past once more.
        ids = [tx for epoch in (1, 2) for tx in bob.peer.state.store.journal.sealed_ids(epoch)]
        past = [bob.peer.state.store.journal.get(tx_id) for tx_id in ids]
        accepted = alice.peer.state.accept([tx for tx in past if tx is not None], "bob")
        assert accepted.stored == ()
        alice.seal()
        await wait_until(lambda: bob.peer.state.status() == alice.peer.state.status())
        assert alice.peer.state.store.queries.task(task_id) is None
        assert not alice.peer.state.store.journal.has_blob(data_hash)
        assert [key for key, _ in alice.peer.state.store.engine.scan(TOMBSTONES)] == [task_id]


async def test_a_retention_that_is_too_short_is_refused_before_the_start(tmp_path: Path) -> None:
    short = replace(QUICK, store=StoreConfig(retention_epochs=RETENTION - 1))
    with pytest.raises(ExceptionGroup) as caught:
        async with a_served_peer(tmp_path, config=short):
            pass
    assert caught.group_contains(ConfigError, match="store.retention_epochs")


async def test_orders_that_cannot_be_carried_out_are_refused(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        with pytest.raises(RpcRefused, match="retention_too_short"):
            await served.call("db_prune", retention=1)
        with pytest.raises(RpcRefused, match="invalid_params"):
            await served.call("db_prune", retention=0)
        await served.call("db_prune", retention=RETENTION)
        with pytest.raises(RpcRefused, match="clean_up_running"):
            await served.call("db_prune", retention=RETENTION)


async def test_a_clean_up_that_fails_costs_only_itself(tmp_path: Path) -> None:
    store = BrittleStore(MemoryEngine(), a_genesis())
    async with a_served_peer(tmp_path, store=store) as served:
        await play_cancelled_task(served)
        pass_epochs(served, RETENTION)
        status = await clean_up(served)
        assert status["error"]["name"] == "row_missing"
        assert status["running"] is False
        store.is_brittle = False
        assert (await clean_up(served))["tasks"] == 1


class BrittleStore(Store):
    """A store of which a row is missing for a while."""

    is_brittle = True

    def prune(self, *args: Any, **options: Any) -> None:
        if self.is_brittle:
            raise Corrupt("row_missing", "no row", "a row")
        super().prune(*args, **options)
