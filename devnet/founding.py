"""Founds a devnet: for each peer a data directory with keys, genesis and configuration.

Roles: the first peers validate, at least three, because a task wants three reviewers; the others
mine. The first one seals, or the first few. A publisher may not answer its own task and a validator
may not judge it, so the miners publish, each for the others (`devnet.load`).
"""

import secrets
import shlex
import sys
from collections.abc import Mapping
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
from devnet.layout import PEERS_MAX, Devnet, Manifest, PeerSpec, choose_dials
from devnet.ports import HOST, PortReservation
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
from node.config_show import render_commented
from node.identity import compute_peer_id
from node.keystore import create_key
from node.private_files import create_private
from protocol.charter_records import SEALERS_MAX

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
    """Return the role of each peer.

    Raises:
        DevnetError: `bad_count`.
    """
    if not 1 <= count <= PEERS_MAX:
        raise DevnetError("bad_count", f"{count} peers", f"1 to {PEERS_MAX}")
    validators = min(count, max(VALIDATORS_MIN, min(count // 2, VALIDATORS_MAX)))
    return ("validator",) * validators + ("miner",) * (count - validators)


def found_devnet(
    root: Path,
    count: int,
    seed: int,
    overrides: Mapping[str, int] | None = None,
    name: str = NAME,
    sealers: int = 1,
) -> Devnet:
    """Make the directory of a devnet of `count` peers.

    Args:
        root: a folder that is new or empty.
        count: of peers.
        seed: all keys come from it; so do the ports that are tried first.
        overrides: of single parameters of the network, by name.
        name: of the network.
        sealers: how many of the peers end the epochs together; of 3f + 1 of them f may fail.

    Raises:
        DevnetError: `bad_count`, `bad_sealers`, `bad_seed`, `unknown_param`, `bad_param`,
            `devnet_exists`, `not_a_devnet`, `no_free_port`.
        KeyFileError: the folder cannot be used.
    """
    roles = assign_roles(count)
    if not 0 <= seed <= SEED_MAX:
        raise DevnetError("bad_seed", seed, f"0 to {SEED_MAX}")
    if not 1 <= sealers <= min(count, SEALERS_MAX):
        wanted = f"1 to {min(count, SEALERS_MAX)}"
        raise DevnetError("bad_sealers", f"{sealers} sealers of {count} peers", wanted)
    names = [f"n{place + 1}" for place in range(count)]
    genesis = make_genesis(name, seed, names, names[:sealers], make_params(overrides))
    with PortReservation.find(2 * count, str(root)) as reservation:
        peers = tuple(
            PeerSpec(
                name=peer,
                role=roles[place],
                seals=place < sealers,
                p2p_port=reservation.ports[place],
                rpc_port=reservation.ports[count + place],
                peer_id=compute_peer_id(derive_key(seed, "identity", peer)),
                account=derive_address(seed, peer).hex(),
            )
            for place, peer in enumerate(names)
        )
        devnet = Devnet.create(root, Manifest(name, seed, genesis.network.hex(), peers))
        devnet.genesis_path.write_bytes(genesis.to_bytes())
        for place, spec in enumerate(peers):
            _write_peer(devnet, spec, [peers[dialed] for dialed in choose_dials(place, count)])
    return devnet


def make_config(peer: PeerSpec, dials: list[PeerSpec]) -> Config:
    """Return the configuration of a peer that dials others of its devnet."""
    mines, validates = peer.role == "miner", peer.role == "validator"
    return Config(
        p2p=P2pConfig(
            listen=f"/ip4/{HOST}/tcp/{peer.p2p_port}",
            bootstrap=tuple(dialed.address for dialed in dials),
            max_peers=2 * PEERS_MAX,
            outbound_peers=len(dials),
            peers_per_address=2 * PEERS_MAX,
        ),
        rpc=RpcConfig(host=HOST, port=peer.rpc_port, requests_per_s=REQUESTS_PER_S),
        log=LogConfig(format="console"),
        store=StoreConfig(
            cache_mib=CACHE_MIB, disk_free_mib_min=DISK_MIB_MIN, disk_reserve_mib=DISK_MIB_MIN
        ),
        sync=SyncConfig(status_interval_ms=STATUS_INTERVAL_MS),
        roles=RolesConfig(
            account=peer.account,
            miner=mines,
            validator=validates,
            stake_max=BALANCE_NANO,
        ),
        worker=WorkerConfig(
            command=_build_command(SOLVER) if mines else "",
            scorer_command=_build_command(SCORER) if validates else "",
        ),
        sealer=SealerConfig(enabled=peer.seals),
        dev=DevConfig(faults=True),
    )


def _build_command(module: str) -> str:
    # -P: a worker runs where the node does, and that folder may hold modules of the same names.
    return shlex.join([sys.executable, "-P", "-m", module])


def _write_peer(devnet: Devnet, peer: PeerSpec, dials: list[PeerSpec]) -> None:
    paths = devnet.data_paths(peer.name)
    seed = devnet.manifest.seed
    create_private(paths.identity, derive_key(seed, "identity", peer.name))
    # In the open: whoever knows the seed, which is no secret, can compute it.
    create_key(
        paths.keys,
        None,
        seed=derive_key(seed, "account", peer.name),
        description=f"devnet {peer.name}",
        allow_unencrypted=True,
    )
    paths.genesis.write_bytes(devnet.genesis_path.read_bytes())
    paths.config.write_text(render_commented(make_config(peer, dials)), encoding="utf-8")
