"""Commitments to votes: when they can be shown, and what becomes of those that never are.

Rules:
1. Commitments are taken through the epoch of the validation deadline, and opened from the next one
   on. When everybody on the panel has committed to every answer, that deadline moves to the present
   epoch; so nobody ever commits to a vote with another's before him.
2. A result waits for every vote that was committed to, or for the finalize deadline. Whoever could
   still keep his back, having seen the others', could choose between two results.
3. A vote that is not shown by then is not cast. It costs what an answer costs that is not shown:
   more than not to commit, and more than to be far from the consensus.
"""

from collections.abc import Iterator
from dataclasses import replace

from protocol.book import Book, Note, Pot
from protocol.convictions import read_convicted, read_voting_round
from protocol.lifecycle import is_barred, is_taking_part
from protocol.phases import SubmissionStatus, VoteState
from protocol.records import ROLE_VALIDATOR, Task, VoteCommitment
from protocol.reputation import PENALTY_POINTS, Violation
from protocol.stakes import read_submissions, take_forfeit
from protocol.tables import MINERS, VOTE_COMMITMENTS, validation_key


def read_commitments(book: Book, task: Task, round_: int) -> Iterator[tuple[bytes, VoteCommitment]]:
    """Yield key and row of every commitment of the present panel in a round."""
    for place in task.participants:
        for validator in task.panel:
            key = validation_key(place.submission_id, validator, round_)
            committed = book.get(VOTE_COMMITMENTS, key)
            if committed is not None:
                yield key, committed


def have_all_committed(book: Book, task: Task) -> bool:
    """Tell whether every member of the panel has committed to all that he may judge.

    Nobody waits for members who cannot: who left, was suspended, or whose votes a verdict made
    void. Where nobody has committed at all this is false.
    """
    round_ = read_voting_round(book, task)
    answers = [
        one.submission_id
        for one in read_submissions(book, task)
        if one.status is SubmissionStatus.UNDER_REVIEW
    ]
    convicted = read_convicted(book, task).validators
    is_any = False
    for validator in task.panel:
        keys = (validation_key(one, validator, round_) for one in answers)
        found = [book.get(VOTE_COMMITMENTS, key) is not None for key in keys]
        if not all(found) and validator not in convicted and _can_commit(book, validator):
            return False
        is_any = is_any or any(found)
    return is_any


def _can_commit(book: Book, validator: bytes) -> bool:
    miner = book.sealed.get(MINERS, validator)
    if miner is None or not miner.roles & ROLE_VALIDATOR or not is_taking_part(miner):
        return False
    return not is_barred(book.sealed, validator)


def open_votes(book: Book, task: Task) -> Task:
    """Return the task with its validation window over after this epoch: votes can be shown.

    The windows before it are over too, some of them early.
    """
    times = task.lifecycle
    times = replace(
        times,
        reveal_deadline=min(times.reveal_deadline, book.epoch - 1),
        validation_deadline=book.epoch,
        finalize_deadline=book.epoch + book.params.finalize_epochs,
    )
    return replace(task, lifecycle=times)


def is_vote_awaited(book: Book, task: Task) -> bool:
    """Tell whether somebody has committed to a vote, has not shown it, and still can."""
    convicted = read_convicted(book, task).validators
    return any(
        one.state is VoteState.COMMITTED
        and one.validator not in convicted
        and not is_barred(book.sealed, one.validator)
        for _, one in read_commitments(book, task, read_voting_round(book, task))
    )


def punish_unshown(book: Book, task: Task) -> None:
    """Take from each validator who never showed a vote what that costs; the rest is his again.

    He loses reputation once, whatever the number of his votes.
    """
    lost: dict[bytes, int] = {}
    for key, one in read_commitments(book, task, read_voting_round(book, task)):
        if one.state is VoteState.COMMITTED:
            amount = take_forfeit(book, task, one.validator, one.stake, Violation.NOT_REVEALED)
            lost[one.validator] = lost.get(one.validator, 0) + amount
            one = replace(one, stake=0, forfeited=amount, state=VoteState.NOT_REVEALED)
            book.put(VOTE_COMMITMENTS, key, one)
    for validator in sorted(lost):
        penalty = PENALTY_POINTS[Violation.NOT_REVEALED]
        book.note(Note(validator, penalty=penalty, forfeited=lost[validator]))


def release_unshown(book: Book, task: Task) -> None:
    """Pay back what is locked behind votes of any round that nobody can show any more."""
    for round_ in range(task.lifecycle.round + 1):
        for key, one in read_commitments(book, task, round_):
            if one.state is VoteState.COMMITTED:
                book.pay(Pot.STAKE, one.validator, one.stake)
                book.put(VOTE_COMMITMENTS, key, replace(one, stake=0, state=VoteState.VOID))
