"""A running node and its database: backups beside its work, and refilling after damage."""

from pathlib import Path
from typing import Any

import pytest

from node.transport.memory import MemoryNetwork
from storage import meta
from storage.backup_folder import list_backups
from storage.engine import Batch
from storage.restore import restore
from storage.store import Store
from tests.support.builders import a_genesis
from tests.support.rpc import RpcRefused, ServedPeer, a_served_peer
from tests.support.waiting import wait_until

TERMS: dict[str, Any] = {
    "task_type": {"type": "code_analysis", "language": "python", "complexity": "simple"},
    "title": "Analyse this",
    "description": "Count what is in this file.",
    "reward": "10000000000",
}


async def publish(served: ServedPeer) -> str:
    return str((await served.call("task_publish", terms=TERMS, data="0x78"))["task_id"])


async def finish(served: ServedPeer) -> dict[str, Any]:
    status: dict[str, Any] = {}
    await wait_until(lambda: not served.peer.backups.status.is_running)
    status = await served.call("db_backup_status")
    return status


async def test_a_node_is_backed_up_while_it_works(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    async with a_served_peer(tmp_path) as served:
        for _ in range(5):
            await publish(served)
            served.seal()
        await publish(served)
        root = served.peer.state.state_root
        status = await served.call("db_backup", folder=str(folder))
        assert status["running"] is True
        with pytest.raises(RpcRefused, match="backup_running"):
            await served.call("db_backup", folder=str(folder))
        status = await finish(served)
        assert status["error"] is None
        made = status["backup"]
        assert (made["number"], made["epoch"], made["transactions"]) == (1, 5, 6)
        assert status["done"] == status["total"] == 6
        served.seal()
        await served.call("db_backup", folder=str(folder), keep=1)
        assert (await finish(served))["pruned"] == [1]
    restore(folder / "000002", tmp_path / "restored", a_genesis())
    restored = Store.open(tmp_path / "restored", a_genesis())
    assert (restored.head.epoch, restored.totals.sealed) == (6, 6)
    assert restored.journal.seal_hash(5) == bytes.fromhex(made["seal_hash"])
    assert root == bytes.fromhex(made["state_root"])
    restored.close()


async def test_a_backup_that_fails_costs_only_itself(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        await publish(served)
        journal = served.peer.state.store.journal
        tx = next(iter(journal.open_transactions()))
        batch = Batch()
        batch.delete("transactions", tx.tx_id)
        served.peer.state.store.engine.write(batch, sync=False)
        await served.call("db_backup", folder=str(tmp_path / "backups"))
        status = await finish(served)
        assert status["error"]["name"] == "transaction_missing"
        assert (status["running"], status["backup"]) == (False, None)
        assert list_backups(tmp_path / "backups") == []
        for folder in (None, "relative"):
            with pytest.raises(RpcRefused, match="invalid_params"):
                await served.call("db_backup", folder=folder)


async def test_info_shows_the_store(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        await publish(served)
        data = await served.call("db_info")
        assert (data["epoch"], data["open"], data["needs_repair"]) == (0, 1, None)
        assert data["columns"]["transactions"]["keys"] == 1


async def test_a_repaired_node_serves_once_it_stands_with_its_peers(tmp_path: Path) -> None:
    network = MemoryNetwork()
    damaged = Store.in_memory(a_genesis())
    batch = Batch()
    batch.put(meta.META, meta.NEEDS_REPAIR, b"salvaged")
    damaged.engine.write(batch, sync=True)
    async with a_served_peer(tmp_path, network=network) as healthy:
        for _ in range(3):
            await publish(healthy)
            healthy.seal()
        async with a_served_peer(tmp_path, name="bob", network=network, store=damaged) as served:
            status = await served.call("node_status")
            assert (status["ready"], status["checks"]["db"]["ok"]) == (False, False)
            with pytest.raises(RpcRefused, match="store_in_repair"):
                await publish(served)
            await served.peer.transport.dial(healthy.peer.transport.addresses()[0])
            await wait_until(lambda: damaged.needs_repair is None)
            assert damaged.head.epoch == 3
            assert (await served.call("node_status"))["checks"]["db"]["ok"] is True
            await publish(served)
