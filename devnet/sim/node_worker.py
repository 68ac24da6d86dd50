"""The workers of simulated peers: they answer and score at once, in the loop, without a program."""

import trio

from devnet.sim.cast import SLUG, make_content
from devnet.sim.hands import GOOD_SCORES
from node.workers.messages import (
    Answer,
    Hello,
    ScoreRequest,
    Scores,
    TaskRequest,
    Verdict,
)
from node.workers.supervisor import WorkerState, WorkerStatus

THINKING_S = 0.05


class SimulatedWorker:
    """A solver or scorer that is always up."""

    def __init__(self, role: str, address: bytes) -> None:
        self._role = role
        self._address = address
        self._answered = 0

    @property
    def status(self) -> WorkerStatus:
        """See `node.roles.desk.Solver`, here and below."""
        hello = Hello(proto=1, worker="simulated", roles=(self._role,), kinds=(SLUG,))
        return WorkerStatus(
            state=WorkerState.UP,
            reason="",
            hello=hello,
            pid=None,
            tasks_open=0,
            starts=1,
            answered=self._answered,
            failed=0,
            failures_in_row=0,
        )

    async def run(self) -> None:
        """Do nothing; there is no program."""
        await trio.sleep_forever()

    async def solve(self, task: TaskRequest) -> Answer:
        """Return the one answer of this account."""
        await trio.sleep(THINKING_S)
        self._answered += 1
        return Answer(id=task.id, output=make_content(self._address).hex())

    async def score(self, request: ScoreRequest) -> Scores:
        """Return a score that depends on the answer alone."""
        await trio.sleep(THINKING_S)
        self._answered += 1
        verdicts = [
            Verdict(id=one.id, score=GOOD_SCORES[len(one.output) % len(GOOD_SCORES)])
            for one in request.answers
        ]
        return Scores(id=request.id, scores=tuple(verdicts))

    def reset(self) -> None:
        """Forget nothing."""
