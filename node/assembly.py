"""A peer put together and run: everything that touches the world is an argument.

    run_peer
      ├ back ─┬ transport             its own tasks; wrapped by faults with `dev.faults`
      │       ├ sync                  gossip, conversations, redial
      │       ├ blobs                 inputs of tasks
      │       ├ author                batches of our own transactions
      │       ├ sealer                if this account seals
      │       ├ opinions              what this peer thinks of answers and miners
      │       ├ monitor               lag of the loop
      │       ├ backups               copies of the database, when asked for
      │       ├ cleaner               drops tasks that closed long ago, if there is a retention
      │       ├ repair                refilling after damage
      │       ├ lookout               what was seen here lately, with `dev.faults`
      │       └ disk                  read-only while the disk is full
      └ front ┬ door                  the RPC, if there is one
              ├ workers               one supervised program for each role
              └ registrar, miner, validator, claimer

Rule 1: told to stop, the front ends first, so that nothing new begins; then the back, so that what
        was begun is signed, stored and told; the store is closed by whoever opened it.
Rule 2: any task that fails ends the peer. The exceptions are the bulkheads: a request of the RPC, a
        stream, a gossip message, a worker's program.
"""

import random
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
import trio

from node.author import Author
from node.backups import BackupDesk
from node.cleaner import Cleaner
from node.clock import Clock
from node.config import MIB, Config
from node.diary_file import DiaryFile
from node.disk_watch import DiskWatch, ReadFree
from node.events import Broadcast
from node.high_water import HighWater
from node.lookout import Lookout
from node.monitor import Monitor
from node.opinions.keeper import OpinionKeeper
from node.paths import DataPaths
from node.peer import Peer
from node.repair import RepairWatch
from node.roles.answer_box import AnswerBox
from node.roles.box import DrawBytes
from node.roles.crew import Crew, OpenWorker, choose_programs
from node.roles.vote_box import VoteBox
from node.sealer import Sealer
from node.state_manager import StateManager
from node.sync.blobs import BlobFetcher
from node.sync.manager import SyncManager
from node.sync.peers import SyncReason
from node.sync.server import Server
from node.task_counts import TaskCounts
from node.telemetry import LogControl
from node.transport.base import GossipValidator, Transport
from node.transport.fault_rules import FaultRules
from node.transport.faults import FaultyTransport, open_faulty_transport
from node.verifier import Verifier
from protocol.genesis import Genesis
from protocol.keys import Signer
from storage.store import Store

log = structlog.get_logger("main")

OpenTransport = Callable[[GossipValidator], AbstractAsyncContextManager[Transport]]


class Door(Protocol):
    """A way in for the operator."""

    async def run(self) -> None:
        """Serve until cancelled."""
        ...

    async def drain(self) -> None:
        """Wait a moment for what is being answered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a peer asks of the world.

    Attributes:
        store: opened; whoever opened it closes it.
        open_transport: joins the network, given what to relay.
        rng: for jitter only.
        signed: the highest seq ever signed, by account.
        sealed: the highest epoch of which a sealer ever said anything, by sealer.
        diary: what the sealer said in that epoch.
        answers: what a miner must not lose before he shows it.
        votes: what a validator must not lose before he shows it.
        open_worker: makes workers; None: subprocesses.
        draw_bytes: draws what nobody may guess: the salts of commitments.
        read_free: returns the bytes free where the store is; None: it lies in memory.
        is_threaded: whether many signatures at once may be verified beside the loop; a simulation
            with a clock of its own has no threads.
    """

    clock: Clock
    store: Store
    open_transport: OpenTransport
    rng: random.Random
    signed: HighWater
    sealed: HighWater
    answers: AnswerBox
    votes: VoteBox
    diary: DiaryFile
    open_worker: OpenWorker | None = None
    draw_bytes: DrawBytes = secrets.token_bytes
    read_free: ReadFree | None = None
    is_threaded: bool = True


