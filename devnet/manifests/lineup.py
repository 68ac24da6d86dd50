"""Who takes part: groups become nodes, names become sets of nodes, zones and links become rules."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devnet.manifests.tables import MINER, GroupTable, LinkFields, Manifest, NodeTable
from node.transport.fault_rules import CLEAR, LinkRule

DIALS_MAX = 4
ALL_DIAL_MAX = 8

Pair = tuple[str, str]
"""From whom to whom."""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node of a manifest.

    Attributes:
        group: the group it comes from; empty for one of its own.
        seals: it ends epochs.
        dials: names of those it keeps connected.
    """

    name: str
    table: NodeTable
    group: str
    seals: bool
    dials: tuple[str, ...]

    @property
    def is_late(self) -> bool:
        """Whether it starts after the others."""
        return is_late(self.table)


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What one way of a link is to be like.

    Attributes:
        rule: what a node can do to itself.
        loss: how many packets of a thousand are lost; only a network of namespaces loses any.
    """

    rule: LinkRule = CLEAR
    loss: int = 0


PLAIN = LinkPlan()
"""A link like any other."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """The nodes of a manifest, in order, and what names stand for.

    Attributes:
        sets: the nodes that a name of a node, group or zone stands for.
    """

    nodes: tuple[NodePlan, ...]
    sets: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all nodes."""
        return tuple(one.name for one in self.nodes)

    @property
    def publishers(self) -> tuple[str, ...]:
        """The miners that publish tasks."""
        chosen = (one for one in self.nodes if one.table.role == MINER and one.table.publishes)
        return tuple(one.name for one in chosen)

    def resolve(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the nodes that names stand for, each once, in the order of the manifest."""
        chosen = {one for name in names for one in self.sets[name]}
        return tuple(name for name in self.names if name in chosen)


def is_late(own: NodeTable) -> bool:
    """Tell whether a node starts after the others."""
    return bool(own.start_at_ms or own.start_when)


def line_up(manifest: Manifest) -> Lineup:
    """Return who takes part; names must have been checked."""
    listed: list[tuple[str, str, NodeTable]] = [
        (name, "", own) for name, own in manifest.node.items()
    ]
    for group, alike in manifest.group.items():
        listed += [(name, group, alike) for name in name_members(group, alike)]
    names = [name for name, _, _ in listed]
    sets: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    for group in manifest.group:
        sets[group] = tuple(name for name, of, _ in listed if of == group)
    for zone in manifest.zones:
        sets[zone] = tuple(name for name, _, own in listed if own.zone == zone)
    first = [name for name, _, own in listed if not is_late(own)][:1]
    sealing = {one for name in manifest.genesis.sealers or first for one in sets[name]}
    nodes = []
    for place, (name, group, own) in enumerate(listed):
        dials = [names[one] for one in choose_dials(place, len(names))]
        if own.dials is not None:
            chosen = {one for dialed in own.dials for one in sets[dialed]}
            dials = [one for one in names if one in chosen and one != name]
        nodes.append(NodePlan(name, own, group, name in sealing, tuple(dials)))
    return Lineup(tuple(nodes), sets)


def name_members(group: str, own: GroupTable) -> list[str]:
    """Return the names of the nodes of a group."""
    return [f"{group}{place}" for place in range(1, own.count + 1)]


def choose_dials(place: int, count: int) -> list[int]:
    """Return the places of the nodes that the node at `place` of `count` dials.

    All of them are lower, so no two nodes dial each other at once. Few nodes all know each other,
    so that either side of any partition is connected; among many, each dials four, and halving
    keeps the way to the first one short.
    """
    if count <= ALL_DIAL_MAX:
        return list(range(place))
    near = {place - 1, place - 2, place // 2, place // 3} - {place}
    return sorted(one for one in near if one >= 0)


def plan_link(fields: LinkFields) -> LinkPlan:
    """Return what the fields of a link stand for."""
    names = [one.name for one in dataclasses.fields(LinkRule)]
    return LinkPlan(LinkRule(**{name: getattr(fields, name) for name in names}), fields.loss)


def list_link_plans(manifest: Manifest, lineup: Lineup) -> dict[Pair, LinkPlan]:
    """Return the plan of each way on which messages do not just pass."""
    plans: dict[Pair, LinkPlan] = {}
    for one in lineup.nodes:
        for other in lineup.nodes:
            rule = _measure_zones(manifest, one, other)
            if one is not other and rule != CLEAR:
                plans[(one.name, other.name)] = LinkPlan(rule)
    for link in manifest.link:
        for pair in list_pairs(lineup, link.between, one_way=link.one_way):
            plans[pair] = plan_link(link)
    return plans


def list_pairs(lineup: Lineup, between: Iterable[str], *, one_way: bool) -> list[Pair]:
    """Return the ways between two sets of nodes."""
    left, right = (lineup.sets[name] for name in between)
    pairs = [(one, other) for one in left for other in right if one != other]
    if not one_way:
        pairs += [(other, one) for one, other in pairs if (other, one) not in pairs]
    return pairs


def _measure_zones(manifest: Manifest, one: NodePlan, other: NodePlan) -> LinkRule:
    here = manifest.zones.get(one.table.zone)
    there = manifest.zones.get(other.table.zone)
    if here is None or there is None:
        return CLEAR
    if one.table.zone == other.table.zone:
        latency_ms = here.inside_ms
    else:
        latency_ms = here.to.get(other.table.zone, there.to.get(one.table.zone, 0))
    return LinkRule(latency_ms=latency_ms, jitter_ms=here.jitter_ms)
