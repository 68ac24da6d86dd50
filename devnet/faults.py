"""What can be done to a running devnet, one function for each deed, whichever provider runs it.

Partitions and links are made inside the nodes' transports, which each node does to itself when its
RPC is told; no root and no firewall is needed. Every deed is written to the devnet's events.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devnet.manifests.lineup import NodePlan, Pair, line_up, list_link_rules
from devnet.provider import Provider, find_awake, require_awake
from devnet.remote import GONE
from devnet.roster import PeerSpec
from node.rpc.client import RpcError
from node.transport.fault_rules import IN, OUT, LinkRule


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
    awake = require_awake(provider)
    ways = {"one_way": True} if one_way else {}
    provider.devnet.note_event("partition", groups=[list(group) for group in groups], **ways)
    own = {name: group for group in groups for name in group}
    peer_ids = {peer.name: peer.peer_id for peer in provider.devnet.roster.peers}
    for name in awake:
        if one_way and name in groups[0]:
            continue
        friends = [peer_ids[other] for other in own[name]]
        others = [peer_ids[other] for other in provider.devnet.names if other not in own[name]]
        await _tell(provider, name, "dev_partition", peers=others, **ways)
        await _tell(provider, name, "dev_heal", peers=friends)


async def heal(provider: Provider) -> None:
    """Allow every link again; how fast it is does not change.

    Raises:
        DevnetError: `nobody_told`.
        RpcError: a node refuses.
    """
    awake = require_awake(provider)
    provider.devnet.note_event("heal")
    for name in awake:
        await _tell(provider, name, "dev_heal")


async def set_links(provider: Provider, pairs: Sequence[Pair], rule: LinkRule) -> None:
    """Put a rule on what goes from the first to the second of each pair.

    Raises:
        DevnetError: `nobody_told`, `unknown_peer`.
        RpcError: a node refuses.
    """
    require_awake(provider)
    shown = dataclasses.asdict(rule)
    provider.devnet.note_event("link", pairs=[list(pair) for pair in pairs], **shown)
    for pair in pairs:
        await _tell_link(provider, pair, rule, provider.devnet.names)


async def restore_links(provider: Provider, names: Iterable[str]) -> None:
    """Give nodes the links of the manifest: they have forgotten them while they were down.

    Raises:
        RpcError: a node refuses.
    """
    manifest = provider.devnet.read_manifest()
    told = set(names)
    for pair, rule in list_link_rules(manifest, line_up(manifest)).items():
        if told.intersection(pair) and set(pair) <= set(provider.devnet.names):
            await _tell_link(provider, pair, rule, told)


async def set_clock(provider: Provider, name: str, offset_ms: int) -> None:
    """Put the wall clock of a node wrong by so much; 0 puts it right.

    Raises:
        DevnetError: `unknown_peer`, `peer_silent`.
        RpcError: it does not run.
    """
    await provider.remote(name).call("dev_clock", offset_ms=offset_ms)
    provider.devnet.note_event("clock", peer=name, offset_ms=offset_ms)


async def _tell_link(provider: Provider, pair: Pair, rule: LinkRule, told: Iterable[str]) -> None:
    """Tell both ends of one way: the sender of its streams, the receiver of the gossip."""
    source, target = (provider.devnet.peer(name) for name in pair)
    awake = set(find_awake(provider)).intersection(told)
    for own, other, way in ((source, target, OUT), (target, source, IN)):
        if own.name in awake:
            facts = dataclasses.asdict(rule)
            await _tell(provider, own.name, "dev_link", peer_name=other.peer_id, ways=way, **facts)


async def _tell(provider: Provider, name: str, method: str, **params: Any) -> None:
    """Tell a node what to do to itself; one that is just starting or ending is left out."""
    try:
        await provider.remote(name).call(method, **params)
    except RpcError as error:
        if error.code not in GONE:
            raise


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
)
"""Those that need nothing but a name."""