async def run_peer(
    config: Config,
    genesis: Genesis,
    ports: Ports,
    *,
    signer: Signer | None = None,
    sealer: Signer | None = None,
    paths: DataPaths | None = None,
    stop: trio.Event | None = None,
    log_control: LogControl | None = None,
    open_door: Callable[[Peer], Door] | None = None,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run one peer until `stop` is set and everything is closed; `started` gives the `Peer`.

    Args:
        config: what the operator chose.
        genesis: of the network.
        ports: see there.
        signer: the account's key; None for a peer that only watches.
        sealer: the key that seals; None for a peer that does not.
        paths: the data directory, for the RPC; None for a peer in memory.
        stop: set from outside or by the RPC.
        log_control: the log that the RPC may steer.
        open_door: makes the RPC of the peer.
        task_status: of `trio.Nursery.start`.

    Raises:
        ConfigError: roles without key or worker, a sealer that is none.
        TransportError: the network cannot be joined.
    """
    open_worker = ports.open_worker or choose_programs(config, genesis)
    crew = Crew(config, signer is not None, open_worker)
    state = StateManager(genesis, ports.store, Broadcast())
    verifier = Verifier(state.intake, is_threaded=ports.is_threaded)
    sync = _build_sync(config, state, verifier, ports)
    author = None
    if signer is not None:
        author = Author(
            state,
            signer,
            ports.signed,
            sync.gossip.tell_nowait,
            count_behind=sync.count_behind,
        )
    seals = None
    if sealer is not None:
        seals = Sealer(state, sealer, ports.clock, ports.sealed, ports.diary, sync)
    resumed: list[Callable[[], None]] = [part.resume for part in (author, seals) if part]
    disk = DiskWatch(
        state,
        ports.read_free,
        reserve_bytes=config.store.disk_reserve_mib * MIB,
        warn_bytes=config.store.disk_free_mib_min * MIB,
        resumed=[*resumed, lambda: sync.nudge_all(SyncReason.RESUMED)],
    )
    # Before anything is written.
    disk.look()
    async with AsyncExitStack() as stack:
        rules = FaultRules(ports.rng)
        validate = rules.guard(sync.gossip.validate) if config.dev.faults else sync.gossip.validate
        transport = await stack.enter_async_context(ports.open_transport(validate))
        faults: FaultyTransport | None = None
        if config.dev.faults:
            faults = await stack.enter_async_context(open_faulty_transport(transport, rules))
            transport = faults
        peer = Peer(
            config=config,
            paths=paths,
            genesis=genesis,
            clock=ports.clock,
            state=state,
            verifier=verifier,
            sync=sync,
            transport=transport,
            faults=faults,
            lookout=None if faults is None else Lookout(state, ports.clock),
            author=author,
            signer=signer,
            solver=crew.solver,
            scorer=crew.scorer,
            roles=(*crew.names, *(("sealer",) if seals else ())),
            monitor=Monitor(ports.clock),
            counts=TaskCounts(state),
            disk=disk,
            backups=BackupDesk(ports.store, is_threaded=ports.is_threaded),
            cleaner=Cleaner(state, config.store.retention_epochs, is_threaded=ports.is_threaded),
            stop=trio.Event() if stop is None else stop,
            log_control=log_control,
        )
        async with trio.open_nursery() as back:
            if peer.lookout is not None:
                back.start_soon(peer.lookout.run)
            await back.start(sync.run, transport)
            address = None if author is None else author.address
            back.start_soon(BlobFetcher(state, Server(state, verifier), address).run, transport)
            back.start_soon(OpinionKeeper(state).run)
            back.start_soon(peer.monitor.run)
            back.start_soon(peer.backups.run)
            back.start_soon(disk.run)
            back.start_soon(peer.cleaner.run)
            back.start_soon(RepairWatch(state, sync.book, transport).run)
            if author is not None:
                back.start_soon(author.run)
            if seals is not None:
                back.start_soon(seals.run)
            async with trio.open_nursery() as front:
                door = None if open_door is None else open_door(peer)
                if door is not None:
                    front.start_soon(door.run)
                if author is not None:
                    crew.start(front, state, author, ports.answers, ports.votes, ports.draw_bytes)
                _log_start(peer)
                task_status.started(peer)
                await peer.stop.wait()
                log.info("node_stopping", answering=door is not None)
                if door is not None:
                    await door.drain()
                front.cancel_scope.cancel()
            back.cancel_scope.cancel()
    log.info("node_stopped", epoch=state.epoch, open=state.open.count)


def _build_sync(
    config: Config, state: StateManager, verifier: Verifier, ports: Ports
) -> SyncManager:
    return SyncManager(
        state,
        verifier,
        interval_s=config.sync.status_interval_ms / 1_000,
        gossip_delay_s=config.sync.gossip_delay_ms / 1_000,
        sessions_max=config.sync.sessions_max,
        bootstrap=config.p2p.bootstrap,
        rng=ports.rng,
    )


def _log_start(peer: Peer) -> None:
    log.info(
        "node_started",
        network=peer.genesis.network,
        peer=peer.transport.name,
        epoch=peer.state.epoch,
        transactions=peer.state.store.totals.stored,
        account=None if peer.author is None else peer.author.address,
        roles=list(peer.roles),
        ms=peer.monitor.uptime_ms,
    )
