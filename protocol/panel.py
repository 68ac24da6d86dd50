"""Opening validation: who judges a task, and what becomes of answers that were never shown."""

from dataclasses import replace

from protocol.book import Book
from protocol.hashing import compute_hash
from protocol.lifecycle import is_taking_part, move_task
from protocol.phases import SubmissionStatus, TaskStatus, Trigger
from protocol.records import Task
from protocol.reputation import Violation
from protocol.stakes import forfeit_stake, read_submissions
from protocol.tables import MINERS, SUBMISSIONS


def draw_panel(book: Book, task: Task) -> tuple[bytes, ...]:
    """Return the validators drawn for a task, sorted; fewer than wanted if there are no more.

    The lots are hashes over the epoch's beacon, so neither the publisher nor a miner can choose
    his judges. While the epoch is open there is no beacon and so no panel: nobody could hold
    anybody to a panel that the next transaction would change.
    """
    if book.beacon is None:
        return ()
    parties = {task.publisher, *(participant.miner for participant in task.participants)}
    candidates = book.sealed.validators()
    size = task.terms.required_reviewers + book.params.panel_spares
    drawn: list[bytes] = []
    # Fisher and Yates's shuffle as far as it is needed: `moved` holds what no longer lies at its
    # own place, so a draw from many thousand looks at a handful.
    moved: dict[int, int] = {}
    for place in range(len(candidates)):
        if len(drawn) == size:
            break
        lot = compute_hash("panel", book.beacon, task.task_id, place.to_bytes(8, "big"))
        chosen = place + int.from_bytes(lot, "big") % (len(candidates) - place)
        address = candidates[moved.get(chosen, chosen)]
        moved[chosen] = moved.get(place, place)
        miner = book.sealed.get(MINERS, address)
        if address not in parties and miner is not None and is_taking_part(miner):
            drawn.append(address)
    return tuple(sorted(drawn))


def open_validation(book: Book, task: Task, trigger: Trigger, tx: bytes | None) -> Task:
    """Return the task under validation, its panel drawn; its answers are written to the book.

    Args:
        book: of the task's subject.
        task: with at least one answer revealed.
        trigger: the last reveal, or the end of the reveal window.
        tx: the last reveal, if that is what opened it.
    """
    for submission in read_submissions(book, task):
        if submission.status is SubmissionStatus.REVEALED:
            submission = replace(submission, status=SubmissionStatus.UNDER_REVIEW)
            book.put(SUBMISSIONS, submission.submission_id, submission)
    punish_unrevealed(book, task)
    task = replace(task, panel=draw_panel(book, task))
    return move_task(task, TaskStatus.UNDER_VALIDATION, trigger, book.epoch, tx)


def punish_unrevealed(book: Book, task: Task) -> None:
    """Take from each miner who never showed his answer what that costs; the rest is his again."""
    for submission in read_submissions(book, task):
        if submission.status is SubmissionStatus.PENDING:
            submission = forfeit_stake(book, task, submission, Violation.NOT_REVEALED)
            submission = replace(submission, status=SubmissionStatus.NOT_REVEALED)
            book.put(SUBMISSIONS, submission.submission_id, submission)
