"""What everybody in the small market can do in one epoch that may change something."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from protocol.book import Book
from protocol.convictions import read_voting_round
from protocol.dispute_records import Choice as Wish
from protocol.dispute_records import DisputeCase
from protocol.disputes import is_revealing
from protocol.phases import DisputeStatus, RewardState, SubmissionStatus, TaskStatus, VoteState
from protocol.records import RewardEntry, Submission, Task, VoteCommitment
from protocol.stakes import is_closed
from protocol.tables import (
    DISPUTES,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VOTE_COMMITMENTS,
    dispute_key,
    reward_key,
    validation_key,
)
from protocol.view import Key, MemoryView
from protocol.windows import apply_time_moves
from tests.support.builders import (
    a_commitment,
    an_address,
)
from tests.support.small_deeds import (
    NAMES,
    appeal,
    arbitrate,
    cancel,
    claim,
    commit,
    copy,
    find_score,
    object_to,
    publish,
    reveal,
    show_vote,
    vote,
    withdraw,
)
from tests.support.small_keys import Portrait
from tests.support.small_market import (
    COURT,
    FIRST_EPOCH,
    GENESIS,
    JUDGES,
    MINERS,
    NETWORK,
    PARAMS,
    TASK_ID,
    Choice,
    find_beacons,
)

NOTHING: Choice = ()
ROLES = {"publisher": ("alice",), "miner": MINERS, "validator": JUDGES}


@dataclass(frozen=True, slots=True)
class Bound:
    """How far the market is looked at.

    Attributes:
        places: the sizes of task that alice can publish.
        scores: what a validator can give; None abstains.
        objectors: who opens disputes, by what they are to the task.
        phases: of a task, in which he does.
        disputes: of the task at most.
        as_one: whom a second panel adds do all the same, and of the first nobody commits any more.
        foreseen: what a validator will say is chosen when he commits to it, not when he shows it
            (`tests.support.small_secrets`): many more states that come to the same.
    """

    places: tuple[int, ...]
    scores: tuple[int | None, ...]
    objectors: tuple[str, ...]
    phases: tuple[TaskStatus, ...]
    disputes: int
    as_one: bool = False
    foreseen: bool = False

    @property
    def last_epoch(self) -> int:
        """The last epoch in which the task can be open: each window, and the epoch that ends it."""
        answering = (PARAMS.submission_epochs_min, PARAMS.reveal_epochs_min)
        judging = (PARAMS.validation_epochs, PARAMS.finalize_epochs, PARAMS.dispute_epochs)
        # A panel is drawn the epoch after the opening, and another one after an appeal.
        hearing = (0, PARAMS.resolution_epochs, PARAMS.dispute_epochs, 0)
        windows = (*answering, *judging, *(hearing + judging) * self.disputes)
        return FIRST_EPOCH + 1 + sum(window + 1 for window in windows)

    def __str__(self) -> str:
        scores = "/".join("abstain" if one is None else str(one) for one in self.scores)
        phases = "+".join(one.name.lower() for one in self.phases) or "nowhere"
        places = "/".join(map(str, self.places))
        by = "+".join(self.objectors) or "nobody"
        second = ",second panel:as one" if self.as_one else ""
        return f"places:{places},scores:{scores},disputes:{self.disputes}@{phases}:{by}{second}"


class Situation:
    """A state as the next epoch finds it, its moves by time made."""

    def __init__(self, rows: dict[Key, Any], epoch: int) -> None:
        """Look at the rows that the seal of `epoch` left."""
        self.view = MemoryView(rows)
        self.epoch = epoch + 1
        self.book = Book(self.view, GENESIS.charter, NETWORK, self.epoch, find_beacons()[0])
        apply_time_moves(self.book, TASK_ID)
        self.task: Task | None = self.book.get(TASKS, TASK_ID)
        written = {(table.name, key): row for table, key, row in self.book.changes()}
        self.portrait = Portrait(rows | written, self.epoch)

    @property
    def status(self) -> TaskStatus | None:
        """The phase of the task."""
        return None if self.task is None else self.task.status

    @property
    def is_over(self) -> bool:
        """Tell whether nothing but claims is left."""
        return self.task is not None and is_closed(self.task)

    @property
    def case(self) -> DisputeCase | None:
        """The dispute that the task is in."""
        if self.task is None or self.task.status is not TaskStatus.DISPUTED:
            return None
        return self.book.get(DISPUTES, dispute_key(TASK_ID, self.task.lifecycle.round))

    def answers(self) -> list[Submission]:
        """Return all answers by the places of their miners."""
        places = () if self.task is None else self.task.participants
        found = [self.book.get(SUBMISSIONS, one.submission_id) for one in places]
        return [one for one in found if one is not None]

    def answer_of(self, who: str) -> Submission | None:
        """Return somebody's answer."""
        return next((one for one in self.answers() if one.miner == an_address(who)), None)

    def entries(self) -> list[tuple[int, RewardEntry]]:
        """Return the reward entries of all rounds."""
        found = []
        for round_ in range(self.task.lifecycle.round + 1 if self.task else 0):
            row = self.book.get(REWARDS, reward_key(TASK_ID, round_))
            found += [(round_, entry) for entry in (row.entries if row else ())]
        return found

    def vote_of(self, who: str, answer: Submission, round_: int) -> VoteCommitment | None:
        """Return somebody's commitment to a vote on an answer."""
        key = validation_key(answer.submission_id, an_address(who), round_)
        return self.book.get(VOTE_COMMITMENTS, key)

    @property
    def can_commit(self) -> bool:
        """Tell whether votes can be committed to."""
        if self.task is None or self.status is not TaskStatus.UNDER_VALIDATION:
            return False
        return self.epoch <= self.task.lifecycle.validation_deadline

    def find_hidden(self, who: str, answer: Submission, round_: int) -> VoteCommitment | None:
        """Return somebody's commitment to a vote on an answer if it can be shown now."""
        if self.status is not TaskStatus.UNDER_VALIDATION or self.can_commit:
            return None
        one = self.vote_of(who, answer, round_)
        return one if one is not None and one.state is VoteState.COMMITTED else None


