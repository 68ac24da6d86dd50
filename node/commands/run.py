"""minesync run: the node, from its lock to its last line in the log.

Order: configuration, lock, network, keys, log; then `node.app` until it is told to stop. Nothing
but the lock is written before all of it has been found good.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import trio
from cyclopts import Parameter

from node.accounts import Accounts, unlock_accounts
from node.clock import read_wall_ms
from node.commands.common import COMMON, Common, emit, show_pairs
from node.commands.loading import load_for
from node.commands.option_flags import OptionFlags
from node.config import Config
from node.exits import Exit
from node.hardening import forbid_core_dumps
from node.identity import compute_peer_id, load_identity
from node.lockfile import NodeLock
from node.network import read_genesis
from node.options import ConfigError
from node.paths import DataPaths
from node.private_files import check_private_folder
from node.telemetry import LogControl, configure_logging, get_logger
from node.version import VERSION
from protocol.genesis import Genesis

if TYPE_CHECKING:
    # Late, too: it brings the database.
    from node.peer import Peer

Attend = Callable[["Peer"], Awaitable[None]]


def run(
    *,
    config: Annotated[
        Path | None, Parameter(help="TOML file, else config.toml of the data directory.")
    ] = None,
    password_file: Annotated[
        Path | None, Parameter(help="Private file whose first line unlocks the account key.")
    ] = None,
    flags: OptionFlags | None = None,
    common: Common = COMMON,
) -> int:
    """Run the node until SIGTERM, Ctrl-C or `minesync stop`. A second signal ends it at once."""
    return run_data_dir(load_for(common, config, flags).config, common, password_file)


def run_data_dir(
    loaded: Config, common: Common, password_file: Path | None = None, attend: Attend | None = None
) -> int:
    """Run the node of a data directory; return the exit code.

    Args:
        loaded: what the operator chose.
        common: which directory.
        password_file: unlocks the account key.
        attend: runs beside the node and ends with it: for programs that steer one from inside.

    Raises:
        BlamedError: whatever keeps it from running.
    """
    paths = common.paths
    if not paths.root.exists():
        raise ConfigError("data_dir_missing", f"no folder {paths.root}", "`minesync init` first")
    check_private_folder(paths.root)
    forbid_core_dumps()
    with NodeLock.acquire(paths.lock, started_ms=read_wall_ms(), version=VERSION) as lock:
        genesis = read_genesis(paths.genesis)
        seed = load_identity(paths.identity)
        accounts = unlock_accounts(loaded, paths, password_file)
        log_control = configure_logging(
            loaded.log.level,
            loaded.log.format,
            read_wall_ms=read_wall_ms,
            folder=paths.logs if loaded.log.file else None,
        )
        try:
            show_banner(common, loaded, genesis, seed, accounts)
            return trio.run(
                _serve, loaded, paths, genesis, seed, accounts, lock, log_control, attend
            )
        finally:
            log_control.close()


def show_banner(
    common: Common, config: Config, genesis: Genesis, seed: bytes, accounts: Accounts
) -> None:
    """Tell which node begins, and where everything of it is."""
    roles = {
        "miner": config.roles.miner,
        "validator": config.roles.validator,
        "sealer": config.sealer.enabled,
    }
    data: dict[str, Any] = {
        "data_dir": str(common.paths.root),
        "network": genesis.network.hex(),
        "network_name": genesis.name,
        "peer": compute_peer_id(seed),
        "account": accounts.own.address.hex() if accounts.own else None,
        "roles": [role for role, is_on in roles.items() if is_on],
        "rpc_token": str(common.paths.rpc_token) if config.rpc.enabled else None,
    }
    pairs = [
        ("data directory", data["data_dir"]),
        ("network", f"{data['network']} ({data['network_name']})"),
        ("peer id", data["peer"]),
        ("account", data["account"] or "none: this node only watches"),
        ("roles", ", ".join(data["roles"]) or None),
        ("RPC token", data["rpc_token"]),
    ]
    emit(common, data, lambda console: show_pairs(console, pairs))


async def _serve(
    config: Config,
    paths: DataPaths,
    genesis: Genesis,
    seed: bytes,
    accounts: Accounts,
    lock: NodeLock,
    log_control: LogControl,
    attend: Attend | None,
) -> int:
    """Run the node until it ends by itself or a signal comes; return the exit code."""
    # Late, so that a wrong configuration or password is told before the network library loads.
    from node.app import run_node

    stop = trio.Event()
    received: list[int] = []
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch_signals, signals, stop, received)
            async with trio.open_nursery() as inner:
                start_node = partial(
                    run_node,
                    config,
                    paths=paths,
                    genesis=genesis,
                    identity_seed=seed,
                    signer=accounts.own,
                    sealer=accounts.sealer,
                    stop=stop,
                    on_rpc_url=lock.publish_rpc_url,
                    log_control=log_control,
                )
                peer: Peer = await inner.start(start_node)
                if attend is not None:
                    await attend(peer)
            nursery.cancel_scope.cancel()
    return Exit.INTERRUPTED if received == [signal.SIGINT] else Exit.OK


async def _watch_signals(
    signals: AsyncIterator[int], stop: trio.Event, received: list[int]
) -> None:
    """Ask the node to stop at the first signal; end its tasks at the second."""
    log = get_logger("main")
    async for number in signals:
        received.append(number)
        log.info("stop_asked", signal=signal.Signals(number).name)
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
