"""An author who lacks seals: nothing is signed that would be dead when it arrives."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.author import CATCH_UP_S_MAX, Author
from node.high_water import HighWater
from node.sync.peers import SyncReason
from node.transport.memory import MemoryNetwork
from protocol.errors import Rejected
from storage.memory import MemoryEngine
from storage.store import Store
from tests.support.builders import a_signer, a_task
from tests.support.market import Market
from tests.support.peers import TestPeer, a_genesis, some_terms, wait_until

EPOCHS = 40


@asynccontextmanager
async def an_old_network(folder: Path) -> AsyncIterator[tuple[TestPeer, TestPeer]]:
    """Yield a sealer far ahead, and a new peer that is told to dial it and does not run yet."""
    genesis = a_genesis(("alice", "carol"))
    network = MemoryNetwork()
    old, new = (
        TestPeer(name, genesis, Store(MemoryEngine(), genesis), network, folder)
        for name in ("alice", "carol")
    )
    async with old.run():
        for _ in range(EPOCHS):
            old.seal()
        new.sync.add_bootstrap(old.transport.addresses()[0])
        yield old, new


async def test_a_new_peer_signs_once_it_has_the_seals_of_its_network(tmp_path: Path) -> None:
    async with an_old_network(tmp_path) as (old, new), new.run():
        tx = await new.author.submit("publish_task", some_terms())
        assert tx.header.epoch > EPOCHS - old.state.params.late_epochs
        await wait_until(lambda: old.state.knows(tx.tx_id))
        old.seal()
        assert old.state.store.journal.sealed_epoch(tx.tx_id) == EPOCHS + 1


async def test_who_promises_seals_and_brings_none_stops_nobody(tmp_path: Path) -> None:
    async with an_old_network(tmp_path) as (_, new), new.run():
        await wait_until(lambda: new.state.epoch == EPOCHS)
        record = new.sync.book.get("alice")
        record.promised = EPOCHS + 1_000
        assert new.sync.count_behind() == 1_000
        with pytest.raises(Rejected) as refused:
            new.author.submit_nowait("publish_task", some_terms())
        assert refused.value.code == "catching_up"
        new.sync.nudge("alice", SyncReason.INTERVAL)
        await new.author.submit("publish_task", some_terms())


@pytest.mark.parametrize(
    ("promised", "behind"),
    [((9, 0, 0), 0), ((9, 9, 0), 9), ((9, 0), 0), ((9, 7, 0, 5), 5), ((), 0)],
)
async def test_a_minority_is_not_believed(
    tmp_path: Path, promised: tuple[int, ...], behind: int
) -> None:
    genesis = a_genesis(("alice",))
    peer = TestPeer("alice", genesis, Store(MemoryEngine(), genesis), MemoryNetwork(), tmp_path)
    for place, epoch in enumerate(promised):
        peer.sync.book.get(f"peer {place}").promised = epoch
        peer.sync._inboxes[f"peer {place}"] = None  # type: ignore[assignment]
    assert peer.sync.count_behind() == behind


@pytest.mark.parametrize(("behind", "code"), [(None, None), (1, None), (2, "catching_up")])
async def test_an_author_waits_for_a_while_and_never_for_ever(
    tmp_path: Path, autojump_clock: MockClock, behind: int | None, code: str | None
) -> None:
    async with trio.open_nursery() as nursery:
        market = Market(nursery, tmp_path)
        author = Author(
            market.state,
            a_signer("bob"),
            HighWater(tmp_path / "bob.mark"),
            market.told.extend,
            count_behind=lambda: behind,
        )
        nursery.start_soon(author.run)
        started_s, found = trio.current_time(), None
        try:
            await author.submit("publish_task", a_task())
        except Rejected as error:
            found = error.code
        assert found == code
        assert trio.current_time() - started_s == (0 if behind == 1 else CATCH_UP_S_MAX)
        if code is None:
            # Once somebody could have told, nobody waits any more.
            second_s = trio.current_time()
            await author.submit("publish_task", a_task())
            assert trio.current_time() == second_s
        nursery.cancel_scope.cancel()
