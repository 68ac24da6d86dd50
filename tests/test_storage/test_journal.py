"""The journal: transactions, chains, the open set, evidence and seals."""

import pytest

from protocol.chains import build_evidence, compute_evidence_id
from protocol.errors import InvariantBroken
from protocol.kinds.cancel_task import CancelTask
from protocol.ranges import Item
from protocol.transactions import SignedTransaction
from storage.engine import Batch
from storage.errors import Corrupt
from storage.journal import CHAINS, EVIDENCE, OPEN, TRANSACTIONS
from storage.store import Store
from tests.support.builders import a_genesis, a_hash, an_address
from tests.support.stored import StoredWorld, commit
from tests.support.world import World


def a_chain(count: int, who: str = "alice") -> list[SignedTransaction]:
    """Return the first transactions of somebody's chain."""
    world = World(a_genesis())
    return [world.publish(who) for _ in range(count)]


def read_open(store: Store) -> set[bytes]:
    return {tx.tx_id for tx in store.journal.open_transactions()}


def test_what_was_put_is_found_in_every_way(store: Store) -> None:
    chain = a_chain(3)
    store.put_transactions(chain)
    journal = store.journal
    for tx in chain:
        assert journal.has(tx.tx_id)
        assert journal.is_open(tx.tx_id)
        assert journal.wire(tx.tx_id) == tx.wire
        assert journal.get(tx.tx_id) == tx
        assert journal.at(tx.header.author, tx.header.seq) == tx
        assert journal.sealed_epoch(tx.tx_id) is None
    assert journal.author_head(an_address("alice")) == (2, chain[2].tx_id)
    assert read_open(store) == {tx.tx_id for tx in chain}
    assert set(journal.open_items()) == {Item(1, tx.tx_id) for tx in chain}
    assert (store.totals.stored, store.totals.open, store.totals.sealed) == (3, 3, 0)


def test_what_is_unknown_is_none(store: Store) -> None:
    journal = store.journal
    nobody = a_hash("nobody")
    assert not journal.has(nobody)
    assert journal.wire(nobody) is None
    assert journal.get(nobody) is None
    assert journal.at(nobody, 0) is None
    assert journal.author_head(nobody) is None
    assert journal.author_head(b"\xff" * 32) is None
    assert not journal.is_open(nobody)
    assert journal.sealed_epoch(nobody) is None
    assert journal.sealed_ids(7) == []
    assert journal.seal(7) is None
    assert journal.seal_hash(0) == store.genesis.hash
    with pytest.raises(Corrupt, match="seal_missing"):
        journal.seal_hash(7)
    assert not journal.has_evidence(nobody)
    assert journal.evidence_place(nobody) is None
    assert journal.evidence_proof(nobody) is None


def test_the_heads_of_two_authors_do_not_mix(store: Store) -> None:
    world = World(a_genesis())
    chains = {who: [world.publish(who) for _ in range(n)] for who, n in (("alice", 3), ("bob", 1))}
    store.put_transactions(tx for chain in chains.values() for tx in chain)
    for who, chain in chains.items():
        found = store.journal.author_head(an_address(who))
        assert found == (len(chain) - 1, chain[-1].tx_id)


def test_putting_a_transaction_twice_changes_nothing(store: Store) -> None:
    chain = a_chain(2)
    store.put_transactions([*chain, chain[0]])
    totals = store.totals
    store.put_transactions(chain)
    assert store.totals == totals
    assert totals.stored == 2


def test_a_place_is_taken_once_unless_a_seal_decides_otherwise(store: Store) -> None:
    world = World(a_genesis())
    first = world.publish("alice")
    other = world.sign("alice", "cancel_task", CancelTask("x"), subject=a_hash("t"), seq=0)
    store.put_transactions([first])
    with pytest.raises(InvariantBroken):
        store.put_transactions([other])
    assert not store.journal.has(other.tx_id)
    store.put_transactions([other], is_replacing=True)
    assert store.journal.at(an_address("alice"), 0) == other
    assert store.journal.has(first.tx_id)
    assert read_open(store) == {other.tx_id}
    assert (store.totals.stored, store.totals.open) == (2, 1)


def test_two_for_one_place_in_one_batch_are_our_own_mistake(store: Store) -> None:
    world = World(a_genesis())
    first = world.publish("alice")
    other = world.sign("alice", "cancel_task", CancelTask("x"), subject=a_hash("t"), seq=0)
    with pytest.raises(InvariantBroken):
        store.put_transactions([first, other])
    assert store.totals.stored == 0


def test_the_buried_stay_in_the_journal_and_in_their_chain(store: Store) -> None:
    chain = a_chain(3)
    store.put_transactions(chain)
    store.bury([chain[1].tx_id, chain[1].tx_id, a_hash("unknown")])
    store.bury([chain[1].tx_id])
    assert read_open(store) == {chain[0].tx_id, chain[2].tx_id}
    assert not store.journal.is_open(chain[1].tx_id)
    assert store.journal.at(an_address("alice"), 1) == chain[1]
    assert (store.totals.stored, store.totals.open) == (3, 2)


def test_a_seal_moves_ids_out_of_the_open_set(store: Store) -> None:
    world = StoredWorld(store)
    taken = [world.publish(), world.publish()]
    left = world.publish()
    store.put_transactions([left])
    world.seal(*taken)
    journal = store.journal
    assert journal.sealed_ids(1) == sorted(tx.tx_id for tx in taken)
    assert [journal.sealed_epoch(tx.tx_id) for tx in (*taken, left)] == [1, 1, None]
    assert read_open(store) == {left.tx_id}
    assert journal.seal_hash(1) == store.head.seal_hash
    assert (store.totals.stored, store.totals.open, store.totals.sealed) == (3, 1, 2)


