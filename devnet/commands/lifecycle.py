"""`up`, `down`, `add`, `rm`: devnets that begin and end, and nodes that come and go."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from devnet.cluster import ProcessCluster
from devnet.commands.common import (
    HERE,
    Count,
    Json,
    NetworkKind,
    Seed,
    Settings,
    Where,
    WhichPeer,
    check_choice,
    purge,
    read_settings,
    read_value,
    with_devnet,
)
from devnet.demo import explain_cast
from devnet.errors import DevnetError
from devnet.faults import add, remove, restore_links
from devnet.founding import COUNT_DEFAULT, choose_seed, found, make_manifest
from devnet.layout import Devnet
from devnet.manifests.fields import NAME
from devnet.manifests.lineup import ALL_DIAL_MAX, DIALS_MAX, NodePlan, line_up
from devnet.manifests.reader import load_manifest
from devnet.manifests.tables import (
    LOOPBACK,
    NAMESPACES,
    NETWORKS,
    OBSERVER,
    ROLES,
    SIM,
    Manifest,
    NodeTable,
)
from devnet.session import run_guarded
from node.commands.common import make_console
from node.text import suggest


def up(
    manifest: Annotated[
        str | None, Parameter(help="A file, or the name of a shipped one; else by the flags.")
    ] = None,
    *,
    peers: Count = None,
    seed: Seed = None,
    sealers: Annotated[
        int | None, Parameter(help="How many of them end the epochs together; else 1.")
    ] = None,
    param: Annotated[
        list[str] | None,
        Parameter(help="A number of the network, such as epoch_ms=500.", negative_iterable=""),
    ] = None,
    network: NetworkKind = None,
    reset: Annotated[
        bool, Parameter(help="Forget the devnet that was here before.", negative="")
    ] = False,
    as_json: Json = False,
    where: Where = HERE,
) -> None:
    """Start a devnet and return when every peer is ready. One that was stopped goes on.

    Peers that run already are left as they are; those that do not are started.
    """
    check_choice("--network", network, NETWORKS)
    if reset:
        purge(where.root)
    if manifest is None:
        wish = _Wish(peers, sealers, seed, network, read_params(param or []))
        devnet, is_new = _find_or_found(where.root, wish)
    elif peers is not None or sealers is not None or param:
        wanted = "the manifest alone says it"
        raise DevnetError("bad_value", "a manifest with --peers, --sealers or --param", wanted)
    else:
        asked = with_devnet(load_manifest(manifest), seed=seed, network=network)
        devnet, is_new = _find_or_found_as(where.root, asked)
    cluster = ProcessCluster(devnet, guarded=True)
    running = cluster.find_running()
    if len(running) == len(devnet.names):
        raise DevnetError("already_running", f"a devnet in {where.root}", "`minesync devnet down`")
    if not running:
        # Of a command that was killed, its network may be left.
        cluster.take_down_network()
    console = make_console()
    # Whoever is to come late comes when somebody says so; of a devnet that goes on, all come.
    late = [one.name for one in line_up(devnet.read_manifest()).nodes if is_new and one.is_late]

    async def work() -> bool:
        early = [name for name in devnet.names if name not in late and name not in running]
        await cluster.start(early, on_ready=tell)
        await restore_links(cluster, early)
        return True

    def tell(name: str) -> None:
        if not as_json:
            console.print(f"{name} is ready")

    trio.run(run_guarded, cluster, work)
    if as_json:
        sys.stdout.write((devnet.root / "devnet.json").read_text(encoding="utf-8"))
        return
    for line in explain_cast(devnet):
        console.print(line)
    for name in late:
        console.print(f"{name} comes later: `minesync devnet start {name}`")
    console.print(f"everything a script needs: {devnet.root / 'devnet.json'}")


def down(
    *,
    purge: Annotated[bool, Parameter(help="Delete its directory, too.", negative="")] = False,
    where: Where = HERE,
) -> None:
    """Stop every peer."""
    cluster = ProcessCluster(Devnet.load(where.root))
    killed = trio.run(cluster.stop)
    cluster.devnet.forget_processes()
    console = make_console()
    console.print("stopped" + (f", {killed} of them killed" if killed else ""))
    if purge:
        cluster.devnet.delete()
        console.print(f"{where.root} deleted")


def add_command(
    peer: WhichPeer,
    *,
    role: Annotated[str, Parameter(help="validator, miner or observer.")] = OBSERVER,
    settings: Settings = None,
    where: Where = HERE,
) -> None:
    """Bring a new peer into a devnet that runs; it takes one of the spare accounts."""
    cluster = where.open()
    name = read_value(NAME, peer, "a name")
    if role not in ROLES:
        wanted = " or ".join(ROLES) + suggest(role, ROLES)
        raise DevnetError("bad_value", f"role {role[:32]!r}", wanted)
    names = cluster.devnet.names
    dials = names if len(names) <= ALL_DIAL_MAX else names[-DIALS_MAX:]
    table = NodeTable(role=role, config=read_settings(settings or []))
    plan = NodePlan(name, table, group="", seals=False, dials=dials)
    spec = trio.run(add, cluster, plan)
    make_console().print(f"{spec.name}  {spec.role}  {spec.url}")


def remove_command(peer: WhichPeer, *, where: Where = HERE) -> None:
    """End a peer and delete all that is its own."""
    trio.run(remove, where.open(), peer)
    make_console().print(f"{peer} is gone")


@dataclass(frozen=True, slots=True)
class _Wish:
    """A devnet by flags; None where nothing was said."""

    peers: int | None
    sealers: int | None
    seed: int | None
    network: str | None
    params: dict[str, int]


def _find_or_found(root: Path, wish: _Wish) -> tuple[Devnet, bool]:
    """Return the devnet that is there, if it is the one asked for, else a new one and true."""
    if not (root / "devnet.json").exists():
        count = COUNT_DEFAULT if wish.peers is None else wish.peers
        chosen = choose_seed() if wish.seed is None else wish.seed
        sealing = 1 if wish.sealers is None else wish.sealers
        manifest = make_manifest(count, chosen, wish.params, sealers=sealing)
        return found(root, with_devnet(manifest, network=wish.network)), True
    devnet = Devnet.load(root)
    roster = devnet.roster
    count, sealing = len(devnet.names), sum(peer.seals for peer in roster.peers)
    network = NAMESPACES if roster.switch else LOOPBACK
    asked = (wish.peers, wish.sealers, wish.seed, wish.network)
    there = (count, sealing, roster.seed, network)
    if wish.params or any(one not in (None, own) for one, own in zip(asked, there, strict=True)):
        what = f"a devnet of {count} peers, {sealing} of them sealers, on {network}, and"
        raise _differs(root, what, roster.seed)
    return devnet, False


def _find_or_found_as(root: Path, manifest: Manifest) -> tuple[Devnet, bool]:
    if manifest.devnet.provider == SIM:
        wanted = "`minesync devnet run`, which plays it to its end"
        raise DevnetError("simulation_only", "provider = sim", wanted)
    if not (root / "devnet.json").exists():
        return found(root, manifest), True
    devnet = Devnet.load(root)
    own_seed = devnet.roster.seed
    if manifest.devnet.seed is None:
        manifest = with_devnet(manifest, seed=own_seed)
    if devnet.read_manifest() != manifest:
        raise _differs(root, "a devnet of another manifest, and", own_seed)
    return devnet, False


def read_params(pairs: list[str]) -> dict[str, int]:
    """Return the parameters of a network that were given as name=number.

    Raises:
        DevnetError: `bad_param`.
    """
    params: dict[str, int] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not text.isascii() or not text.isdigit():
            raise DevnetError("bad_param", repr(pair[:64]), "name=number")
        params[name] = int(text)
    return params


def _differs(root: Path, what: str, seed: int) -> DevnetError:
    wanted = "the same, or --reset to make another"
    return DevnetError("devnet_differs", f"{what} seed {seed} in {root}", wanted)
