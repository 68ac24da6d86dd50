"""A worker as the operator steers it: taking tasks, finishing, paused; and what it does now."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol, TypeVar

import trio

from node.workers.messages import Answer, ScoreRequest, Scores, TaskRequest, WorkerFault
from node.workers.supervisor import WorkerState, WorkerStatus

R = TypeVar("R")


class Solver(Protocol):
    """What the roles ask of a worker; `node.workers.supervisor.Worker` is one."""

    @property
    def status(self) -> WorkerStatus:
        """The worker as it is now."""
        ...

    async def solve(self, task: TaskRequest) -> Answer:
        """Have a task solved.

        Raises:
            WorkerFault: no answer.
        """
        ...

    async def score(self, request: ScoreRequest) -> Scores:
        """Have answers scored.

        Raises:
            WorkerFault: no scores.
        """
        ...

    def reset(self) -> None:
        """Forget the failures."""
        ...


class Program(Solver, Protocol):
    """A worker that somebody has to run."""

    async def run(self) -> None:
        """Keep it running until cancelled."""
        ...


class Order(Enum):
    """What the operator wants of a worker."""

    TAKE = "taking"
    FINISH = "finishing"
    PAUSE = "paused"


class WorkerDesk:
    """One worker and its orders.

    Args:
        worker: does the work.
        role: `solver` or `scorer`.
        command: what runs, for people.
        kinds: the types of task it is given; empty: all that it can do.
    """

    def __init__(
        self, worker: Solver, role: str, command: str, kinds: tuple[str, ...] = ()
    ) -> None:
        self._worker = worker
        self.role = role
        self.command = command
        self._chosen = kinds
        self.order = Order.TAKE
        self._running: dict[str, trio.CancelScope] = {}

    @property
    def status(self) -> WorkerStatus:
        """The worker as it is now."""
        return self._worker.status

    @property
    def current(self) -> tuple[str, ...]:
        """The requests under way, by id."""
        return tuple(self._running)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Types of task it can be given now; none while it is not up."""
        hello = self._worker.status.hello
        known = () if hello is None else hello.kinds
        return tuple(kind for kind in known if not self._chosen or kind in self._chosen)

    def can_take(self, kind: str) -> bool:
        """Tell whether it takes a task of this type now."""
        is_up = self._worker.status.state is WorkerState.UP
        return is_up and self.order is Order.TAKE and kind in self.kinds

    def pause(self) -> None:
        """Cancel what it does and give it nothing more."""
        self.order = Order.PAUSE
        for scope in list(self._running.values()):
            scope.cancel()

    def finish(self) -> None:
        """Let it finish what it does and give it nothing more."""
        self.order = Order.FINISH

    def resume(self) -> None:
        """Give it tasks again, also after too many failures."""
        self.order = Order.TAKE
        self._worker.reset()

    async def solve(self, task: TaskRequest) -> Answer:
        """Have a task solved.

        Raises:
            WorkerFault: no answer; `worker_paused` when the operator wanted none.
        """
        return await self._run(task.id, lambda: self._worker.solve(task))

    async def score(self, request: ScoreRequest) -> Scores:
        """Have answers scored.

        Raises:
            WorkerFault: no scores; `worker_paused` when the operator wanted none.
        """
        return await self._run(request.id, lambda: self._worker.score(request))

    async def _run(self, request_id: str, work: Callable[[], Awaitable[R]]) -> R:
        if self.order is not Order.TAKE:
            raise WorkerFault("worker_paused", self.order.value, "`worker resume`")
        with trio.CancelScope() as scope:
            self._running[request_id] = scope
            try:
                return await work()
            finally:
                del self._running[request_id]
        raise WorkerFault("worker_paused", "a pause while it worked", "`worker resume`")
