"""Opening validation: who judges a task, and what becomes of answers that were never shown."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from protocol.book import Book, Refused
from protocol.charter import is_licensed
from protocol.hashing import compute_hash
from protocol.lifecycle import is_taking_part, move_task
from protocol.phases import SubmissionStatus, TaskStatus, Trigger
from protocol.records import VOTES_MAX, Task
from protocol.reputation import Violation
from protocol.stakes import forfeit_stake, read_submissions
from protocol.tables import MINERS, SUBMISSIONS
from protocol.view import StateView

SECOND_PANEL_FACTOR = 3
"""Fresh validators for each of a divided panel. A third of thirty validators that had three of five
seats by chance has half of all twenty with a chance of about one in a hundred."""


def require_judges(book: Book, wanted: int, parties: Collection[bytes]) -> None:
    """Check that so many validators could judge a task, did its validation open now.

    Where they cannot, nothing could be decided: whoever offered the task would see the answers and
    have his reward back. What becomes of a task whose validators leave later is said in
    `protocol.settlement`.

    Raises:
        Refused: `too_few_validators`.
    """
    found = count_judges(book.sealed, book.epoch, wanted, parties)
    if found < wanted:
        raise Refused("too_few_validators", f"{found} who could judge", f"{wanted} reviewers")


def count_judges(sealed: StateView, epoch: int, most: int, parties: Collection[bytes]) -> int:
    """Return how many validators could judge a task, counted no further than `most`.

    Args:
        sealed: the state as the last seal left it.
        epoch: the next one.
        most: how many are wanted.
        parties: of the task, who never judge it.
    """
    found = 0
    for address in sealed.validators():
        if found == most:
            break
        found += _is_judge(sealed, epoch, address, parties)
    return found


def _is_judge(
    sealed: StateView,
    epoch: int,
    address: bytes,
    excluded: Collection[bytes],
    stake_min: int = 0,
) -> bool:
    miner = sealed.get(MINERS, address)
    if miner is None or address in excluded:
        return False
    is_able = is_taking_part(miner) and miner.stake >= stake_min
    return is_able and is_licensed(sealed, address, epoch)


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


def draw_second_panel(book: Book, task: Task, voters: Collection[bytes]) -> tuple[bytes, ...]:
    """Return a panel with fresh validators beside those it has, sorted; () while the epoch is open.

    Args:
        book: of the task's subject.
        task: whose first panel is divided.
        voters: of the rounds before, whom a verdict has replaced.
    """
    parties = {task.publisher, *(participant.miner for participant in task.participants)}
    excluded = {*parties, *task.panel, *voters}
    size = min(SECOND_PANEL_FACTOR * len(task.panel), VOTES_MAX - len(task.panel))
    seed = (task.task_id, bytes([task.lifecycle.round]))
    fresh = draw_validators(book, "second panel", seed, size, excluded)
    return tuple(sorted((*task.panel, *fresh))) if fresh else ()


def is_first_panel(book: Book, task: Task) -> bool:
    """Tell whether a task's panel is the one that validation opened with."""
    return len(task.panel) <= task.terms.required_reviewers + book.params.panel_spares


def draw_validators(
    book: Book,
    tag: str,
    seed: Sequence[bytes],
    size: int,
    excluded: Collection[bytes],
    stake_min: int = 0,
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
        stake_min: nano-units; whoever is registered with less is not drawn either.
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
        if _is_judge(book.sealed, book.epoch, address, excluded, stake_min):
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
