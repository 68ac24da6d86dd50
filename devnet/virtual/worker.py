"""The workers of nodes in virtual time: the shipped solver and scorer, called instead of run."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from node.workers.messages import (
    Answer,
    Hello,
    ScoreRequest,
    Scores,
    TaskRequest,
    Verdict,
    WorkerFault,
    encode_line,
)
from node.workers.scorer import CannotScore, score
from node.workers.solver import CannotSolve, solve
from node.workers.supervisor import WorkerState, WorkerStatus

THINKING_S = 0.05
"""That a task takes: a program is not instant."""


class InlineWorker:
    """A solver or scorer that is always up.

    Args:
        role: `solver` or `scorer`.
        wait_thawed: returns once its node is not frozen.
    """

    def __init__(self, role: str, wait_thawed: Callable[[], Awaitable[None]]) -> None:
        self._role = role
        self._wait_thawed = wait_thawed
        self._answered = 0
        self._failed = 0

    @property
    def status(self) -> WorkerStatus:
        """See `node.roles.desk.Solver`, here and below."""
        hello = Hello(proto=1, worker="inline", roles=(self._role,), kinds=("code_analysis",))
        return WorkerStatus(
            state=WorkerState.UP,
            reason="",
            hello=hello,
            pid=None,
            tasks_open=0,
            starts=1,
            answered=self._answered,
            failed=self._failed,
            failures_in_row=0,
        )

    async def run(self) -> None:
        """Do nothing; there is no program."""
        await trio.sleep_forever()

    async def solve(self, task: TaskRequest) -> Answer:
        """Return what the shipped solver answers."""
        await self._think()
        try:
            output = solve(_read_line(task))
        except CannotSolve as error:
            raise self._fail(str(error)) from error
        self._answered += 1
        return Answer(id=task.id, output=output)

    async def score(self, request: ScoreRequest) -> Scores:
        """Return what the shipped scorer says."""
        await self._think()
        message = _read_line(request)
        try:
            points = score(message["task"], [one["output"] for one in message["answers"]])
        except CannotScore as error:
            raise self._fail(str(error)) from error
        self._answered += 1
        verdicts = [
            Verdict(id=one.id, score=number, reasoning=reason)
            for one, (number, reason) in zip(request.answers, points, strict=True)
        ]
        return Scores(id=request.id, scores=tuple(verdicts))

    def reset(self) -> None:
        """Forget nothing."""

    async def _think(self) -> None:
        await trio.sleep(THINKING_S)
        await self._wait_thawed()

    def _fail(self, text: str) -> WorkerFault:
        self._failed += 1
        return WorkerFault("task_refused", text, retryable=False)


def open_inline(wait_thawed: Callable[[], Awaitable[None]]) -> Callable[[str, str], InlineWorker]:
    """Return what makes the workers of a node; the command line of a program is passed over."""
    return lambda role, line: InlineWorker(role, wait_thawed)


def _read_line(request: TaskRequest | ScoreRequest) -> Any:
    """Return what a program would have read."""
    return json.loads(encode_line(request))