def find_choices(here: Situation, bound: Bound) -> dict[str, list[Choice]]:
    """Return what each actor can do that may change something; nothing comes first.

    Actors who are alike have their choices in the same order. "court" stands for all arbiters of
    a dispute, who act together.
    """
    choices = {who: [NOTHING] for who in ("alice", *MINERS, *JUDGES, "court")}
    for who, choice in _find_more(here, bound):
        choices[who].append(choice)
    return choices


def _find_more(here: Situation, bound: Bound) -> Iterator[tuple[str, Choice]]:
    match here.status:
        case None if here.epoch == FIRST_EPOCH + 1:
            for places in bound.places:
                yield "alice", (publish(places),)
            yield "alice", (publish(bound.places[0]), cancel("alice"))
            yield from _answer(here)
        case TaskStatus.PUBLISHED | TaskStatus.IN_PROGRESS:
            if here.status is TaskStatus.PUBLISHED:
                yield "alice", (cancel("alice"),)
            yield from _answer(here)
        case TaskStatus.ANSWERS_SUBMITTED:
            yield from _reveal(here)
        case TaskStatus.UNDER_VALIDATION:
            yield from _judge(here, bound)
        case TaskStatus.COMPLETED:
            yield from _claim(here)
        case TaskStatus.DISPUTED:
            yield from _reveal(here)
            yield from _dispute(here)
    yield from _object(here, bound)


def _answer(here: Situation) -> Iterator[tuple[str, Choice]]:
    for who in MINERS:
        if here.answer_of(who) is None:
            yield who, (commit(who),)
            yield who, (copy(who),)


def can_reveal(here: Situation, who: str) -> bool:
    """Tell whether somebody can show his answer now."""
    answer, task = here.answer_of(who), here.task
    return (
        task is not None
        and answer is not None
        and is_revealing(here.book, task)
        and answer.status is SubmissionStatus.PENDING
        and task.lifecycle.submission_deadline < here.epoch <= task.lifecycle.reveal_deadline
        and answer.commitment == a_commitment(NETWORK, TASK_ID, who)
    )


def _reveal(here: Situation) -> Iterator[tuple[str, Choice]]:
    for who in MINERS:
        answer = here.answer_of(who)
        if answer is not None and can_reveal(here, who):
            yield who, (reveal(who, answer),)


def _judge(here: Situation, bound: Bound) -> Iterator[tuple[str, Choice]]:
    assert here.task is not None
    round_ = read_voting_round(here.book, here.task)
    answers = [one for one in here.answers() if one.status is SubmissionStatus.UNDER_REVIEW]
    # In the order of the miners' names, so that validators who are alike have alike choices.
    answers.sort(key=lambda one: NAMES[one.miner])
    panel = [NAMES[address] for address in here.task.panel]
    fresh = [who for who in panel if who in COURT]
    act_as_one = bound.as_one and 0 < len(fresh) < len(panel)
    for who in panel:
        if not act_as_one or (who not in fresh and not here.can_commit):
            yield from ((who, one) for one in _find_votes(here, bound, who, answers, round_))
    if act_as_one:
        together = [_find_votes(here, bound, who, answers, round_) for who in fresh]
        for votes in zip(*together, strict=True):
            yield "court", tuple(deed for one in votes for deed in one)


