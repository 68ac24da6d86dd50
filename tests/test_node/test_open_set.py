"""The open set costs what came in, not what is there: counted in look-ups, never in seconds."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.open_set import OpenSet
from node.state_manager import StateManager
from protocol.accounts import find_unfunded
from protocol.chains import build_evidence
from protocol.transactions import SignedTransaction, sign_transaction
from tests.support.chains import a_state, publish, publish_chain, seal
from tests.support.peers import a_genesis, a_signer, some_terms

BOB = a_signer("bob")
CHAIN = 400


class CountingState:
    """A state whose open set counts how often it asks for a stored link."""

    def __init__(self, late_epochs: int = 20) -> None:
        genesis = a_genesis()
        genesis = replace(genesis, params=replace(genesis.params, late_epochs=late_epochs))
        self.state = a_state(genesis)
        self.asked: Counter[str] = Counter()
        journal = self.state.store.journal

        def link_of(author: bytes, seq: int) -> SignedTransaction | None:
            self.asked["links"] += 1
            return journal.at(author, seq)

        state = self.state
        state.open = OpenSet(state.network, link_of)
        state.open.rebuild(state._read_standing(), (), {})
        state.door._open = state.open

    def count(self) -> int:
        asked = self.asked["links"]
        self.asked.clear()
        return asked


@pytest.mark.parametrize("order", ["upwards", "downwards", "from both ends"])
def test_a_long_chain_costs_the_same_in_any_order(order: str) -> None:
    counting = CountingState()
    state = counting.state
    chain = publish_chain(state, BOB, CHAIN)
    if order == "downwards":
        chain.reverse()
    if order == "from both ends":
        chain = [chain[i // 2] if i % 2 else chain[-1 - i // 2] for i in range(CHAIN)]
    for tx in chain:
        state.accept([tx], None)
        state.open.missing_links(8)
    assert len(state.open.effective) == CHAIN
    assert counting.count() <= 8 * CHAIN


def test_a_seal_does_not_walk_again_over_links_that_died() -> None:
    counting = CountingState(late_epochs=1)
    state = counting.state
    run = publish_chain(state, BOB, CHAIN)
    for _ in range(3):
        seal(state)
    top = publish_chain(state, BOB, 1, after=run[-1], epoch=state.epoch + 3)[0]
    state.accept([*run, top], None)
    assert counting.count() >= CHAIN, "once they are walked over"
    for _ in range(2):
        seal(state)
        state.next_link(BOB.address)
        assert counting.count() <= 8


def test_a_gap_above_many_stored_links_is_found_without_walking_anew() -> None:
    counting = CountingState(late_epochs=1)
    state = counting.state
    run = publish_chain(state, BOB, CHAIN)
    for _ in range(3):
        seal(state)
    top = publish_chain(state, BOB, 1, after=run[-1])[0]
    state.accept([top], None)
    counting.count()
    for start in range(CHAIN - 10, 0, -10):
        state.accept(run[start : start + 10], None)
        assert state.open.missing_links(1) == [run[start - 1].tx_id]
    assert counting.count() <= 12 * CHAIN


def test_whoever_makes_up_links_keeps_no_other_from_being_asked_for() -> None:
    state = a_state()
    names = ("bob", "carol", "dave", "erin")
    for name in names:
        state.accept([publish(state, a_signer(name), seq=3, prev=name.encode().ljust(32))], None)
    asked = [state.open.missing_links(1) for _ in names]
    assert sorted(asked) == sorted([name.encode().ljust(32)] for name in names)


def a_poor_state() -> StateManager:
    """Return a state in which Bob can pay for four publications."""
    genesis = a_genesis()
    cost = some_terms().reward * 4 + 500_000_000
    poor = tuple(
        replace(entry, balance=cost if entry.address == BOB.address else entry.balance)
        for entry in genesis.allocations
    )
    return a_state(replace(genesis, allocations=poor))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.permutations(range(8)), st.none() | st.integers(0, 7))
def test_funding_one_by_one_is_funding_all_at_once(order: list[int], barred: int | None) -> None:
    state = a_poor_state()
    chain = publish_chain(state, BOB, 8)
    for place in order:
        state.accept([chain[place]], None)
    if barred is not None:
        fork = sign_transaction(chain[barred].header, some_terms(title="Fork"), BOB)
        state.accept_evidence(build_evidence(chain[barred], fork).to_bytes())
        chain = chain[:barred]
    unfunded = find_unfunded(state.store.view, state.params, chain)
    assert set(state.open.effective) == {tx.tx_id for tx in chain}
    assert {ruling.tx_id for ruling in state.open.rulings()} == set(unfunded)
    fresh = a_state(state.genesis, state.store)
    assert fresh.open.rulings() == state.open.rulings()
