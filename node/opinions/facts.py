"""What opinions are drawn from: sealed rows and sealed bytes, read in small steps.

Rule 1: of the past only what can no longer change counts: answers and votes whose tasks were
        settled when the answer was committed to. So an analysis never goes stale behind our back,
        and one made late equals one made in time.
Rule 2: the readers yield after each step, and whoever drives them may let others run there.
        A seal may come in between: what it changes is looked at again after it.
"""

import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from protocol.closing import compute_settled_epoch
from protocol.convictions import read_voting_round
from protocol.kinds.reveal_answer import RevealAnswer
from protocol.phases import RewardState
from protocol.records import Submission, Task, Validation
from protocol.settlement import read_score
from protocol.tables import ACCOUNTS, REWARDS, SUBMISSIONS, TASKS, VALIDATIONS, reward_key
from storage.store import Store

PAST_MAX = 32
"""Earlier answers, and earlier votes, that are looked at for one answer."""
WORDS_MAX = 512
"""Words of an answer that its sketch holds: its beginning stands for it."""
_SHINGLE_WORDS = 3

R = TypeVar("R")
Steps = Generator[None, None, R]


@dataclass(frozen=True, slots=True)
class Sketch:
    """The content of a revealed answer, made small.

    Attributes:
        size_bytes: of the content.
        shingles: hashes of its runs of three words.
    """

    size_bytes: int
    shingles: frozenset[int]


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """An earlier answer of the same miner; `is_settled` as of the commitment looked at."""

    submission: Submission
    task: Task
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Given:
    """One answer to the task, with its content if that is known."""

    submission: Submission
    sketch: Sketch | None


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """Everything that an analysis of one answer rests on.

    Attributes:
        given: all answers to the task, in the order in which they were committed to.
        place: of this answer among them.
        past: the miner's earlier answers, the latest first.
        deviations: distances of his earlier votes from what was decided.
        is_equivocator: two transactions of one seq are proved and sealed.
        epochs_per_day: of the network.
    """

    task: Task
    given: tuple[Given, ...]
    place: int
    past: tuple[PastAnswer, ...]
    deviations: tuple[int, ...]
    is_equivocator: bool
    epochs_per_day: int

    @property
    def submission(self) -> Submission:
        """The answer itself."""
        return self.given[self.place].submission

    @property
    def sketch(self) -> Sketch | None:
        """Its content."""
        return self.given[self.place].sketch


def build_sketch(content: bytes) -> Sketch:
    """Return the sketch of a content."""
    words = content.split(None, WORDS_MAX)[:WORDS_MAX]
    runs = (words[at : at + _SHINGLE_WORDS] for at in range(len(words) - _SHINGLE_WORDS + 1))
    return Sketch(len(content), frozenset(zlib.crc32(b" ".join(run)) for run in runs))


def read_task_answers(store: Store, task: Task) -> Steps[tuple[Given, ...]]:
    """Read all answers to a task."""
    given = []
    for participant in task.participants:
        submission = store.view.get(SUBMISSIONS, participant.submission_id)
        if submission is not None:
            given.append(Given(submission, _read_sketch(store, submission)))
        yield
    return tuple(given)


def read_answer_facts(
    store: Store, task: Task, given: tuple[Given, ...], place: int
) -> Steps[AnswerFacts]:
    """Read what an analysis of one answer rests on."""
    submission = given[place].submission
    past = yield from _read_past(store, submission)
    deviations = yield from _read_deviations(store, submission)
    account = store.view.get(ACCOUNTS, submission.miner)
    return AnswerFacts(
        task=task,
        given=given,
        place=place,
        past=past,
        deviations=deviations,
        is_equivocator=account is not None and account.barred_from is not None,
        epochs_per_day=store.genesis.params.epochs_per_day,
    )


def read_window(store: Store, miner: bytes, most: int) -> Steps[tuple[PastAnswer, ...]]:
    """Read a miner's latest answers as they are now, the oldest first."""
    found = []
    for key in reversed(store.local.latest_answers(miner, most)):
        submission = store.view.get(SUBMISSIONS, key)
        task = None if submission is None else store.view.get(TASKS, submission.task_id)
        if submission is not None and task is not None:
            found.append(PastAnswer(submission, task, task.settled))
        yield
    return tuple(found)


def read_earnings(store: Store, answers: Sequence[PastAnswer]) -> Steps[tuple[int, ...]]:
    """Read what the last distribution owes to each of some answers."""
    earnings = []
    for one in answers:
        task, key = one.task, one.submission.submission_id
        row = store.view.get(REWARDS, reward_key(task.task_id, task.lifecycle.round))
        entries = () if row is None else row.entries
        own = [entry for entry in entries if entry.submission_id == key]
        earnings.append(sum(one.amount for one in own if one.state is not RewardState.REVOKED))
        yield
    return tuple(earnings)


def compute_intervals(epochs: list[int]) -> tuple[int, ...]:
    """Return the distances between epochs that are in order."""
    return tuple(after - before for before, after in pairwise(epochs))


def _read_past(store: Store, submission: Submission) -> Steps[tuple[PastAnswer, ...]]:
    past = []
    for key in store.local.earlier_answers(submission, PAST_MAX):
        earlier = store.view.get(SUBMISSIONS, key)
        task = None if earlier is None else store.view.get(TASKS, earlier.task_id)
        if earlier is not None and task is not None:
            is_settled = _is_settled(task, submission.committed_at)
            past.append(PastAnswer(earlier, task, is_settled))
        yield
    return tuple(past)


def _read_deviations(store: Store, submission: Submission) -> Steps[tuple[int, ...]]:
    deviations = []
    epoch = submission.committed_at
    for key in store.local.latest_votes(submission.miner, epoch, PAST_MAX):
        vote: Validation | None = store.view.get(VALIDATIONS, key)
        yield
        if vote is None:
            continue
        judged = store.view.get(SUBMISSIONS, vote.submission_id)
        task = store.view.get(TASKS, vote.task_id)
        given = read_score(vote)
        if judged is None or judged.score is None or task is None or given is None:
            continue
        if _is_settled(task, epoch) and vote.round == read_voting_round(store.view, task):
            deviations.append(abs(given - judged.score))
    return tuple(deviations)


def _is_settled(task: Task, epoch: int) -> bool:
    settled = compute_settled_epoch(task)
    return settled is not None and settled <= epoch


def _read_sketch(store: Store, submission: Submission) -> Sketch | None:
    """Return the sketch of content that came inside its reveal.

    What travels as a blob may be here today and not yet at another time: it is not looked at.
    """
    if submission.reveal_tx is None:
        return None
    reveal = store.journal.get(submission.reveal_tx)
    payload = None if reveal is None else reveal.payload
    if not isinstance(payload, RevealAnswer) or payload.content is None:
        return None
    return build_sketch(payload.content)
