"""Who plays by the rules in an economy: solves, judges, objects on plain evidence, arbitrates.

What an honest person objects to is plain: a result far from what the answer in question is worth to
anybody who looks at it, or no result although validation is over.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from protocol.convictions import read_voting_round
from protocol.dispute_records import (
    HEARINGS_MAX,
    Choice,
    DisputeCase,
    DisputeType,
    EvidenceType,
)
from protocol.fees import compute_bond_min
from protocol.kinds.appeal_dispute import AppealDispute
from protocol.kinds.claim_reward import ClaimReward
from protocol.kinds.open_dispute import Exhibit, OpenDispute
from protocol.kinds.vote_dispute import VoteDispute
from protocol.phases import ROUNDS_MAX, DisputeStatus, RewardState, SubmissionStatus, TaskStatus
from protocol.records import RewardEntry, Submission, Task
from protocol.tables import REWARDS, reward_key
from tests.support.builders import a_hash, an_address, name_of
from tests.support.economy import VOTES_AFTER_EPOCHS, WRONG, Economy, Signed


class Honest:
    """Plays by the rules. A cheat is a subclass that does one thing differently."""

    def offer(self, economy: Economy) -> Mapping[str, Any]:
        """Ask for what is usual."""
        return {}

    def act(self, economy: Economy, who: str, task: Task) -> Signed:
        """Return what somebody does about a task in the epoch to come."""
        is_open = economy.next <= task.lifecycle.submission_deadline
        match task.status:
            case TaskStatus.PUBLISHED | TaskStatus.IN_PROGRESS if is_open:
                yield from self.commit(economy, who, task)
                if economy.lapses.is_hasty:
                    yield from self.reveal(economy, who, task)
            case TaskStatus.IN_PROGRESS | TaskStatus.ANSWERS_SUBMITTED if not is_open:
                yield from self.reveal(economy, who, task)
            case TaskStatus.UNDER_VALIDATION:
                can_commit = economy.next <= task.lifecycle.validation_deadline
                if can_commit:
                    yield from self.judge(economy, who, task)
                if not can_commit or economy.lapses.are_votes_open:
                    yield from self.show_votes(economy, who, task)
                yield from self.object(economy, who, task)
            case TaskStatus.DISPUTED:
                yield from self.go_to_court(economy, who, task)
            case TaskStatus.COMPLETED if task.settled:
                yield from self.claim(economy, who, task)
            case TaskStatus.COMPLETED:
                yield from self.object(economy, who, task)

    def have_last_word(self, economy: Economy) -> Signed:
        """Add nothing."""
        return ()

    # ----------------------------------------------------------------------------- answering

    def commit(self, economy: Economy, who: str, task: Task) -> Signed:
        """Commit to one's own work."""
        if economy.is_taker(who, task) and economy.once("commit", who, task.task_id):
            content = economy.work(who, task.task_id)
            payload = economy.commit(who, task.task_id, content)
            yield economy.sign(who, "submit_answer", payload, task.task_id)

    def reveal(self, economy: Economy, who: str, task: Task) -> Signed:
        """Show one's answer; every second person takes an epoch longer."""
        submission = economy.submission_of(who, task)
        if who == economy.setting.sleeper:
            return
        if submission is None or submission.status is not SubmissionStatus.PENDING:
            return
        is_slow = economy.draw(0, 1, "slow", who) == 1
        is_first = economy.next == task.lifecycle.submission_deadline + 1
        if is_slow and is_first:
            return
        if economy.once("reveal", who, task.task_id):
            payload = economy.reveal(who, submission)
            yield economy.sign(who, "reveal_answer", payload, task.task_id)

    # ------------------------------------------------------------------------------- judging

    def judge(self, economy: Economy, who: str, task: Task) -> Signed:
        """Commit to a vote on every answer, once one has looked at all of them."""
        if economy.next < find_opening(task) + VOTES_AFTER_EPOCHS:
            return
        for submission, round_ in find_unjudged(economy, who, task):
            yield economy.vote(who, submission, round_, economy.look_at(who, submission))

    def show_votes(self, economy: Economy, who: str, task: Task) -> Signed:
        """Show what one has committed to."""
        return economy.show_votes(who, task, read_voting_round(economy.world.view, task))

    def object(self, economy: Economy, who: str, task: Task) -> Signed:
        """Object to a wrong result, as the first honest party."""
        if not economy.lapses.is_watchful or who != find_objector(economy, task):
            return
        wrong = find_wrong(economy, who, task)
        if not wrong or task.lifecycle.round >= ROUNDS_MAX:
            return
        if economy.once("object", task.task_id, task.lifecycle.round):
            liars = find_liars(economy, who, task)
            type_ = DisputeType.FRAUD_ACCUSATION if liars[1:] else DisputeType.QUALITY_ASSESSMENT
            winner = next((one for one in wrong if one.submission_id == task.winner), None)
            payload = OpenDispute(
                type_,
                winner.submission_id if winner is not None else None,
                (Exhibit(EvidenceType.TECHNICAL_ANALYSIS, a_hash("what it is worth")),),
                "the result is wrong",
                compute_bond_min(task.terms.reward),
            )
            yield economy.sign(who, "open_dispute", payload, task.task_id)

    # ------------------------------------------------------------------------------ in court

    def go_to_court(self, economy: Economy, who: str, task: Task) -> Signed:
        """Vote as an arbiter, or appeal as the disputer."""
        case = economy.case_of(task)
        if case.status is DisputeStatus.UNDER_REVIEW and an_address(who) in case.panel:
            if economy.once("arbitrate", who, case.dispute_id, case.hearing):
                vote = self.arbitrate(economy, who, task, case)
                yield economy.sign(who, "vote_dispute", vote, task.task_id)
        elif case.status is DisputeStatus.RESOLVED_APPEALABLE:
            yield from self.appeal(economy, who, task, case)

    def arbitrate(self, economy: Economy, who: str, task: Task, case: DisputeCase) -> VoteDispute:
        """Have others judge again what was judged wrong, and name whoever lied."""
        if not find_wrong(economy, who, task):
            return VoteDispute(case.dispute_id, case.hearing, Choice.UPHOLD, 0, (), (), "")
        liars = tuple(find_liars(economy, who, task))
        return VoteDispute(case.dispute_id, case.hearing, Choice.REVALIDATE, 0, (), liars, "")

    def appeal(self, economy: Economy, who: str, task: Task, case: DisputeCase) -> Signed:
        """Appeal when one's objection was dismissed although one is still sure of it."""
        is_lost = case.judgments[-1].choice is Choice.UPHOLD
        if an_address(who) != case.disputer or not is_lost or case.hearing + 1 >= HEARINGS_MAX:
            return
        if economy.once("appeal", case.dispute_id, case.hearing):
            bond = compute_bond_min(task.terms.reward)
            news = a_hash(f"news {case.hearing}")
            payload = AppealDispute(case.dispute_id, case.hearing, "", news, bond)
            yield economy.sign(who, "appeal_dispute", payload, task.task_id)

    # ----------------------------------------------------------------------------- being paid

    def claim(self, economy: Economy, who: str, task: Task) -> Signed:
        """Claim what one is owed."""
        for entry in find_claimable(economy, task):
            if entry.recipient == an_address(who) and economy.once("claim", entry.entry_id):
                payload = ClaimReward(entry.entry_id, task.lifecycle.round)
                yield economy.sign(who, "claim_reward", payload, task.task_id)


