"""Stakes of answers and votes: how they come back, and what a violation takes from one.

Rules:
1. A stake is locked in a row and nowhere else: what the rows hold is what the ledger calls staked.
2. A violation takes a share of what is still locked, so never more than the stake.
"""

from collections.abc import Sequence
from dataclasses import replace

from protocol.book import Book, Note, Pot
from protocol.errors import InvariantBroken
from protocol.fees import compute_stake_loss, split_forfeit
from protocol.phases import TaskStatus, VoteState
from protocol.records import Submission, Task, Validation
from protocol.reputation import PENALTY_POINTS, Violation
from protocol.tables import SUBMISSIONS, VALIDATIONS, VOTE_COMMITMENTS, validation_key


def read_submissions(book: Book, task: Task) -> tuple[Submission, ...]:
    """Return all submissions of a task, in the order in which they took their places.

    Raises:
        InvariantBroken: a participant without a submission.
    """
    found = []
    for participant in task.participants:
        submission = book.get(SUBMISSIONS, participant.submission_id)
        if submission is None:
            raise InvariantBroken(f"no submission {participant.submission_id.hex()[:16]}")
        found.append(submission)
    return tuple(found)


def read_votes(book: Book, submission: Submission, round_: int) -> tuple[Validation, ...]:
    """Return the votes of one round on a submission, sorted by validator."""
    found = []
    for validator in submission.votes:
        vote = book.get(VALIDATIONS, validation_key(submission.submission_id, validator, round_))
        if vote is not None:
            found.append(vote)
    return tuple(found)


def release_stake(book: Book, submission: Submission) -> Submission:
    """Return the submission with all that is still locked paid back to the miner."""
    book.pay(Pot.STAKE, submission.miner, submission.stake)
    return replace(submission, stake=0)


def forfeit_stake(
    book: Book, task: Task, submission: Submission, violation: Violation
) -> Submission:
    """Return the submission with the share a violation costs taken and the rest paid back."""
    lost = take_forfeit(book, task, submission.miner, submission.stake, violation)
    book.note(Note(submission.miner, penalty=PENALTY_POINTS[violation], forfeited=lost))
    return replace(submission, stake=0, forfeited=submission.forfeited + lost)


def forfeit_votes(book: Book, task: Task, validator: bytes, violation: Violation) -> None:
    """Take from all that a validator has locked in a task the share that a violation costs.

    The rest is paid back. He loses reputation once, whatever the number of his votes; what he has
    not shown yet is void.
    """
    forfeited = 0
    for submission in read_submissions(book, task):
        for round_ in range(task.lifecycle.round + 1):
            key = validation_key(submission.submission_id, validator, round_)
            vote = book.get(VALIDATIONS, key)
            if vote is not None and vote.stake:
                forfeited += take_forfeit(book, task, validator, vote.stake, violation)
                book.put(VALIDATIONS, key, replace(vote, stake=0))
            hidden = book.get(VOTE_COMMITMENTS, key)
            if hidden is not None and hidden.state is VoteState.COMMITTED:
                lost = take_forfeit(book, task, validator, hidden.stake, violation)
                hidden = replace(hidden, stake=0, forfeited=lost, state=VoteState.VOID)
                book.put(VOTE_COMMITMENTS, key, hidden)
                forfeited += lost
    book.note(Note(validator, penalty=PENALTY_POINTS[violation], forfeited=forfeited))


def take_forfeit(book: Book, task: Task, owner: bytes, stake: int, violation: Violation) -> int:
    """Take what a violation costs from a stake and pay the rest back; return what it cost."""
    lost = compute_stake_loss(stake, violation)
    harmed, treasury, burned = split_forfeit(lost, book.params)
    book.pay(Pot.STAKE, task.publisher, harmed)
    book.pay(Pot.STAKE, Pot.TREASURY, treasury)
    book.pay(Pot.STAKE, Pot.BURNED, burned)
    book.pay(Pot.STAKE, owner, stake - lost)
    return lost


def release_votes(book: Book, task: Task, submissions: Sequence[Submission]) -> None:
    """Pay back what is still locked behind any vote of any round on these submissions."""
    for submission in submissions:
        for round_ in range(task.lifecycle.round + 1):
            for vote in read_votes(book, submission, round_):
                if vote.stake:
                    book.pay(Pot.STAKE, vote.validator, vote.stake)
                    key = validation_key(submission.submission_id, vote.validator, round_)
                    book.put(VALIDATIONS, key, replace(vote, stake=0))


def is_closed(task: Task) -> bool:
    """Tell whether a task is over: expired, cancelled, or past its dispute window."""
    return task.settled or task.status in (TaskStatus.EXPIRED, TaskStatus.CANCELLED)
