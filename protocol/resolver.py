"""What stands when copies disagree: one state from causes, and one record from two without causes.

Rules:
1. Causes before results. Where the transactions are at hand the state is folded from them, and
   what did not apply has a ruling that names the rule and the transaction it lost to.
2. Two finished records of one task whose causes are gone are compared by a key, left to right, and
   the larger stands. So merging is commutative, associative and idempotent; no clock is in it.
3. Nothing vanishes silently: both answers say what lost and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.chains import compute_evidence_id
from protocol.epoch import Epoch
from protocol.errors import Rejected
from protocol.fold import fold_epoch
from protocol.genesis import Genesis
from protocol.hashing import compute_hash
from protocol.invariants import ConsistencyChecker
from protocol.phases import compute_merge_rank
from protocol.records import Ruling, Task
from protocol.seals import compute_beacon, compute_set_root
from protocol.tables import TASKS
from protocol.transactions import SignedTransaction
from protocol.view import Key, MemoryView


@dataclass(frozen=True, slots=True)
class SealedSet:
    """All that one epoch took in.

    Attributes:
        prev: hash of the seal before; of the genesis for the first epoch.
        transactions: in any order.
        evidence: (author, seq) of the equivocations.
        secret: of the epoch, as its seal names it.
    """

    prev: bytes
    transactions: tuple[SignedTransaction, ...]
    evidence: tuple[tuple[bytes, int], ...] = ()
    secret: bytes | None = None


@dataclass(frozen=True, slots=True)
class History:
    """The causes of a state: where a network began, and what each epoch took in."""

    genesis: Genesis
    epochs: tuple[SealedSet, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a history amounts to.

    Attributes:
        records: every row of the state by table and key.
        rulings: what did not apply and why, by epoch and transaction.
    """

    records: Mapping[Key, Any]
    rulings: tuple[Ruling, ...]


@dataclass(frozen=True, slots=True)
class MergeRuling:
    """Which of two finished records of one task stands, and why.

    Attributes:
        because: the first part of the key in which they differ.
        kept: that part of the record that stands.
        lost: that part of the one that does not.
        lost_hash: hash of the record that does not stand, by which it can be found again.
    """

    task_id: bytes
    because: str
    kept: str
    lost: str
    lost_hash: bytes


@dataclass(frozen=True, slots=True)
class Merge:
    """The record that stands; no ruling where both were the same."""

    record: Task
    ruling: MergeRuling | None


class ConflictResolver:
    """Answers what stands; keeps nothing between two answers."""

    def resolve(self, history: History) -> Resolution:
        """Return the state and the rulings that a history amounts to.

        The caller has checked that every set was admissible (`protocol.chains.find_inadmissible`).

        Raises:
            InvariantBroken: the fold is wrong.
        """
        genesis = history.genesis
        view = MemoryView(genesis.rows())
        checker = ConsistencyChecker()
        rulings: list[Ruling] = []
        for number, sealed in enumerate(history.epochs, start=1):
            epoch = build_epoch(number, sealed)
            outcome = fold_epoch(view, genesis, epoch)
            checker.check(view, outcome)
            view.apply(((one.table.name, one.key), one.after) for one in outcome.changes)
            rulings.extend(outcome.rulings)
        return Resolution(view.rows, tuple(rulings))

    def merge(self, record_a: Task, record_b: Task) -> Merge:
        """Return which of two finished records of one task stands.

        Raises:
            Rejected: `merge_mismatch`, when they are of two tasks; `wrong_phase`, when one of them
                is in a phase that its history does not lead to.
        """
        if record_a.task_id != record_b.task_id:
            raise Rejected(
                "merge_mismatch", record_b.task_id.hex()[:16], record_a.task_id.hex()[:16]
            )
        key_a, key_b = compute_merge_key(record_a), compute_merge_key(record_b)
        if key_a == key_b:
            return Merge(record_a, None)
        if key_a < key_b:
            record_a, key_a, key_b = record_b, key_b, key_a
        place = next(i for i in range(len(_KEY_PARTS)) if key_a[i] != key_b[i])
        ruling = MergeRuling(
            task_id=record_a.task_id,
            because=_KEY_PARTS[place],
            kept=_describe(key_a[place]),
            lost=_describe(key_b[place]),
            lost_hash=key_b[-1],
        )
        return Merge(record_a, ruling)


def build_epoch(number: int, sealed: SealedSet) -> Epoch:
    """Return an epoch as the fold takes it, its beacon computed from set and secret."""
    ids = [tx.tx_id for tx in sealed.transactions]
    ids.extend(compute_evidence_id(author, seq) for author, seq in sealed.evidence)
    beacon = compute_beacon(sealed.prev, compute_set_root(ids), sealed.secret)
    return Epoch(number, beacon, sealed.transactions, tuple(sorted(sealed.evidence)))


_KEY_PARTS = ("round", "phase", "closing", "evidence", "released", "record_hash")
MergeKey = tuple[int, int, int, int, int, bytes]


def compute_merge_key(record: Task) -> MergeKey:
    """Return what a finished record is compared by, its most telling part first.

    The parts: resolved disputes; rank of the furthest phase of that round; open before expired
    before cancelled; how much the record carries (places, moves, settlement); nano-units that have
    left the escrow, which only ever grows; and the hash of the record, which is arbitrary but the
    same everywhere.

    Raises:
        Rejected: `wrong_phase`, when a closed record does not say from which phase.
    """
    times = record.lifecycle
    left = times.transitions[-1].from_status if times.transitions else None
    rank, closing = compute_merge_rank(record.status, left)
    evidence = len(record.participants) + len(times.transitions) + int(record.settled)
    released = record.pool.paid_out + record.pool.refunded
    record_hash = compute_hash("record", TASKS.encode_row(record))
    return times.round, rank, closing, evidence, released, record_hash


def _describe(part: int | bytes) -> str:
    return part.hex()[:16] if isinstance(part, bytes) else str(part)