def find_opening(task: Task) -> int:
    """Return the epoch in which the present validation opened."""
    moves = task.lifecycle.transitions
    return next(
        one.epoch for one in reversed(moves) if one.to_status is TaskStatus.UNDER_VALIDATION
    )


def find_unjudged(economy: Economy, who: str, task: Task) -> Iterable[tuple[Submission, int]]:
    """Yield the answers that a member of the panel is not bound on yet, each with the round."""
    if an_address(who) not in task.panel:
        return
    round_ = read_voting_round(economy.world.view, task)
    for submission in economy.submissions(task):
        is_open = submission.status is SubmissionStatus.UNDER_REVIEW
        is_others = submission.miner != an_address(who)
        if is_open and is_others and economy.once("vote", who, submission.submission_id, round_):
            yield submission, round_


def find_objector(economy: Economy, task: Task) -> str | None:
    """Return the first party of a task that is honest: customer, solvers, then the panel."""
    parties = (task.publisher, *(one.miner for one in task.participants), *task.panel)
    names = [name_of(one) for one in parties]
    return next((one for one in names if one not in economy.attackers), None)


def find_wrong(economy: Economy, who: str, task: Task) -> list[Submission]:
    """Return the answers whose result is wrong or missing, as somebody honest sees it."""
    is_over = task.status is not TaskStatus.UNDER_VALIDATION or (
        economy.next >= task.lifecycle.finalize_deadline
    )
    if not is_over:
        return []
    shown = [one for one in economy.submissions(task) if one.content_hash is not None]
    if task.status is TaskStatus.UNDER_VALIDATION:
        # At the end of validation most of the panel are enough for a result.
        round_ = read_voting_round(economy.world.view, task)
        return [one for one in shown if 2 * len(economy.votes(one, round_)) <= len(task.panel)]
    return [
        one
        for one in shown
        if one.score is None or abs(one.score - economy.look_at(who, one)) > WRONG
    ]


def find_liars(economy: Economy, who: str, task: Task) -> list[bytes]:
    """Return the sorted addresses of validators whose votes somebody honest knows to be false."""
    round_ = read_voting_round(economy.world.view, task)
    liars = set()
    for submission in economy.submissions(task):
        if submission.content_hash is None:
            continue
        seen = economy.look_at(who, submission)
        for vote in economy.votes(submission, round_):
            if abs(vote.score - seen) > WRONG:
                liars.add(vote.validator)
    return sorted(liars)


def find_claimable(economy: Economy, task: Task) -> list[RewardEntry]:
    """Return the entries of a task's present round that can be claimed now."""
    row = economy.world.require(REWARDS, reward_key(task.task_id, task.lifecycle.round))
    return [entry for entry in row.entries if entry.state is RewardState.CLAIMABLE]
