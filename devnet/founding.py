"""Founds a devnet from a manifest: its genesis, its directory, and what each peer needs to run.

Usual roles: the first peers validate, at least three, because a task wants three reviewers; the
others mine. The first one seals, or the first few. A publisher may not answer its own task and a
validator may not judge it, so the miners publish, each for the others (`devnet.load`).
"""

import dataclasses
import secrets
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from devnet.errors import DevnetError
from devnet.genesis import (
    BALANCE_NANO,
    SEED_MAX,
    derive_address,
    derive_key,
    make_genesis,
    make_params,
)
from devnet.layout import Devnet
from devnet.manifests.lineup import Lineup, NodePlan
from devnet.manifests.relations import check_relations
from devnet.manifests.tables import (
    MINER,
    NAMESPACES,
    NODES_MAX,
    PROCESS,
    SIM,
    VALIDATOR,
    DevnetTable,
    GenesisTable,
    Manifest,
    NodeTable,
)
from devnet.namespaces.names import choose_place, name_switch
from devnet.namespaces.runner import check_machine
from devnet.ports import HOST, PortReservation
from devnet.roster import PeerSpec, Roster, Seat
from node.config import (
    Config,
    DevConfig,
    LogConfig,
    P2pConfig,
    RolesConfig,
    RpcConfig,
    SealerConfig,
    StoreConfig,
    SyncConfig,
    WorkerConfig,
)
from node.config_load import build_config
from node.config_show import render_commented
from node.identity import compute_peer_id
from node.keystore import create_key
from node.private_files import create_private
from protocol.charter_records import SEALERS_MAX
from protocol.genesis import Genesis
from protocol.params import NANO_PER_COIN

NAME = "devnet"
DEMO_NAME = "demo"
"""Of a devnet that the next demonstration may throw away."""
COUNT_DEFAULT = 5
VALIDATORS_MIN = 3
VALIDATORS_MAX = 5
STATUS_INTERVAL_MS = 500
CACHE_MIB = 16
DISK_MIB_MIN = 16
REQUESTS_PER_S = 10_000
SOLVER = "node.workers.solver"
SCORER = "node.workers.scorer"


def choose_seed() -> int:
    """Return a seed for a devnet of which none was asked."""
    return secrets.randbelow(SEED_MAX) + 1


