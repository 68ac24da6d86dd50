"""Peers that talk become equal: gossip, seals, partitions, equivocation."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.transport.base import PeerName
from protocol.errors import Rejected
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.phases import TaskStatus
from protocol.tables import ACCOUNTS, RULINGS, TASKS
from protocol.transactions import SignedTransaction, sign_transaction
from tests.support.peers import (
    TestPeer,
    a_network,
    are_equal,
    connect_all,
    some_registration,
    some_terms,
    wait_until,
)

SOMEBODY = bytes([9]) * 32


async def seal_equal(peers: dict[str, TestPeer]) -> None:
    """Let gossip settle, end the epoch and wait for everybody to take it in."""
    await wait_until(lambda: are_equal(peers))
    peers["alice"].seal()
    await wait_until(lambda: are_equal(peers))


def as_names(*names: str) -> tuple[PeerName, ...]:
    return tuple(PeerName(name) for name in names)


async def publish(peer: TestPeer, **terms: object) -> SignedTransaction:
    return await peer.author.submit("publish_task", some_terms(**terms))  # type: ignore[arg-type]


async def commit(peer: TestPeer, task_id: bytes) -> SignedTransaction:
    payload = SubmitAnswer(bytes([5]) * 32, 2_000_000_000, 80, 0)
    return await peer.author.submit("submit_answer", payload, subject=task_id)


def rulings(peer: TestPeer) -> list[tuple[bytes, str, bytes | None]]:
    rows = peer.state.store.engine.scan(RULINGS.name)
    records = [RULINGS.decode_row(data) for _, data in rows]
    return sorted((ruling.tx_id, ruling.code, ruling.lost_to) for ruling in records)


async def test_a_transaction_is_seen_by_everybody_and_sealed_into_one_state(tmp_path: Path) -> None:
    async with a_network(tmp_path) as peers:
        tx = await publish(peers["bob"])
        await wait_until(lambda: all(p.state.knows(tx.tx_id) for p in peers.values()))
        provisional = peers["erin"].state.open.get(TASKS, tx.header.subject)
        assert provisional is not None
        await seal_equal(peers)
        assert {peer.state.epoch for peer in peers.values()} == {1}
        task = peers["erin"].state.store.view.get(TASKS, tx.header.subject)
        assert task is not None
        assert task.status is TaskStatus.PUBLISHED


async def test_a_refused_transaction_of_ones_own_takes_no_number(tmp_path: Path) -> None:
    async with a_network(tmp_path, ("alice", "bob")) as peers:
        with pytest.raises(Rejected, match="no_such_task"):
            await commit(peers["bob"], SOMEBODY)
        tx = await publish(peers["bob"])
        assert tx.header.seq == 0


async def test_a_peer_that_was_cut_off_catches_up_over_many_epochs(tmp_path: Path) -> None:
    async with a_network(tmp_path) as peers:
        network = peers["erin"].network
        network.cut(as_names("alice", "bob", "carol", "dave"), as_names("erin"))
        for place in range(10):
            await publish(peers["bob"], title=f"Task {place}")
            rest = {name: peer for name, peer in peers.items() if name != "erin"}
            await seal_equal(rest)
        assert peers["erin"].state.epoch == 0
        network.heal()
        await connect_all(peers)
        await wait_until(lambda: are_equal(peers))
        assert peers["erin"].state.epoch == 10


async def test_both_sides_of_a_partition_end_in_one_state_with_one_set_of_rulings(
    tmp_path: Path,
) -> None:
    async with a_network(tmp_path) as peers:
        for name in ("alice", "dave", "erin"):
            await peers[name].author.submit("register_miner", some_registration())
        cancelled = await publish(peers["bob"], title="To be cancelled", window=50)
        narrow = await publish(peers["carol"], title="One place", window=50, places=1)
        await seal_equal(peers)
        left, right = as_names("alice", "bob", "carol"), as_names("dave", "erin")
        network = peers["alice"].network
        network.cut(left, right)
        # Left: the publisher cancels, and alice takes the last place.
        await peers["bob"].author.submit(
            "cancel_task", CancelTask("changed my mind"), subject=cancelled.header.subject
        )
        first = await commit(peers["alice"], narrow.header.subject)
        # Right: dave commits to what is being cancelled, erin takes the same last place.
        on_cancelled = await commit(peers["dave"], cancelled.header.subject)
        second = await commit(peers["erin"], narrow.header.subject)
        for _ in range(10):
            await seal_equal({name: peers[name] for name in left})
        network.heal()
        await connect_all(peers)
        await wait_until(lambda: are_equal(peers))
        await seal_equal(peers)
        found = {tuple(rulings(peer)) for peer in peers.values()}
        assert len(found) == 1
        codes = {tx_id: (code, lost_to) for tx_id, code, lost_to in found.pop()}
        assert codes[on_cancelled.tx_id][0] == "wrong_phase"
        assert codes[second.tx_id] == ("task_full", first.tx_id)


async def test_an_equivocation_is_found_everywhere_as_the_same_evidence(tmp_path: Path) -> None:
    async with a_network(tmp_path) as peers:
        left, right = as_names("alice", "bob", "carol"), as_names("dave", "erin")
        network = peers["alice"].network
        network.cut(left, right)
        one = await publish(peers["dave"], title="What dave says here")
        other = sign_transaction(
            one.header, replace(one.payload, title="What dave says there"), peers["dave"].signer
        )
        peers["bob"].state.accept([other], None)
        peers["bob"].sync.gossip.tell_nowait([other])
        await seal_equal({name: peers[name] for name in left})
        network.heal()
        await connect_all(peers)
        await wait_until(lambda: are_equal(peers))
        await seal_equal(peers)
        dave = peers["dave"].signer.address
        for peer in peers.values():
            account = peer.state.store.view.get(ACCOUNTS, dave)
            assert account is not None
            assert account.barred_from == 0
            assert len(list(peer.state.store.journal.all_evidence())) == 1
        assert len({tuple(rulings(peer)) for peer in peers.values()}) == 1
        with pytest.raises(Rejected):
            await publish(peers["dave"], title="Once more")
