"""What everybody in the small market can do in one epoch, and what all of them must be refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from protocol.book import Book
from protocol.convictions import read_voting_round
from protocol.dispute_records import Choice as Wish
from protocol.dispute_records import DisputeCase
from protocol.disputes import is_revealing
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.claim_reward import ClaimReward
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.kinds.withdraw_dispute import WithdrawDispute
from protocol.phases import DisputeStatus, RewardState, SubmissionStatus, TaskStatus
from protocol.records import RewardEntry, Submission, Task
from protocol.tables import (
    DISPUTES,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    dispute_key,
    reward_key,
    validation_key,
)
from protocol.view import Key, MemoryView
from protocol.windows import apply_time_moves
from tests.support.builders import (
    STAKE,
    a_commitment,
    a_hash,
    a_reveal,
    a_task,
    a_vote,
    an_address,
    an_answer,
)
from tests.support.court import a_dispute_opening, a_judgment, an_appeal
from tests.support.small_keys import Portrait
from tests.support.small_market import (
    EVERYBODY,
    FIRST_EPOCH,
    JUDGES,
    MINERS,
    NETWORK,
    PARAMS,
    TASK_ID,
    Choice,
    Deed,
    find_beacons,
)

NOTHING: Choice = ()
OPEN = (TaskStatus.PUBLISHED, TaskStatus.IN_PROGRESS)
ROLES = {"publisher": ("alice",), "miner": MINERS, "validator": JUDGES}
NAMES = {an_address(who): who for who in EVERYBODY}


@dataclass(frozen=True, slots=True)
class Bound:
    """How far the market is looked at.

    Attributes:
        places: the sizes of task that alice can publish.
        scores: what a validator can give; None abstains.
        objectors: who opens disputes, by what they are to the task.
        phases: of a task, in which he does.
        disputes: of the task at most.
    """

    places: tuple[int, ...]
    scores: tuple[int | None, ...]
    objectors: tuple[str, ...]
    phases: tuple[TaskStatus, ...]
    disputes: int

    @property
    def last_epoch(self) -> int:
        """The last epoch in which the task can be open, by the sum of all windows."""
        judged = PARAMS.validation_epochs + PARAMS.finalize_epochs + PARAMS.dispute_epochs
        answered = 1 + PARAMS.submission_epochs_min + PARAMS.reveal_epochs_min
        heard = 2 + PARAMS.resolution_epochs + PARAMS.dispute_epochs
        return FIRST_EPOCH + answered + judged + self.disputes * (heard + judged)

    def __str__(self) -> str:
        scores = "/".join("abstain" if one is None else str(one) for one in self.scores)
        phases = "+".join(one.name.lower() for one in self.phases) or "nowhere"
        places = "/".join(map(str, self.places))
        by = "+".join(self.objectors) or "nobody"
        return f"places:{places},scores:{scores},disputes:{self.disputes}@{phases}:{by}"


class Situation:
    """A state as the next epoch finds it, its moves by time made."""

    def __init__(self, rows: dict[Key, Any], epoch: int) -> None:
        """Look at the rows that the seal of `epoch` left."""
        self.view = MemoryView(rows)
        self.epoch = epoch + 1
        self.book = Book(self.view, PARAMS, NETWORK, self.epoch, find_beacons()[0])
        apply_time_moves(self.book, TASK_ID)
        self.task: Task | None = self.book.get(TASKS, TASK_ID)
        written = {(table.name, key): row for table, key, row in self.book.changes()}
        self.portrait = Portrait(rows | written, self.epoch)

    @property
    def status(self) -> TaskStatus | None:
        """The phase of the task."""
        return None if self.task is None else self.task.status

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

    def has_voted(self, who: str, answer: Submission, round_: int) -> bool:
        """Tell whether somebody has voted on an answer."""
        key = validation_key(answer.submission_id, an_address(who), round_)
        return self.book.get(VALIDATIONS, key) is not None


# ------------------------------------------------------------------------------------------- deeds


def publish(places: int) -> Deed:
    """Return alice's publication of the task."""
    terms = a_task(submission_epochs=1, max_participants=places)
    return Deed("alice", "publish_task", terms, f"publishes for {places}")


def cancel(who: str) -> Deed:
    """Return a cancellation."""
    return Deed(who, "cancel_task", CancelTask(""), "cancels")


def commit(who: str) -> Deed:
    """Return a commitment to one's own answer."""
    return Deed(who, "submit_answer", an_answer(NETWORK, TASK_ID, who), "commits")


def copy(who: str) -> Deed:
    """Return a commitment to what the other miner has committed to, or will."""
    stolen = a_commitment(NETWORK, TASK_ID, _other(who))
    return Deed(who, "submit_answer", SubmitAnswer(stolen, STAKE, 80, 1_000), "copies")


def commit_again(who: str) -> Deed:
    """Return another commitment."""
    other = SubmitAnswer(a_hash("second thoughts"), STAKE, 80, 1_000)
    return Deed(who, "submit_answer", other, "commits again")


def reveal(who: str, answer: Submission) -> Deed:
    """Return the opening of an answer with what the miner `who` has."""
    payload = a_reveal(NETWORK, TASK_ID, who, submission_id=answer.submission_id)
    return Deed(who, "reveal_answer", payload, f"reveals {NAMES[answer.miner]}'s")


def reveal_falsely(who: str, answer: Submission) -> Deed:
    """Return an opening with another salt."""
    payload = a_reveal(
        NETWORK, TASK_ID, who, submission_id=answer.submission_id, salt=a_hash("another")
    )
    return Deed(who, "reveal_answer", payload, "reveals falsely")