def assign_roles(count: int) -> tuple[str, ...]:
    """Return the usual role of each of so many peers.

    Raises:
        DevnetError: `bad_count`.
    """
    if not 1 <= count <= NODES_MAX:
        raise DevnetError("bad_count", f"{count} peers", f"1 to {NODES_MAX}")
    validators = min(count, max(VALIDATORS_MIN, min(count // 2, VALIDATORS_MAX)))
    return (VALIDATOR,) * validators + (MINER,) * (count - validators)


def make_manifest(
    count: int,
    seed: int,
    overrides: Mapping[str, int] | None = None,
    name: str = NAME,
    sealers: int = 1,
) -> Manifest:
    """Return the manifest of a devnet of `count` peers in their usual roles.

    Args:
        count: of peers.
        seed: all keys come from it.
        overrides: of single parameters of the network, by name.
        name: of the network.
        sealers: how many of the peers end the epochs together; of 3f + 1 of them f may fail.

    Raises:
        DevnetError: `bad_count`, `bad_sealers`, `bad_seed`, `unknown_param`, `bad_param`.
    """
    roles = assign_roles(count)
    if not 0 <= seed <= SEED_MAX:
        raise DevnetError("bad_seed", seed, f"0 to {SEED_MAX}")
    if not 1 <= sealers <= min(count, SEALERS_MAX):
        wanted = f"1 to {min(count, SEALERS_MAX)}"
        raise DevnetError("bad_sealers", f"{sealers} sealers of {count} peers", wanted)
    make_params(overrides)
    names = [f"n{place + 1}" for place in range(count)]
    return Manifest(
        devnet=DevnetTable(name=name, seed=seed),
        genesis=GenesisTable(sealers=tuple(names[:sealers]), params=dict(overrides or {})),
        node={peer: NodeTable(role=role) for peer, role in zip(names, roles, strict=True)},
    )


def found_devnet(
    root: Path,
    count: int,
    seed: int,
    overrides: Mapping[str, int] | None = None,
    name: str = NAME,
    sealers: int = 1,
) -> Devnet:
    """Make the directory of a devnet of `count` peers; the arguments are those of `make_manifest`.

    Raises:
        DevnetError: as `make_manifest` and `found`.
    """
    return found(root, make_manifest(count, seed, overrides, name, sealers))


def found(root: Path, manifest: Manifest) -> Devnet:
    """Make the directory of a devnet.

    Args:
        root: a folder that is new or empty.
        manifest: what to make; without a seed one is chosen.

    Raises:
        ManifestError: what its tables say does not fit together.
        DevnetError: `devnet_exists`, `not_a_devnet`, `no_free_port`, `port_in_use`,
            `no_namespaces`.
        KeyFileError: the folder cannot be used.
    """
    lineup = check_relations(manifest)
    table = manifest.devnet
    seed = choose_seed() if table.seed is None else table.seed
    manifest = dataclasses.replace(manifest, devnet=dataclasses.replace(table, seed=seed))
    genesis = _make_genesis(manifest, seed, lineup)
    switch = ""
    if table.network == NAMESPACES:
        check_machine()
        switch = name_switch(root, seed)
    seats = _choose_seats(manifest, lineup, root, switch)
    peers = tuple(make_spec(plan, seed, seats[plan.name]) for plan in lineup.nodes)
    roster = Roster(table.name, table.provider, seed, genesis.network.hex(), peers, switch)
    with Devnet.create(root, roster, manifest) as devnet:
        devnet.genesis_path.write_bytes(genesis.to_bytes())
        if table.provider == PROCESS:
            for plan in lineup.nodes:
                write_peer(devnet, roster.peer(plan.name), make_peer_config(roster, plan))
    return devnet


def make_spec(plan: NodePlan, seed: int, seat: Seat, key: str = "") -> PeerSpec:
    """Return the peer of a node.

    Args:
        plan: the node.
        seed: of the devnet.
        seat: where it is.
        key: the name from which the key of its account is derived; its own by default.
    """
    return PeerSpec(
        name=plan.name,
        role=plan.table.role,
        seals=plan.seals,
        **dataclasses.asdict(seat),
        peer_id=compute_peer_id(derive_key(seed, "identity", plan.name)),
        account=derive_address(seed, key or plan.name).hex(),
        key=key or plan.name,
        dials=plan.dials,
        byzantine=plan.table.byzantine,
        exe=plan.table.exe,
        env=plan.table.env,
    )


def make_peer_config(roster: Roster, plan: NodePlan) -> Config:
    """Return the configuration of a node with what its manifest says."""
    config = make_config(roster.peer(plan.name), [roster.peer(name) for name in plan.dials])
    values = {**plan.table.config, "dev.clock_offset_ms": plan.table.clock_offset_ms}
    return build_config(values, config)


def make_config(peer: PeerSpec, dials: Iterable[PeerSpec]) -> Config:
    """Return the usual configuration of a peer that dials others of its devnet."""
    mines, validates = peer.role == MINER, peer.role == VALIDATOR
    dialed = tuple(one.address for one in dials)
    return Config(
        p2p=P2pConfig(
            listen=f"/ip4/{peer.host}/tcp/{peer.p2p_port}",
            bootstrap=dialed,
            max_peers=2 * NODES_MAX,
            outbound_peers=len(dialed),
            peers_per_address=2 * NODES_MAX,
        ),
        rpc=RpcConfig(host=HOST, port=peer.rpc_port, requests_per_s=REQUESTS_PER_S),
        log=LogConfig(format="console"),
        store=StoreConfig(
            cache_mib=CACHE_MIB, disk_free_mib_min=DISK_MIB_MIN, disk_reserve_mib=DISK_MIB_MIN
        ),
        sync=SyncConfig(status_interval_ms=STATUS_INTERVAL_MS),
        roles=RolesConfig(
            account=peer.account, miner=mines, validator=validates, stake_max=BALANCE_NANO
        ),
        worker=WorkerConfig(
            command=_build_command(SOLVER) if mines else "",
            scorer_command=_build_command(SCORER) if validates else "",
        ),
        sealer=SealerConfig(enabled=peer.seals),
        dev=DevConfig(faults=True),
    )


def write_peer(devnet: Devnet, peer: PeerSpec, config: Config) -> None:
    """Write the data directory of a peer: keys, genesis, configuration.

    Raises:
        KeyFileError: it cannot be made.
    """
    paths = devnet.data_paths(peer.name)
    seed = devnet.roster.seed
    create_private(paths.identity, derive_key(seed, "identity", peer.name))
    # In the open: whoever knows the seed, which is no secret, can compute it.
    create_key(
        paths.keys,
        None,
        seed=derive_key(seed, "account", peer.key),
        description=f"devnet {peer.name}",
        allow_unencrypted=True,
    )
    paths.genesis.write_bytes(devnet.genesis_path.read_bytes())
    write_config(devnet, peer.name, config)


def write_config(devnet: Devnet, name: str, config: Config) -> None:
    """Write the configuration that a peer starts with."""
    devnet.data_paths(name).config.write_text(render_commented(config), encoding="utf-8")


def list_spares(manifest: Manifest) -> tuple[str, ...]:
    """Return the names from which the keys of spare accounts are derived."""
    return tuple(f"spare{place + 1}" for place in range(manifest.genesis.spare_accounts))


def _make_genesis(manifest: Manifest, seed: int, lineup: Lineup) -> Genesis:
    return make_genesis(
        manifest.devnet.name,
        seed,
        [*lineup.names, *list_spares(manifest)],
        [one.name for one in lineup.nodes if one.seals],
        make_params(manifest.genesis.params),
        manifest.genesis.balance * NANO_PER_COIN,
    )


def _choose_seats(manifest: Manifest, lineup: Lineup, root: Path, switch: str) -> dict[str, Seat]:
    ports = _choose_ports(manifest, lineup, root)
    seats: dict[str, Seat] = {}
    for (p2p_port, rpc_port), name in zip(ports, lineup.names, strict=True):
        host, namespace = choose_place(switch, name, {seat.host for seat in seats.values()})
        seats[name] = Seat(host, p2p_port, rpc_port, namespace)
    return seats


def _choose_ports(manifest: Manifest, lineup: Lineup, root: Path) -> list[tuple[int, int]]:
    """Return the ports of each node for peers and for the operator; 0 in a simulation."""
    if manifest.devnet.provider == SIM:
        return [(0, 0)] * len(lineup.nodes)
    base = manifest.devnet.base_port
    wanted: list[int] = []
    for place, one in enumerate(lineup.nodes):
        own = (one.table.p2p_port, one.table.rpc_port)
        by_place = (base + 2 * place, base + 2 * place + 1) if base else (0, 0)
        wanted += [chosen or usual for chosen, usual in zip(own, by_place, strict=True)]
    # Held meanwhile, so that a search does not find one that somebody asked for.
    with (
        PortReservation.hold(tuple(port for port in wanted if port)),
        PortReservation.find(wanted.count(0), str(root)) as free,
    ):
        found_ports = iter(free.ports)
        ports = [port or next(found_ports) for port in wanted]
    return list(zip(ports[::2], ports[1::2], strict=True))


def _build_command(module: str) -> str:
    # -P: a worker runs where the node does, and that folder may hold modules of the same names.
    return shlex.join([sys.executable, "-P", "-m", module])
