"""One running peer as its RPC, its roles and its tests see it: its parts, by name."""

from dataclasses import dataclass

import trio

from node.author import Author
from node.backups import BackupDesk
from node.cleaner import Cleaner
from node.clock import Clock
from node.config import Config
from node.disk_watch import DiskWatch
from node.lookout import Lookout
from node.monitor import Monitor
from node.paths import DataPaths
from node.roles.desk import WorkerDesk
from node.state_manager import StateManager
from node.sync.manager import SyncManager
from node.task_counts import TaskCounts
from node.telemetry import LogControl
from node.transport.base import Transport
from node.transport.faults import FaultyTransport
from node.verifier import Verifier
from protocol.errors import BlamedError
from protocol.genesis import Genesis
from protocol.keys import Signer


class NoAccountError(BlamedError):
    """What was asked needs a signature, and this node has no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The parts of one peer. Who holds it may ask them; the tasks that run them are `node.app`'s.

    Attributes:
        paths: its data directory; None for a peer that lives in memory only.
        author: signs and submits for the node's account; None for a node that only watches.
        signer: the key of that account.
        faults: the wrapper around the transport that cuts links; None unless `dev.faults`.
        lookout: what was seen here lately; None unless `dev.faults`.
        solver, scorer: the workers of the roles that are on.
        roles: the names of the roles that are on, sorted.
        monitor: how the process does.
        counts: how many tasks are in each phase.
        disk: what shuts the store while the disk is full.
        backups: takes orders for backups.
        cleaner: takes orders for clean-ups.
        stop: set by whoever wants the node to end.
        log_control: the log of this process, if it is this node's to steer.
    """

    config: Config
    paths: DataPaths | None
    genesis: Genesis
    clock: Clock
    state: StateManager
    verifier: Verifier
    sync: SyncManager
    transport: Transport
    faults: FaultyTransport | None
    lookout: Lookout | None
    author: Author | None
    signer: Signer | None
    solver: WorkerDesk | None
    scorer: WorkerDesk | None
    roles: tuple[str, ...]
    monitor: Monitor
    counts: TaskCounts
    disk: DiskWatch
    backups: BackupDesk
    cleaner: Cleaner
    stop: trio.Event
    log_control: LogControl | None

    @property
    def desks(self) -> tuple[WorkerDesk, ...]:
        """The workers there are."""
        return tuple(desk for desk in (self.solver, self.scorer) if desk is not None)

    def require_author(self) -> Author:
        """Return the account's author.

        Raises:
            NoAccountError: this node has no key.
        """
        if self.author is None:
            raise NoAccountError("no_account", "a node without a key", "roles.account")
        return self.author
