"""Opening validation: who judges a task, and what becomes of answers that were never shown."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from protocol.book import Book
from protocol.charter import is_licensed
from protocol.hashing import compute_hash
from protocol.lifecycle import is_taking_part, move_task
from protocol.phases import SubmissionStatus, TaskStatus, Trigger
from protocol.records import Task
from protocol.reputation import Violation
from protocol.stakes import forfeit_stake, read_submissions
from protocol.tables import MINERS, SUBMISSIONS


def draw_panel(book: Book, task: Task, barred: Collection[bytes] = ()) -> tuple[bytes, ...]:
    """Return the validators drawn for a task, sorted; fewer than wanted if there are no more.

    Args:
        book: of the task's subject.
        task: whose parties are never drawn.
        barred: others who must not be drawn.
    """
    parties = {task.publisher, *(participant.miner for participant in task.participants), *barred}
    size = task.terms.required_reviewers + book.params.panel_spares
    return draw_validators(book, "panel", (task.task_id,), size, parties)


def draw_validators(
    book: Book, tag: str, seed: Sequence[bytes], size: int, excluded: Collection[bytes]
) -> tuple[bytes, ...]:
    """Return up to `size` validators by lot, sorted; nobody while the epoch is open.

    The lots are hashes over the epoch's beacon, so nobody who is judged can choose his judges.
    While the epoch is open there is no beacon and so no panel: nobody could hold anybody to a panel
    that the next transaction would change.

    Args:
        book: of the subject.
        tag: domain of the lots.
        seed: what the draw is for.
        size: how many are wanted.
        excluded: addresses that must not be drawn.
    """
    if book.beacon is None:
        return ()
    candidates = book.sealed.validators()
    drawn: list[bytes] = []
    # Fisher and Yates's shuffle as far as it is needed: `moved` holds what no longer lies at its
    # own place, so a draw from many thousand looks at a handful.
    moved: dict[int, int] = {}
    for place in range(len(candidates)):
        if len(drawn) == size:
            break
        lot = compute_hash(tag, book.beacon, *seed, place.to_bytes(8, "big"))
        chosen = place + int.from_bytes(lot, "big") % (len(candidates) - place)
        address = candidates[moved.get(chosen, chosen)]
        moved[chosen] = moved.get(place, place)
        miner = book.sealed.get(MINERS, address)
        if address in excluded or miner is None or not is_taking_part(miner):
            continue
        if is_licensed(book.sealed, address, book.epoch):
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
