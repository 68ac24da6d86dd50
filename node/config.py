"""Everything an operator can choose, as frozen records; each option has its sentence and bounds.

Where a value comes from is `node.config_load`'s business: flag, environment, file or the default
below. The default is what a careful operator on the open Internet wants; a devnet says otherwise
in its own file. What the network agrees on is not here but in the genesis.
"""

import shlex
from dataclasses import dataclass, field

from node.addresses import (
    check_bind_host,
    check_listen_address,
    check_peer_address,
    is_loopback,
    parse_account,
)
from node.log_levels import parse_levels
from node.options import ConfigError, OptionSpec, collect_options, option
from protocol.task_types import TYPE_SLUGS

DEFAULT_P2P_PORT = 7030
DEFAULT_RPC_PORT = 7031
MIB = 1 << 20
_DAY_MS = 86_400_000


def _check_task_kind(text: str) -> None:
    if text not in TYPE_SLUGS.values():
        raise ConfigError("unknown_task_type", repr(text[:64]), ", ".join(TYPE_SLUGS.values()))


@dataclass(frozen=True, slots=True)
class P2pConfig:
    """How this node meets its peers."""

    listen: str = option(
        f"/ip4/0.0.0.0/tcp/{DEFAULT_P2P_PORT}",
        "Multiaddr to listen on; port 0 takes a free one.",
        check=check_listen_address,
    )
    bootstrap: tuple[str, ...] = option(
        (),
        "Peers to dial at the start and to keep: /ip4/HOST/tcp/PORT/p2p/PEER.",
        check=check_peer_address,
    )
    max_peers: int = option(80, "Connections in all; further ones are refused.", least=1, most=500)
    outbound_peers: int = option(
        16, "Connections this node seeks by itself, within max_peers.", least=0, most=100
    )
    peers_per_address: int = option(
        4, "Connections accepted from one IP address; a devnet needs more.", least=1, most=500
    )


