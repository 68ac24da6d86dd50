"""What can be done to a running devnet, one function for each deed, whichever provider runs it.

Who makes partitions and links, the nodes or the kernel, is the provider's choice (`Links`). Every
deed is written to the devnet's events.
"""

import dataclasses
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devnet.damage import flip_bytes, list_files, repair
from devnet.errors import DevnetError
from devnet.manifests.lineup import LinkPlan, NodePlan, Pair, line_up, list_link_plans
from devnet.provider import DOWN, Provider, require_awake
from devnet.remote import GONE
from devnet.roster import PeerSpec
from node.exits import find_blamed
from node.outages import DISCONNECT, DISK_FULL, DROP_TOPIC
from node.rpc.client import RpcError


async def kill(provider: Provider, name: str) -> None:
    """End a node as a power cut does: nothing is written down.

    Raises:
        DevnetError: `unknown_peer`, `not_running`.
    """
    await provider.kill(name)
    provider.devnet.note_event("kill", peer=name)


async def pause(provider: Provider, name: str) -> None:
    """Freeze a node; its connections stay open and fall silent.

    Raises:
        DevnetError: `unknown_peer`, `not_running`.
    """
    await provider.pause(name)
    provider.devnet.note_event("pause", peer=name)


async def resume(provider: Provider, name: str) -> None:
    """Let a frozen node go on.

    Raises:
        DevnetError: `unknown_peer`, `not_running`.
    """
    await provider.resume(name)
    provider.devnet.note_event("resume", peer=name)


async def stop(provider: Provider, name: str) -> None:
    """End a node gently; one that does not run stays as it is.

    Raises:
        DevnetError: `unknown_peer`.
    """
    provider.devnet.peer(name)
    provider.devnet.note_event("stop", peer=name)
    await provider.stop([name])


async def start(provider: Provider, name: str, *, meets: bool = True) -> None:
    """Start a node that is down, with the links that its manifest gives it.

    Raises:
        DevnetError: `unknown_peer`, `already_running`, `port_in_use`, `peer_died`, `not_ready`.
    """
    await provider.start([provider.devnet.peer(name).name], meets=meets)
    await restore_links(provider, [name])


async def restart(
    provider: Provider, name: str, values: Mapping[str, Any] | None = None, *, meets: bool = True
) -> None:
    """Start a node anew on its data, after ending it gently if it runs.

    Args:
        provider: of the devnet.
        name: of the node.
        values: options that it has from then on, by dotted key.
        meets: see `Provider.start`.

    Raises:
        DevnetError: `unknown_peer`, `port_in_use`, `peer_died`, `not_ready`.
    """
    provider.devnet.peer(name)
    provider.devnet.note_event("restart", peer=name, **({"set": dict(values)} if values else {}))
    await provider.stop([name])
    if values:
        provider.reconfigure(name, values)
    await start(provider, name, meets=meets)


async def upgrade(
    provider: Provider,
    name: str,
    exe: str = "",
    env: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
    *,
    meets: bool = True,
) -> None:
    """Start a node that is a process anew on its data, with another release from then on.

    Args:
        provider: of the devnet.
        name: of the node.
        exe: a Python with that release, an absolute path; empty: the one it has.
        env: variables that its environment gets besides.
        values: see `restart`.
        meets: see `Provider.start`.

    Raises:
        DevnetError: as `restart`.
    """
    spec = provider.devnet.peer(name)
    program = {"exe": exe or spec.exe, "env": {**spec.env, **(env or {})}}
    provider.devnet.note_event("upgrade", peer=name, **program)
    provider.devnet.change_peer(name, **program)
    await restart(provider, name, values, meets=meets)


async def corrupt(provider: Provider, name: str) -> None:
    """Damage the database of a node that is a process while it is down, and start it again.

    If it runs it is killed first. A node that refuses its database, as it should, is repaired as
    its operator would, and must refill from its peers. The devnet's seed chooses what is damaged.

    Raises:
        DevnetError: `unknown_peer`, `no_database`, `not_repaired`, and as `start`.
        StorageError: the disk does not let us.
    """
    devnet = provider.devnet
    database = devnet.data_paths(devnet.peer(name).name).database
    # Before anything is killed.
    list_files(database)
    if provider.read_states()[name] != DOWN:
        await kill(provider, name)
    draws = random.Random(f"{devnet.roster.seed}/{name}/corrupt")
    damage = flip_bytes(database, draws)
    devnet.note_event("corrupt", peer=name, file=damage.file, places=list(damage.places))
    try:
        await start(provider, name, meets=False)
    except (DevnetError, ExceptionGroup) as error:
        blamed = find_blamed(error)
        if blamed is None or blamed.code != "peer_died":
            raise
        devnet.note_event("refused", peer=name, reason=str(blamed.found))
        devnet.note_event("repair", peer=name, damage=await repair(devnet, name))
        await start(provider, name, meets=False)


