"""A dispute from its opening to its end: panels, judgments, appeals, and what ends by itself.

Rules:
1. A panel is drawn by lot in the epoch after the opening or the appeal, so that nobody who asks for
   one can know it. Nobody who has anything to do with the task is on it, and nobody who has less
   than `ARBITER_STAKE_MIN` at stake.
2. A hearing ends when all arbiters have voted, or when its voting window is over and a quorum has.
   Where no quorum is found in time, what was decided before stands.
3. Nobody's permission is needed: every dispute leaves every state by itself.
"""

from dataclasses import replace

from protocol.book import Book, Refused
from protocol.dispute_records import (
    ARBITER_STAKE_MIN,
    ARBITERS_MIN,
    HEARINGS_MAX,
    PANEL_SIZES,
    ArbiterVote,
    DisputeCase,
    Judgment,
)
from protocol.errors import InvariantBroken
from protocol.judgment import judge_votes
from protocol.lifecycle import is_barred
from protocol.panel import draw_validators
from protocol.phases import DisputeStatus, TaskStatus
from protocol.records import Task
from protocol.stakes import read_submissions
from protocol.tables import DISPUTES, dispute_key
from protocol.verdicts import close_dispute, step_dispute
from protocol.view import RowReader


def read_open_dispute(book: Book, task: Task) -> DisputeCase:
    """Return the dispute that a task is in.

    Raises:
        InvariantBroken: there is none.
    """
    case = book.get(DISPUTES, dispute_key(task.task_id, task.lifecycle.round))
    if case is None:
        raise InvariantBroken(f"task {task.task_id.hex()[:16]} disputed without a dispute")
    return case


def is_revealing(rows: RowReader, task: Task) -> bool:
    """Tell whether the phase of a task is that in which answers are shown.

    A dispute does not end it: who opens one must not keep others from showing what they have
    committed to.
    """
    if task.status is TaskStatus.ANSWERS_SUBMITTED:
        return True
    if task.status is not TaskStatus.DISPUTED:
        return False
    case = rows.get(DISPUTES, dispute_key(task.task_id, task.lifecycle.round))
    return case is not None and case.status_before is TaskStatus.ANSWERS_SUBMITTED


def require_dispute(
    book: Book, task: Task, dispute_id: bytes, *allowed: DisputeStatus
) -> DisputeCase:
    """Return the dispute of a task that is open under this id and in one of these states.

    Raises:
        Refused: `no_such_dispute`, `dispute_closed` or `wrong_state`.
    """
    for round_ in range(task.lifecycle.round + 1):
        case = book.get(DISPUTES, dispute_key(task.task_id, round_))
        if case is not None and case.dispute_id == dispute_id:
            break
    else:
        raise Refused("no_such_dispute", dispute_id.hex()[:16], "a dispute of the task")
    if case.closed_at is not None:
        raise Refused("dispute_closed", f"closed at {case.closed_at}", "an open dispute")
    if case.status not in allowed:
        wanted = " or ".join(status.name.lower() for status in allowed)
        lost_to = case.appeals[-1].tx if case.appeals else case.dispute_id
        raise Refused("wrong_state", case.status.name.lower(), wanted, lost_to)
    return case


def find_voters(book: Book, task: Task) -> set[bytes]:
    """Return everybody who voted on an answer of the task, in any round."""
    return {voter for one in read_submissions(book, task) for voter in one.votes}


def find_parties(task: Task, case: DisputeCase) -> set[bytes]:
    """Return who may bring evidence and appeal: both sides, and whom a judgment holds guilty."""
    parties = {case.disputer, task.publisher, *case.defendants}
    if case.judgments:
        named = case.judgments[-1]
        parties.update(named.validators)
        parties.update(
            one.miner for one in task.participants if one.submission_id in named.submissions
        )
    return parties


def read_hearing(case: DisputeCase) -> tuple[ArbiterVote, ...]:
    """Return the votes of the present hearing."""
    return tuple(vote for vote in case.votes if vote.hearing == case.hearing)


