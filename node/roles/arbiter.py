"""The arbiter: judges the disputes to whose panels the account is drawn, once in each hearing.

He has the scorer look at all answers that were shown, and compares. What he then wants follows from
the rules' own bounds, so that arbiters who see the same want the same (`choose_vote`). An operator
who would rather vote himself turns the role off: `roles.arbiter off`, then `minesync dispute vote`.

The panel is drawn at a seal, so nothing is judged before. What is left to do follows from the
provisional state: a hearing of ours without our vote. A vote that no seal took in is cast again.
"""

from collections.abc import Mapping, Sequence

import structlog
import trio

from node.author import Author
from node.roles.desk import WorkerDesk
from node.roles.refusals import Refusals
from node.roles.scoring import Scoring
from node.roles.watch import Watch
from node.state_manager import StateManager
from protocol.convictions import read_convicted, read_voting_round
from protocol.dispute_records import NAMED_MAX, Choice, DisputeCase
from protocol.errors import BlamedError
from protocol.kinds.vote_dispute import VoteDispute
from protocol.phases import DisputeStatus, TaskStatus
from protocol.records import Submission, Task, Verdict
from protocol.tables import DISPUTES, SUBMISSIONS, TASKS, VALIDATIONS, dispute_key, validation_key
from protocol.view import RowReader

log = structlog.get_logger("roles")

Looks = Mapping[bytes, int]
"""What answers are worth to whoever looks at them now, by id."""


class Arbiter:
    """Votes on disputes for one account.

    Args:
        state: what there is to judge.
        author: of the account.
        desk: the worker that scores.
        concurrency: disputes at the same time.
        timeout_ms: for the answers to one task.
    """

    def __init__(
        self,
        state: StateManager,
        author: Author,
        desk: WorkerDesk,
        *,
        concurrency: int,
        timeout_ms: int,
    ) -> None:
        self._state = state
        self._author = author
        self._scoring = Scoring(state, desk, timeout_ms)
        self._concurrency = concurrency
        self._refusals = Refusals("arbiter")
        self._waiting: set[bytes] = set()
        self._working: set[bytes] = set()
        self._looks: dict[bytes, dict[bytes, int | None]] = {}
        """By task of ours: what its answers are worth; None where the worker cannot say."""

    async def run(self) -> None:
        """Look at what happens and act on it; never returns."""
        with self._state.broadcast.listen() as listener:
            watch = Watch(self._state, listener)
            async with trio.open_nursery() as nursery:
                while True:
                    await watch.look_at_next(self._take_note)
                    self._take_up(nursery)

    # ------------------------------------------------------------------------- deciding

    def _take_note(self, task_id: bytes) -> None:
        if self._find_case(task_id) is not None:
            self._waiting.add(task_id)

    def _find_case(self, task_id: bytes) -> DisputeCase | None:
        """Return the dispute of a task if it waits for a vote of ours."""
        task = self._state.store.view.get(TASKS, task_id)
        if task is None or task.status is not TaskStatus.DISPUTED:
            return None
        # The panel is a matter of the seal; whether we have voted shows before that.
        case = self._state.open.get(DISPUTES, dispute_key(task_id, task.lifecycle.round))
        if case is None or case.status is not DisputeStatus.UNDER_REVIEW:
            return None
        own = self._author.address
        votes = {vote.arbiter for vote in case.votes if vote.hearing == case.hearing}
        is_late = self._state.epoch + 1 > (case.resolution_deadline or 0)
        return case if own in case.panel and own not in votes and not is_late else None

    def _take_up(self, nursery: trio.Nursery) -> None:
        """Begin with as many cases as there are places, the most urgent first."""
        ranked = []
        for task_id in self._waiting:
            case, task = self._find_case(task_id), self._state.store.view.get(TASKS, task_id)
            if case is not None and task is not None:
                ranked.append((case.voting_deadline or 0, task_id, task, case))
        self._waiting = {task_id for _, task_id, _, _ in ranked}
        self._looks = {key: row for key, row in self._looks.items() if key in self._waiting}
        self._scoring.forget_all_but(self._waiting)
        for _, task_id, task, case in sorted(ranked, key=lambda one: one[:2]):
            if len(self._working) >= self._concurrency:
                return
            is_refused = self._refusals.is_fresh(task_id, self._state.epoch)
            if task_id not in self._working and not is_refused:
                self._working.add(task_id)
                nursery.start_soon(self._judge, task, case)

    # --------------------------------------------------------------------------- acting

    async def _judge(self, task: Task, case: DisputeCase) -> None:
        """Have the answers looked at again, and vote once all were, or once time is short."""
        task_id = task.task_id
        looks = self._looks.setdefault(task_id, {})
        deadline = case.voting_deadline or 0
        try:
            is_complete = await self._look_at_all(task, looks, deadline)
            is_last = self._state.epoch + 1 >= deadline
            if is_complete or is_last or self._scoring.has_given_up(task_id):
                tolerance = self._state.params.score_tolerance
                seen = {key: score for key, score in looks.items() if score is not None}
                vote = choose_vote(self._state.store.view, task, case, seen, tolerance)
                await self._author.submit("vote_dispute", vote, subject=task_id)
                log.info("dispute_judged", task=task_id[:8], choice=vote.choice.name.lower())
        except BlamedError as error:
            self._refusals.note(task_id, error, self._state.epoch)
        finally:
            self._working.discard(task_id)

    async def _look_at_all(self, task: Task, looks: dict[bytes, int | None], deadline: int) -> bool:
        """Add to `looks` what the worker says of answers; return whether there are no more."""
        shown = list_shown(self._state.store.view, task)
        unseen = [one for one in shown if one.submission_id not in looks]
        if unseen and self._scoring.can_ask(task):
            try:
                found = await self._scoring.score(task, unseen, deadline)
            except BlamedError as error:
                self._refusals.note(task.task_id, error, self._state.epoch)
                found = []
            for submission, verdict in found:
                # What is no text is worth nothing.
                looks[submission.submission_id] = 0 if verdict is None else verdict.score
        return all(one.submission_id in looks for one in shown)


