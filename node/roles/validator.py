"""The validator: judges every answer to a task whose panel holds the account, once.

The panel is drawn when validation is sealed, so nothing is judged before. What is left to do
follows from the provisional state: an answer under review without a vote of ours in this round. A
vote that no seal took in is therefore cast again.
"""

import unicodedata

import structlog
import trio

from node.author import Author
from node.roles.desk import WorkerDesk
from node.roles.refusals import Refusals
from node.roles.scoring import Scoring
from node.roles.watch import TURN_TASKS, Watch
from node.state_manager import StateManager
from node.workers.messages import REASONING_BYTES_MAX
from node.workers.messages import Verdict as Judgement
from protocol.convictions import read_voting_round
from protocol.errors import BlamedError
from protocol.kinds.validate_answer import ValidateAnswer
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import RejectReason, Submission, Task, Verdict
from protocol.tables import SUBMISSIONS, TASKS, VALIDATIONS, validation_key

log = structlog.get_logger("roles")


class Validator:
    """Judges answers for one account.

    Args:
        state: what there is to judge.
        author: of the account.
        desk: the worker that scores.
        concurrency: tasks at the same time.
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
        self._refusals = Refusals("validator")
        self._waiting: set[bytes] = set()
        self._working: set[bytes] = set()

    async def run(self) -> None:
        """Look at what happens and act on it; never returns."""
        with self._state.broadcast.listen() as listener:
            watch = Watch(self._state, listener)
            async with trio.open_nursery() as nursery:
                while True:
                    for place, task_id in enumerate(await watch.next_tasks()):
                        if self._is_ours(task_id):
                            self._waiting.add(task_id)
                        if place % TURN_TASKS == 0:
                            await trio.lowlevel.checkpoint()
                    self._take_up(nursery)

    # ------------------------------------------------------------------------- deciding

    def _is_ours(self, task_id: bytes) -> bool:
        task = self._state.store.view.get(TASKS, task_id)
        return (
            task is not None
            and task.status is TaskStatus.UNDER_VALIDATION
            and self._author.address in task.panel
            and self._state.epoch + 1 <= task.lifecycle.finalize_deadline
        )

    def _take_up(self, nursery: trio.Nursery) -> None:
        """Begin with as many waiting tasks as there are places, the most urgent first."""
        ranked = []
        for task_id in self._waiting:
            task = self._state.open.get(TASKS, task_id)
            if task is not None and self._is_ours(task_id) and self._list_unjudged(task):
                ranked.append((task.lifecycle.validation_deadline, task_id, task))
        self._waiting = {task_id for _, task_id, _ in ranked}
        self._scoring.forget_all_but(self._waiting)
        for _, task_id, task in sorted(ranked, key=lambda one: one[:2]):
            if len(self._working) >= self._concurrency:
                return
            if task_id not in self._working and self._may_begin(task):
                self._working.add(task_id)
                nursery.start_soon(self._judge, task)

    def _may_begin(self, task: Task) -> bool:
        is_refused = self._refusals.is_fresh(task.task_id, self._state.epoch)
        return not is_refused and self._scoring.can_ask(task)

    def _list_unjudged(self, task: Task) -> list[Submission]:
        """Return the answers that wait for our vote, in the order of their places."""
        view, own = self._state.open, self._author.address
        voting_round = read_voting_round(view, task)
        found = []
        for one in task.participants:
            submission = view.get(SUBMISSIONS, one.submission_id)
            if submission is None or submission.status is not SubmissionStatus.UNDER_REVIEW:
                continue
            key = validation_key(one.submission_id, own, voting_round)
            if one.miner != own and view.get(VALIDATIONS, key) is None:
                found.append(submission)
        return found

    # --------------------------------------------------------------------------- acting

    async def _judge(self, task: Task) -> None:
        """Have the answers to one task scored and cast the votes."""
        try:
            votes = await self._score(task, self._list_unjudged(task))
            for vote in votes:
                await self._author.submit("validate_answer", vote, subject=task.task_id)
            if votes:
                log.info("answers_judged", task=task.task_id[:8], votes=len(votes))
        except BlamedError as error:
            self._refusals.note(task.task_id, error, self._state.epoch)
        finally:
            self._working.discard(task.task_id)

    async def _score(self, task: Task, submissions: list[Submission]) -> list[ValidateAnswer]:
        """Return a vote on each answer whose content is here; the others' turn comes later.

        Raises:
            WorkerFault: the worker gave no scores.
            BlamedError: `task_unreadable` or `input_missing`.
        """
        deadline = task.lifecycle.validation_deadline
        return [
            self._build_vote(task, submission.submission_id, judgement)
            for submission, judgement in await self._scoring.score(task, submissions, deadline)
        ]

    def _build_vote(
        self, task: Task, submission_id: bytes, judgement: Judgement | None
    ) -> ValidateAnswer:
        """Return the vote that a judgement means; None of one: the answer is no text.

        Whatever is worth anything is approved with its score: the median of the scores decides
        about the quality that the publisher asked for, and pays who is near it.
        """
        score, reasoning, reason = 0, "no text", RejectReason.TECHNICAL_ERROR
        verdict = Verdict.REJECT
        if judgement is not None:
            score, reasoning = judgement.score or 0, _fit(judgement.reasoning)
            if judgement.score is None:
                verdict, reason = Verdict.ABSTAIN, RejectReason.NONE
            elif score:
                verdict, reason = Verdict.APPROVE, RejectReason.NONE
            else:
                reason = RejectReason.INCORRECT_ANSWER
        return ValidateAnswer(
            submission_id=submission_id,
            verdict=verdict,
            score=score,
            reason=reason,
            reasoning=reasoning,
            stake=(task.terms.stake_required + 1) // 2,
            round=read_voting_round(self._state.open, task),
        )


def _fit(reasoning: str) -> str:
    """Return what a worker wrote as a transaction can hold it: composed, and cut if that grew."""
    data = unicodedata.normalize("NFC", reasoning).encode("utf-8")
    return data[:REASONING_BYTES_MAX].decode("utf-8", "ignore")