def move_dispute_by_time(book: Book, task: Task) -> Task | None:
    """Return the task after one step of its dispute by time, None if none is due."""
    case, epoch = read_open_dispute(book, task), book.epoch
    if case.status is DisputeStatus.UNDER_REVIEW and epoch > _require(case.voting_deadline):
        judgment = _judge(case, epoch)
        if judgment is not None:
            return _take_judgment(book, task, case, judgment, None)
        if epoch > _require(case.resolution_deadline):
            return _end_without_judgment(book, task, case)
    if case.status is DisputeStatus.RESOLVED_APPEALABLE and epoch > _require(case.appeal_deadline):
        case = step_dispute(case, DisputeStatus.RESOLVED_FINAL)
        return close_dispute(book, task, case, None)
    return None


def move_dispute_by_threshold(book: Book, task: Task, tx: bytes | None) -> Task | None:
    """Return the task after one step of its dispute that waited for no more, None if it waits.

    Args:
        book: of the task's subject, after its transactions.
        task: disputed.
        tx: the epoch's last vote of an arbiter, if there was one.
    """
    case, epoch = read_open_dispute(book, task), book.epoch
    match case.status:
        case DisputeStatus.PENDING | DisputeStatus.APPEALED if epoch > case.pending_until:
            # While the epoch is open the lots are not known, and a panel cannot be shown.
            return None if book.beacon is None else _seat_panel(book, task, case)
        case DisputeStatus.UNDER_REVIEW:
            judgment = _judge(case, epoch)
            is_over = epoch > _require(case.voting_deadline)
            if judgment is not None and (is_over or len(read_hearing(case)) == len(case.panel)):
                return _take_judgment(book, task, case, judgment, tx)
    return None


def _seat_panel(book: Book, task: Task, case: DisputeCase) -> Task:
    """Draw the panel of a hearing, or end the dispute that has none."""
    if case.status is DisputeStatus.PENDING and is_barred(book.sealed, case.disputer):
        return close_dispute(book, task, step_dispute(case, DisputeStatus.DISMISSED), None)
    excluded = {
        task.publisher,
        case.disputer,
        *case.defendants,
        *(one.miner for one in task.participants),
        *task.panel,
        *find_voters(book, task),
        *case.earlier_panels,
    }
    seed = (case.dispute_id, bytes([case.hearing]))
    size = PANEL_SIZES[case.hearing]
    panel = draw_validators(book, "arbiters", seed, size, excluded, ARBITER_STAKE_MIN)
    if len(panel) < ARBITERS_MIN:
        return _end_without_judgment(book, task, case)
    case = replace(
        step_dispute(case, DisputeStatus.UNDER_REVIEW),
        panel=panel,
        voting_deadline=book.epoch + book.params.dispute_epochs,
        resolution_deadline=book.epoch + book.params.resolution_epochs,
    )
    book.put(DISPUTES, dispute_key(task.task_id, case.round), case)
    return task


def _judge(case: DisputeCase, epoch: int) -> Judgment | None:
    return judge_votes(read_hearing(case), len(case.panel), case.hearing, epoch)


def _take_judgment(
    book: Book, task: Task, case: DisputeCase, judgment: Judgment, tx: bytes | None
) -> Task:
    case = replace(
        step_dispute(case, DisputeStatus.RESOLVED_APPEALABLE),
        judgments=(*case.judgments, judgment),
        appeal_deadline=book.epoch + book.params.dispute_epochs,
    )
    if case.hearing + 1 == HEARINGS_MAX:
        case = step_dispute(case, DisputeStatus.RESOLVED_FINAL)
        return close_dispute(book, task, case, tx)
    book.put(DISPUTES, dispute_key(task.task_id, case.round), case)
    return task


def _end_without_judgment(book: Book, task: Task, case: DisputeCase) -> Task:
    """End a hearing that nobody judges: what was decided before it stands."""
    if not case.judgments:
        return close_dispute(book, task, step_dispute(case, DisputeStatus.EXPIRED), None)
    if case.status is DisputeStatus.APPEALED:
        case = step_dispute(case, DisputeStatus.UNDER_REVIEW)
    case = step_dispute(case, DisputeStatus.RESOLVED_APPEALABLE, DisputeStatus.RESOLVED_FINAL)
    return close_dispute(book, task, case, None)


def _require(deadline: int | None) -> int:
    if deadline is None:
        raise InvariantBroken("a dispute without the deadline of its state")
    return deadline
