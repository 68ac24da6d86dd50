"""Author chains: what may be sealed, and proofs that somebody signed one place twice."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec
from protocol.chains import (
    Barrier,
    Frontier,
    Gap,
    build_evidence,
    compute_evidence_id,
    extend_frontier,
    find_barrier,
    find_gap,
    find_gaps,
    find_inadmissible,
    is_alive,
    read_evidence,
)
from protocol.errors import Rejected
from protocol.intake import Intake
from protocol.records import Account
from protocol.tables import ACCOUNTS
from protocol.transactions import SignedTransaction
from tests.support.builders import a_hash, an_address
from tests.support.world import World

ALICE = an_address("alice")
FRESH = Account(ALICE, 0, 0, None, None)


class Chain:
    """Five transactions of Alice, none of them sealed."""

    def __init__(self) -> None:
        self.world = World()
        self.intake = Intake(self.world.network)
        self.txs = [self.world.publish("alice", title=f"Task {i}") for i in range(5)]
        self.stored = {(ALICE, tx.header.seq): tx for tx in self.txs}

    def link_of(self, author: bytes, seq: int) -> SignedTransaction | None:
        return self.stored.get((author, seq))

    def fork(self, seq: int) -> SignedTransaction:
        """Return another transaction of the same place."""
        return self.world.sign("alice", "publish_task", replace(self.txs[0].payload), seq=seq)

    def barrier(
        self,
        tx: SignedTransaction,
        *,
        epoch: int = 1,
        account: Account | None = FRESH,
        barred_from: int | None = None,
    ) -> Barrier | None:
        frontier = Frontier(0, None)
        if account is not None:
            frontier = Frontier(account.next_seq, account.head)
        frontier = extend_frontier(frontier, ALICE, self.link_of)
        return find_barrier(tx, epoch, 2, account, barred_from, self.world.anchors, frontier)


def code_of(barrier: Barrier | None) -> str | None:
    return None if barrier is None else barrier.code


def test_a_complete_chain_may_be_sealed() -> None:
    chain = Chain()
    assert [chain.barrier(tx) for tx in chain.txs] == [None] * 5


def test_what_lies_behind_a_gap_waits_and_says_for_what() -> None:
    chain = Chain()
    del chain.stored[(ALICE, 2)]
    codes = [code_of(chain.barrier(chain.txs[i])) for i in (0, 1, 3, 4)]
    assert codes == [None, None, "unlinked", "unlinked"]
    barrier = chain.barrier(chain.txs[3])
    assert barrier is not None
    assert barrier.missing == chain.txs[2].tx_id


def test_a_chain_goes_on_from_the_sealed_head() -> None:
    chain = Chain()
    del chain.stored[(ALICE, 0)]
    sealed = Account(ALICE, 0, 1, chain.txs[0].tx_id, None)
    assert chain.barrier(chain.txs[4], account=sealed) is None
    assert code_of(chain.barrier(chain.txs[0], account=sealed)) == "overtaken"
    foreign = Account(ALICE, 0, 1, a_hash("another head"), None)
    assert code_of(chain.barrier(chain.txs[1], account=foreign)) == "unlinked"


def test_who_has_no_account_seals_nothing() -> None:
    chain = Chain()
    assert code_of(chain.barrier(chain.txs[0], account=None)) == "unknown_account"


def test_evidence_bars_from_its_seq_on() -> None:
    chain = Chain()
    codes = [code_of(chain.barrier(tx, barred_from=3)) for tx in chain.txs]
    assert codes == [None, None, None, "equivocated", "equivocated"]


def test_a_transaction_lives_for_its_epoch_and_two_more() -> None:
    chain = Chain()
    tx = chain.txs[0]
    codes = [code_of(chain.barrier(tx, epoch=epoch)) for epoch in (1, 2, 3, 4)]
    assert codes == [None, None, None, "dead"]
    assert [is_alive(1, epoch, 2) for epoch in (1, 3, 4)] == [True, True, False]


def test_a_transaction_of_an_epoch_to_come_waits() -> None:
    chain = Chain()
    chain.world.pass_until(3)
    later = chain.world.publish("alice")
    chain.stored[(ALICE, later.header.seq)] = later
    assert code_of(chain.barrier(later, epoch=3)) == "not_open"
    assert code_of(chain.barrier(later, epoch=4)) is None


def test_an_anchor_names_the_seal_before() -> None:
    chain = Chain()
    chain.world.anchors[0] = a_hash("another network's history")
    assert code_of(chain.barrier(chain.txs[0])) == "wrong_anchor"
    del chain.world.anchors[0]
    assert code_of(chain.barrier(chain.txs[0])) == "wrong_anchor"


@given(st.permutations(range(5)))
def test_the_frontier_does_not_depend_on_the_order_of_arrival(order: list[int]) -> None:
    chain = Chain()
    arrived = {(ALICE, i): chain.txs[i] for i in order[:4]}
    frontier = extend_frontier(
        Frontier(0, None), ALICE, lambda author, seq: arrived.get((author, seq))
    )
    assert frontier.next_seq == order[4]


# -------------------------------------------------------------------------------------- gaps


def gap_of(chain: Chain, seq: int) -> Gap | None:
    frontier = extend_frontier(Frontier(0, None), ALICE, chain.link_of)
    return find_gap(chain.txs[seq], frontier, chain.link_of)


def test_a_gap_is_named_by_its_highest_link() -> None:
    chain = Chain()
    for seq in (1, 2):
        del chain.stored[(ALICE, seq)]
    assert gap_of(chain, 4) == gap_of(chain, 3) == Gap(ALICE, 1, 2, chain.txs[2].tx_id)
    del chain.stored[(ALICE, 3)]
    assert gap_of(chain, 4) == Gap(ALICE, 1, 3, chain.txs[3].tx_id)
    chain.stored[(ALICE, 2)] = chain.txs[2]
    assert gap_of(chain, 3) == Gap(ALICE, 1, 1, chain.txs[1].tx_id)


def test_a_rival_in_the_way_is_a_gap_of_one_place() -> None:
    chain = Chain()
    fork = chain.fork(2)
    chain.stored[(ALICE, 2)] = fork
    assert gap_of(chain, 4) == Gap(ALICE, 2, 2, chain.txs[2].tx_id)
    chain.stored[(ALICE, 2)] = replace(fork, header=replace(fork.header, prev=chain.txs[1].tx_id))
    assert gap_of(chain, 3) == Gap(ALICE, 2, 2, chain.txs[2].tx_id)


def test_what_begins_a_chain_lacks_nothing() -> None:
    chain = Chain()
    assert find_gap(chain.txs[0], Frontier(0, None), chain.link_of) is None


def test_a_seal_names_one_gap_of_each_author_up_to_a_bound() -> None:
    world = World()
    chains = {
        who: [world.publish(who, title=f"Task {i}") for i in range(4)] for who in ("alice", "bob")
    }
    tops = [tx for chain in chains.values() for tx in chain[2:]]
    gaps = find_gaps(tops, world.view, lambda *_: None, 9)
    assert {gap.missing for gap in gaps} == {chain[1].tx_id for chain in chains.values()}
    assert len(find_gaps(tops, world.view, lambda *_: None, 1)) == 1
    whole = [tx for chain in chains.values() for tx in chain]
    assert find_gaps(whole, world.view, lambda *_: None, 9) == []


# --------------------------------------------------------------------------- sets of one seal


def find(
    chain: Chain, *txs: SignedTransaction, evidence: tuple[tuple[bytes, int], ...] = ()
) -> tuple[bytes, str] | None:
    world = chain.world
    found = find_inadmissible(txs, evidence, 1, 2, world.view, world.anchors, lambda *_: None)
    return None if found is None else (found[0], found[1].code)


def test_a_whole_chain_is_admissible_in_any_order() -> None:
    chain = Chain()
    assert find(chain, *chain.txs) is None
    assert find(chain, *reversed(chain.txs)) is None


def test_a_set_with_a_gap_is_not_admissible() -> None:
    chain = Chain()
    assert find(chain, chain.txs[0], chain.txs[2]) == (chain.txs[2].tx_id, "unlinked")


def test_a_set_must_not_hold_what_its_own_evidence_bars() -> None:
    chain = Chain()
    assert find(chain, *chain.txs[:2], evidence=((ALICE, 2),)) is None
    found = find(chain, *chain.txs[:3], evidence=((ALICE, 2), (ALICE, 4)))
    assert found == (chain.txs[2].tx_id, "equivocated")


def test_a_set_must_not_hold_evidence_that_bars_nothing_more() -> None:
    chain = Chain()
    account = chain.world.view.get(ACCOUNTS, ALICE)
    assert account is not None
    chain.world.view.apply([((ACCOUNTS.name, ALICE), replace(account, barred_from=2))])
    assert find(chain, evidence=((ALICE, 1),)) is None
    assert find(chain, evidence=((ALICE, 2),)) == (compute_evidence_id(ALICE, 2), "superseded")
    stranger = an_address("a stranger")
    found = find(chain, evidence=((stranger, 0),))
    assert found == (compute_evidence_id(stranger, 0), "unknown_account")


def test_a_set_must_not_hold_two_of_one_place() -> None:
    chain = Chain()
    fork = chain.fork(0)
    found = find(chain, chain.txs[0], fork)
    assert found is not None
    assert found[1] == "equivocated"


# -------------------------------------------------------------------------------- evidence


def test_evidence_survives_its_bytes() -> None:
    chain = Chain()
    evidence = build_evidence(chain.txs[2], chain.fork(2))
    assert read_evidence(chain.intake, evidence.to_bytes()) == evidence
    assert (evidence.author, evidence.seq) == (ALICE, 2)


def test_the_id_of_evidence_is_the_same_whichever_pair_was_seen() -> None:
    chain = Chain()
    forks = [
        chain.world.sign("alice", "publish_task", replace(chain.txs[0].payload, title=t), seq=1)
        for t in ("One", "Two")
    ]
    seen = [
        build_evidence(chain.txs[1], forks[0]),
        build_evidence(forks[0], chain.txs[1]),
        build_evidence(forks[1], forks[0]),
    ]
    assert {one.evidence_id for one in seen} == {compute_evidence_id(ALICE, 1)}
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


Forge = Callable[[Chain, SignedTransaction, SignedTransaction], bytes]

FORGERIES: dict[str, tuple[Forge, str]] = {
    "not two": (lambda chain, one, two: codec.encode([one.wire]), "evidence_shape"),
    "not bytes": (lambda chain, one, two: codec.encode([one.wire, 5]), "evidence_shape"),
    "twice the same": (
        lambda chain, one, two: codec.encode([one.wire, one.wire]),
        "evidence_mismatch",
    ),
    "out of order": (
        lambda chain, one, two: codec.encode([two.wire, one.wire]),
        "evidence_mismatch",
    ),
    "two places": (
        lambda chain, one, two: codec.encode(
            [tx.wire for tx in sorted(chain.txs[:2], key=lambda tx: tx.tx_id)]
        ),
        "evidence_mismatch",
    ),
    "forged second": (
        lambda chain, one, two: codec.encode([one.wire, replace(two, signature=bytes(64)).wire]),
        "bad_signature",
    ),
    "forged first": (
        lambda chain, one, two: codec.encode([replace(one, signature=bytes(64)).wire, two.wire]),
        "bad_signature",
    ),
    "nothing": (lambda chain, one, two: b"", "codec_truncated"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_proves_nothing_is_refused(name: str) -> None:
    forge, code = FORGERIES[name]
    chain = Chain()
    one, two = sorted((chain.txs[2], chain.fork(2)), key=lambda tx: tx.tx_id)
    with pytest.raises(Rejected) as error:
        read_evidence(chain.intake, forge(chain, one, two))
    assert error.value.code == code


def test_two_signatures_of_one_transaction_prove_nothing() -> None:
    chain = Chain()
    tx = chain.txs[0]
    with pytest.raises(Rejected) as error:
        read_evidence(chain.intake, codec.encode([tx.wire, replace(tx, signature=bytes(64)).wire]))
    assert error.value.code == "evidence_mismatch"
