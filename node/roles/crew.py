"""The roles of one peer: checked, built and started as the configuration says."""

import trio

from node.author import Author
from node.config import Config
from node.options import ConfigError
from node.roles.answer_box import AnswerBox
from node.roles.claimer import Claimer
from node.roles.desk import WorkerDesk
from node.roles.miner import Miner
from node.roles.registrar import Registrar
from node.roles.validator import Validator
from node.state_manager import StateManager
from node.workers.messages import SCORER, SOLVER
from node.workers.program import WorkerSpec, parse_command
from node.workers.supervisor import Worker, WorkerPolicy
from protocol.genesis import Genesis
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR


class Crew:
    """The roles that are on, and their workers.

    Args:
        config: which roles, and which worker.
        genesis: of the network.
        has_key: whether this peer can sign.

    Raises:
        ConfigError: `no_account`, `worker_missing`, `bad_command`.
    """

    def __init__(self, config: Config, genesis: Genesis, has_key: bool) -> None:
        roles = config.roles
        self._config = config
        if (roles.miner or roles.validator) and not has_key:
            raise ConfigError("no_account", "a role without a key", "roles.account, or a key")
        self._workers: list[Worker] = []
        network = genesis.network.hex()
        worker = config.worker
        self.solver: WorkerDesk | None = None
        self.scorer: WorkerDesk | None = None
        if roles.miner:
            self.solver = self._open_desk(SOLVER, worker.command, network)
        if roles.validator:
            self.scorer = self._open_desk(SCORER, worker.scorer_command or worker.command, network)

    @property
    def names(self) -> tuple[str, ...]:
        """The roles that are on."""
        names = (("miner", self.solver), ("validator", self.scorer))
        return tuple(name for name, desk in names if desk is not None)

    def start(
        self, nursery: trio.Nursery, state: StateManager, author: Author, box: AnswerBox
    ) -> None:
        """Start every role and every worker."""
        roles, worker = self._config.roles, self._config.worker
        for program in self._workers:
            nursery.start_soon(program.run)
        wanted = 0
        if self.solver is not None:
            wanted |= ROLE_SOLVER
            miner = Miner(
                state,
                author,
                self.solver,
                box,
                concurrency=worker.concurrency,
                stake_max=roles.stake_max,
                timeout_ms=worker.timeout_ms,
            )
            nursery.start_soon(miner.run)
        if self.scorer is not None:
            wanted |= ROLE_VALIDATOR
            validator = Validator(
                state,
                author,
                self.scorer,
                concurrency=worker.concurrency,
                timeout_ms=worker.timeout_ms,
            )
            nursery.start_soon(validator.run)
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

    def _open_desk(self, role: str, line: str, network: str) -> WorkerDesk:
        config = self._config.worker
        policy = WorkerPolicy(
            concurrency_max=config.concurrency,
            failures_max=config.failures_max,
            rest_s=config.rest_ms / 1_000,
        )
        worker = Worker(WorkerSpec(_read_command(line, role), role, network), policy)
        self._workers.append(worker)
        return WorkerDesk(worker, role, line)


def _read_command(line: str, role: str) -> tuple[str, ...]:
    if not line:
        wanted = f"worker.command, such as `python -m node.workers.{role}`"
        raise ConfigError("worker_missing", f"a {role} without a worker", wanted)
    try:
        return parse_command(line)
    except ValueError as error:
        raise ConfigError("bad_command", f"{line[:80]!r}: {error}", "a command") from error
