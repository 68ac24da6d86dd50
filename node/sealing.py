"""What a seal takes in and what it makes of the sealed state; nothing here is written.

Used in both directions: to end an epoch, and to check what ended one elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from node.open_set import OpenSet
from protocol.chains import Gap, find_gaps, find_inadmissible
from protocol.charter import find_charter
from protocol.epoch import Epoch
from protocol.errors import Rejected
from protocol.fold import Outcome, fold_epoch
from protocol.invariants import ConsistencyChecker
from protocol.lthash import LtHash
from protocol.params import Params
from protocol.plan import SET_IDS_MAX, Plan
from protocol.quota import find_crowded
from protocol.seals import SealContent, compute_beacon, compute_sealers_hash, compute_set_root
from protocol.sharing import Deal
from protocol.transactions import SignedTransaction
from storage.store import Store

GAPS_MAX = 64
"""Gaps in the chains of a seal that one result names; the others when these are closed."""


SETS_MAX = 3
"""Sets that are kept with their items at the same time: what is proposed, and what was before."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What the next epoch does if it takes in exactly one set, with one secret.

    Attributes:
        ids: the set, sorted.
        rows_hash: of all rows after it.
    """

    set_root: bytes
    secret: bytes | None
    ids: Sequence[bytes]
    outcome: Outcome
    rows_hash: LtHash

    @property
    def state_root(self) -> bytes:
        """The root of all rows after the epoch."""
        return self.rows_hash.state_root()


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


def check_set(planned: Plan | SealContent, ids: Sequence[bytes]) -> None:
    """Check that `ids` are those that a plan or a seal names.

    Raises:
        Rejected: `seal_set`.
    """
    if len(set(ids)) != planned.count or compute_set_root(ids) != planned.set_root:
        raise Rejected("seal_set", f"{len(ids)} other ids", f"the {planned.count} signed")


def build_plan(
    store: Store, set_root: bytes, count: int, time_ms: int, deals: Sequence[Deal]
) -> Plan:
    """Return the plan to take a set of so many ids in over the head of a store."""
    head = store.head
    after = find_charter(store.view, store.genesis, head.epoch + 2)
    return Plan(
        epoch=head.epoch + 1,
        prev=head.seal_hash,
        set_root=set_root,
        count=count,
        sealers_next=compute_sealers_hash(after.sealers),
        time_ms=time_ms,
        deals=tuple(deals),
    )


def sum_changes(outcome: Outcome) -> LtHash:
    """Return by how much the hash of all rows grows with what an epoch does."""
    growth = LtHash()
    for change in outcome.changes:
        name, key, table = change.table.name, change.key, change.table
        if change.before is not None:
            growth.remove_row(name, key, table.encode_row(change.before))
        if change.after is not None:
            growth.add_row(name, key, table.encode_row(change.after))
    return growth


class Candidates:
    """Sets that the next seal may take in, each with all its items; forgotten with the seal.

    Args:
        store: under whose head the sets are folded.
        opened: what is not sealed.
        checker: looks at every outcome.
    """

    def __init__(self, store: Store, opened: OpenSet, checker: ConsistencyChecker) -> None:
        self._store = store
        self._open = opened
        self._checker = checker
        self.forget()

    def forget(self) -> None:
        """There is another head."""
        # What a seal takes in, checked against its root; it may wait long for an item.
        self._awaited: tuple[bytes, list[bytes]] = (b"", [])
        self._sets: dict[bytes, tuple[Sequence[bytes], SealedSet]] = {}
        # A decided set is folded once for the sealer and the seal.
        self._folded: Folded | None = None

    def find(self, set_root: bytes) -> Sequence[bytes] | None:
        """Return the ids of a set, if they were told and checked."""
        if set_root in self._sets:
            return self._sets[set_root][0]
        awaited, ids = self._awaited
        return ids if awaited == set_root else None

    def choose(self) -> tuple[bytes, Sequence[bytes]]:
        """Return the root and the ids of all that is effective; the set is kept."""
        effective, evidence = choose_set(self._open)
        items = SealedSet(
            tuple(effective[key] for key in sorted(effective)), tuple(sorted(evidence.values()))
        )
        ids = sorted([*effective, *evidence])
        set_root = compute_set_root(ids)
        self._keep(set_root, ids, items)
        return set_root, ids

    def examine(self, planned: Plan | SealContent, ids: Sequence[bytes]) -> SealResult | None:
        """Tell what is missing here of what a plan or a seal takes in; None if nothing is.

        Raises:
            Rejected: `seal_set`, `seal_inadmissible`: its ids are not those it names, or it takes
                in what must not be sealed.
        """
        if planned.set_root in self._sets:
            return None
        ids = sorted(ids)
        if self._awaited != (planned.set_root, ids):
            check_set(planned, ids)
            self._awaited = (planned.set_root, ids)
        items = collect_items(self._open, self._store, ids)
        if items.missing:
            return SealResult(False, items.missing)
        store = self._store
        gaps = find_gaps(items.transactions, store.view, store.journal.at, GAPS_MAX)
        if gaps:
            return SealResult(False, gaps=tuple(gaps))
        standing = self._open.standing
        check_admissible(store, standing.charter.params, standing.anchors, items)
        self._keep(planned.set_root, ids, items)
        return None

    def fold(self, set_root: bytes, secret: bytes | None) -> Folded:
        """Return what the next epoch does if it takes in an examined set, with that secret.

        Raises:
            InvariantBroken: it would leave a state that must not be.
        """
        known = self._folded
        if known is None or (known.set_root, known.secret) != (set_root, secret):
            ids, items = self._sets[set_root]
            known = Folded(set_root, secret, ids, *self._fold(set_root, items, secret))
            self._folded = known
        return known

    def _fold(
        self, set_root: bytes, items: SealedSet, secret: bytes | None
    ) -> tuple[Outcome, LtHash]:
        store = self._store
        epoch = Epoch(
            number=store.head.epoch + 1,
            beacon=compute_beacon(store.head.seal_hash, set_root, secret),
            transactions=items.transactions,
            evidence=tuple(sorted(items.evidence)),
        )
        outcome = fold_epoch(store.view, store.genesis, epoch)
        self._checker.check(store.view, outcome)
        rows_hash = store.head.rows_hash.copy()
        rows_hash.combine(sum_changes(outcome))
        return outcome, rows_hash

    def _keep(self, set_root: bytes, ids: Sequence[bytes], items: SealedSet) -> None:
        self._sets[set_root] = ids, items
        if len(self._sets) > SETS_MAX:
            del self._sets[next(iter(self._sets))]


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
