"""The miner: answers tasks that it can do, commits, and reveals when the time has come.

What is done about a task follows from the provisional state and the answer box alone:

    not taken part, nothing boxed    solve it, box the answer, commit
    not taken part, boxed            commit: an earlier commitment found no seal, or was not sent
    taken part, boxed                reveal, once the submission deadline is sealed
    taken part, not boxed            the salt is lost; told once
    over                             forget the box

So a restart, a lost event or a transaction that died unsealed need no code of their own.
"""

import secrets
from functools import partial

import structlog
import trio

from node.author import Author
from node.roles.answer_box import VERSION, AnswerBox, BoxedAnswer
from node.roles.box import SALT_BYTES, DrawBytes
from node.roles.briefs import Unbriefable, build_assignment
from node.roles.desk import WorkerDesk
from node.roles.refusals import Refusals
from node.roles.watch import Watch
from node.state_manager import StateManager
from node.workers.fields import BadField
from node.workers.messages import DEADLINE_MS_MAX, TaskRequest, WorkerFault
from protocol.answers import compute_commitment
from protocol.disputes import is_revealing
from protocol.errors import BlamedError
from protocol.hashing import compute_content_hash
from protocol.kinds.reveal_answer import RevealAnswer
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.panel import count_judges
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import ROLE_SOLVER, Submission, Task
from protocol.stakes import is_closed
from protocol.tables import MINERS, SUBMISSIONS, TASKS
from protocol.task_types import get_type_slug
from storage.queries import PAGE_ITEMS_MAX

log = structlog.get_logger("roles")

ATTEMPTS_MAX = 3
"""Failures of the worker at one task, after which it is left to others."""
CANDIDATES_MAX = 4_096
QUALITY_DEFAULT = 50
"""The miner's guess of his own quality, when the worker does not say; advice only."""
QUALITY_FIELD = "estimated_quality"
WORK_MS_MAX = (1 << 53) - 1


