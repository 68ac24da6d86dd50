"""What must be refused in the small market, whatever else an epoch takes in."""

from collections.abc import Iterator

from protocol.convictions import read_voting_round
from protocol.dispute_records import Choice as Wish
from protocol.phases import DisputeStatus, RewardState, SubmissionStatus, TaskStatus
from protocol.tables import (
    DISPUTES,
    dispute_key,
)
from tests.support.builders import (
    an_address,
)
from tests.support.small_deeds import (
    NAMES,
    appeal,
    arbitrate,
    cancel,
    claim,
    claim_nothing,
    commit,
    commit_again,
    find_score,
    name_rival,
    object_to,
    reveal,
    reveal_falsely,
    show_vote,
    vote,
    withdraw,
)
from tests.support.small_market import (
    JUDGES,
    MINERS,
    TASK_ID,
    Deed,
)
from tests.support.small_moves import (
    Situation,
    can_reveal,
    can_withdraw,
    is_disputable,
    may_end_now,
)


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
    can_come = (None, TaskStatus.PUBLISHED, TaskStatus.IN_PROGRESS)
    is_late = here.status not in can_come
    for who in MINERS:
        mine, others = here.answer_of(who), here.answer_of(name_rival(who))
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
                here.can_commit
                and answer.status is SubmissionStatus.UNDER_REVIEW
                and an_address(who) in panel
                and here.vote_of(who, answer, round_) is None
            )
            if not is_open:
                yield vote(who, answer, 20, round_)
            else:
                yield vote(who, answer, 90, round_ + 1)
            hidden = here.find_hidden(who, answer, round_)
            yield show_vote(who, answer, 90 if hidden is None else (find_score(hidden) or 0) ^ 1)


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
