"""The workers of nodes in virtual time: called instead of run.

A command line of `devnet.functions` names what is called; in the place of any other program stand
the shipped solver and scorer.
"""

import json
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import trio

from devnet.functions import KINDS, Function, FunctionFailed, find_function, reply
from node.workers.messages import (
    SOLVER,
    Answer,
    Hello,
    ScoreRequest,
    Scores,
    TaskRequest,
    Verdict,
    WorkerFault,
    encode_line,
)
from node.workers.scorer import score
from node.workers.solver import solve
from node.workers.supervisor import WorkerState, WorkerStatus

REMEMBERED_MAX = 64
THINKING_S = 0.05
"""That a task takes: a program is not instant."""


class InlineWorker:
    """A solver or scorer that is always up.

    Args:
        role: `solver` or `scorer`.
        function: that it calls.
        kinds: the types of task it can do.
        wait_thawed: returns once its node is not frozen.
    """

    def __init__(
        self,
        role: str,
        function: Function,
        kinds: tuple[str, ...],
        wait_thawed: Callable[[], Awaitable[None]],
    ) -> None:
        self._role = role
        self._function = function
        self._kinds = kinds
        self._wait_thawed = wait_thawed
        self._answered = 0
        self._failed = 0

    @property
    def status(self) -> WorkerStatus:
        """See `node.roles.desk.Solver`, here and below."""
        hello = Hello(proto=1, worker="inline", roles=(self._role,), kinds=self._kinds)
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
        """Return what the function answers."""
        message = await self._ask(task)
        return Answer(id=task.id, output=message["output"])

    async def score(self, request: ScoreRequest) -> Scores:
        """Return what the function says."""
        message = await self._ask(request)
        verdicts = [
            Verdict(id=one["id"], score=one["score"], reasoning=one["reasoning"])
            for one in message["scores"]
        ]
        return Scores(id=request.id, scores=tuple(verdicts))

    def reset(self) -> None:
        """Forget nothing."""

    async def _ask(self, request: TaskRequest | ScoreRequest) -> dict[str, Any]:
        await trio.sleep(THINKING_S)
        await self._wait_thawed()
        try:
            # What a program would have read.
            message = reply(self._function, json.loads(encode_line(request)))
        except FunctionFailed as error:
            self._failed += 1
            raise WorkerFault("task_refused", str(error), retryable=False) from error
        self._answered += 1
        return message


def _remember(function: Function) -> Function:
    """Return a function that works out once what all nodes ask of the shipped one."""

    @lru_cache(maxsize=REMEMBERED_MAX)
    def call(text: str) -> Any:
        return function(*json.loads(text))

    def ask(task: dict[str, Any], *outputs: list[str]) -> Any:
        about = {name: task[name] for name in ("kind", "params", "input")}
        return call(json.dumps([about, *outputs]))

    return ask


_SOLVE, _SCORE = _remember(solve), _remember(score)


def open_inline(wait_thawed: Callable[[], Awaitable[None]]) -> Callable[[str, str], InlineWorker]:
    """Return what makes the workers of a node."""

    def open_worker(role: str, line: str) -> InlineWorker:
        function, kinds = find_function(line), KINDS
        if function is None:
            function, kinds = (_SOLVE if role == SOLVER else _SCORE), ("code_analysis",)
        return InlineWorker(role, function, kinds, wait_thawed)

    return open_worker