class Miner:
    """Answers tasks for one account.

    Args:
        state: what there is to do.
        author: of the account.
        desk: the worker that solves.
        box: answers not settled yet.
        concurrency: tasks at the same time.
        stake_max: nano-units that may be locked in answers at the same time.
        timeout_ms: for one task.
        draw_bytes: draws the salts of commitments; a simulation has a seed for it.
    """

    def __init__(
        self,
        state: StateManager,
        author: Author,
        desk: WorkerDesk,
        box: AnswerBox,
        *,
        concurrency: int,
        stake_max: int,
        timeout_ms: int,
        draw_bytes: DrawBytes = secrets.token_bytes,
    ) -> None:
        self._draw_bytes = draw_bytes
        self._state = state
        self._author = author
        self._desk = desk
        self._box = box
        self._concurrency = concurrency
        self._stake_max = stake_max
        self._timeout_ms = timeout_ms
        self._refusals = Refusals("miner")
        self._candidates: set[bytes] = set()
        self._working: dict[bytes, int] = {}
        """Tasks under way, each with the stake it is going to lock."""
        self._revealing: set[bytes] = set()
        self._failures: dict[bytes, int] = {}

    @property
    def _address(self) -> bytes:
        return self._author.address

    async def run(self) -> None:
        """Look at what happens and act on it; never returns."""
        with self._state.broadcast.listen() as listener:
            watch = Watch(self._state, listener)
            async with trio.open_nursery() as nursery:
                while True:
                    await watch.look_at_next(partial(self._look, nursery=nursery))
                    self._forget_what_is_over()
                    self._take_up(nursery)

    # ------------------------------------------------------------------------- deciding

    def _look(self, task_id: bytes, nursery: trio.Nursery) -> None:
        task = self._state.open.get(TASKS, task_id)
        submission = None if task is None else self._find_own(task)
        if task is None or submission is None:
            has_room = len(self._candidates) < CANDIDATES_MAX
            if has_room and task is not None and self._is_takeable(task):
                self._candidates.add(task_id)
            return
        self._candidates.discard(task_id)
        if self._is_revealable(task, submission) and task_id not in self._revealing:
            answer = self._box.get(task_id)
            if answer is None:
                lost = BlamedError("answer_lost", "no boxed answer", "the salt of our commitment")
                self._refusals.note(task_id, lost, self._state.epoch)
            elif not self._refusals.is_fresh(task_id, self._state.epoch):
                self._revealing.add(task_id)
                nursery.start_soon(self._reveal, submission, answer)

    def _find_own(self, task: Task) -> Submission | None:
        for one in task.participants:
            if one.miner == self._address:
                return self._state.open.get(SUBMISSIONS, one.submission_id)
        return None

    def _is_takeable(self, task: Task) -> bool:
        """Tell whether the rules would let us take part, as far as one look shows."""
        terms, epoch = task.terms, self._state.epoch + 1
        miner = self._state.store.view.get(MINERS, self._address)
        return (
            task.status in (TaskStatus.PUBLISHED, TaskStatus.IN_PROGRESS)
            and task.publisher != self._address
            and len(task.participants) < terms.max_participants
            and epoch <= task.lifecycle.submission_deadline
            and miner is not None
            and bool(miner.roles & ROLE_SOLVER)
            and get_type_slug(terms.task_type) in miner.specializations
        )

    def _is_revealable(self, task: Task, submission: Submission) -> bool:
        times, epoch = task.lifecycle, self._state.epoch + 1
        return (
            is_revealing(self._state.open, task)
            and submission.status is SubmissionStatus.PENDING
            and times.submission_deadline < epoch <= times.reveal_deadline
        )

    def _take_up(self, nursery: trio.Nursery) -> None:
        """Begin with as many candidates as there are places, the best paid first."""
        ranked = []
        for task_id in self._candidates:
            task = self._state.open.get(TASKS, task_id)
            if task is not None and self._is_takeable(task) and self._find_own(task) is None:
                ranked.append((-task.terms.reward, task_id, task))
        self._candidates = {task_id for _, task_id, _ in ranked}
        ranked = [one for one in ranked if one[1] not in self._working and self._may_begin(one[2])]
        if not ranked or len(self._working) >= self._concurrency:
            return
        budget = self._stake_max - self._sum_locked() - sum(self._working.values())
        for _, task_id, task in sorted(ranked, key=lambda one: one[:2]):
            if len(self._working) >= self._concurrency:
                return
            stake = task.terms.stake_required
            if stake > budget:
                continue
            budget -= stake
            self._working[task_id] = stake
            nursery.start_soon(self._answer, task)

    def _may_begin(self, task: Task) -> bool:
        task_id = task.task_id
        if self._refusals.is_fresh(task_id, self._state.epoch):
            return False
        if self._box.get(task_id) is not None:
            return True
        terms = task.terms
        has_input = not terms.data_bytes or self._state.store.journal.has_blob(terms.data_hash)
        return (
            has_input
            and not self._box.is_full
            and self._failures.get(task_id, 0) < ATTEMPTS_MAX
            and self._desk.can_take(get_type_slug(terms.task_type))
            and self._has_judges(task)
        )

    def _has_judges(self, task: Task) -> bool:
        """Tell whether enough validators could judge a task with us a party: else nobody pays."""
        parties = {task.publisher, self._address, *(one.miner for one in task.participants)}
        wanted = task.terms.required_reviewers
        view, epoch = self._state.store.view, self._state.epoch + 1
        return count_judges(view, epoch, wanted, parties) == wanted

    def _sum_locked(self) -> int:
        """Return the stakes locked in our answers, those not sealed yet included."""
        queries = self._state.store.queries
        changed = self._state.open.rows(SUBMISSIONS)
        total = sum(one.stake for one in changed.values() if one.miner == self._address)
        for task_id in self._box.list_keys():
            page = queries.submissions_of_task(task_id, PAGE_ITEMS_MAX)
            total += sum(
                one.stake
                for one in page.items
                if one.miner == self._address and one.submission_id not in changed
            )
        return total

    def _forget_what_is_over(self) -> None:
        """Empty the box of answers whose task a seal has closed; what is unknown is kept."""
        for task_id in self._box.list_keys():
            task = self._state.store.view.get(TASKS, task_id)
            if task is not None and is_closed(task) and task_id not in self._working:
                self._box.remove(task_id)
        self._failures = {key: n for key, n in self._failures.items() if key in self._candidates}

    # --------------------------------------------------------------------------- acting

    async def _answer(self, task: Task) -> None:
        """Solve one task unless that was done before, and commit to the answer."""
        started_s = trio.current_time()
        task_id = task.task_id
        quality = QUALITY_DEFAULT
        try:
            answer = self._box.get(task_id)
            if answer is None:
                content, quality = await self._solve(task)
                if content is None:
                    return
                salt = self._draw_bytes(SALT_BYTES)
                answer = self._box.put(BoxedAnswer(VERSION, task_id, salt, content))
            work_ms = min(WORK_MS_MAX, int(1_000 * (trio.current_time() - started_s)))
            await self._commit(task, answer, quality, work_ms)
        except BlamedError as error:
            self._refusals.note(task_id, error, self._state.epoch)
        finally:
            del self._working[task_id]

    async def _solve(self, task: Task) -> tuple[bytes | None, int]:
        """Return content and estimated quality; no content when there is none for now."""
        task_id = task.task_id
        left_epochs = task.lifecycle.submission_deadline - self._state.epoch
        left_ms = left_epochs * self._state.params.epoch_ms
        try:
            assignment = build_assignment(self._state, task)
            if assignment is None:
                return None, 0
            request = TaskRequest(
                id=task_id.hex(),
                kind=assignment.kind,
                params=assignment.params,
                input=assignment.input,
                title=assignment.title,
                description=assignment.description,
                requirements=assignment.requirements,
                seed=assignment.seed,
                deadline_ms=max(1, min(self._timeout_ms, left_ms, DEADLINE_MS_MAX)),
                attempt=self._failures.get(task_id, 0) + 1,
            )
            reply = await self._desk.solve(request)
        except (Unbriefable, BadField) as error:
            self._failures[task_id] = ATTEMPTS_MAX
            raise BlamedError("task_unreadable", str(error)[:200], "text") from error
        except WorkerFault as fault:
            if fault.code != "worker_paused":
                failures = self._failures.get(task_id, 0) + 1
                self._failures[task_id] = failures if fault.retryable else ATTEMPTS_MAX
            raise
        quality = reply.meta.get(QUALITY_FIELD)
        if not isinstance(quality, int) or not 0 <= quality <= 100:
            quality = QUALITY_DEFAULT
        return reply.output.encode("utf-8"), quality

    async def _commit(self, task: Task, answer: BoxedAnswer, quality: int, work_ms: int) -> None:
        commitment = compute_commitment(
            self._state.network,
            task.task_id,
            self._address,
            compute_content_hash(answer.content),
            answer.salt,
        )
        payload = SubmitAnswer(commitment, task.terms.stake_required, quality, work_ms)
        await self._author.submit("submit_answer", payload, subject=task.task_id)
        log.info("answer_committed", task=task.task_id[:8], work_ms=work_ms)

    async def _reveal(self, submission: Submission, answer: BoxedAnswer) -> None:
        task_id = submission.task_id
        content_hash = compute_content_hash(answer.content)
        payload = RevealAnswer(submission.submission_id, content_hash, answer.salt, answer.content)
        try:
            await self._author.submit("reveal_answer", payload, subject=task_id)
        except BlamedError as error:
            self._refusals.note(task_id, error, self._state.epoch)
        else:
            log.info("answer_revealed", task=task_id[:8], bytes=len(answer.content))
        finally:
            self._revealing.discard(task_id)
