"""The transition function: one sealed state and one set of transactions make the next state.

Rules:
1. The outcome is a function of the set. Arrival order, peers and clocks do not enter this file.
2. Inside one epoch and subject: the time moves due, then the transactions by (stage of the kind,
   tie), then the moves by threshold. All answers are heard before any verdict on them.
3. Nothing is dropped: what cannot apply at its place is kept with a ruling, and moves nothing.
   A task of which nothing is due and nothing applied stays as it is, whoever asked for what.
4. About a task that closed long ago one ruling is given, whatever is asked (`protocol.closing`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protocol import kinds
from protocol.accounts import Tally, find_unfunded, settle_accounts
from protocol.book import Book, Note, Payment, Refused
from protocol.chains import compute_evidence_id
from protocol.changes import settle_changes
from protocol.charter import find_charter
from protocol.charter_records import Charter
from protocol.epoch import Epoch
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.hashing import compute_hash
from protocol.lifecycle import find_archived
from protocol.miners import settle_miners
from protocol.records import Ruling
from protocol.tables import RULINGS, Table, ruling_key
from protocol.transactions import SignedTransaction
from protocol.view import EpochView, Key, StateView, is_due
from protocol.windows import apply_threshold_moves, apply_time_moves

EVIDENCE_KIND = 255
"""The kind that a ruling about evidence names; no transaction bears it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row before and after an epoch; None where there is no row."""

    table: Table[Any]
    key: bytes
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class SubjectOutcome:
    """What one subject's transactions and windows do in one epoch."""

    rows: Mapping[Key, Any]
    changes: tuple[tuple[Table[Any], bytes, Any], ...]
    payments: tuple[Payment, ...]
    notes: tuple[Note, ...]
    rulings: tuple[Ruling, ...]
    applied: tuple[SignedTransaction, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an epoch does to the state: every changed row, and why what did not apply did not."""

    epoch: int
    changes: tuple[Change, ...]
    rulings: tuple[Ruling, ...]


def fold_epoch(view: StateView, genesis: Genesis, epoch: Epoch) -> Outcome:
    """Return what `epoch` does to the sealed state `view`."""
    view = EpochView(view)
    charter = find_charter(view, genesis, epoch.number)
    unfunded = find_unfunded(view, charter.params, epoch.transactions)
    by_subject: dict[bytes, list[SignedTransaction]] = {}
    for tx in epoch.transactions:
        by_subject.setdefault(tx.header.subject, []).append(tx)
    # What is owed to whoever is caught goes to others now: he will never claim it.
    owing = (task for author in sorted(epoch.caught) for task in view.owing_tasks(author))
    subjects = sorted({*by_subject, *view.due_tasks(epoch.number), *owing})
    outcomes = [
        fold_subject(
            view,
            charter,
            genesis.network,
            epoch,
            subject,
            by_subject.get(subject, ()),
            unfunded,
        )
        for subject in subjects
    ]
    return _settle(view, genesis, charter, epoch, outcomes)


def fold_subject(
    view: StateView,
    charter: Charter,
    network: bytes,
    epoch: Epoch,
    subject: bytes,
    transactions: Sequence[SignedTransaction],
    unfunded: Mapping[bytes, Refused],
) -> SubjectOutcome:
    """Return what one subject's transactions do; subjects do not see one another.

    Args:
        view: the state as the last seal left it.
        charter: the numbers and the sealers of the network in this epoch.
        network: its id, which commitments are bound to.
        epoch: number, beacon and evidence of the epoch; its transactions are not read.
        subject: a task id, a miner's address or the id of a change.
        transactions: those of the epoch that belong to the subject, in any order.
        unfunded: refusals by transaction id, from `protocol.accounts.find_unfunded`.
    """
    book = Book(view, charter, network, epoch.number, epoch.beacon, epoch.caught)
    apply_time_moves(book, subject)
    rulings = []
    applied = []
    archived = None
    if transactions:
        archived = find_archived(view, charter.params, subject, epoch.number)
    for tx in sorted(transactions, key=lambda tx: compute_order(tx, epoch.beacon)):
        reason = unfunded.get(tx.tx_id) or archived or _try_to_apply(book, tx)
        if reason is None:
            applied.append(tx)
        else:
            rulings.append(_rule(tx, epoch.number, reason))
    if applied or is_due(view, subject, epoch.number):
        apply_threshold_moves(book, subject, tuple(applied))
    changes = tuple(book.changes())
    rows = {(table.name, key): record for table, key, record in changes}
    return SubjectOutcome(rows, changes, book.payments, book.notes, tuple(rulings), tuple(applied))


def _try_to_apply(book: Book, tx: SignedTransaction) -> Rejected | None:
    """Apply a transaction, or leave the book as it was and return why."""
    mark = book.mark()
    try:
        kinds.BY_CODE[tx.header.kind].apply(book, tx)
    except Rejected as reason:
        book.rewind(mark)
        return reason
    return None


def compute_order(tx: SignedTransaction, beacon: bytes | None) -> tuple[int, bytes]:
    """Return a transaction's place in its epoch and subject: the stage of its kind, then a tie.

    The tie hangs on the epoch's secret, which nobody knows before the set is decided: whoever
    proposes the set, or signs last, can change it and not choose it (`protocol.seals`). Where one
    to three seal there is no secret, and they could. While the result is provisional it is the id.
    """
    tie = tx.tx_id if beacon is None else compute_hash("tie", beacon, tx.tx_id)
    return kinds.BY_CODE[tx.header.kind].stage, tie


def _rule(tx: SignedTransaction, epoch: int, reason: Rejected) -> Ruling:
    header = tx.header
    lost_to = reason.lost_to if isinstance(reason, Refused) else None
    return Ruling(
        tx_id=tx.tx_id,
        kind=header.kind,
        author=header.author,
        seq=header.seq,
        subject=header.subject,
        epoch=epoch,
        code=reason.code,
        found=reason.found[:64],
        wanted=reason.wanted[:64],
        lost_to=lost_to,
    )


def rule_evidence(author: bytes, seq: int, epoch: int) -> Ruling:
    """Return the ruling that evidence of an equivocation stands for."""
    return Ruling(
        tx_id=compute_evidence_id(author, seq),
        kind=EVIDENCE_KIND,
        author=author,
        seq=seq,
        subject=author,
        epoch=epoch,
        code="equivocated",
        found="two transactions with one seq",
        wanted="one",
        lost_to=None,
    )


def _settle(
    view: StateView,
    genesis: Genesis,
    charter: Charter,
    epoch: Epoch,
    outcomes: Iterable[SubjectOutcome],
) -> Outcome:
    """Add up what the subjects did: rows, money, miners, chains and rulings."""
    rows: dict[Key, tuple[Table[Any], Any]] = {}
    rulings = [rule_evidence(author, seq, epoch.number) for author, seq in epoch.evidence]
    tally = Tally()
    notes: list[Note] = []
    active: list[bytes] = []
    for outcome in outcomes:
        for table, key, record in outcome.changes:
            rows[(table.name, key)] = (table, record)
        tally.add(outcome.payments)
        notes.extend(outcome.notes)
        rulings.extend(outcome.rulings)
        active.extend(tx.header.author for tx in outcome.applied)
    tally.add(settle_miners(view, charter.params, epoch, rows, notes, active))
    settle_accounts(view, epoch, rows, tally)
    rulings.extend(settle_changes(view, genesis, epoch.number, rows))
    for ruling in rulings:
        rows[(RULINGS.name, ruling_key(epoch.number, ruling.tx_id))] = (RULINGS, ruling)
    changes = []
    for name, key in sorted(rows):
        table, after = rows[(name, key)]
        before = view.get(table, key)
        if before != after:
            changes.append(Change(table, key, before, after))
    rulings.sort(key=lambda ruling: ruling.tx_id)
    return Outcome(epoch.number, tuple(changes), tuple(rulings))