def test_a_late_transaction_is_found_under_the_seal_that_took_it(store: Store) -> None:
    world = StoredWorld(store)
    late = world.publish()
    world.seal()
    world.seal(late)
    assert late.header.epoch == 1
    assert store.journal.sealed_epoch(late.tx_id) == 2


def test_a_seal_may_take_in_what_was_buried(store: Store) -> None:
    world = StoredWorld(store)
    tx = world.publish()
    store.put_transactions([tx])
    store.bury([tx.tx_id])
    world.seal(tx)
    assert store.journal.sealed_epoch(tx.tx_id) == 1
    assert (store.totals.stored, store.totals.open, store.totals.sealed) == (1, 0, 1)
    assert store.range_view().item(0) == Item(1, tx.tx_id)


def test_many_ids_of_one_seal_are_found_each(store: Store) -> None:
    world = StoredWorld(store)
    for who in ("alice", "bob", "carol", "dave"):
        store.put_transactions(world.publish(who) for _ in range(300))
    taken = list(store.journal.open_transactions())
    world.seal(*taken)
    assert store.journal.sealed_ids(1) == sorted(tx.tx_id for tx in taken)
    assert {store.journal.sealed_epoch(tx.tx_id) for tx in taken} == {1}
    assert store.journal.sealed_epoch(a_hash("none of them")) is None


def test_evidence_is_stored_once_and_marked_by_its_seal(store: Store) -> None:
    world = StoredWorld(store)
    world.seal(world.publish("eve"))
    place = world.equivocate("eve", "cancel_task", CancelTask("a"), CancelTask("b"))
    evidence_id = compute_evidence_id(*place)
    journal = store.journal
    assert journal.has_evidence(evidence_id)
    assert journal.evidence_place(evidence_id) == place
    assert journal.open_evidence() == {evidence_id: place}
    assert Item(0, evidence_id) in set(journal.open_items())
    proof = journal.evidence_proof(evidence_id)
    world.seal(evidence=[place])
    assert journal.open_evidence() == {}
    assert journal.sealed_epoch(evidence_id) == 2
    assert journal.sealed_ids(2) == [evidence_id]
    assert journal.evidence_proof(evidence_id) == proof
    assert [key for key, _ in journal.all_evidence()] == [evidence_id]
    assert store.totals.evidence == 1


def test_the_same_evidence_twice_is_one(store: Store) -> None:
    world = World(a_genesis())
    first = world.publish("eve")
    other = world.sign("eve", "cancel_task", CancelTask("x"), subject=a_hash("t"), seq=0)
    for _ in range(2):
        store.put_evidence(build_evidence(first, other))
    assert store.totals.evidence == 1


def test_damaged_bytes_are_named(store: Store) -> None:
    chain = a_chain(2)
    batch = Batch()
    batch.put(TRANSACTIONS, chain[0].tx_id, b"\xff")
    batch.put(TRANSACTIONS, chain[1].tx_id, chain[0].wire)
    batch.put(CHAINS, an_address("bob") + bytes(8), a_hash("lost"))
    batch.put(OPEN, a_hash("lost"), bytes(8))
    batch.put(EVIDENCE, a_hash("evidence"), b"short")
    store.engine.write(batch, sync=False)
    for tx in chain:
        with pytest.raises(Corrupt, match="transaction_damaged"):
            store.journal.get(tx.tx_id)
    with pytest.raises(Corrupt, match="transaction_missing"):
        store.journal.at(an_address("bob"), 0)
    with pytest.raises(Corrupt, match="transaction_missing"):
        list(store.journal.open_transactions())
    with pytest.raises(Corrupt, match="evidence_damaged"):
        list(store.journal.all_evidence())


def test_a_seal_of_what_is_not_stored_is_our_own_mistake(store: Store) -> None:
    world = StoredWorld(store)
    before = store.head
    outcome = World.seal(world)
    with pytest.raises(InvariantBroken):
        commit(store, [a_hash("stranger")], outcome)
    assert store.head is before


def test_the_ids_of_a_large_epoch_are_read_in_parts(store: Store) -> None:
    world = StoredWorld(store)
    world.seal(*[world.publish("alice", title=f"Task {place}") for place in range(1_100)])
    ids = store.journal.sealed_ids(1)
    read = store.journal.read_sealed_ids
    assert [*read(1, 0, 500), *read(1, 500, 500), *read(1, 1_000, 500)] == ids
    for offset, most in ((0, 1), (511, 2), (512, 600), (1_099, 9), (3, 1_100)):
        assert read(1, offset, most) == ids[offset : offset + most]
    assert read(1, 1_100, 9) == read(1, (1 << 64) - 1, 9) == read(2, 0, 9) == []


def test_evidence_is_dropped_until_a_seal_has_taken_it_in(store: Store) -> None:
    world = StoredWorld(store)
    place = world.equivocate("alice", "cancel_task", CancelTask("One"), CancelTask("Two"))
    evidence_id = compute_evidence_id(*place)
    store.drop_evidence([evidence_id, a_hash("nobody")])
    assert not store.journal.has_evidence(evidence_id)
    assert store.totals.evidence == 0
    place = world.equivocate("bob", "cancel_task", CancelTask("One"), CancelTask("Two"))
    world.seal(evidence=[place])
    store.drop_evidence([compute_evidence_id(*place)])
    assert store.journal.has_evidence(compute_evidence_id(*place))
    assert store.totals.evidence == 1
