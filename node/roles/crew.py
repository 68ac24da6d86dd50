"""The roles of one peer: checked, built and started as the configuration says."""

from collections.abc import Callable

import trio

from node.author import Author
from node.config import Config
from node.options import ConfigError
from node.roles.answer_box import AnswerBox
from node.roles.arbiter import Arbiter
from node.roles.box import DrawBytes
from node.roles.claimer import Claimer
from node.roles.desk import Program, WorkerDesk
from node.roles.miner import Miner
from node.roles.registrar import Registrar
from node.roles.validator import Validator
from node.roles.vote_box import VoteBox
from node.state_manager import StateManager
from node.workers.messages import SCORER, SOLVER
from node.workers.process import WorkerTimes
from node.workers.program import WorkerSpec, parse_command
from node.workers.supervisor import Worker, WorkerPolicy
from protocol.genesis import Genesis
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR

OpenWorker = Callable[[str, str], Program]
"""Takes a role and a command line; returns a worker that does not run yet."""


class Crew:
    """The roles that are on, and their workers.

    Args:
        config: which roles, and which worker.
        has_key: whether this peer can sign.
        open_worker: makes the workers.

    Raises:
        ConfigError: `no_account`, `worker_missing`, `bad_command`.
    """

    def __init__(self, config: Config, has_key: bool, open_worker: OpenWorker) -> None:
        check_roles(config, has_key)
        roles, worker = config.roles, config.worker
        self._config = config
        self._programs: list[Program] = []
        self.solver: WorkerDesk | None = None
        self.scorer: WorkerDesk | None = None
        if roles.miner:
            self.solver = self._open_desk(SOLVER, worker.command, open_worker)
        if roles.validator:
            line = worker.scorer_command or worker.command
            self.scorer = self._open_desk(SCORER, line, open_worker)

    @property
    def names(self) -> tuple[str, ...]:
        """The roles that are on."""
        names = (("miner", self.solver), ("validator", self.scorer))
        return tuple(name for name, desk in names if desk is not None)

    def start(
        self,
        nursery: trio.Nursery,
        state: StateManager,
        author: Author,
        answers: AnswerBox,
        votes: VoteBox,
        draw_bytes: DrawBytes,
    ) -> None:
        """Start every role and every worker."""
        roles, worker = self._config.roles, self._config.worker
        for program in self._programs:
            nursery.start_soon(program.run)
        wanted = 0
        if self.solver is not None:
            wanted |= ROLE_SOLVER
            miner = Miner(
                state,
                author,
                self.solver,
                answers,
                concurrency=worker.concurrency,
                stake_max=roles.stake_max,
                timeout_ms=worker.timeout_ms,
                draw_bytes=draw_bytes,
            )
            nursery.start_soon(miner.run)
        if self.scorer is not None:
            wanted |= ROLE_VALIDATOR
            validator = Validator(
                state,
                author,
                self.scorer,
                votes,
                concurrency=worker.concurrency,
                timeout_ms=worker.timeout_ms,
                draw_bytes=draw_bytes,
            )
            nursery.start_soon(validator.run)
            if roles.arbiter == "auto":
                arbiter = Arbiter(
                    state,
                    author,
                    self.scorer,
                    concurrency=worker.concurrency,
                    timeout_ms=worker.timeout_ms,
                )
                nursery.start_soon(arbiter.run)
        if wanted:
            nursery.start_soon(Registrar(state, author, wanted, self._read_kinds).run)
        if roles.claim:
            nursery.start_soon(Claimer(state, author).run)

    def _read_kinds(self) -> tuple[str, ...]:
        """Return what the workers can do; nothing until each of them has said so."""
        kinds: set[str] = set()
        for desk in (self.solver, self.scorer):
            if desk is not None:
                if not desk.kinds:
                    return ()
                kinds.update(desk.kinds)
        return tuple(sorted(kinds))

    def _open_desk(self, role: str, line: str, open_worker: OpenWorker) -> WorkerDesk:
        program = open_worker(role, line)
        self._programs.append(program)
        return WorkerDesk(program, role, line, self._config.worker.kinds)


def check_roles(config: Config, has_key: bool) -> None:
    """Check that the roles that are on have what they need.

    Raises:
        ConfigError: `no_account`, `worker_missing`.
    """
    roles, worker = config.roles, config.worker
    if (roles.miner or roles.validator) and not has_key:
        raise ConfigError("no_account", "a role without a key", "roles.account, or a key")
    lines = (
        (SOLVER, roles.miner, worker.command),
        (SCORER, roles.validator, worker.scorer_command or worker.command),
    )
    for role, is_on, line in lines:
        if is_on and not line:
            wanted = f"worker.command, such as `python -m node.workers.{role}`"
            raise ConfigError("worker_missing", f"a {role} without a worker", wanted)


def choose_programs(config: Config, genesis: Genesis) -> OpenWorker:
    """Return what makes supervised subprocesses, for nodes of a network."""
    worker = config.worker
    policy = WorkerPolicy(
        times=WorkerTimes(exit_s=worker.grace_ms / 1_000),
        concurrency_max=worker.concurrency,
        failures_max=worker.failures_max,
        rest_s=worker.rest_ms / 1_000,
    )

    def open_worker(role: str, line: str) -> Program:
        try:
            words = parse_command(line)
        except ValueError as error:
            raise ConfigError("bad_command", f"{line[:80]!r}: {error}", "a command") from error
        return Worker(WorkerSpec(words, role, genesis.network.hex()), policy)

    return open_worker