@dataclass(frozen=True, slots=True)
class RpcConfig:
    """The door for the operator and his programs."""

    enabled: bool = option(
        True, "Serve JSON-RPC; without it the command line cannot reach the node."
    )
    host: str = option("127.0.0.1", "IP address to bind to.", check=check_bind_host)
    port: int = option(DEFAULT_RPC_PORT, "TCP port; 0 takes a free one.", least=0, most=65_535)
    expose: bool = option(
        False, "Allow a host that other machines reach. Whoever holds the token commands the node."
    )
    allowed_hosts: tuple[str, ...] = option(
        (), "Further values of the Host header that are accepted, each with its port."
    )
    connections_max: int = option(32, "Open connections; further ones wait.", least=1, most=1_024)
    requests_per_s: int = option(
        50, "Requests a second, by token; further ones get 429.", least=1, most=100_000
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What is written to stderr."""

    level: str = option(
        "info", "Least level, with exceptions by area: info,p2p=debug.", check=parse_levels
    )
    format: str = option(
        "auto",
        "auto is console on a terminal and JSON lines elsewhere.",
        choices=("auto", "console", "json"),
    )
    file: bool = option(False, "Also write JSON lines to logs/minesync.log, kept to four files.")


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The database."""

    engine: str = option(
        "rocks", "memory keeps nothing over a restart.", choices=("rocks", "memory")
    )
    cache_mib: int = option(16, "Block cache of the database.", least=1, most=65_536)
    retention_epochs: int = option(
        0,
        "Epochs for which a task is kept after it closed for good; 0 keeps all tasks.",
        least=0,
        most=(1 << 31) - 1,
    )
    disk_free_mib_min: int = option(
        512, "Free space below which the node says that it is not ready.", least=16, most=1_048_576
    )
    disk_reserve_mib: int = option(
        128,
        "Free space below which the node takes nothing in until there is more; 0 waits for a write"
        " that fails.",
        least=0,
        most=1_048_576,
    )


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """How this node becomes equal to its peers."""

    status_interval_ms: int = option(
        3_000, "Between two comparisons with a peer, before jitter.", least=50, most=_DAY_MS
    )
    gossip_delay_ms: int = option(
        5, "How long transactions wait to travel together.", least=0, most=10_000
    )
    sessions_max: int = option(4, "Reconciliations at the same time.", least=1, most=64)


@dataclass(frozen=True, slots=True)
class RolesConfig:
    """What this node does beside syncing, and in whose name."""

    account: str = option(
        "",
        "Address of the account that signs; empty: the only key in keys/, or none.",
        check=parse_account,
    )
    miner: bool = option(False, "Answer tasks through the worker.")
    validator: bool = option(False, "Judge answers through the worker.")
    arbiter: str = option(
        "auto",
        "A validator drawn to a dispute votes as its worker sees the answers; off: you vote.",
        choices=("auto", "off"),
    )
    claim: bool = option(True, "Claim rewards of the account as soon as they can be claimed.")
    stake_max: int = option(
        100_000_000_000,
        "Nano-units that may be locked in stakes at the same time.",
        least=0,
        most=(1 << 63) - 1,
    )


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The program that solves tasks, or judges answers, for this node."""

    command: str = option(
        "", "Command line of a worker: one JSON object a line on stdin and stdout."
    )
    scorer_command: str = option(
        "", "The same for a validator; empty: the worker's own command, if its hello says scorer."
    )
    concurrency: int = option(
        1, "Tasks at the same time, if the worker offers as many.", least=1, most=64
    )
    kinds: tuple[str, ...] = option(
        (), "Types of task it is given; empty: all that its hello names.", check=_check_task_kind
    )
    timeout_ms: int = option(60_000, "For one task; then it is cancelled.", least=100, most=_DAY_MS)
    grace_ms: int = option(
        5_000, "For ending by itself once the node closes its stdin.", least=0, most=600_000
    )
    failures_max: int = option(
        5, "Failures in a row after which the worker gets no task for a while.", least=1, most=1_000
    )
    rest_ms: int = option(600_000, "How long that while is.", least=1_000, most=_DAY_MS)


@dataclass(frozen=True, slots=True)
class SealerConfig:
    """Ending epochs, whenever this account is one of the network's sealers."""

    enabled: bool = option(False, "Vote on seals.")
    account: str = option(
        "", "Address of the sealer's key; empty: roles.account.", check=parse_account
    )


@dataclass(frozen=True, slots=True)
class DevConfig:
    """For devnets and tests only: a node that serves strangers leaves all of it off."""

    faults: bool = option(False, "Let the RPC cut, delay and throttle links.")
    clock_offset_ms: int = option(
        0, "Added to the wall clock that times seals.", least=-_DAY_MS, most=_DAY_MS
    )


@dataclass(frozen=True, slots=True)
class Config:
    """All options, by section."""

    p2p: P2pConfig = field(default_factory=P2pConfig)
    rpc: RpcConfig = field(default_factory=RpcConfig)
    log: LogConfig = field(default_factory=LogConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    roles: RolesConfig = field(default_factory=RolesConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    sealer: SealerConfig = field(default_factory=SealerConfig)
    dev: DevConfig = field(default_factory=DevConfig)


OPTIONS: dict[str, OptionSpec] = collect_options(Config)
"""Every option by its dotted key, in the order above."""


def _check_command(key: str, line: str) -> None:
    try:
        shlex.split(line)
    except ValueError as error:
        raise ConfigError(
            "bad_command", f"{key} = {line[:80]!r}", f"a command ({error})"
        ) from error


def check_config(config: Config) -> None:
    """Check what no single option can show.

    Raises:
        ConfigError: `rpc_exposed`, `bad_command`.
    """
    if config.rpc.enabled and not is_loopback(config.rpc.host) and not config.rpc.expose:
        found = f"rpc.host = {config.rpc.host}"
        raise ConfigError("rpc_exposed", found, "a loopback address, or rpc.expose = true")
    for name in ("command", "scorer_command"):
        _check_command(f"worker.{name}", getattr(config.worker, name))
