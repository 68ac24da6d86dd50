"""A worker kept running: restarts with back-off, deadlines, and a breaker that stops a broken one.

    starting ──hello──> up ──any fault──> starting, after a back-off
       └───────────┬─────┘
                   └──`failures_max` failures in a row──> broken ──`rest_s`, reset()──> starting

Rule 1: a failure is a life that ended by itself or by breaking the protocol, a task past its
        deadline, or an `error` the worker calls retryable. One that the worker blames on the task
        is none: otherwise a publisher could stop every miner with a few bad tasks.
Rule 2: an answer ends the row. After a rest one more failure breaks the worker again.
Rule 3: a request fails with one `WorkerFault`, at its deadline at the latest. One that lost its
        process for another's sake is sent again by itself, its `attempt` counted up.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar

import structlog
import trio

from node.workers.fields import show
from node.workers.messages import (
    Answer,
    Hello,
    Progress,
    Request,
    ScoreRequest,
    Scores,
    TaskError,
    TaskRequest,
    WorkerFault,
)
from node.workers.process import Flight, WorkerProcess, WorkerTimes
from node.workers.program import WorkerSpec
from protocol.errors import InvariantBroken

R = TypeVar("R", Answer, Scores)

_log = structlog.get_logger("minesync.workers")


@dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """How much patience a worker gets."""

    times: WorkerTimes = field(default_factory=WorkerTimes)
    concurrency_max: int = 16
    """Of open tasks, whatever the worker offers."""
    failures_max: int = 5
    """In a row; at that many it is broken."""
    backoff_s: float = 0.5
    """Before a restart after one failure; doubled with each further one."""
    backoff_max_s: float = 60.0
    rest_s: float = 600.0
    """Of a broken worker, before one more try."""

    def compute_backoff_s(self, failures: int) -> float:
        """Return the wait before a restart after so many failures in a row; 0 after none."""
        if failures == 0:
            return 0.0
        # Bounded before it is computed: 2.0 ** 1024 is no float.
        return min(self.backoff_max_s, self.backoff_s * 2.0 ** min(failures - 1, 32))


class WorkerState(Enum):
    """Where a worker stands."""

    STARTING = "starting"
    UP = "up"
    BROKEN = "broken"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker at one moment, for readiness, metrics and people.

    Attributes:
        reason: the last fault while not up; printable, as every text here.
        hello: what it said of itself, while up.
        starts: of the program, over all time.
        answered, failed: requests, over all time; those refused as the task's fault are in neither.
    """

    state: WorkerState
    reason: str
    hello: Hello | None
    pid: int | None
    tasks_open: int
    starts: int
    answered: int
    failed: int
    failures_in_row: int


