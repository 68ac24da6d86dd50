"""A full disk: the node takes nothing in, goes on answering, and resumes by itself."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.clock import SystemClock
from node.config import MIB, StoreConfig
from node.diary_file import DiaryFile
from node.disk_watch import POLL_S, DiskWatch
from node.events import Broadcast
from node.high_water import HighWater
from node.rpc.errors import DISK_FULL
from node.sealer import Sealer
from node.state_manager import StateManager
from node.transport.memory import MemoryNetwork
from protocol.genesis import Genesis
from protocol.seals import Seal
from storage.engine import Engine
from storage.errors import Full, InUse, StorageError
from storage.memory import MemoryEngine
from storage.store import Store
from tests.support.builders import COIN, a_genesis, a_signer, a_task
from tests.support.faulty import FaultyEngine, a_full_disk, an_io_error
from tests.support.listeners import Listeners
from tests.support.peers import TestPeer, connect_all, wait_until
from tests.support.peers import a_genesis as a_cast_genesis
from tests.support.rpc import QUICK, RpcRefused, ServedPeer, a_served_peer
from tests.support.world import World

RESERVE = 128 * MIB
"""The default of `store.disk_reserve_mib`."""
RESUME = RESERVE + RESERVE // 4
TERMS: dict[str, Any] = {
    "task_type": {"type": "code_analysis", "language": "python", "complexity": "simple"},
    "title": "Analyse this",
    "description": "Count what is in this file.",
    "reward": str(10 * COIN),
}


class Disk:
    """How much room there is."""

    def __init__(self, free: int) -> None:
        self.free = free

    def read_free(self) -> int:
        return self.free


class WatchedStore(Store):
    """A store that keeps every seal it was given to write."""

    def __init__(self, engine: Engine, genesis: Genesis) -> None:
        super().__init__(engine, genesis)
        self.signed: list[bytes] = []

    def commit_epoch(self, seal: Seal, *rest: Any) -> None:
        self.signed.append(seal.to_bytes())
        super().commit_epoch(seal, *rest)


async def refusal(served: ServedPeer, method: str, **params: Any) -> RpcRefused:
    with pytest.raises(RpcRefused) as caught:
        await served.call(method, **params)
    return caught.value


async def test_below_the_reserve_nothing_is_taken_in_and_every_door_says_so(tmp_path: Path) -> None:
    disk = Disk(1 << 40)
    wire = World().publish("bob").wire.hex()
    async with a_served_peer(tmp_path, read_free=disk.read_free) as served:
        state = served.peer.state
        await served.call("task_publish", terms=TERMS, data="0x78")
        disk.free = RESERVE - 1
        served.peer.disk.look()
        calls: list[tuple[str, dict[str, Any]]] = [
            ("task_publish", {"terms": TERMS, "data": "0x78"}),
            ("task_publish", {"terms": TERMS, "data": "0x79"}),
            ("tx_submit", {"wire": wire}),
        ]
        for method, params in calls:
            refused = await refusal(served, method, **params)
            assert (refused.number, refused.name) == (DISK_FULL, "disk_full")
            assert refused.data["found"] == f"{RESERVE - 1} bytes free"
            assert refused.data["wanted"] == f"at least {RESERVE}"
            assert refused.data["retryable"]
        # What reads goes on, and an own number was not used up.
        status = await served.call("node_status")
        assert (status["ready"], status["open"], status["transactions"]) == (False, 1, 1)
        check = status["checks"]["disk"]
        assert (check["ok"], check["free_mib"]) == (False, 127)
        assert str(RESERVE - 1) in check["read_only"]
        assert len((await served.call("task_list"))["items"]) == 1
        assert state.next_link(served.peer.require_author().address)[0] == 1
        # A little room is not enough: the node would be back here at once.
        disk.free = RESUME - 1
        served.peer.disk.look()
        refused = await refusal(served, "task_publish", terms=TERMS, data="0x78")
        assert refused.data["found"] == f"{RESUME - 1} bytes free"
        disk.free = 1 << 40
        served.peer.disk.look()
        await served.call("task_publish", terms=TERMS, data="0x78")
        await served.call("tx_submit", wire=wire)
        status = await served.call("node_status")
        assert (status["ready"], status["open"]) == (True, 3)


async def test_little_room_is_told_before_it_matters(tmp_path: Path) -> None:
    disk = Disk(RESERVE)
    async with a_served_peer(tmp_path, read_free=disk.read_free) as served:
        await served.call("task_publish", terms=TERMS, data="0x78")
        status = await served.call("node_status")
        assert (status["ready"], status["checks"]["disk"]["read_only"]) == (False, None)


async def test_a_node_that_starts_on_a_full_disk_serves_what_it_has(tmp_path: Path) -> None:
    disk = Disk(0)
    async with a_served_peer(tmp_path, read_free=disk.read_free) as served:
        refused = await refusal(served, "task_publish", terms=TERMS, data="0x78")
        assert refused.data["found"] == "0 bytes free"
        assert (await served.call("task_list"))["items"] == []
        disk.free = RESUME
        served.peer.disk.look()
        await served.call("task_publish", terms=TERMS, data="0x78")


async def test_a_disk_that_is_said_to_be_full_is_full_until_it_is_taken_back(
    tmp_path: Path,
) -> None:
    # Without a reserve, so that no figure can be below it.
    config = replace(QUICK, store=StoreConfig(disk_reserve_mib=0))
    async with a_served_peer(tmp_path, config=config, read_free=lambda: 1 << 40) as served:
        outages = await served.call("dev_outage", outage="disk_full")
        assert outages == {"outages": ["disk_full"]}
        assert (await served.call("dev_look"))["outages"] == ["disk_full"]
        refused = await refusal(served, "task_publish", terms=TERMS, data="0x78")
        assert (refused.number, refused.data["found"]) == (
            DISK_FULL,
            "0 bytes free, as a fault says",
        )
        served.peer.disk.look()
        status = await served.call("node_status")
        assert (status["ready"], status["checks"]["disk"]["free_mib"]) == (False, 0)
        assert (await served.call("dev_outage", outage="disk_full", on=False)) == {"outages": []}
        await served.call("task_publish", terms=TERMS, data="0x78")
        assert (await served.call("node_status"))["ready"]


async def test_the_watch_looks_by_itself(tmp_path: Path, autojump_clock: MockClock) -> None:
    genesis = a_genesis()
    state = StateManager(genesis, Store.in_memory(genesis), Broadcast())
    disk, resumed = Disk(0), []
    watch = DiskWatch(
        state,
        disk.read_free,
        reserve_bytes=100,
        warn_bytes=200,
        resumed=[lambda: resumed.append(trio.current_time())],
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(2.5 * POLL_S)
        assert isinstance(state.store.gate.fault, Full)
        disk.free = 124
        await trio.sleep(2 * POLL_S)
        assert resumed == []
        disk.free = 125
        await trio.sleep(POLL_S)
        assert len(resumed) == 1
        assert state.store.gate.fault is None
        disk.free = 100
        await trio.sleep(2 * POLL_S)
        assert state.store.gate.fault is None
        nursery.cancel_scope.cancel()


async def test_what_room_does_not_cure_ends_the_node_with_its_sentence() -> None:
    engine = FaultyEngine(MemoryEngine())
    genesis = a_genesis()
    state = StateManager(genesis, Store(engine, genesis), Broadcast())
    engine.fail_write(1, an_io_error())
    with pytest.raises(StorageError):
        state.store.meta_put("note", b"")
    watch = DiskWatch(state, Disk(1 << 40).read_free, reserve_bytes=0, warn_bytes=0)
    with pytest.raises(StorageError, match="storage_failed"):
        await watch.run()


class BusyEngine(MemoryEngine):
    """An engine that cannot be opened again yet: another thread compacts it."""

    is_busy = True

    def reopen(self) -> None:
        if self.is_busy:
            raise InUse("database_busy", "a compaction under way", "another try after it")
        super().reopen()


async def test_a_store_in_other_hands_is_opened_again_later() -> None:
    engine, genesis = BusyEngine(), a_genesis()
    state = StateManager(genesis, Store(engine, genesis), Broadcast())
    disk = Disk(0)
    watch = DiskWatch(state, disk.read_free, reserve_bytes=100, warn_bytes=0)
    watch.look()
    disk.free = 1_000
    watch.look()
    assert isinstance(state.store.gate.fault, Full)
    engine.is_busy = False
    watch.look()
    assert state.store.gate.fault is None


async def test_a_sealer_on_a_full_disk_waits_and_then_writes_the_seal_that_it_signed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    engine = FaultyEngine(MemoryEngine())
    genesis = a_genesis()
    store = WatchedStore(engine, genesis)
    state = StateManager(genesis, store, Broadcast())
    peers = Listeners()
    told = peers.seals
    mark, diary = HighWater(tmp_path / "sealed"), DiaryFile(tmp_path / "diary")
    sealer = Sealer(state, a_signer("sealer"), SystemClock(), mark, diary, peers)
    watch = DiskWatch(state, None, reserve_bytes=0, warn_bytes=0, resumed=[sealer.resume])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sealer.run)
        await trio.sleep(1.5)
        assert state.epoch == len(told) == 1
        engine.fail_write(1, a_full_disk())
        store.signed.clear()
        await trio.sleep(5)
        # However long it lasts, one seal of the epoch is signed.
        assert (state.epoch, len(told), len(store.signed)) == (1, 1, 1)
        watch.look()
        assert state.epoch == 2
        assert state.store.journal.seal(2) == store.signed[0] == store.signed[1]
        assert mark.get(a_signer("sealer").address) == 2
        await trio.sleep(1.5)
        assert state.epoch == 3
        nursery.cancel_scope.cancel()
    mark.close()
    diary.close()


async def test_a_diary_without_room_keeps_the_sealer_silent_until_there_is_some(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    genesis = a_genesis()
    state = StateManager(genesis, Store.in_memory(genesis), Broadcast())
    peers = Listeners()
    mark, diary = HighWater(tmp_path / "sealed"), DiaryFile(tmp_path / "diary")
    sealer = Sealer(state, a_signer("sealer"), SystemClock(), mark, diary, peers)
    watch = DiskWatch(state, None, reserve_bytes=0, warn_bytes=0, resumed=[sealer.resume])

    def fill_up(handle: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sealer.run)
        await trio.sleep(1.5)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", fill_up)
            await trio.sleep(5)
            watch.look()
        assert (state.epoch, len(peers.seals)) == (1, 1)
        assert mark.get(a_signer("sealer").address) == 1
        watch.look()
        assert state.epoch == 2
        await trio.sleep(1.5)
        assert state.epoch == 3
        nursery.cancel_scope.cancel()
    mark.close()
    diary.close()


async def test_a_full_peer_blames_nobody_answers_all_and_catches_up(tmp_path: Path) -> None:
    genesis = a_cast_genesis(("alice", "bob"))
    network = MemoryNetwork()
    engine = FaultyEngine(MemoryEngine())
    stores = {"alice": Store(MemoryEngine(), genesis), "bob": Store(engine, genesis)}
    peers = {
        name: TestPeer(name, genesis, store, network, tmp_path) for name, store in stores.items()
    }
    alice, bob = peers["alice"], peers["bob"]
    async with alice.run(), bob.run():
        await connect_all(peers)
        await bob.author.submit("publish_task", a_task(title="before"))
        await wait_until(lambda: alice.state.status() == bob.state.status())
        engine.fail_write(1, a_full_disk())
        for number in range(3):
            await alice.author.submit("publish_task", a_task(title=f"Task {number}"))
            alice.seal()
        await wait_until(lambda: bob.state.store.gate.fault is not None)
        before = bob.sync.book.get("alice").sessions
        await wait_until(lambda: bob.sync.book.get("alice").sessions > before + 2)
        with pytest.raises(Full):
            await bob.author.submit("publish_task", a_task(title="refused"))
        assert bob.state.epoch < alice.state.epoch
        # Others are answered: a newcomer gets from bob what he has.
        carol = TestPeer("carol", genesis, Store(MemoryEngine(), genesis), network, tmp_path)
        async with carol.run():
            await carol.transport.dial(bob.transport.addresses()[0])
            await wait_until(lambda: carol.state.status() == bob.state.status())
            watch = DiskWatch(bob.state, None, reserve_bytes=0, warn_bytes=0)
            watch.look()
            await wait_until(lambda: alice.state.status() == bob.state.status())
            await wait_until(lambda: alice.state.status() == carol.state.status())
            tx = await bob.author.submit("publish_task", a_task(title="again"))
            assert tx.header.seq == 1
            await wait_until(lambda: alice.state.knows(tx.tx_id))
        for one in peers.values():
            for name in ("alice", "bob", "carol"):
                record = one.sync.book.get(name)
                assert (record.faults, record.banned_until_s) == (0, 0)


async def test_a_mark_without_room_stops_the_signing_and_is_raised_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genesis = a_cast_genesis(("alice",))
    peer = TestPeer("alice", genesis, Store.in_memory(genesis), MemoryNetwork(), tmp_path)

    def fill_up(handle: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with peer.run():
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", fill_up)
            with pytest.raises(Full):
                await peer.author.submit("publish_task", a_task(title="written, not told"))
            mark = HighWater(tmp_path / "alice.mark")
            assert mark.get(peer.author.address) is None
            mark.close()
            with pytest.raises(Full):
                peer.author.resume()
        assert isinstance(peer.state.store.gate.fault, Full)
        watch = DiskWatch(
            peer.state, None, reserve_bytes=0, warn_bytes=0, resumed=[peer.author.resume]
        )
        watch.look()
        mark = HighWater(tmp_path / "alice.mark")
        assert mark.get(peer.author.address) == 0
        mark.close()
        tx = await peer.author.submit("publish_task", a_task(title="the next"))
        assert tx.header.seq == 1
        assert peer.state.open.count == 2