def list_shown(rows: RowReader, task: Task) -> list[Submission]:
    """Return the answers to a task that were shown and that no verdict struck out, by place."""
    struck = read_convicted(rows, task).submissions
    found = [rows.get(SUBMISSIONS, one.submission_id) for one in task.participants]
    return [
        one
        for one in found
        if one is not None and one.content_hash is not None and one.submission_id not in struck
    ]


def choose_vote(
    rows: RowReader, task: Task, case: DisputeCase, looks: Looks, tolerance: int
) -> VoteDispute:
    """Return what an arbiter wants who sees answers as `looks` says.

    A result is wrong if it is further from what he sees than opinions may differ, and a vote is
    false at twice that distance, where the rules take reputation. A copy is what an earlier
    commitment had shown. Who sees nothing abstains; where nothing is wrong the result stands.

    Args:
        rows: the sealed state.
        task: disputed.
        case: the dispute, under review.
        looks: scores of answers, 0 to 100; those not looked at are left out.
        tolerance: points by which opinions may differ.
    """
    shown = list_shown(rows, task)
    copies = _find_copies(shown)
    liars = _find_liars(rows, task, shown, looks, 2 * tolerance)
    is_decided = case.status_before is TaskStatus.COMPLETED
    wrong = [
        one
        for one in shown
        if one.submission_id in looks
        and (one.score is None or abs(one.score - looks[one.submission_id]) > tolerance)
    ]
    if copies:
        return _build_vote(case, Choice.OVERTURN, copies, liars, "a copy of an earlier answer")
    if (is_decided and wrong) or (not is_decided and liars):
        reasoning = f"{len(wrong)} results and {len(liars)} votes far from what the answers are"
        return _build_vote(case, Choice.REVALIDATE, (), liars, reasoning)
    if shown and not looks:
        return _build_vote(case, Choice.ABSTAIN, (), (), "no answer could be looked at")
    return _build_vote(case, Choice.UPHOLD, (), (), "nothing is wrong")


def _find_copies(shown: Sequence[Submission]) -> tuple[bytes, ...]:
    """Return the sorted ids of answers that say what an earlier commitment says.

    Of commitments of one epoch nobody can tell which was first.
    """
    first: dict[bytes | None, int] = {}
    for one in shown:
        known = first.get(one.content_hash, one.committed_at)
        first[one.content_hash] = min(known, one.committed_at)
    copies = (one.submission_id for one in shown if one.committed_at > first[one.content_hash])
    return tuple(sorted(copies)[:NAMED_MAX])


def _find_liars(
    rows: RowReader, task: Task, shown: Sequence[Submission], looks: Looks, bound: int
) -> tuple[bytes, ...]:
    """Return the sorted addresses of those whose votes are further than `bound` from a look."""
    round_ = read_voting_round(rows, task)
    liars = set()
    for one in shown:
        if one.submission_id not in looks:
            continue
        for validator in one.votes:
            vote = rows.get(VALIDATIONS, validation_key(one.submission_id, validator, round_))
            if vote is None or vote.verdict is Verdict.ABSTAIN:
                continue
            # A rejection gives the score 0, as its row says.
            if abs(vote.score - looks[one.submission_id]) > bound:
                liars.add(validator)
    liars -= read_convicted(rows, task).validators
    return tuple(sorted(liars)[:NAMED_MAX])


def _build_vote(
    case: DisputeCase,
    choice: Choice,
    submissions: tuple[bytes, ...],
    validators: tuple[bytes, ...],
    reasoning: str,
) -> VoteDispute:
    return VoteDispute(case.dispute_id, case.hearing, choice, 0, submissions, validators, reasoning)