async def add(provider: Provider, plan: NodePlan) -> PeerSpec:
    """Bring a new node into the devnet and start it.

    Raises:
        DevnetError: `peer_exists`, `no_spare`, and as `start`.
    """
    spec = provider.add(plan)
    provider.devnet.note_event("add", peer=spec.name, role=spec.role)
    await start(provider, spec.name)
    return spec


async def remove(provider: Provider, name: str) -> None:
    """End a node and strike it off for good.

    Raises:
        DevnetError: `unknown_peer`.
    """
    provider.devnet.peer(name)
    await provider.stop([name])
    provider.remove(name)
    provider.devnet.note_event("rm", peer=name)


async def partition(
    provider: Provider, groups: Sequence[Sequence[str]], *, one_way: bool = False
) -> None:
    """Cut the links between groups of nodes; those within a group stay.

    Nodes that do not run yet, or are frozen, are cut off by the others.

    Args:
        provider: of the devnet.
        groups: every node is in one of them.
        one_way: of two groups, the second hears nothing of the first, which hears it as before.

    Raises:
        DevnetError: `nobody_told`.
        RpcError: a node refuses.
    """
    require_awake(provider)
    ways = {"one_way": True} if one_way else {}
    provider.devnet.note_event("partition", groups=[list(group) for group in groups], **ways)
    await provider.links.partition(groups, one_way=one_way)


async def heal(provider: Provider) -> None:
    """Allow every link again; how fast it is does not change.

    Raises:
        DevnetError: `nobody_told`.
        RpcError: a node refuses.
    """
    require_awake(provider)
    provider.devnet.note_event("heal")
    await provider.links.heal()


async def set_links(provider: Provider, pairs: Sequence[Pair], plan: LinkPlan) -> None:
    """Put a plan on what goes from the first to the second of each pair.

    Raises:
        DevnetError: `nobody_told`, `unknown_peer`, `cannot_lose`, `no_namespaces`.
        RpcError: a node refuses.
    """
    require_awake(provider)
    for pair in pairs:
        await provider.links.set_link(pair, plan, provider.devnet.names)
    shown = {**dataclasses.asdict(plan.rule), "loss": plan.loss}
    provider.devnet.note_event("link", pairs=[list(pair) for pair in pairs], **shown)


async def restore_links(provider: Provider, names: Iterable[str]) -> None:
    """Give nodes the links of the manifest: they have forgotten them while they were down.

    Raises:
        RpcError: a node refuses.
    """
    manifest = provider.devnet.read_manifest()
    told = set(names)
    for pair, plan in list_link_plans(manifest, line_up(manifest)).items():
        if told.intersection(pair) and set(pair) <= set(provider.devnet.names):
            await provider.links.set_link(pair, plan, told)


async def set_clock(provider: Provider, name: str, offset_ms: int) -> None:
    """Put the wall clock of a node wrong by so much; 0 puts it right.

    Raises:
        DevnetError: `unknown_peer`, `peer_silent`.
        RpcError: it does not run.
    """
    await provider.remote(name).call("dev_clock", offset_ms=offset_ms)
    provider.devnet.note_event("clock", peer=name, offset_ms=offset_ms)


ENDINGS = {DISCONNECT: "reconnect", DROP_TOPIC: "take_topic", DISK_FULL: "disk_room"}
"""What the end of an outage is called among the events of a devnet."""


async def begin_outage(provider: Provider, name: str, outage: str) -> None:
    """Let a node lack something, itself telling itself so: see `node.outages`.

    Raises:
        DevnetError: `unknown_peer`, `peer_silent`.
        RpcError: it does not run.
    """
    await provider.remote(name).call("dev_outage", outage=outage, on=True)
    provider.devnet.note_event(outage, peer=name)


async def end_outage(provider: Provider, name: str, outage: str) -> None:
    """Give a node back what it lacked; one that does not run has forgotten that it did.

    Raises:
        DevnetError: `unknown_peer`, `peer_silent`.
        RpcError: it refuses.
    """
    try:
        await provider.remote(name).call("dev_outage", outage=outage, on=False)
    except RpcError as error:
        if error.code not in GONE:
            raise
    provider.devnet.note_event(ENDINGS[outage], peer=name)


@dataclass(frozen=True, slots=True)
class Fault:
    """One deed to one node, for the command line and for plans of faults.

    Attributes:
        name: of the command.
        text: what it does, for people.
        apply_to: does it, to the node of a name.
    """

    name: str
    text: str
    apply_to: Callable[[Provider, str], Awaitable[None]]


FAULTS: tuple[Fault, ...] = (
    Fault("kill", "End a peer as a power cut does.", kill),
    Fault("stop", "End a peer gently.", stop),
    Fault("start", "Start a peer that is down.", start),
    Fault("pause", "Freeze a peer; its connections stay open and fall silent.", pause),
    Fault("resume", "Let a frozen peer go on.", resume),
    Fault("corrupt", "Damage the database of a peer, and repair it once it refuses.", corrupt),
)
"""Those that need nothing but a name."""
