"""From votes to money: decisions, the distribution of the reward, and its settlement.

Rules:
1. Completing fixes who gets what and pays nothing: a dispute may still come.
2. Settling, once the dispute window has passed, pays what needs nobody's claim: the fee, the refund
   and the stakes. It also moves reputations, for until then a verdict could take the result back.
3. escrowed + paid out + refunded = total at every step; the network's fee counts as paid out.
4. What a publisher asks for beyond the least of the network is due while validation lasts. At its
   very end more than half of the panel is enough: else whoever asks for much, or keeps some of the
   panel silent, would have the answers and his reward.
5. Where a first panel is divided its votes are not the result yet: so many others judge as well
   that nobody who had most of its seats by chance has most of theirs too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from protocol.book import Book, Note, Pot
from protocol.closing import find_owed
from protocol.consensus import Decision, Vote, decide
from protocol.convictions import read_convicted, read_voting_round
from protocol.errors import InvariantBroken
from protocol.fees import split_fee
from protocol.hashing import compute_hash
from protocol.lifecycle import is_lost, move_task, refund_task
from protocol.panel import draw_second_panel, is_first_panel
from protocol.phases import RewardState, SubmissionStatus, TaskStatus, Trigger
from protocol.records import (
    RewardDistribution,
    RewardEntry,
    Submission,
    Task,
    Validation,
    Verdict,
)
from protocol.reputation import judge_score
from protocol.rewards import Answer, Share, compute_payout, compute_winners_max, get_pool_shares
from protocol.stakes import (
    forfeit_stake,
    read_submissions,
    read_votes,
    release_stake,
    release_votes,
)
from protocol.tables import REWARDS, SUBMISSIONS, reward_key
from protocol.votes import punish_unshown

_NO_SUBMISSION = bytes(32)


@dataclass(frozen=True, slots=True)
class Judged:
    """One revealed answer with the votes of the present round and what they amount to."""

    submission: Submission
    votes: tuple[Vote, ...]
    decision: Decision


def judge_task(book: Book, task: Task) -> tuple[Judged, ...]:
    """Return every answer under review with its decision as the votes stand now."""
    return judge_answers(
        book,
        task,
        [
            submission
            for submission in read_submissions(book, task)
            if submission.status is SubmissionStatus.UNDER_REVIEW
        ],
        is_last=book.epoch > task.lifecycle.finalize_deadline,
    )


def judge_answers(
    book: Book, task: Task, submissions: Iterable[Submission], *, is_last: bool
) -> tuple[Judged, ...]:
    """Return answers with their decisions as the votes that count stand now.

    Args:
        book: of the task's subject.
        task: whose panel voted.
        submissions: what to judge.
        is_last: no more votes can come, so rule 4 holds.
    """
    terms = task.terms
    reviewers, threshold = terms.required_reviewers, terms.consensus_threshold
    if is_last:
        reviewers = min(reviewers, len(task.panel) // 2 + 1)
        threshold = book.params.consensus_threshold_min
    judged = []
    for submission in submissions:
        votes = tuple(
            Vote(vote.validator, read_score(vote), vote.weight)
            for vote in read_counted_votes(book, task, submission)
        )
        decision = decide(
            votes,
            required_reviewers=reviewers,
            consensus_threshold=threshold,
            quality_threshold=terms.quality_threshold,
            tolerance=book.params.score_tolerance,
        )
        judged.append(Judged(submission, votes, decision))
    return tuple(judged)


def read_counted_votes(book: Book, task: Task, submission: Submission) -> tuple[Validation, ...]:
    """Return the votes on an answer that no verdict has made void, sorted by validator."""
    convicted = read_convicted(book, task).validators
    votes = read_votes(book, submission, read_voting_round(book, task))
    return tuple(vote for vote in votes if vote.validator not in convicted)


def read_score(vote: Validation) -> int | None:
    """Return the score a vote gives: a rejection is 0, an abstention None."""
    if vote.verdict is Verdict.ABSTAIN:
        return None
    return vote.score if vote.verdict is Verdict.APPROVE else 0


def is_second_panel_due(book: Book, task: Task, judged: Iterable[Judged]) -> bool:
    """Tell whether a first panel is divided: some vote is far from a result.

    Far is half of what opinions may differ. Then either a few are wrong or most are, and only
    others can tell which.
    """
    bound = book.params.score_tolerance // 2
    return is_first_panel(book, task) and any(
        abs(vote.score - one.decision.score) > bound
        for one in judged
        for vote in one.votes
        if vote.score is not None and one.decision.score is not None
    )


def call_second_panel(book: Book, task: Task) -> Task | None:
    """Return the task with fresh validators beside its panel, None if there is nobody else.

    All votes stand, and count together with those to come.
    """
    voters = {voter for one in read_submissions(book, task) for voter in one.votes}
    panel = draw_second_panel(book, task, voters)
    if not panel:
        return None
    validation = book.epoch + book.params.validation_epochs
    times = replace(
        task.lifecycle,
        validation_deadline=validation,
        finalize_deadline=validation + book.params.finalize_epochs,
    )
    return replace(task, panel=panel, lifecycle=times)


def complete_task(book: Book, task: Task, judged: Sequence[Judged], tx: bytes | None) -> Task:
    """Return the task completed; its answers and its distribution are written to the book.

    Args:
        book: of the task's subject.
        task: under validation.
        judged: from `judge_task`, at least one of them decided.
        tx: the vote that completed it, None if the end of the window did.
    """
    punish_unshown(book, task)
    close_reviews(book, judged)
    task = distribute(book, task, judged)
    return move_task(task, TaskStatus.COMPLETED, Trigger.VALIDATION_COMPLETE, book.epoch, tx)


def close_reviews(book: Book, judged: Iterable[Judged]) -> None:
    """Write what the decisions say of each answer."""
    for one in judged:
        submission = _close_review(one)
        book.put(SUBMISSIONS, submission.submission_id, submission)


def distribute(book: Book, task: Task, judged: Sequence[Judged]) -> Task:
    """Return the task with its dispute window open; who gets what is written to the book.

    Args:
        book: of the task's subject.
        task: in the round that the distribution is of.
        judged: of all answers that no verdict has struck out.
    """
    answers = [
        Answer(
            submission_id=one.submission.submission_id,
            miner=one.submission.miner,
            score=_require_score(one),
            committed_at=one.submission.committed_at,
            votes=one.votes,
        )
        for one in judged
        if one.decision.decided
    ]
    terms = task.terms
    payout = compute_payout(
        task.pool.total,
        answers,
        shares=get_pool_shares(terms.task_type, terms.difficulty),
        winners_max=compute_winners_max(terms.task_type, len(answers)),
        quality_threshold=terms.quality_threshold,
        tolerance=book.params.score_tolerance,
    )
    entries = tuple(_build_entry(task, share) for share in payout.shares)
    task = replace(task, winner=payout.winner)
    return put_distribution(book, task, entries, payout.network_fee, payout.refund)


def put_distribution(
    book: Book, task: Task, entries: tuple[RewardEntry, ...], network_fee: int, refund: int
) -> Task:
    """Return the task with its dispute window open from now on; write its distribution."""
    deadline = book.epoch + book.params.dispute_epochs
    distribution = RewardDistribution(
        task_id=task.task_id,
        round=task.lifecycle.round,
        total=task.pool.total,
        network_fee=network_fee,
        refund=refund,
        computed_at=book.epoch,
        claimable_after=deadline,
        entries=entries,
    )
    book.put(REWARDS, reward_key(task.task_id, task.lifecycle.round), distribution)
    times = replace(task.lifecycle, completed_at=book.epoch, dispute_deadline=deadline)
    return replace(task, lifecycle=times)


def _close_review(one: Judged) -> Submission:
    decision = one.decision
    if not decision.decided:
        status = SubmissionStatus.REQUIRES_EXPERT_REVIEW
    elif decision.approved:
        status = SubmissionStatus.APPROVED
    else:
        status = SubmissionStatus.REJECTED
    return replace(
        one.submission,
        status=status,
        score=decision.score if decision.decided else None,
        agreement=decision.agreement,
        confidence=decision.confidence,
    )


def _require_score(one: Judged) -> int:
    if one.decision.score is None:
        raise InvariantBroken("an answer was decided without a score")
    return one.decision.score


def _build_entry(task: Task, share: Share) -> RewardEntry:
    return RewardEntry(
        entry_id=compute_entry_id(
            task.task_id, task.lifecycle.round, share.recipient, share.role, share.submission_id
        ),
        recipient=share.recipient,
        amount=share.amount,
        role=share.role,
        submission_id=share.submission_id,
        rank=share.rank,
        score=share.score,
        state=RewardState.LOCKED,
        claimed_at=None,
        claim_tx=None,
    )


def compute_entry_id(
    task_id: bytes, round_: int, recipient: bytes, role: int, submission_id: bytes | None
) -> bytes:
    """Return the id (32 bytes) of a reward entry, by which it is claimed."""
    return compute_hash(
        "reward",
        task_id,
        bytes([round_]),
        recipient,
        bytes([role]),
        submission_id or _NO_SUBMISSION,
    )


def abandon_validation(book: Book, task: Task, judged: Sequence[Judged]) -> Task:
    """Return the task expired because its answers found no quorum.

    The publisher has his reward back and everybody his stake, but for what it costs not to show a
    vote that one committed to.
    """
    punish_unshown(book, task)
    for one in judged:
        submission = release_stake(book, _close_review(one))
        book.put(SUBMISSIONS, submission.submission_id, submission)
    release_votes(book, task, read_submissions(book, task))
    task = refund_task(book, task)
    return move_task(task, TaskStatus.EXPIRED, Trigger.TIME_EXPIRY, book.epoch, None)


def settle_task(book: Book, task: Task) -> Task:
    """Return the completed task settled: rewards can be claimed and all stakes are back.

    Raises:
        InvariantBroken: a completed task has no distribution.
    """
    key = reward_key(task.task_id, task.lifecycle.round)
    distribution = book.get(REWARDS, key)
    if distribution is None:
        raise InvariantBroken(f"task {task.task_id.hex()[:16]} completed without a distribution")
    entries = tuple(replace(entry, state=RewardState.CLAIMABLE) for entry in distribution.entries)
    book.put(REWARDS, key, replace(distribution, entries=entries))
    treasury, burned = split_fee(distribution.network_fee, book.params)
    book.pay(Pot.ESCROW, Pot.TREASURY, treasury)
    book.pay(Pot.ESCROW, Pot.BURNED, burned)
    book.pay(Pot.ESCROW, task.publisher, distribution.refund)
    submissions = read_submissions(book, task)
    struck = read_convicted(book, task).submissions
    for submission in submissions:
        # What a verdict struck out it has punished too.
        if submission.submission_id not in struck:
            _note_votes(book, task, submission)
            submission = _settle_submission(book, task, submission)
            book.put(SUBMISSIONS, submission.submission_id, submission)
    release_votes(book, task, submissions)
    pool = task.pool
    pool = replace(
        pool,
        escrowed=pool.escrowed - distribution.network_fee - distribution.refund,
        paid_out=pool.paid_out + distribution.network_fee,
        refunded=pool.refunded + distribution.refund,
    )
    return replace(task, pool=pool, settled=True)


def revoke_lost(book: Book, task: Task) -> Task | None:
    """Return a settled task of which nothing is owed any more to those who can sign no claim.

    Their parts go back to the publisher; if he can sign nothing either they go where fees go, for
    on his account they would be out of reach for ever. None if there is no such part.

    Raises:
        InvariantBroken: a completed task has no distribution.
    """
    key = reward_key(task.task_id, task.lifecycle.round)
    distribution = book.get(REWARDS, key)
    if distribution is None:
        raise InvariantBroken(f"task {task.task_id.hex()[:16]} completed without a distribution")
    lost = {one for one in find_owed(distribution) if is_lost(book, one)}
    if not lost:
        return None
    amount, entries = 0, []
    for entry in distribution.entries:
        if entry.recipient in lost and entry.state is RewardState.CLAIMABLE:
            amount += entry.amount
            entry = replace(entry, state=RewardState.REVOKED)
        entries.append(entry)
    book.put(REWARDS, key, replace(distribution, entries=tuple(entries)))
    pool = replace(task.pool, escrowed=task.pool.escrowed - amount)
    if is_lost(book, task.publisher):
        treasury, burned = split_fee(amount, book.params)
        book.pay(Pot.ESCROW, Pot.TREASURY, treasury)
        book.pay(Pot.ESCROW, Pot.BURNED, burned)
        return replace(task, pool=replace(pool, paid_out=pool.paid_out + amount))
    book.pay(Pot.ESCROW, task.publisher, amount)
    return replace(task, pool=replace(pool, refunded=pool.refunded + amount))


def _settle_submission(book: Book, task: Task, submission: Submission) -> Submission:
    if submission.score is None:
        return release_stake(book, submission)
    success = submission.status is SubmissionStatus.APPROVED
    book.note(Note(submission.miner, score=submission.score, success=success))
    violation = judge_score(submission.score, task.terms.quality_threshold)
    if violation is None:
        return release_stake(book, submission)
    return forfeit_stake(book, task, submission, violation)


def _note_votes(book: Book, task: Task, submission: Submission) -> None:
    if submission.score is None:
        return
    for vote in read_counted_votes(book, task, submission):
        given = read_score(vote)
        if given is not None:
            book.note(Note(vote.validator, deviation=abs(given - submission.score)))
