"""Having the answers to a task scored by the worker: for a vote of its panel, or one in court."""

from collections.abc import Collection, Sequence

from node.roles.briefs import Unbriefable, build_assignment
from node.roles.desk import WorkerDesk
from node.state_manager import StateManager
from node.workers.fields import BadField
from node.workers.messages import (
    ANSWERS_MAX,
    DEADLINE_MS_MAX,
    OUTPUTS_BYTES_MAX,
    Candidate,
    ScoreRequest,
    Verdict,
    WorkerFault,
)
from protocol.errors import BlamedError
from protocol.kinds.reveal_answer import REVEAL_ANSWER
from protocol.records import Submission, Task
from protocol.task_types import get_type_slug

ATTEMPTS_MAX = 3
"""Failures of the worker at one task, after which it is left to others."""

Scored = tuple[Submission, Verdict | None]
"""An answer and what the worker says of it; None: the answer is no text."""


class Scoring:
    """What one role asks the worker, and at which tasks it failed.

    Args:
        state: where the answers are.
        desk: the worker that scores.
        timeout_ms: for the answers to one task.
    """

    def __init__(self, state: StateManager, desk: WorkerDesk, timeout_ms: int) -> None:
        self._state = state
        self._desk = desk
        self._timeout_ms = timeout_ms
        self._failures: dict[bytes, int] = {}

    def can_ask(self, task: Task) -> bool:
        """Tell whether the worker can be asked about a task now."""
        terms = task.terms
        return (
            not self.has_given_up(task.task_id)
            and (not terms.data_bytes or self._state.store.journal.has_blob(terms.data_hash))
            and self._desk.can_take(get_type_slug(terms.task_type))
        )

    def has_given_up(self, task_id: bytes) -> bool:
        """Tell whether the worker will not be asked about a task any more."""
        return self._failures.get(task_id, 0) >= ATTEMPTS_MAX

    def forget_all_but(self, task_ids: Collection[bytes]) -> None:
        """Forget the failures at all other tasks."""
        self._failures = {key: n for key, n in self._failures.items() if key in task_ids}

    async def score(
        self, task: Task, submissions: Sequence[Submission], deadline: int
    ) -> list[Scored]:
        """Return what the worker says of those answers whose content is here.

        There may be more of them than fit into one question: then the first ones are judged.

        Args:
            task: that they answer.
            submissions: revealed.
            deadline: the last epoch in which the scores are of use.

        Raises:
            WorkerFault: the worker gave no scores.
            BlamedError: `task_unreadable` or `input_missing`.
        """
        found: list[Scored] = []
        asked: dict[str, Submission] = {}
        candidates: list[Candidate] = []
        size = 0
        for submission in submissions:
            content = self._read_content(submission)
            if content is None:
                continue
            try:
                output = content.decode("utf-8")
            except UnicodeDecodeError:
                found.append((submission, None))
                continue
            if len(candidates) == ANSWERS_MAX or size + len(content) > OUTPUTS_BYTES_MAX:
                break
            size += len(content)
            candidate = Candidate(id=submission.submission_id.hex(), output=output)
            asked[candidate.id] = submission
            candidates.append(candidate)
        if candidates:
            verdicts = await self._ask(task, tuple(candidates), deadline)
            found += [(asked[one.id], one) for one in verdicts]
        return found

    async def _ask(
        self, task: Task, candidates: tuple[Candidate, ...], deadline: int
    ) -> tuple[Verdict, ...]:
        left_ms = max(1, deadline - self._state.epoch) * self._state.params.epoch_ms
        try:
            assignment = build_assignment(self._state, task)
            if assignment is None:
                raise BlamedError("input_missing", "no input here", "the input of the task")
            request = ScoreRequest(
                id=task.task_id.hex(),
                task=assignment,
                answers=candidates,
                deadline_ms=min(self._timeout_ms, left_ms, DEADLINE_MS_MAX),
                attempt=self._failures.get(task.task_id, 0) + 1,
            )
            return (await self._desk.score(request)).scores
        except (Unbriefable, BadField) as error:
            self._failures[task.task_id] = ATTEMPTS_MAX
            raise BlamedError("task_unreadable", str(error)[:200], "text") from error
        except WorkerFault as fault:
            if fault.code != "worker_paused":
                failures = self._failures.get(task.task_id, 0) + 1
                self._failures[task.task_id] = failures if fault.retryable else ATTEMPTS_MAX
            raise

    def _read_content(self, submission: Submission) -> bytes | None:
        journal = self._state.store.journal
        if submission.reveal_tx is None or submission.content_hash is None:
            return None
        tx = journal.get(submission.reveal_tx)
        if tx is not None and tx.header.kind == REVEAL_ANSWER.code and tx.payload.content:
            content: bytes = tx.payload.content
            return content
        return journal.blob(submission.content_hash)
