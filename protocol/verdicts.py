"""What an ended dispute does to its task: T13 to T15 of the move table.

Rules:
1. Every ended dispute starts the next round of its task, whatever it ended with.
2. What is changed is changed when the dispute ends, not when a panel judges: so an appeal has
   nothing to undo, and nobody is punished twice for one thing.
3. The entries of an earlier round are revoked; those of the new one are locked until the new
   dispute window has passed.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from protocol.bonds import settle_bonds
from protocol.book import Book
from protocol.convictions import Convicted, read_convicted, read_verdict
from protocol.dispute_records import Choice, DisputeCase, DisputeType, Judgment
from protocol.errors import InvariantBroken
from protocol.lifecycle import move_task, refund_task
from protocol.panel import draw_panel, open_validation, punish_unrevealed
from protocol.params import SCALE
from protocol.phases import (
    DISPUTE_STEPS,
    DisputeStatus,
    RewardState,
    SubmissionStatus,
    TaskStatus,
    Trigger,
    require_step,
)
from protocol.records import RewardDistribution, RewardEntry, Task
from protocol.reputation import Violation
from protocol.settlement import (
    close_reviews,
    compute_entry_id,
    distribute,
    judge_answers,
    put_distribution,
)
from protocol.stakes import (
    forfeit_stake,
    forfeit_votes,
    read_submissions,
    release_stake,
    release_votes,
)
from protocol.tables import DISPUTES, REWARDS, SUBMISSIONS, dispute_key, reward_key
from protocol.votes import release_unshown

_ANSWER_VIOLATIONS: Mapping[DisputeType, Violation] = MappingProxyType(
    {
        DisputeType.VALIDATION_ACCURACY: Violation.POOR_QUALITY,
        DisputeType.REWARD_DISTRIBUTION: Violation.POOR_QUALITY,
        DisputeType.PLAGIARISM: Violation.PLAGIARISM,
        DisputeType.QUALITY_ASSESSMENT: Violation.INCORRECT_ANSWER,
        DisputeType.TECHNICAL_ERROR: Violation.POOR_QUALITY,
        DisputeType.FRAUD_ACCUSATION: Violation.MALICIOUS_BEHAVIOR,
    }
)
"""What a guilty answer is guilty of, by what the dispute is about."""

_REVIEWED = (
    SubmissionStatus.APPROVED,
    SubmissionStatus.REJECTED,
    SubmissionStatus.REQUIRES_EXPERT_REVIEW,
)


def step_dispute(case: DisputeCase, *statuses: DisputeStatus) -> DisputeCase:
    """Return the dispute after one step or more.

    Raises:
        Rejected: `wrong_state`.
    """
    for status in statuses:
        require_step(DISPUTE_STEPS, case.status, status)
        case = replace(case, status=status)
    return case


def close_dispute(book: Book, task: Task, case: DisputeCase, tx: bytes | None) -> Task:
    """Return the task in its next round; bonds are paid, guilty punished, rows written.

    Args:
        book: of the task's subject.
        task: disputed.
        case: in the last of its states.
        tx: the transaction that ended it, None if a window did.
    """
    case = replace(settle_bonds(book, case), closed_at=book.epoch)
    verdict = read_verdict(case)
    convicted = read_convicted(book, task)
    book.put(DISPUTES, dispute_key(task.task_id, case.round), case)
    if verdict is not None:
        _punish(book, task, case, verdict, convicted)
    if case.status_before is TaskStatus.COMPLETED:
        old = _revoke(book, task)
        task = _start_round(task)
        return _leave_completed(book, task, old, verdict, tx)
    return _leave_unfinished(book, _start_round(task), case, verdict, tx)


def _start_round(task: Task) -> Task:
    times = replace(
        task.lifecycle, round=task.lifecycle.round + 1, completed_at=None, dispute_deadline=None
    )
    return replace(task, lifecycle=times)


def _leave_completed(
    book: Book,
    task: Task,
    old: RewardDistribution,
    verdict: Judgment | None,
    tx: bytes | None,
) -> Task:
    match verdict.choice if verdict is not None else Choice.UPHOLD:
        case Choice.VOID:
            return _call_off(book, task, tx)
        case Choice.REVALIDATE:
            return _validate_again(book, task, tx)
        case Choice.OVERTURN:
            task = _decide_anew(book, task)
        case Choice.SPLIT if verdict is not None:
            task = _renew(book, task, old, verdict.share)
        case _:
            task = _renew(book, task, old, 0)
    return move_task(task, TaskStatus.COMPLETED, Trigger.DISPUTE_RESOLVED, book.epoch, tx)


def _leave_unfinished(
    book: Book, task: Task, case: DisputeCase, verdict: Judgment | None, tx: bytes | None
) -> Task:
    choice = verdict.choice if verdict is not None else Choice.UPHOLD
    if choice is Choice.VOID:
        return _call_off(book, task, tx)
    if case.status_before is TaskStatus.ANSWERS_SUBMITTED:
        # There is no vote yet that could be void: validation simply opens.
        return open_validation(book, _wind_up(book, task), Trigger.DISPUTE_RESOLVED, tx)
    if choice is Choice.REVALIDATE:
        return _validate_again(book, task, tx)
    # Votes that were open stay so: who has seen them must not commit to one.
    were_open = case.opened_at > task.lifecycle.validation_deadline
    task = _prolong(book, task) if were_open else _wind_up(book, task)
    return move_task(task, TaskStatus.UNDER_VALIDATION, Trigger.DISPUTE_RESOLVED, book.epoch, tx)


def _prolong(book: Book, task: Task) -> Task:
    """Return the task with its whole window for showing votes before it."""
    finalize = book.epoch + book.params.finalize_epochs
    return replace(task, lifecycle=replace(task.lifecycle, finalize_deadline=finalize))


def _wind_up(book: Book, task: Task) -> Task:
    """Return the task with its whole validation window before it."""
    validation = book.epoch + book.params.validation_epochs
    times = replace(
        task.lifecycle,
        validation_deadline=validation,
        finalize_deadline=validation + book.params.finalize_epochs,
    )
    return replace(task, lifecycle=times)


def _punish(
    book: Book, task: Task, case: DisputeCase, verdict: Judgment, convicted: Convicted
) -> None:
    """Strike out the guilty answers and votes, and take what that costs; once for each party."""
    for submission in read_submissions(book, task):
        key = submission.submission_id
        if key in verdict.submissions and key not in convicted.submissions:
            submission = forfeit_stake(book, task, submission, _ANSWER_VIOLATIONS[case.type])
            struck = replace(submission, status=SubmissionStatus.REJECTED, score=0)
            book.put(SUBMISSIONS, key, struck)
    lied = Violation.FALSE_VALIDATION
    if case.type is DisputeType.FRAUD_ACCUSATION:
        lied = Violation.COLLUSION
    for validator in verdict.validators:
        if validator not in convicted.validators:
            forfeit_votes(book, task, validator, lied)


def _revoke(book: Book, task: Task) -> RewardDistribution:
    key = reward_key(task.task_id, task.lifecycle.round)
    distribution = book.get(REWARDS, key)
    if distribution is None:
        raise InvariantBroken(f"task {task.task_id.hex()[:16]} completed without a distribution")
    entries = tuple(replace(one, state=RewardState.REVOKED) for one in distribution.entries)
    book.put(REWARDS, key, replace(distribution, entries=entries))
    return distribution


def _renew(book: Book, task: Task, old: RewardDistribution, share: int) -> Task:
    """Return the task with the old result in the new round, less a share that goes back."""
    entries = []
    for entry in old.entries:
        amount = entry.amount * (SCALE - share) // SCALE
        if amount:
            entries.append(_renew_entry(task, entry, amount))
    paid = sum(entry.amount for entry in entries)
    refund = old.total - old.network_fee - paid
    return put_distribution(book, task, tuple(entries), old.network_fee, refund)


def _renew_entry(task: Task, entry: RewardEntry, amount: int) -> RewardEntry:
    entry_id = compute_entry_id(
        task.task_id, task.lifecycle.round, entry.recipient, entry.role, entry.submission_id
    )
    return replace(entry, entry_id=entry_id, amount=amount)


def _decide_anew(book: Book, task: Task) -> Task:
    """Return the task with a new result, from the votes and answers that are not struck out."""
    struck = read_convicted(book, task).submissions
    standing = [
        submission
        for submission in read_submissions(book, task)
        if submission.status in _REVIEWED and submission.submission_id not in struck
    ]
    judged = judge_answers(book, task, standing, is_last=True)
    close_reviews(book, judged)
    return distribute(book, task, judged)


def _validate_again(book: Book, task: Task, tx: bytes | None) -> Task:
    """Return the task under validation by others; all earlier votes are void, shown or not."""
    submissions = read_submissions(book, task)
    struck = read_convicted(book, task).submissions
    voters = {validator for submission in submissions for validator in submission.votes}
    for submission in submissions:
        is_shown = submission.content_hash is not None
        if is_shown and submission.submission_id not in struck:
            submission = replace(
                submission,
                status=SubmissionStatus.UNDER_REVIEW,
                score=None,
                agreement=None,
                confidence=None,
            )
            book.put(SUBMISSIONS, submission.submission_id, submission)
    release_votes(book, task, submissions)
    release_unshown(book, task)
    task = replace(_wind_up(book, task), panel=draw_panel(book, task, voters), winner=None)
    return move_task(task, TaskStatus.UNDER_VALIDATION, Trigger.DISPUTE_RESOLVED, book.epoch, tx)


def _call_off(book: Book, task: Task, tx: bytes | None) -> Task:
    """Return the task cancelled; the reward goes back and so do the stakes of the innocent."""
    punish_unrevealed(book, task)
    submissions = read_submissions(book, task)
    for submission in submissions:
        book.put(SUBMISSIONS, submission.submission_id, release_stake(book, submission))
    release_votes(book, task, submissions)
    release_unshown(book, task)
    task = refund_task(book, replace(task, winner=None))
    return move_task(task, TaskStatus.CANCELLED, Trigger.DISPUTE_RESOLVED, book.epoch, tx)