class Worker:
    """The supervised program of one spec. `run` must be running for anything else to go on."""

    def __init__(self, spec: WorkerSpec, policy: WorkerPolicy | None = None) -> None:
        self.spec = spec
        self.policy = policy or WorkerPolicy()
        self._state = WorkerState.STARTING
        self._reason = "no hello yet"
        self._life: WorkerProcess | None = None
        self._changed = trio.Event()
        self._reset = trio.Event()
        # The longest waiting is served first.
        self._turn = trio.Lock()
        self._starts = 0
        self._answered = 0
        self._failed = 0
        self._failures_in_row = 0

    @property
    def status(self) -> WorkerStatus:
        """The worker as it is now."""
        life = self._life
        up = life is not None and life.is_up
        return WorkerStatus(
            state=WorkerState.UP if up else self._state,
            reason="" if up else self._reason,
            hello=life.hello if life is not None and up else None,
            pid=life.pid if life is not None else None,
            tasks_open=len(life.flights) if life is not None else 0,
            starts=self._starts,
            answered=self._answered,
            failed=self._failed,
            failures_in_row=self._failures_in_row,
        )

    async def run(self) -> None:
        """Keep the program running until cancelled; then end it, gently at first."""
        try:
            while True:
                await self._live_once()
                if self._failures_in_row >= self.policy.failures_max:
                    await self._rest()
                else:
                    await trio.sleep(self.policy.compute_backoff_s(self._failures_in_row))
        finally:
            self._become(WorkerState.STOPPED, "the node stops")

    async def solve(
        self, task: TaskRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Answer:
        """Have a task solved within its `deadline_ms`, counted from now.

        Cancelled or past the deadline, the worker is told to stop, and killed if it does not.
        `on_progress` is called synchronously; its note is foreign text.

        Raises:
            WorkerFault: no answer; the code says why, `retryable` whether to try again.
        """
        return await self._ask(task, task.kind, Answer, on_progress)

    async def score(
        self, request: ScoreRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Scores:
        """Have answers scored; a verdict for each, in their order. Else as `solve`."""
        return await self._ask(request, request.task.kind, Scores, on_progress)

    async def wait_state(self, *states: WorkerState) -> WorkerStatus:
        """Wait until the worker is in one of the states; return its status then."""
        while self.status.state not in states:
            await self._changed.wait()
        return self.status

    def reset(self) -> None:
        """Forget the failures; a broken worker is started again at once."""
        self._failures_in_row = 0
        if self._state is WorkerState.BROKEN:
            # At once, so that whoever asks next waits for the start instead of being refused.
            self._become(WorkerState.STARTING, self._reason)
        self._reset.set()
        self._reset = trio.Event()

    # One life after the other.

    async def _live_once(self) -> None:
        self._starts += 1
        self._life = WorkerProcess(self.spec, self.policy.times, self._notify)
        try:
            fault = await self._life.live()
        finally:
            self._life = None
        # These were counted as failures of their tasks, or were the node's own wish.
        if fault.code not in ("worker_ignored_cancel", "worker_broken"):
            self._failures_in_row += 1
        _log.warning(
            "worker_ended",
            role=self.spec.role,
            code=fault.code,
            found=fault.found,
            wanted=fault.wanted,
            failures=self._failures_in_row,
        )
        # A breaker's fault only wraps the one that tripped it.
        reason = fault.found if fault.code == "worker_broken" else str(fault)
        self._become(WorkerState.STARTING, reason)

    async def _rest(self) -> None:
        self._become(WorkerState.BROKEN, self._reason)
        _log.error("worker_broken", role=self.spec.role, reason=self._reason)
        with trio.move_on_after(self.policy.rest_s):
            await self._reset.wait()
        self._failures_in_row = min(self._failures_in_row, self.policy.failures_max - 1)
        self._become(WorkerState.STARTING, self._reason)

    def _become(self, state: WorkerState, reason: str) -> None:
        self._state = state
        self._reason = reason
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _fail(self, fault: WorkerFault) -> WorkerFault:
        """Count a failure of a worker that goes on living; return the fault."""
        self._failures_in_row += 1
        if self._failures_in_row >= self.policy.failures_max and self._life is not None:
            self._life.end(WorkerFault("worker_broken", str(fault), "answers"))
        return fault

    # One request.

    async def _ask(
        self,
        request: Request,
        kind: str,
        wanted: type[R],
        on_progress: Callable[[Progress], None] | None,
    ) -> R:
        deadline = trio.current_time() + request.deadline_ms / 1_000
        try:
            reply = await self._ask_until(deadline, request, kind, on_progress)
        except WorkerFault as fault:
            if fault.code != "task_refused":
                self._failed += 1
            raise
        if not isinstance(reply, wanted):
            raise InvariantBroken(f"a {type(reply).__name__} passed for {wanted.__name__}")
        self._answered += 1
        self._failures_in_row = 0
        return reply

    async def _ask_until(
        self,
        deadline: float,
        request: Request,
        kind: str,
        on_progress: Callable[[Progress], None] | None,
    ) -> Answer | Scores:
        """Ask, again if the process was lost for another's sake.

        Raises:
            WorkerFault: as `solve`.
        """
        while True:
            life, flight = await self._launch(deadline, request, kind, on_progress)
            try:
                with trio.move_on_at(deadline):
                    await flight.done.wait()
            finally:
                life.abandon(flight)
            match flight.outcome:
                case None:
                    late = f"no answer after {request.deadline_ms} ms"
                    raise self._fail(WorkerFault("task_deadline", late, "one by then"))
                case TaskError(retryable=True, message=message):
                    raise self._fail(WorkerFault("task_failed", show(message)))
                case TaskError(message=message):
                    raise WorkerFault("task_refused", show(message), retryable=False)
                case WorkerFault() as fault:
                    if not flight.spared:
                        # A copy for each request: an exception holds the traceback of its raise.
                        raise WorkerFault(fault.code, fault.found, fault.wanted)
                    request = replace(request, attempt=request.attempt + 1)
                case reply:
                    return replace(reply, id=request.id)

    async def _launch(
        self,
        deadline: float,
        request: Request,
        kind: str,
        on_progress: Callable[[Progress], None] | None,
    ) -> tuple[WorkerProcess, Flight]:
        """Wait for a free place and take it.

        Raises:
            WorkerFault: `worker_not_up`, `worker_busy`, `worker_broken`, `worker_stopped` or
                `kind_unsupported`.
        """
        with trio.move_on_at(deadline):
            async with self._turn:
                life, hello = await self._wait_free(request.id)
                if kind not in hello.kinds:
                    raise WorkerFault(
                        "kind_unsupported", kind, ", ".join(hello.kinds), retryable=False
                    )
                left_ms = max(1, int((deadline - trio.current_time()) * 1_000))
                return life, life.launch(replace(request, deadline_ms=left_ms), on_progress)
        status = self.status
        if status.state is WorkerState.UP:
            raise WorkerFault("worker_busy", f"{status.tasks_open} open tasks", "a free place")
        raise WorkerFault("worker_not_up", status.reason, "a worker that is up")

    async def _wait_free(self, request_id: str) -> tuple[WorkerProcess, Hello]:
        while True:
            life = self._life
            if life is not None and life.is_up and life.hello is not None:
                places = min(life.hello.concurrency, self.policy.concurrency_max)
                # A cancelled request may still be open under the same id.
                if len(life.flights) < places and request_id not in life.flights:
                    return life, life.hello
            elif self._state in (WorkerState.BROKEN, WorkerState.STOPPED):
                raise WorkerFault(f"worker_{self._state.value}", self._reason)
            await self._changed.wait()


@asynccontextmanager
async def open_worker(
    spec: WorkerSpec, policy: WorkerPolicy | None = None
) -> AsyncIterator[Worker]:
    """Run a worker for as long as the block lasts."""
    worker = Worker(spec, policy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        yield worker
        nursery.cancel_scope.cancel()
