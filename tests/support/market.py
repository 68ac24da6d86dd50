"""A market in one state: several accounts with their roles, workers that are fakes, time by hand.

All accounts act on one `StateManager`, as peers that are always in sync would. A test seals when it
wants an epoch to pass, and waits for conditions.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.author import Author
from node.events import Broadcast
from node.high_water import HighWater
from node.roles.answer_box import AnswerBox, open_answer_box
from node.roles.arbiter import Arbiter
from node.roles.box import DrawBytes
from node.roles.claimer import Claimer
from node.roles.desk import Solver, WorkerDesk
from node.roles.miner import Miner
from node.roles.registrar import Registrar
from node.roles.validator import Validator
from node.roles.vote_box import VoteBox, open_vote_box
from node.state_manager import StateManager
from node.workers.messages import (
    Answer,
    Hello,
    ScoreRequest,
    Scores,
    TaskRequest,
    Verdict,
    WorkerFault,
)
from node.workers.supervisor import WorkerState, WorkerStatus
from protocol.genesis import Genesis
from protocol.kinds.register_miner import RegisterMiner
from protocol.phases import TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR, Submission, Task
from protocol.records import Miner as MinerRow
from protocol.tables import MINERS, SUBMISSIONS, TASKS
from protocol.task_types import TaskTerms
from protocol.transactions import SignedTransaction
from storage.store import Store
from tests.support.builders import SLUG, STAKE, a_genesis, a_registration, a_signer, a_task
from tests.support.waiting import wait_until

STAKE_MAX = 100 * STAKE


@dataclass
class FakeWorker:
    """A worker as the roles see it: answers or scores at once, unless told to fail or to wait."""

    role: str = "solver"
    kinds: tuple[str, ...] = (SLUG,)
    output: str = "the answer"
    score_of: Callable[[str], int | None] = lambda output: 90
    faults: list[WorkerFault] = field(default_factory=list)
    """Raised one after the other, before the first answer."""
    gate: trio.Event | None = None
    """Nothing is answered before it is set."""
    is_up: bool = True
    solved: list[TaskRequest] = field(default_factory=list)
    scored: list[ScoreRequest] = field(default_factory=list)
    resets: int = 0

    @property
    def status(self) -> WorkerStatus:
        hello = None
        if self.is_up:
            hello = Hello(proto=1, worker="fake", roles=(self.role,), kinds=self.kinds)
        return WorkerStatus(
            state=WorkerState.UP if self.is_up else WorkerState.BROKEN,
            reason="" if self.is_up else "broken",
            hello=hello,
            pid=None,
            tasks_open=0,
            starts=1,
            answered=len(self.solved) + len(self.scored),
            failed=0,
            failures_in_row=0,
        )

    async def solve(self, task: TaskRequest) -> Answer:
        self.solved.append(task)
        await self._work()
        return Answer(id=task.id, output=self.output)

    async def score(self, request: ScoreRequest) -> Scores:
        self.scored.append(request)
        await self._work()
        verdicts = [Verdict(id=one.id, score=self.score_of(one.output)) for one in request.answers]
        return Scores(id=request.id, scores=tuple(verdicts))

    def reset(self) -> None:
        self.resets += 1

    async def _work(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.faults:
            raise self.faults.pop(0)
        if self.gate is not None:
            await self.gate.wait()


class Market:
    """One state and the accounts that act on it.

    Args:
        nursery: runs the authors and the roles.
        folder: for signing marks and boxes.
    """

    def __init__(self, nursery: trio.Nursery, folder: Path, genesis: Genesis | None = None) -> None:
        self.genesis = genesis or a_genesis()
        self.state = StateManager(self.genesis, Store.in_memory(self.genesis), Broadcast())
        self.folder = folder
        self.told: list[SignedTransaction] = []
        self._nursery = nursery
        self._authors: dict[str, Author] = {}

    def live_again(self, nursery: trio.Nursery) -> "Market":
        """Return this market for roles that may end before it: the same state and authors."""
        again = Market(nursery, self.folder, self.genesis)
        again.state, again.told, again._authors = self.state, self.told, self._authors
        return again

    def author(self, name: str) -> Author:
        """Return the running author of somebody's account."""
        if name not in self._authors:
            mark = HighWater(self.folder / f"{name}.mark")
            author = Author(self.state, a_signer(name), mark, self.told.extend)
            self._nursery.start_soon(author.run)
            self._authors[name] = author
        return self._authors[name]

    def box(self, name: str) -> AnswerBox:
        """Return somebody's answer box as it is on disk."""
        return open_answer_box(self.folder / "answers" / name)

    def vote_box(self, name: str) -> VoteBox:
        """Return somebody's vote box as it is on disk."""
        return open_vote_box(self.folder / "votes" / name)

    async def start_miner(
        self,
        name: str,
        worker: FakeWorker,
        *,
        concurrency: int = 4,
        stake_max: int = STAKE_MAX,
        box: AnswerBox | None = None,
        draw_bytes: DrawBytes = secrets.token_bytes,
    ) -> WorkerDesk:
        """Run the miner of an account; return its desk."""
        desk = WorkerDesk(worker, "solver", "fake")
        miner = Miner(
            self.state,
            self.author(name),
            desk,
            self.box(name) if box is None else box,
            concurrency=concurrency,
            stake_max=stake_max,
            timeout_ms=60_000,
            draw_bytes=draw_bytes,
        )
        self._nursery.start_soon(miner.run)
        await trio.lowlevel.checkpoint()
        return desk

    async def start_validator(
        self, name: str, worker: FakeWorker, *, box: VoteBox | None = None
    ) -> WorkerDesk:
        """Run the validator of an account; return its desk."""
        desk = WorkerDesk(worker, "scorer", "fake")
        validator = Validator(
            self.state,
            self.author(name),
            desk,
            self.vote_box(name) if box is None else box,
            concurrency=4,
            timeout_ms=60_000,
        )
        self._nursery.start_soon(validator.run)
        await trio.lowlevel.checkpoint()
        return desk

    async def start_arbiter(self, name: str, worker: Solver) -> WorkerDesk:
        """Run the arbiter of an account; return its desk."""
        desk = WorkerDesk(worker, "scorer", "fake")
        arbiter = Arbiter(self.state, self.author(name), desk, concurrency=4, timeout_ms=60_000)
        self._nursery.start_soon(arbiter.run)
        await trio.lowlevel.checkpoint()
        return desk

    def start_claimer(self, name: str) -> None:
        """Run the claimer of an account."""
        self._nursery.start_soon(Claimer(self.state, self.author(name)).run)

    def start_registrar(self, name: str, roles: int, kinds: tuple[str, ...] = (SLUG,)) -> None:
        """Run the registrar of an account."""
        registrar = Registrar(self.state, self.author(name), roles, lambda: kinds)
        self._nursery.start_soon(registrar.run)

    async def register(self, *names: str, roles: int = ROLE_SOLVER | ROLE_VALIDATOR) -> None:
        """Register accounts and seal that."""
        payload: RegisterMiner = a_registration(roles=roles)
        for name in names:
            await self.author(name).submit("register_miner", payload)
        self.seal()

    async def publish(self, name: str = "alice", terms: TaskTerms | None = None) -> bytes:
        """Publish a task; return its id."""
        tx = await self.author(name).submit("publish_task", terms or a_task())
        return tx.header.subject

    def seal(self) -> None:
        """End the epoch."""
        self.state.seal(a_signer("sealer"), time_ms=0)

    def seal_to(self, epoch: int) -> None:
        """End epochs until `epoch` is sealed."""
        while self.state.epoch < epoch:
            self.seal()

    def task(self, task_id: bytes) -> Task:
        """Return a task as the next seal would leave it."""
        task = self.state.open.get(TASKS, task_id)
        assert task is not None
        return task

    def submissions(self, task_id: bytes) -> list[Submission]:
        """Return the answers to a task as the next seal would leave them."""
        found = [
            self.state.open.get(SUBMISSIONS, one.submission_id)
            for one in self.task(task_id).participants
        ]
        return [one for one in found if one is not None]

    def miner(self, name: str) -> MinerRow | None:
        """Return somebody's sealed row as a miner."""
        return self.state.store.view.get(MINERS, a_signer(name).address)

    async def wait_answers(self, task_id: bytes, count: int) -> None:
        """Wait until so many answers are committed to."""
        await wait_until(lambda: len(self.task(task_id).participants) == count)

    async def bind_votes(self, task_id: bytes) -> None:
        """Wait until the whole panel has committed to its votes, and seal that."""
        await wait_until(
            lambda: self.task(task_id).lifecycle.validation_deadline == self.state.epoch + 1
        )
        self.seal()

    async def wait_status(self, task_id: bytes, status: TaskStatus) -> None:
        """Wait until the next seal would leave a task in this phase."""
        await wait_until(lambda: self.task(task_id).status is status)
