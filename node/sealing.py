"""What a seal takes in and what it makes of the sealed state; nothing here is written.

Used in both directions: to end an epoch, and to check what ended one elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from node.open_set import OpenSet
from protocol.ballots import SET_IDS_MAX
from protocol.chains import Gap, find_inadmissible
from protocol.charter import find_charter
from protocol.epoch import Epoch
from protocol.errors import Rejected
from protocol.fold import Outcome, fold_epoch
from protocol.invariants import ConsistencyChecker
from protocol.lthash import LtHash
from protocol.params import Params
from protocol.quota import find_crowded
from protocol.seals import SealContent, compute_beacon, compute_sealers_hash, compute_set_root
from protocol.transactions import SignedTransaction
from storage.store import Store

GAPS_MAX = 64
"""Gaps in the chains of a seal that one result names; the others when these are closed."""


FOLDED_MAX = 3
"""Sets that are kept folded at the same time: what is proposed, and what was before."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What the next epoch does if it takes in exactly one set.

    Attributes:
        ids: the set, sorted.
        rows_hash: of all rows after it; `state_root` is its root.
    """

    set_root: bytes
    ids: Sequence[bytes]
    outcome: Outcome
    rows_hash: LtHash
    state_root: bytes


@dataclass(frozen=True, slots=True)
class SealResult:
    """What became of a seal: applied, or what is missing for it.

    Attributes:
        missing: ids that it takes in.
        gaps: in the chains of what it takes in: links that died unsealed.
    """

    applied: bool
    missing: tuple[bytes, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class SealedSet:
    """Items of a seal as they are stored here, and the ids of those that are not."""

    transactions: tuple[SignedTransaction, ...]
    evidence: tuple[tuple[bytes, int], ...]
    missing: tuple[bytes, ...] = ()


def choose_set(
    opened: OpenSet, most: int = SET_IDS_MAX
) -> tuple[dict[bytes, SignedTransaction], dict[bytes, tuple[bytes, int]]]:
    """Return what the next seal is to take in: all that is effective, or as much as it may.

    What is left out is left out at the ends of chains, so that the rest is still linked.
    """
    evidence = dict(sorted(opened.evidence.items())[:most])
    room = most - len(evidence)
    if len(opened.effective) <= room:
        return opened.effective, evidence
    ordered = sorted(opened.effective.values(), key=lambda tx: (tx.header.seq, tx.tx_id))
    return {tx.tx_id: tx for tx in ordered[:room]}, evidence


def collect_items(opened: OpenSet, store: Store, ids: Iterable[bytes]) -> SealedSet:
    """Return what is stored of `ids`, in their order."""
    transactions: list[SignedTransaction] = []
    evidence: list[tuple[bytes, int]] = []
    missing: list[bytes] = []
    for item in ids:
        tx = opened.transactions.get(item) or store.journal.get(item)
        if tx is not None:
            transactions.append(tx)
            continue
        place = opened.evidence.get(item) or store.journal.evidence_place(item)
        if place is not None:
            evidence.append(place)
        else:
            missing.append(item)
    return SealedSet(tuple(transactions), tuple(evidence), tuple(missing))


def check_set(content: SealContent, ids: Sequence[bytes]) -> None:
    """Check that `ids` are those that a seal of this content takes in.

    Raises:
        Rejected: `seal_set`.
    """
    if len(set(ids)) != content.count or compute_set_root(ids) != content.set_root:
        raise Rejected("seal_set", f"{len(ids)} other ids", f"the {content.count} signed")


def build_content(store: Store, folded: Folded, time_ms: int) -> SealContent:
    """Return the content of the next seal of a store if it takes in a set, folded over its head."""
    head = store.head
    after = find_charter(store.view, store.genesis, head.epoch + 2)
    return SealContent(
        epoch=head.epoch + 1,
        prev=head.seal_hash,
        set_root=folded.set_root,
        count=len(folded.ids),
        state_root=folded.state_root,
        sealers_next=compute_sealers_hash(after.sealers),
        time_ms=time_ms,
    )


def check_admissible(
    store: Store, params: Params, anchors: Mapping[int, bytes], items: SealedSet
) -> None:
    """Check that the next seal may take in exactly `items`.

    Raises:
        Rejected: `seal_inadmissible`.
    """
    epoch = store.head.epoch + 1
    inadmissible = find_inadmissible(
        items.transactions,
        items.evidence,
        epoch,
        params.late_epochs,
        store.view,
        anchors,
        store.journal.at,
    )
    if inadmissible is not None:
        item, barrier = inadmissible
        raise Rejected("seal_inadmissible", f"{item.hex()[:16]} {barrier.code}", "a legal set")
    crowded = find_crowded(items.transactions, store.view, params)
    if crowded is not None:
        raise Rejected("seal_inadmissible", f"{crowded.hex()[:16]} crowded", "a legal set")


def fold_items(
    store: Store,
    checker: ConsistencyChecker,
    ids: Sequence[bytes],
    items: SealedSet,
) -> tuple[Outcome, LtHash]:
    """Return what the next epoch does if it takes in exactly `items`, and the rows' hash after it.

    Raises:
        InvariantBroken: it would leave a state that must not be.
    """
    epoch = Epoch(
        number=store.head.epoch + 1,
        beacon=compute_beacon(store.head.seal_hash, compute_set_root(ids)),
        transactions=items.transactions,
        evidence=tuple(sorted(items.evidence)),
    )
    outcome = fold_epoch(store.view, store.genesis, epoch)
    checker.check(store.view, outcome)
    rows_hash = store.head.rows_hash.copy()
    for change in outcome.changes:
        name, key, table = change.table.name, change.key, change.table
        if change.before is not None:
            rows_hash.remove_row(name, key, table.encode_row(change.before))
        if change.after is not None:
            rows_hash.add_row(name, key, table.encode_row(change.after))
    return outcome, rows_hash
