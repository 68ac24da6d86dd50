"""The moves that need no transaction of their own: by time, and by a threshold reached.

Rules:
1. The epoch of a deadline is still in time; a move by time holds from the next epoch on.
2. Moves by time come before the epoch's transactions, moves by threshold after all of them.
3. Nobody's permission is needed: every task that is open leaves every phase by itself.
"""

from collections.abc import Sequence

from protocol import kinds
from protocol.book import Book
from protocol.disputes import move_dispute_by_threshold, move_dispute_by_time
from protocol.kind import Stage
from protocol.lifecycle import move_task, refund_task
from protocol.panel import open_validation, punish_unrevealed
from protocol.phases import SubmissionStatus, TaskStatus, Trigger
from protocol.records import Task
from protocol.settlement import (
    Judged,
    abandon_validation,
    call_second_panel,
    complete_task,
    is_second_panel_due,
    judge_task,
    revoke_lost,
    settle_task,
)
from protocol.stakes import read_submissions
from protocol.tables import TASKS
from protocol.transactions import SignedTransaction
from protocol.votes import have_all_committed, is_vote_awaited, open_votes


def apply_time_moves(book: Book, subject: bytes) -> None:
    """Move a task through every window that has passed; nothing if the subject is no task."""
    task = book.get(TASKS, subject)
    while task is not None:
        task = _move_by_time(book, task)
        if task is not None:
            book.put(TASKS, subject, task)


def _move_by_time(book: Book, task: Task) -> Task | None:
    """Return the task after one move by time, None if none is due."""
    epoch, times = book.epoch, task.lifecycle
    match task.status:
        case TaskStatus.PUBLISHED if epoch > times.submission_deadline:
            return _expire(book, task)
        case TaskStatus.IN_PROGRESS if epoch > times.submission_deadline:
            return move_task(task, TaskStatus.ANSWERS_SUBMITTED, Trigger.TIME_EXPIRY, epoch, None)
        case TaskStatus.ANSWERS_SUBMITTED if epoch > times.reveal_deadline:
            return _end_reveal(book, task)
        case TaskStatus.UNDER_VALIDATION if epoch > times.finalize_deadline:
            return _end_validation(book, task)
        case TaskStatus.DISPUTED:
            return move_dispute_by_time(book, task)
        case TaskStatus.COMPLETED if not task.settled:
            if times.dispute_deadline is not None and epoch > times.dispute_deadline:
                return settle_task(book, task)
        case TaskStatus.COMPLETED:
            return revoke_lost(book, task)
    return None


def _expire(book: Book, task: Task) -> Task:
    task = refund_task(book, task)
    return move_task(task, TaskStatus.EXPIRED, Trigger.TIME_EXPIRY, book.epoch, None)


def _end_reveal(book: Book, task: Task) -> Task:
    submissions = read_submissions(book, task)
    if any(one.status is SubmissionStatus.REVEALED for one in submissions):
        return open_validation(book, task, Trigger.TIME_EXPIRY, None)
    punish_unrevealed(book, task)
    return _expire(book, task)


def _end_validation(book: Book, task: Task) -> Task | None:
    judged = judge_task(book, task)
    if any(one.decision.decided for one in judged):
        return _conclude(book, task, judged, None)
    return abandon_validation(book, task, judged)


def _conclude(book: Book, task: Task, judged: Sequence[Judged], tx: bytes | None) -> Task | None:
    """Complete a task, or have a second panel judge it; None while its lots are not known."""
    if not is_second_panel_due(book, task, judged):
        return complete_task(book, task, judged, tx)
    if book.beacon is None:
        return None
    return call_second_panel(book, task) or complete_task(book, task, judged, tx)


def apply_threshold_moves(book: Book, subject: bytes, applied: Sequence[SignedTransaction]) -> None:
    """Move a task on once all that its phase waits for is there; nothing for any other subject.

    Args:
        book: of the subject, after its transactions.
        subject: a task id or a miner's address.
        applied: the epoch's transactions that applied, in order; one of them is the cause.
    """
    task = book.get(TASKS, subject)
    while task is not None:
        task = _move_by_threshold(book, task, applied)
        if task is not None:
            book.put(TASKS, subject, task)


def _move_by_threshold(book: Book, task: Task, applied: Sequence[SignedTransaction]) -> Task | None:
    """Return the task after one move by threshold, None if none is reached."""
    epoch, times = book.epoch, task.lifecycle
    match task.status:
        case TaskStatus.IN_PROGRESS if len(task.participants) >= task.terms.max_participants:
            cause = _find_cause(applied, Stage.COMMIT)
            return move_task(
                task, TaskStatus.ANSWERS_SUBMITTED, Trigger.PARTICIPANT_ACTION, epoch, cause
            )
        case TaskStatus.ANSWERS_SUBMITTED if epoch > times.submission_deadline:
            submissions = read_submissions(book, task)
            if all(one.status is SubmissionStatus.REVEALED for one in submissions):
                cause = _find_cause(applied, Stage.REVEAL)
                return open_validation(book, task, Trigger.PARTICIPANT_ACTION, cause)
        case TaskStatus.UNDER_VALIDATION if epoch < times.validation_deadline:
            return open_votes(book, task) if have_all_committed(book, task) else None
        case TaskStatus.UNDER_VALIDATION if epoch > times.validation_deadline:
            judged = judge_task(book, task)
            if any(one.decision.decided for one in judged) and not is_vote_awaited(book, task):
                return _conclude(book, task, judged, _find_cause(applied, Stage.REVEAL_VOTE))
        case TaskStatus.DISPUTED:
            return move_dispute_by_threshold(book, task, _find_cause(applied, Stage.VOTE))
    return None


def _find_cause(applied: Sequence[SignedTransaction], stage: Stage) -> bytes | None:
    """Return the id of the last transaction of a stage that applied."""
    for tx in reversed(applied):
        if kinds.BY_CODE[tx.header.kind].stage is stage:
            return tx.tx_id
    return None