def vote(who: str, answer: Submission, score: int | None, round_: int) -> Deed:
    """Return a vote."""
    said = "abstains on" if score is None else f"gives {score} to"
    payload = a_vote(answer.submission_id, score, round=round_)
    return Deed(who, "validate_answer", payload, f"{said} {NAMES[answer.miner]}")


def claim(who: str, round_: int, entry: RewardEntry) -> Deed:
    """Return a claim."""
    return Deed(
        who,
        "claim_reward",
        ClaimReward(entry.entry_id, round_),
        f"claims {NAMES[entry.recipient]}'s of round {round_}",
    )


def claim_nothing(who: str) -> Deed:
    """Return a claim of an entry that does not exist."""
    return Deed(who, "claim_reward", ClaimReward(a_hash("none"), 0), "claims nothing")


def object_to(who: str) -> Deed:
    """Return an objection to the task as a whole."""
    return Deed(who, "open_dispute", a_dispute_opening(), "objects")


def withdraw(who: str, case: DisputeCase) -> Deed:
    """Return a withdrawal."""
    return Deed(who, "withdraw_dispute", WithdrawDispute(case.dispute_id), "withdraws")


def appeal(who: str, case: DisputeCase) -> Deed:
    """Return an appeal."""
    return Deed(who, "appeal_dispute", an_appeal(case.dispute_id, hearing=case.hearing), "appeals")


def arbitrate(who: str, case: DisputeCase, wish: Wish, **named: Any) -> Deed:
    """Return an arbiter's vote."""
    payload = a_judgment(case.dispute_id, wish, **{"hearing": case.hearing, **named})
    return Deed(who, "vote_dispute", payload, f"says {wish.name.lower()}")


def _other(who: str) -> str:
    return MINERS[1 - MINERS.index(who)]


# ------------------------------------------------------------------------------------------- moves


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
        case None:
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
    for address in here.task.panel:
        who = NAMES[address]
        ways: list[list[Choice]] = []
        for answer in answers:
            if not here.has_voted(who, answer, round_):
                ways.append([NOTHING, *((vote(who, answer, one, round_),) for one in bound.scores)])
        for parts in product(*ways):
            deeds = tuple(deed for part in parts for deed in part)
            if deeds:
                yield who, deeds


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


# ------------------------------------------------------------------------------------------ wrongs


def find_wrongs(here: Situation) -> list[Deed]:
    """Return what must be refused here, whatever else the epoch takes in."""
    return list(_find_wrongs(here))


def _find_wrongs(here: Situation) -> Iterator[Deed]:
    yield cancel("eve")
    yield cancel("bob")
    yield commit("vera")
    if here.task is not None:
        yield Deed("alice", "submit_answer", commit("bob").payload, "answers herself")
        if here.status is not TaskStatus.PUBLISHED:
            yield cancel("alice")
    yield from _find_wrong_answers(here)
    yield from _find_wrong_votes(here)
    for who in (*MINERS, "vera", "eve"):
        yield claim_nothing(who)
    for round_, entry in here.entries():
        owner = NAMES[entry.recipient]
        for who in ("alice", "eve", *MINERS, "vera"):
            if who != owner:
                yield claim(who, round_, entry)
        if entry.state is not RewardState.CLAIMABLE:
            yield claim(owner, round_, entry)
    yield object_to("eve")
    if here.task is not None and not is_disputable(here) and not may_end_now(here):
        for who in ("alice", *MINERS, "vera"):
            yield object_to(who)
    yield from _find_wrong_court(here)


def _find_wrong_answers(here: Situation) -> Iterator[Deed]:
    is_late = here.task is not None and here.status not in OPEN
    for who in MINERS:
        mine, others = here.answer_of(who), here.answer_of(_other(who))
        if mine is not None or is_late:
            yield commit_again(who)
        if mine is not None:
            yield reveal_falsely(who, mine)
            if not can_reveal(here, who):
                yield reveal(who, mine)
        if others is not None:
            yield reveal(who, others)


def _find_wrong_votes(here: Situation) -> Iterator[Deed]:
    round_ = 0 if here.task is None else read_voting_round(here.book, here.task)
    panel = () if here.task is None else here.task.panel
    for answer in here.answers():
        yield vote("alice", answer, 90, round_)
        yield vote(NAMES[answer.miner], answer, 90, round_)
        yield vote("bob", answer, 90, round_)
        yield vote("eve", answer, 90, round_)
        for who in JUDGES:
            is_open = (
                here.status is TaskStatus.UNDER_VALIDATION
                and answer.status is SubmissionStatus.UNDER_REVIEW
                and an_address(who) in panel
                and not here.has_voted(who, answer, round_)
            )
            if not is_open:
                yield vote(who, answer, 20, round_)
            else:
                yield vote(who, answer, 90, round_ + 1)


def _find_wrong_court(here: Situation) -> Iterator[Deed]:
    task = here.task
    for past in range(task.lifecycle.round if task is not None else 0):
        closed = here.book.get(DISPUTES, dispute_key(TASK_ID, past))
        if closed is not None:
            yield withdraw(NAMES[closed.disputer], closed)
            yield appeal("alice", closed)
            yield arbitrate("ada", closed, Wish.VOID)
    case = here.case
    if case is None:
        return
    yield arbitrate("alice", case, Wish.UPHOLD)
    yield arbitrate("eve", case, Wish.VOID)
    yield withdraw("eve", case)
    yield appeal("eve", case)
    if case.status is not DisputeStatus.UNDER_REVIEW:
        yield from (arbitrate(who, case, Wish.VOID) for who in JUDGES)
    if case.status is not DisputeStatus.RESOLVED_APPEALABLE:
        yield appeal("alice", case)
    if case.status is not DisputeStatus.PENDING or not can_withdraw(here, case):
        yield withdraw(NAMES[case.disputer], case)
