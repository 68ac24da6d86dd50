"""`run_node`: one peer on the real things: RocksDB, libp2p, a port for the operator."""

import random
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import Any

import structlog
import trio

from node.assembly import OpenTransport, Ports, run_peer
from node.clock import SystemClock
from node.config import MIB, Config, P2pConfig
from node.diary_file import DiaryFile
from node.disk_watch import ReadFree
from node.high_water import HighWater
from node.network import name_topic
from node.paths import DataPaths
from node.peer import Peer
from node.roles.answer_box import open_answer_box
from node.roles.crew import check_roles
from node.roles.vote_box import open_vote_box
from node.rpc.gate import create_token
from node.rpc.server import RpcServer, open_listeners
from node.telemetry import LogControl
from node.transport.base import GossipValidator, Transport
from node.transport.libp2p_open import open_libp2p_transport
from node.transport.limits import TransportLimits
from protocol.genesis import Genesis
from protocol.keys import Signer
from storage.folder import translate_os_error
from storage.rocks import RocksSettings
from storage.store import Store

log = structlog.get_logger("main")

RNG_BITS = 64


async def run_node(
    config: Config,
    *,
    paths: DataPaths,
    genesis: Genesis,
    identity_seed: bytes,
    signer: Signer | None = None,
    sealer: Signer | None = None,
    stop: trio.Event | None = None,
    on_rpc_url: Callable[[str], None] = lambda url: None,
    log_control: LogControl | None = None,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the node of a data directory until `stop` is set; all is written and closed then.

    The caller holds the lock of the directory. See `node.assembly` for the tasks.

    Args:
        config: what the operator chose.
        paths: the data directory.
        genesis: of the network; a database of another one is refused.
        identity_seed: 32 bytes, the key of the peer.
        signer: the account's key; None for a node that only watches.
        sealer: the key that ends epochs.
        stop: set by a signal, or by the RPC.
        on_rpc_url: told where the RPC listens, once it does.
        log_control: the log that the RPC may steer.
        task_status: of `trio.Nursery.start`; gives the `Peer`.

    Raises:
        ConfigError: the configuration asks for what cannot be.
        StorageError: the database cannot be opened, or belongs to another network.
        TransportError, RpcBindError: a port cannot be had.
        KeyFileError, SigningError: a private file is at fault.
    """
    check_roles(config, signer is not None)
    async with AsyncExitStack() as stack:
        # The port first: it is the cheapest thing that can be refused.
        listeners: Sequence[trio.SocketListener] = ()
        if config.rpc.enabled:
            listeners = await stack.enter_async_context(open_listeners(config.rpc))
        signed = HighWater(paths.signed_seq)
        stack.callback(signed.close)
        sealed = HighWater(paths.sealed_epoch)
        stack.callback(sealed.close)
        diary = DiaryFile(None if sealer is None else paths.sealer_diary)
        stack.callback(diary.close)
        store = open_store(config, paths, genesis)
        stack.callback(store.close)
        ports = Ports(
            clock=SystemClock(config.dev.clock_offset_ms),
            store=store,
            open_transport=choose_transport(config, genesis, identity_seed),
            rng=random.Random(secrets.randbits(RNG_BITS)),
            signed=signed,
            sealed=sealed,
            diary=diary,
            answers=open_answer_box(paths.answers),
            votes=open_vote_box(paths.votes),
            read_free=choose_read_free(config, paths),
        )

        def open_door(peer: Peer) -> RpcServer:
            server = RpcServer(peer, listeners, create_token(paths))
            on_rpc_url(server.url)
            log.info("rpc_listening", url=server.url)
            return server

        await run_peer(
            config,
            genesis,
            ports,
            signer=signer,
            sealer=sealer,
            paths=paths,
            stop=stop,
            log_control=log_control,
            open_door=open_door if listeners else None,
            task_status=task_status,
        )


def open_store(config: Config, paths: DataPaths, genesis: Genesis) -> Store:
    """Open the store that the configuration names.

    Raises:
        StorageError: as `Store.open`.
    """
    if config.store.engine == "memory":
        return Store.in_memory(genesis)
    settings = RocksSettings(cache_bytes=config.store.cache_mib * MIB)
    return Store.open(paths.database, genesis, settings=settings)


def choose_read_free(config: Config, paths: DataPaths) -> ReadFree | None:
    """Return what tells the room on the disk of the store; None for one in memory."""
    if config.store.engine == "memory":
        return None

    def read_free() -> int:
        try:
            return shutil.disk_usage(paths.database).free
        except OSError as error:
            raise translate_os_error(error) from error

    return read_free


def choose_transport(config: Config, genesis: Genesis, identity_seed: bytes) -> OpenTransport:
    """Return what joins the network as the configuration says."""
    limits = build_limits(config.p2p)
    topic = name_topic(genesis)

    def open_transport(validate: GossipValidator) -> AbstractAsyncContextManager[Transport]:
        return open_libp2p_transport(
            seed=identity_seed,
            listen=config.p2p.listen,
            topic=topic,
            validate=validate,
            limits=limits,
        )

    return open_transport


def build_limits(p2p: P2pConfig) -> TransportLimits:
    """Return the bounds of the network side, those of the operator in their places."""
    base = TransportLimits()
    inbound = max(p2p.max_peers, base.half_open_max)
    per_address = min(p2p.peers_per_address, inbound)
    return replace(
        base,
        inbound_connections_max=inbound,
        outbound_connections_max=max(1, p2p.outbound_peers),
        connections_per_address_max=per_address,
        connections_per_group_max=max(per_address, base.connections_per_group_max),
        connections_per_loopback_max=min(base.connections_per_loopback_max, inbound),
    )
