"""Reversals: what this peer showed as provisional and a seal made otherwise.

Rules:
1. Only what was shown counts: what the fold over the open set last said before the seal. Nothing is
   folded to find that out.
2. A transaction is reversed when it stood and got a ruling or died, or had a ruling and stands. A
   task, an answer or a dispute is, when its new history does not go on from the one that was shown.
3. What a seal neither took in nor touched is not decided; it is kept in mind until one does.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from node.open_set import OpenSet
from protocol.dispute_records import DisputeCase
from protocol.fold import Outcome, SubjectOutcome
from protocol.phases import (
    DISPUTE_STEPS,
    SUBMISSION_STEPS,
    SubmissionStatus,
    find_reachable,
    get_label,
)
from protocol.records import Ruling, Submission, Task
from protocol.tables import BY_NAME
from protocol.transactions import SignedTransaction
from storage.reversals import Reversal, ReversalLog, Reversed

log = structlog.get_logger("state")

STANDS, RULED, DEAD = "stands", "ruled", "dead"

_COMPARED = (Task, Submission, DisputeCase)
"""What several authors make together; of all else the transaction that made it is compared."""
_DECIDED = (SubmissionStatus.APPROVED, SubmissionStatus.REJECTED)


@dataclass(frozen=True, slots=True)
class Shown:
    """What stood provisionally before a seal.

    Attributes:
        outcomes: by subject.
        sealed: what the seal takes in.
        touched: the subjects of that.
    """

    outcomes: Mapping[bytes, SubjectOutcome]
    sealed: frozenset[bytes]
    touched: frozenset[bytes]


class ReversalWatch:
    """Compares what was shown before each seal with what there is after it.

    Args:
        records: where reversals are kept.
    """

    def __init__(self, records: ReversalLog) -> None:
        self._records = records
        self._undecided: dict[bytes, SubjectOutcome] = {}

    def look(self, opened: OpenSet, ids: Iterable[bytes]) -> Shown:
        """Return what is shown now; the next seal takes in `ids`."""
        sealed = frozenset(ids)
        known = (opened.transactions.get(item) for item in sealed)
        touched = frozenset(tx.header.subject for tx in known if tx is not None)
        return Shown({**self._undecided, **opened.shown}, sealed, touched)

    def compare(self, shown: Shown, opened: OpenSet, outcome: Outcome) -> None:
        """Record what the seal that did `outcome` changed of what was shown.

        Raises:
            StorageError: it cannot be written; the seal is.
        """
        comparison = _Comparison(shown, opened, outcome)
        found: list[Reversal] = []
        self._undecided = {}
        for subject in sorted(shown.outcomes):
            before = shown.outcomes[subject]
            if comparison.is_decided(subject, before):
                found += comparison.compare_transactions(before)
                found += comparison.compare_rows(subject, before)
            elif before.applied or before.rulings:
                self._undecided[subject] = before
        if found:
            self._records.put(found)
            log.info("results_reversed", epoch=outcome.epoch, count=len(found))


class _Comparison:
    """One seal: what was shown before it, what it did, and what is shown since."""

    def __init__(self, shown: Shown, opened: OpenSet, outcome: Outcome) -> None:
        self._opened = opened
        self._epoch = outcome.epoch
        self._sealed = shown.sealed
        self._rulings = {ruling.tx_id: ruling for ruling in outcome.rulings}
        self._touched = shown.touched | {change.key for change in outcome.changes}

    def is_decided(self, subject: bytes, before: SubjectOutcome) -> bool:
        """Tell whether the seal can have changed anything of what was shown of a subject.

        It has not if all is still open and neither the subject nor an author has other rows.
        """
        authors = [tx.header.author for tx in before.applied]
        authors += [ruling.author for ruling in before.rulings]
        is_touched = subject in self._touched or not self._touched.isdisjoint(authors)
        return is_touched or not all(tx_id in self._opened.transactions for tx_id in _ids(before))

    def compare_transactions(self, before: SubjectOutcome) -> Iterator[Reversal]:
        """Yield the transactions of a subject that are judged otherwise now."""
        opened, open_ones = self._opened, self._opened.transactions
        for tx in before.applied:
            if tx.tx_id in self._sealed:
                ruling = self._rulings.get(tx.tx_id)
            elif tx.tx_id in opened.effective:
                ruling = opened.judge(tx)
            else:
                doom = None if tx.tx_id in open_ones else opened.find_end(tx)
                if doom is not None:
                    yield self._describe_end(tx, doom)
                continue
            if ruling is not None:
                yield self._describe_ruling(ruling, STANDS, RULED)
        for ruling in before.rulings:
            if ruling.tx_id in self._sealed:
                stands = ruling.tx_id not in self._rulings
            else:
                held = opened.effective.get(ruling.tx_id)
                stands = held is not None and opened.judge(held) is None
            if stands:
                yield self._describe_ruling(ruling, RULED, STANDS)

    def compare_rows(self, subject: bytes, before: SubjectOutcome) -> Iterator[Reversal]:
        """Yield the tasks, answers and disputes of a subject that came out otherwise.

        One that is not there at all is no case of its own: the transaction that made it is.
        """
        opened = self._opened
        left = [tx_id for tx_id in _ids(before) if tx_id in opened.transactions]
        if not all(tx_id in opened.effective for tx_id in left):
            return
        view = opened if left else opened.standing.view
        for name, key in sorted(before.rows):
            row = before.rows[(name, key)]
            if not isinstance(row, _COMPARED):
                continue
            now = view.get(BY_NAME[name], key)
            told = _compare_rows(row, now)
            if told is not None:
                yield Reversal(
                    epoch=self._epoch,
                    what=told.what,
                    item=told.item,
                    subject=subject,
                    author=None,
                    was=told.was,
                    now=told.now,
                    code=None,
                    found="",
                    wanted="",
                    lost_to=told.cause,
                )

    def _describe_ruling(self, ruling: Ruling, was: str, now: str) -> Reversal:
        return Reversal(
            epoch=self._epoch,
            what=Reversed.TRANSACTION,
            item=ruling.tx_id,
            subject=ruling.subject,
            author=ruling.author,
            was=was,
            now=now,
            code=ruling.code,
            found=ruling.found,
            wanted=ruling.wanted,
            lost_to=ruling.lost_to,
        )

    def _describe_end(self, tx: SignedTransaction, doom: str) -> Reversal:
        return Reversal(
            epoch=self._epoch,
            what=Reversed.TRANSACTION,
            item=tx.tx_id,
            subject=tx.header.subject,
            author=tx.header.author,
            was=STANDS,
            now=DEAD,
            code=doom,
            found=f"seq {tx.header.seq}",
            wanted="a place in the next seal",
            lost_to=None,
        )


@dataclass(frozen=True, slots=True)
class _Difference:
    what: Reversed
    item: bytes
    was: str
    now: str
    cause: bytes | None = None


def _compare_rows(before: Any, after: Any) -> _Difference | None:
    """Return how a row contradicts the one that was shown, None if it goes on from it."""
    if type(before) is not type(after):
        return None
    if isinstance(before, Task):
        return _compare_tasks(before, after)
    if isinstance(before, Submission):
        return _compare_answers(before, after)
    if isinstance(before, DisputeCase):
        return _compare_disputes(before, after)
    return None


def _compare_tasks(before: Task, after: Task) -> _Difference | None:
    moves, now_moves = before.lifecycle.transitions, after.lifecycle.transitions
    for place, move in enumerate(moves):
        instead = now_moves[place] if place < len(now_moves) else None
        if instead is None or instead.to_status is not move.to_status:
            was, now = get_label(before.status), get_label(after.status)
            cause = None if instead is None else instead.tx
            return _Difference(Reversed.TASK, before.task_id, was, now, cause)
    if len(moves) == len(now_moves) and before.winner not in (None, after.winner):
        was, now = _name_winner(before.winner), _name_winner(after.winner)
        return _Difference(Reversed.TASK, before.task_id, was, now)
    return None


def _name_winner(winner: bytes | None) -> str:
    return "no winner" if winner is None else f"won by {winner.hex()[:16]}"


def _compare_answers(before: Submission, after: Submission) -> _Difference | None:
    was, now = before.status, after.status
    is_other_verdict = was is not now and was in _DECIDED and now in _DECIDED
    if now in find_reachable(SUBMISSION_STEPS, was) and not is_other_verdict:
        return None
    labels = get_label(was), get_label(now)
    return _Difference(Reversed.ANSWER, before.submission_id, *labels)


def _compare_disputes(before: DisputeCase, after: DisputeCase) -> _Difference | None:
    if before.dispute_id != after.dispute_id:
        return None
    choices = [one.choice for one in before.judgments]
    goes_on = [one.choice for one in after.judgments[: len(choices)]] == choices
    if goes_on and after.status in find_reachable(DISPUTE_STEPS, before.status):
        return None
    labels = get_label(before.status), get_label(after.status)
    return _Difference(Reversed.DISPUTE, before.dispute_id, *labels)


def _ids(outcome: SubjectOutcome) -> list[bytes]:
    applied = [tx.tx_id for tx in outcome.applied]
    return applied + [ruling.tx_id for ruling in outcome.rulings]
