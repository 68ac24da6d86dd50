"""The one door: what it stores, what it refuses, what a seal may and may not do."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.events import Alarm, Broadcast
from node.state_manager import StateManager
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.keys import Signer
from protocol.messages import unpack_ids
from protocol.seals import Seal, sign_seal
from protocol.tables import ACCOUNTS, TASKS
from protocol.transactions import (
    VERSION,
    Header,
    SignedTransaction,
    compute_task_id,
    sign_transaction,
)
from storage.store import Store
from tests.support.peers import a_genesis, a_signer, some_terms


def a_state(genesis: Genesis | None = None) -> StateManager:
    genesis = genesis or a_genesis()
    return StateManager(genesis, Store.in_memory(genesis), Broadcast())


def a_publication(
    state: StateManager,
    signer: Signer,
    *,
    seq: int = 0,
    prev: bytes | None = None,
    epoch: int | None = None,
    title: str = "A task",
) -> SignedTransaction:
    """Return a publication dated by what `state` knows unless told otherwise."""
    dated = state.epoch + 1 if epoch is None else epoch
    header = Header(
        version=VERSION,
        network=state.network,
        kind=0,
        author=signer.address,
        seq=seq,
        prev=prev,
        epoch=dated,
        anchor=state.store.journal.seal_hash(min(dated - 1, state.epoch))[:16],
        subject=compute_task_id(state.network, signer.address, seq),
        refs=(),
    )
    return sign_transaction(header, some_terms(title=title), signer)


def seal(state: StateManager) -> tuple[Seal, list[bytes]]:
    sealed = state.seal(a_signer("alice"), 0)
    return Seal.from_bytes(sealed.seal), unpack_ids(sealed.ids or b"")


def test_the_same_transaction_twice_is_stored_once() -> None:
    state = a_state()
    tx = a_publication(state, a_signer("bob"))
    assert state.accept([tx, tx], None).stored == (tx.tx_id,)
    assert state.accept([tx], None).stored == ()
    assert state.open.count == 1


def test_a_stranger_without_an_account_is_not_stored() -> None:
    state = a_state()
    accepted = state.accept([a_publication(state, Signer(bytes(32)))], None)
    assert [code for _, code in accepted.refused] == ["unknown_account"]
    assert state.open.count == 0


def test_a_transaction_too_far_ahead_is_left_for_later() -> None:
    state = a_state()
    tx = a_publication(state, a_signer("bob"), epoch=5)
    assert [code for _, code in state.accept([tx], None).refused] == ["too_far_ahead"]


def test_a_gap_keeps_a_transaction_out_of_the_seal_until_it_closes() -> None:
    state = a_state()
    bob = a_signer("bob")
    first = a_publication(state, bob)
    second = a_publication(state, bob, seq=1, prev=first.tx_id)
    state.accept([second], None)
    assert state.open.effective == {}
    assert state.open.missing_links(8) == [first.tx_id]
    state.accept([first], None)
    assert set(state.open.effective) == {first.tx_id, second.tx_id}


def test_any_order_of_arrival_gives_the_same_provisional_rows() -> None:
    one, other = a_state(), a_state()
    bob = a_signer("bob")
    chain: list[SignedTransaction] = []
    for seq in range(5):
        prev = chain[-1].tx_id if chain else None
        chain.append(a_publication(one, bob, seq=seq, prev=prev, title=f"Task {seq}"))
    one.accept(chain, None)
    for tx in reversed(chain):
        other.accept([tx], None)
    assert one.open.rows(TASKS) == other.open.rows(TASKS)
    assert one.status() == other.status()
    account = one.open.get(ACCOUNTS, bob.address)
    assert account == other.open.get(ACCOUNTS, bob.address)


def test_a_seal_applied_elsewhere_gives_the_same_root() -> None:
    one, other = a_state(), a_state()
    tx = a_publication(one, a_signer("bob"))
    one.accept([tx], None)
    sealed, ids = seal(one)
    assert other.apply_seal(sealed, ids).missing == (tx.tx_id,)
    other.store_for_seal([tx])
    assert other.apply_seal(sealed, ids).applied
    assert one.state_root == other.state_root
    assert one.state_root != a_state().state_root


def test_a_seal_over_other_ids_than_it_signed_is_refused() -> None:
    one, other = a_state(), a_state()
    tx = a_publication(one, a_signer("bob"))
    one.accept([tx], None)
    other.accept([tx], None)
    sealed, _ = seal(one)
    with pytest.raises(Rejected, match="seal_set"):
        other.apply_seal(sealed, [])
    assert other.epoch == 0


def test_a_seal_of_somebody_who_is_no_sealer_is_refused() -> None:
    one, other = a_state(), a_state()
    sealed, ids = seal(one)
    forged = replace(sealed, votes=(sign_seal(one.network, sealed.content, a_signer("bob")),))
    with pytest.raises(Rejected, match="seal_votes"):
        other.apply_seal(forged, ids)


def test_equal_sets_with_unequal_roots_stop_the_fold_and_keep_the_data() -> None:
    one, other = a_state(), a_state()
    tx = a_publication(one, a_signer("bob"))
    one.accept([tx], None)
    other.accept([tx], None)
    sealed, ids = seal(one)
    content = replace(sealed.content, state_root=bytes(32))
    wrong = Seal(content, (sign_seal(one.network, content, a_signer("alice")),))
    with other.broadcast.listen() as listener:
        assert not other.apply_seal(wrong, ids).applied
        assert other.alarm is not None
        assert other.epoch == 0
        assert other.knows(tx.tx_id)
        assert isinstance(listener.next_nowait(), Alarm)
    assert not other.apply_seal(sealed, ids).applied, "folding stays stopped"


def test_what_misses_its_window_is_dead_and_its_chain_goes_on() -> None:
    genesis = replace(a_genesis(), params=replace(a_genesis().params, late_epochs=2))
    one, other = a_state(genesis), a_state(genesis)
    bob = a_signer("bob")
    late = a_publication(one, bob)
    other.accept([late], None)
    for _ in range(3):
        sealed, ids = seal(one)
        assert other.apply_seal(sealed, ids).applied
    assert other.open.count == 0, "dead by rule"
    assert other.knows(late.tx_id), "but kept"
    after = a_publication(other, bob, seq=1, prev=late.tx_id, title="Goes on")
    other.accept([after], None)
    assert after.tx_id in other.open.effective
    one.accept([after], None)
    assert one.open.missing_links(8) == [late.tx_id]
    one.accept([late], None)
    assert late.tx_id not in one.open.transactions
    assert after.tx_id in one.open.effective


def test_the_other_half_of_an_equivocation_in_a_seal_becomes_evidence() -> None:
    one, other = a_state(), a_state()
    bob = a_signer("bob")
    here = a_publication(one, bob, title="Here")
    there = a_publication(one, bob, title="There")
    one.accept([here], None)
    other.accept([there], None)
    sealed, ids = seal(one)
    assert other.apply_seal(sealed, ids).missing == (here.tx_id,)
    other.store_for_seal([here])
    assert other.apply_seal(sealed, ids).applied
    assert len(other.open.evidence) == 1
    assert other.open.transactions == {}
    assert one.state_root == other.state_root


def test_three_transactions_of_one_seq_make_one_evidence() -> None:
    state = a_state()
    bob = a_signer("bob")
    for title in ("One", "Two", "Three"):
        state.accept([a_publication(state, bob, title=title)], None)
    assert len(state.open.evidence) == 1
    assert state.open.transactions == {}


def test_a_restart_rebuilds_the_open_set(tmp_path: Path) -> None:
    genesis = a_genesis()
    store = Store.open(tmp_path / "db", genesis)
    state = StateManager(genesis, store, Broadcast())
    bob, carol = a_signer("bob"), a_signer("carol")
    first = a_publication(state, bob)
    state.accept([first], None)
    seal(state)
    second = a_publication(state, bob, seq=1, prev=first.tx_id, title="Next")
    state.accept([second, a_publication(state, carol, title="One")], None)
    state.accept([a_publication(state, carol, title="Two")], None)
    before, rows = state.status(), state.open.rows(TASKS)
    store.close()
    store = Store.open(tmp_path / "db", genesis)
    again = StateManager(genesis, store, Broadcast())
    assert again.status() == before
    assert again.open.rows(TASKS) == rows
    assert again.open.is_barred(carol.address, 0)
    store.close()