def _find_votes(
    here: Situation, bound: Bound, who: str, answers: Sequence[Submission], round_: int
) -> Iterator[Choice]:
    """Yield what a validator can commit to and show at once; at least something."""
    ways: list[list[Choice]] = []
    for answer in answers:
        if here.can_commit and here.vote_of(who, answer, round_) is None:
            scores = bound.scores if bound.foreseen else bound.scores[:1]
            ways.append([NOTHING, *((vote(who, answer, one, round_),) for one in scores)])
        hidden = here.find_hidden(who, answer, round_)
        if hidden is not None:
            scores = (find_score(hidden),) if bound.foreseen else bound.scores
            ways.append([NOTHING, *((show_vote(who, answer, one),) for one in scores)])
    for parts in product(*ways):
        deeds = tuple(deed for part in parts for deed in part)
        if deeds:
            yield deeds


def _claim(here: Situation) -> Iterator[tuple[str, Choice]]:
    for who in (*MINERS, *JUDGES):
        deeds = tuple(
            claim(who, round_, entry)
            for round_, entry in here.entries()
            if NAMES[entry.recipient] == who and entry.state is RewardState.CLAIMABLE
        )
        if deeds:
            yield who, deeds


def has_standing(here: Situation, who: str) -> bool:
    """Tell whether somebody is a party of the task."""
    if here.task is None:
        return False
    miners = {one.miner for one in here.task.participants}
    voters = {voter for one in here.answers() for voter in one.votes}
    return an_address(who) in {here.task.publisher, *miners, *here.task.panel, *voters}


def is_disputable(here: Situation) -> bool:
    """Tell whether the phase of the task is one of those that a dispute can interrupt."""
    disputable = (
        TaskStatus.ANSWERS_SUBMITTED,
        TaskStatus.UNDER_VALIDATION,
        TaskStatus.COMPLETED,
    )
    return here.task is not None and here.status in disputable and not here.task.settled


def _object(here: Situation, bound: Bound) -> Iterator[tuple[str, Choice]]:
    if here.task is None or not is_disputable(here) or here.status not in bound.phases:
        return
    if here.task.lifecycle.round < bound.disputes:
        for role in bound.objectors:
            for who in ROLES[role]:
                if has_standing(here, who):
                    yield who, (object_to(who),)


def _dispute(here: Situation) -> Iterator[tuple[str, Choice]]:
    case = here.case
    assert case is not None
    disputer = NAMES[case.disputer]
    if case.status is DisputeStatus.PENDING and can_withdraw(here, case):
        yield disputer, (withdraw(disputer, case),)
    if case.status is DisputeStatus.RESOLVED_APPEALABLE:
        for who in sorted({"alice", disputer}):
            yield who, (appeal(who, case),)
    if case.status is DisputeStatus.UNDER_REVIEW:
        arbiters = [NAMES[address] for address in case.panel]
        for wish, named in find_wishes(here, case):
            yield "court", tuple(arbitrate(who, case, wish, **named) for who in arbiters)
        yield "court", tuple(arbitrate(who, case, Wish.UPHOLD) for who in arbiters[:2])


def can_withdraw(here: Situation, case: DisputeCase) -> bool:
    """Tell whether the disputer can take his dispute back now."""
    is_showing = case.status_before is TaskStatus.ANSWERS_SUBMITTED
    return not is_showing or here.epoch > case.pending_until


def may_end_now(here: Situation) -> bool:
    """Tell whether a withdrawal can end the dispute in this epoch, so that another may follow."""
    case = here.case
    if case is None or case.status is not DisputeStatus.PENDING:
        return False
    return can_withdraw(here, case)


def find_wishes(here: Situation, case: DisputeCase) -> Iterator[tuple[Wish, dict[str, Any]]]:
    """Yield what a court can want done, and whom it holds guilty."""
    yield Wish.UPHOLD, {}
    for answer in here.answers():
        if answer.content_hash is not None:
            yield Wish.OVERTURN, {"submissions": (answer.submission_id,)}
    voters = sorted({voter for one in here.answers() for voter in one.votes})
    if voters:
        yield Wish.OVERTURN, {"validators": tuple(voters[:1])}
    if case.status_before is TaskStatus.COMPLETED:
        yield Wish.SPLIT, {"share": 5_000}
    yield Wish.REVALIDATE, {}
    yield Wish.VOID, {}
    yield Wish.ABSTAIN, {}
