"""Evidence travels to those who judge and to the sides of a dispute, and to nobody else."""

from pathlib import Path

import trio

from node.author import Author
from node.high_water import HighWater
from node.sync.blobs import RESCAN_S, BlobFetcher
from node.sync.server import Server
from node.verifier import Verifier
from protocol.dispute_records import EvidenceType
from protocol.hashing import compute_content_hash
from protocol.kinds.add_evidence import AddEvidence
from protocol.kinds.open_dispute import Exhibit
from storage.store import Store
from tests.support.builders import a_signer, an_address
from tests.support.court import a_court_genesis, arbiters, object_to, seat_panel, settle_court
from tests.support.peers import TestPeer, wait_until
from tests.support.scripted import a_village
from tests.support.stored import StoredWorld
from tests.support.tasks import a_judged_task

PROOF = b"proof " * 20_000


def a_store_in_court() -> tuple[Store, list[str]]:
    """Return a store with a dispute under review, and its panel; every call gives the same."""
    store = Store.in_memory(a_court_genesis())
    world = settle_court(StoredWorld(store))
    task_id = a_judged_task(world)
    exhibit = Exhibit(EvidenceType.ORIGINAL_WORK, compute_content_hash(PROOF))
    world.seal(object_to(world, "alice", task_id, evidence=(exhibit,)))
    seat_panel(world, task_id)
    return store, arbiters(world, task_id)


def has(peer: TestPeer, data: bytes) -> bool:
    return peer.state.store.journal.has_blob(compute_content_hash(data))


async def test_evidence_reaches_arbiters_and_sides_and_nobody_else(
    tmp_path: Path, autojump_clock: object
) -> None:
    _, panel = a_store_in_court()
    names = ("alice", panel[0], "bob", "eve")
    async with (
        a_village(tmp_path, a_court_genesis()) as village,
        trio.open_nursery() as nursery,
    ):
        peers = {name: await village.add(name, store=a_store_in_court()[0]) for name in names}
        peers["alice"].state.store.put_blob(compute_content_hash(PROOF), PROOF)
        for name, peer in peers.items():
            server = Server(peer.state, Verifier(peer.state.intake, is_threaded=False))
            fetcher = BlobFetcher(peer.state, server, an_address(name))
            nursery.start_soon(fetcher.run, peer.transport)
        for name in names[1:]:
            await village.connect("alice", name)
        await wait_until(lambda: has(peers[panel[0]], PROOF) and has(peers["bob"], PROOF))
        await trio.sleep(2 * RESCAN_S)
        assert not has(peers["eve"], PROOF)
        # What is brought later goes from side to side and on to the panel.
        bob, counter = peers["bob"], b"no copy " * 20_000
        (case,) = bob.state.store.queries.open_disputes()
        bob.state.store.put_blob(compute_content_hash(counter), counter)
        payload = AddEvidence(
            case.dispute_id, EvidenceType.EXPERT_OPINION, compute_content_hash(counter)
        )
        mark = HighWater(tmp_path / "bob's own.mark")
        author = Author(bob.state, a_signer("bob"), mark, bob.sync.gossip.tell_nowait)
        nursery.start_soon(author.run)
        await author.submit("add_evidence", payload, subject=case.task_id)
        await wait_until(lambda: has(peers[panel[0]], counter))
        assert not has(peers["eve"], counter)
        nursery.cancel_scope.cancel()
