"""The door and the open set: chains with holes, equivocations in every shape, what spam may do."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from node.state_manager import StateManager
from protocol.accounts import find_unfunded
from protocol.chains import build_evidence, compute_evidence_id
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.keys import Signer
from protocol.quota import FREE_PER_SEAL_MAX, find_crowded
from protocol.seals import Seal, SealContent, compute_sealers_hash, compute_set_root, sign_seal
from protocol.tables import ACCOUNTS
from protocol.transactions import SignedTransaction, sign_transaction
from storage.errors import Full
from storage.memory import MemoryEngine
from storage.store import Store
from tests.support.chains import (
    a_state,
    apply_from,
    cancel,
    exchange,
    publish,
    publish_chain,
    read_chain,
    seal,
)
from tests.support.engines import WatchedEngine
from tests.support.peers import a_genesis, a_signer, some_terms

BOB = a_signer("bob")
CAROL = a_signer("carol")


def a_strict_genesis(late_epochs: int = 1) -> Genesis:
    """Return a network in which transactions die soon."""
    genesis = a_genesis()
    return replace(genesis, params=replace(genesis.params, late_epochs=late_epochs))


def pass_epochs(*states: StateManager, count: int = 2) -> None:
    """Let the first state seal and the others follow."""
    for _ in range(count):
        sealed, ids = seal(states[0])
        for state in states[1:]:
            apply_from(state, states[0], sealed, ids)


def fork(tx: SignedTransaction, signer: Signer = BOB, title: str = "Fork") -> SignedTransaction:
    return sign_transaction(tx.header, some_terms(title=title), signer)


def reopen(state: StateManager) -> StateManager:
    return a_state(state.genesis, state.store)


# ---------------------------------------------------------------------------- links that died


def test_every_dead_link_of_a_run_is_asked_for() -> None:
    # The sealer never hears of the first three; all they leave is the name in the fourth.
    genesis = a_strict_genesis()
    author, other = a_state(genesis), a_state(genesis)
    run = publish_chain(author, BOB, 3)
    author.accept(run, None)
    pass_epochs(other, author, count=3)
    top = publish_chain(author, BOB, 1, after=run[-1])[0]
    author.accept([top], None)
    other.accept([top], None)
    for tx in reversed(run):
        assert other.open.missing_links(8) == [tx.tx_id]
        assert other.accept([tx], None).stored == (tx.tx_id,)
    assert other.open.missing_links(8) == []
    assert set(other.open.effective) == {top.tx_id}
    assert other.status() == author.status()


def test_a_seal_that_rests_on_dead_links_names_the_gap_and_blames_nobody() -> None:
    genesis = a_strict_genesis()
    sealer, newcomer = a_state(genesis), a_state(genesis)
    run = publish_chain(sealer, BOB, 3)
    pass_epochs(sealer, newcomer, count=3)
    top = publish_chain(sealer, BOB, 1, after=run[-1])[0]
    sealer.accept([*run, top], None)
    sealed, ids = seal(sealer)
    assert ids == [top.tx_id]
    newcomer.store_for_seal([top])
    (gap,) = newcomer.apply_seal(sealed, ids).gaps
    assert (gap.author, gap.first, gap.last, gap.missing) == (BOB.address, 0, 2, run[2].tx_id)
    newcomer.store_for_seal(read_chain(sealer, gap.author, gap.first, gap.last))
    assert newcomer.apply_seal(sealed, ids).applied
    assert newcomer.status() == sealer.status()
    assert newcomer.store.totals.open == 0, "dead links are buried where they are stored"
    assert reopen(newcomer).status() == sealer.status()


def test_a_link_fetched_for_a_seal_is_open_like_any_other() -> None:
    sealer, follower = a_state(), a_state()
    chain = publish_chain(sealer, BOB, 2)
    sealer.accept(chain, None)
    seal(sealer)
    follower.store_for_seal(chain[:1])
    assert follower.status() == reopen(follower).status(), "memory and disk say the same"
    assert set(follower.open.effective) == {chain[0].tx_id}


@pytest.mark.parametrize("doom", ["dead", "wrong_anchor"])
def test_what_no_seal_can_take_in_any_more_is_not_stored(doom: str) -> None:
    state = a_state(a_strict_genesis())
    tx = publish(state, BOB)
    if doom == "dead":
        pass_epochs(state, count=3)
    else:
        tx = sign_transaction(replace(tx.header, anchor=bytes(16)), some_terms(), BOB)
    assert state.accept([tx], None).refused == ((tx.tx_id, doom),)
    assert not state.knows(tx.tx_id)


def test_a_dead_link_is_stored_together_with_what_names_it() -> None:
    state = a_state(a_strict_genesis())
    link = publish(state, BOB)
    pass_epochs(state, count=3)
    top = publish(state, BOB, seq=1, prev=link.tx_id, title="Top")
    stored = state.accept([link, top], None).stored
    assert set(stored) == {link.tx_id, top.tx_id}
    assert set(state.open.effective) == {top.tx_id}


def test_our_own_chain_is_kept_whole_even_where_it_died() -> None:
    state = a_state(a_strict_genesis())
    chain = publish_chain(state, BOB, 3)
    pass_epochs(state, count=3)
    state.door.signed_up_to[BOB.address] = 2
    assert len(state.accept(chain, "somebody").stored) == 3
    assert state.next_link(BOB.address) == (3, chain[-1].tx_id)
    assert state.open.count == 0


# ------------------------------------------------------------------------------ equivocations


def leave_open(state: StateManager, tx: SignedTransaction) -> None:
    state.accept([tx], None)


def let_seal(state: StateManager, tx: SignedTransaction) -> None:
    state.accept([tx], None)
    pass_epochs(state, count=1)


def let_die(state: StateManager, tx: SignedTransaction) -> None:
    state.accept([tx], None)
    for _ in range(3):
        state.open.effective.clear()
        pass_epochs(state, count=1)
    assert state.store.journal.sealed_epoch(tx.tx_id) is None


FIRST_HALVES: dict[str, Callable[[StateManager, SignedTransaction], None]] = {
    "open": leave_open,
    "sealed": let_seal,
    "dead": let_die,
}


@pytest.mark.parametrize("second", ["in time", "too late", "from the future"])
@pytest.mark.parametrize("first", FIRST_HALVES)
def test_two_halves_make_evidence_whatever_became_of_the_first(first: str, second: str) -> None:
    state = a_state(a_strict_genesis())
    tx = publish(state, BOB)
    FIRST_HALVES[first](state, tx)
    other = fork(tx)
    if second == "too late":
        pass_epochs(state, count=3)
    if second == "from the future":
        header = replace(tx.header, epoch=state.epoch + 9)
        other = sign_transaction(header, some_terms(title="Fork"), BOB)
    accepted = state.accept([other], "somebody")
    assert accepted.evidence == (compute_evidence_id(BOB.address, 0),)
    assert state.open.is_barred(BOB.address, 0)
    assert not state.open.transactions
    assert reopen(state).status() == state.status()


def test_two_halves_that_both_wait_for_a_link_make_evidence() -> None:
    state = a_state()
    first = publish(state, BOB)
    high = publish(state, BOB, seq=5, prev=first.tx_id, title="High")
    accepted = state.accept([high, fork(high)], None)
    assert accepted.evidence == (compute_evidence_id(BOB.address, 5),)
    state.accept([first], None)
    assert set(state.open.effective) == {first.tx_id}, "what lies before it stands"


def test_evidence_before_during_and_after_a_seal_gives_one_state() -> None:
    genesis = a_strict_genesis(3)
    sealer, early, late = (a_state(genesis) for _ in range(3))
    tx = publish(sealer, BOB)
    proof = build_evidence(tx, fork(tx)).to_bytes()
    sealer.accept([tx], None)
    early.accept_evidence(proof)
    first = seal(sealer)
    for state in (early, late):
        apply_from(state, sealer, *first)
    sealer.accept_evidence(proof)
    second = seal(sealer)
    for state in (early, late):
        apply_from(state, sealer, *second)
    late.accept_evidence(proof)
    assert sealer.status() == early.status() == late.status()
    assert not late.open.evidence, "sealed already"


def test_of_the_evidence_against_an_author_only_the_least_seq_is_kept() -> None:
    state = a_state()
    chain = publish_chain(state, BOB, 9)
    proofs = [build_evidence(tx, fork(tx)) for tx in chain]
    for seq in (5, 7, 3, 4, 8):
        state.accept_evidence(proofs[seq].to_bytes())
    assert state.open.evidence == {proofs[3].evidence_id: (BOB.address, 3)}
    assert [key for key, _ in state.store.journal.all_evidence()] == [proofs[3].evidence_id]
    assert state.store.totals.evidence == 1
    assert reopen(state).status() == state.status()
    state.accept(chain, None)
    assert set(state.open.effective) == {tx.tx_id for tx in chain[:3]}


def test_a_seal_may_hold_evidence_that_bars_less_than_ours() -> None:
    sealer, other = a_state(), a_state()
    chain = publish_chain(sealer, BOB, 6)
    less, more = (build_evidence(chain[seq], fork(chain[seq])) for seq in (5, 2))
    sealer.accept_evidence(less.to_bytes())
    other.accept_evidence(more.to_bytes())
    sealed, ids = seal(sealer)
    apply_from(other, sealer, sealed, ids)
    assert other.open.evidence == {more.evidence_id: (BOB.address, 2)}
    assert reopen(other).status() == other.status()
    exchange(sealer, other)
    assert sealer.status() == other.status()
    pass_epochs(sealer, other, count=1)
    account = other.store.view.get(ACCOUNTS, BOB.address)
    assert account is not None
    assert account.barred_from == 2


def test_evidence_that_is_sealed_already_comes_in_no_second_time() -> None:
    state = a_state()
    chain = publish_chain(state, BOB, 6)
    state.accept_evidence(build_evidence(chain[3], fork(chain[3])).to_bytes())
    pass_epochs(state, count=1)
    assert not state.accept_evidence(build_evidence(chain[3], fork(chain[3])).to_bytes())
    assert not state.accept_evidence(build_evidence(chain[5], fork(chain[5])).to_bytes())
    assert not state.open.evidence
    assert state.accept_evidence(build_evidence(chain[1], fork(chain[1])).to_bytes())


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_crash_while_a_sealed_rival_takes_its_place_forgets_neither(writes: int) -> None:
    genesis = a_genesis()
    engine = WatchedEngine(MemoryEngine())
    state = a_state(genesis, Store(engine, genesis))
    here = publish(state, BOB, title="Here")
    there = publish(state, BOB, title="There")
    state.accept([here], None)
    engine.writes_left = writes
    with suppress(Full):
        state.store_for_seal([there])
    engine.writes_left = None
    state = a_state(genesis, Store(engine, genesis))
    state.accept([here, there], None)
    assert state.open.is_barred(BOB.address, 0)
    assert list(state.open.evidence) == [compute_evidence_id(BOB.address, 0)]


# ---------------------------------------------------------------------- seals that must not be


def a_forged_seal(state: StateManager, ids: list[bytes]) -> Seal:
    """Return a seal over `ids` by the sealer himself."""
    content = SealContent(
        epoch=state.epoch + 1,
        prev=state.seal_hash,
        set_root=compute_set_root(ids),
        count=len(ids),
        state_root=bytes(32),
        sealers_next=compute_sealers_hash(state.genesis.sealers),
        time_ms=0,
    )
    return Seal(content, (sign_seal(state.network, content, a_signer("alice")),))


def test_a_seal_over_one_id_twice_is_refused_and_stops_nobody() -> None:
    state = a_state()
    tx = publish(state, BOB)
    state.accept([tx], None)
    ids = [tx.tx_id, tx.tx_id]
    with pytest.raises(Rejected, match="seal_set"):
        state.apply_seal(a_forged_seal(state, ids), ids)


def test_a_seal_over_two_transactions_of_one_place_is_refused_and_stops_nobody() -> None:
    state = a_state()
    tx = publish(state, BOB)
    ids = sorted([tx.tx_id, fork(tx).tx_id])
    sealed = a_forged_seal(state, ids)
    assert set(state.apply_seal(sealed, ids).missing) == set(ids)
    state.store_for_seal([tx, fork(tx)])
    with pytest.raises(Rejected, match="seal_inadmissible"):
        state.apply_seal(sealed, ids)


def test_a_seal_over_evidence_that_bars_nothing_new_is_refused() -> None:
    state = a_state()
    chain = publish_chain(state, BOB, 3)
    for seq in (1, 2):
        proof = build_evidence(chain[seq], fork(chain[seq]))
        state.take_evidence(proof.to_bytes(), for_seal=True)
        if seq == 1:
            pass_epochs(state, count=1)
    ids = [proof.evidence_id]
    with pytest.raises(Rejected, match="superseded"):
        state.apply_seal(a_forged_seal(state, ids), ids)


def test_evidence_against_a_stranger_is_neither_stored_nor_sealed() -> None:
    state = a_state()
    stranger = Signer(bytes(32))
    tx = publish(state, stranger)
    proof = build_evidence(tx, fork(tx, stranger))
    assert not state.accept_evidence(proof.to_bytes())
    state.take_evidence(proof.to_bytes(), for_seal=True)
    assert not state.knows(proof.evidence_id)
    ids = [proof.evidence_id]
    assert state.apply_seal(a_forged_seal(state, ids), ids).missing == (proof.evidence_id,)


def test_a_staged_transaction_that_is_refused_leaves_no_trace() -> None:
    state = a_state()
    with pytest.raises(Rejected, match="unknown_account"):
        state.stage(cancel(state, Signer(bytes(32))))
    assert state.open.count == 0


# -------------------------------------------------------------------------------------- spam


def free_chain(state: StateManager, count: int) -> list[SignedTransaction]:
    chain: list[SignedTransaction] = []
    for seq in range(count):
        chain.append(cancel(state, BOB, seq=seq, prev=chain[-1].tx_id if chain else None))
    return chain


def test_a_seal_takes_in_so_many_free_transactions_of_one_author_and_the_rest_later() -> None:
    one, other = a_state(), a_state()
    chain = free_chain(one, FREE_PER_SEAL_MAX + 3)
    paid = publish_chain(one, BOB, 1, after=chain[-1])
    one.accept([*chain, *paid], None)
    other.accept([*reversed(paid), *reversed(chain)], None)
    assert set(one.open.effective) == {tx.tx_id for tx in chain[:FREE_PER_SEAL_MAX]}
    assert other.open.effective.keys() == one.open.effective.keys()
    sealed, ids = seal(one)
    assert len(ids) == FREE_PER_SEAL_MAX
    assert other.apply_seal(sealed, ids).applied
    assert set(one.open.effective) == {tx.tx_id for tx in (*chain[FREE_PER_SEAL_MAX:], *paid)}
    assert one.status() == other.status()


def test_a_seal_with_one_free_transaction_too_many_is_refused() -> None:
    state = a_state()
    chain = free_chain(state, FREE_PER_SEAL_MAX + 1)
    state.accept(chain, None)
    ids = sorted(tx.tx_id for tx in chain)
    assert find_crowded(chain, state.store.view, state.params) == chain[-1].tx_id
    assert find_crowded(chain[:-1], state.store.view, state.params) is None
    with pytest.raises(Rejected, match="crowded"):
        state.apply_seal(a_forged_seal(state, ids), ids)


def test_what_its_author_cannot_pay_for_counts_as_free() -> None:
    genesis = a_genesis()
    poor = tuple(
        replace(entry, balance=0 if entry.address == BOB.address else entry.balance)
        for entry in genesis.allocations
    )
    state = a_state(replace(genesis, allocations=poor))
    chain = publish_chain(state, BOB, FREE_PER_SEAL_MAX + 1)
    assert find_crowded(chain, state.store.view, state.params) == chain[-1].tx_id
    state.accept(chain, None)
    assert len(state.open.effective) == FREE_PER_SEAL_MAX
    unfunded = find_unfunded(state.store.view, state.params, chain[:FREE_PER_SEAL_MAX])
    assert {ruling.tx_id for ruling in state.open.rulings()} == set(unfunded)
