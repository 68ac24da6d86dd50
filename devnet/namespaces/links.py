"""Links that the kernel cuts and slows down: packets are dropped, whoever sends them.

What the kernel cannot do is left to the nodes: streams that break after so many bytes, and delay
where it has no netem. Its rules outlive the nodes: one that is restarted is cut off as before.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import trio

from devnet.layout import Devnet
from devnet.manifests.lineup import LinkPlan, Pair
from devnet.namespaces import commands
from devnet.namespaces.commands import Ends
from devnet.namespaces.network import Namespaces
from devnet.provider import KeptWays, Links


class KernelLinks:
    """The links of a devnet in namespaces.

    Args:
        devnet: knows the addresses.
        namespaces: of the devnet.
        nodes: the links as nodes keep them.
    """

    def __init__(self, devnet: Devnet, namespaces: Namespaces, nodes: Links) -> None:
        self._devnet = devnet
        self._namespaces = namespaces
        self._nodes = nodes

    async def partition(self, groups: Sequence[Sequence[str]], *, one_way: bool) -> None:
        """See `Links`, here and below. All packets meet the new rules at one moment."""
        friends: list[Pair] = []
        parted: dict[Pair, None] = {}
        for group in groups:
            for name in group:
                for other in self._devnet.names:
                    if other in group:
                        friends.append((name, other))
                    elif not one_way:
                        # Also those that are in no group.
                        parted.update({(name, other): None, (other, name): None})
                    elif group == groups[0]:
                        parted[(name, other)] = None
        lines = commands.allow(self._find_ends(pair) for pair in friends)
        lines += commands.cut(self._find_ends(pair) for pair in parted)
        self._namespaces.tell_nft("nft", lines)

    async def heal(self) -> None:
        """Allow every link."""
        self._namespaces.tell_nft("nft", commands.allow_all())

    async def set_link(self, pair: Pair, plan: LinkPlan, told: Iterable[str]) -> None:
        """Tell the switch, and the nodes what it cannot do."""
        way, rule = self._find_ends(pair), plan.rule
        # What nodes keep: resets, and delay if the kernel has none.
        told_rule = dataclasses.replace(rule, bandwidth=0)
        if self._namespaces.has_delay():
            told_rule = dataclasses.replace(told_rule, latency_ms=0, jitter_ms=0)
        own_rule = dataclasses.replace(
            rule,
            reset_after=0,
            latency_ms=rule.latency_ms - told_rule.latency_ms,
            jitter_ms=rule.jitter_ms - told_rule.jitter_ms,
        )
        own = LinkPlan(own_rule, plan.loss)
        self._namespaces.tell_nft("loss", commands.lose(way, own))
        self._namespaces.tell_tc("rate", commands.shape(way, own))
        await self._nodes.set_link(pair, LinkPlan(told_rule), told)

    async def read_kept(self) -> KeptWays:
        """Return what the switch does."""
        document = await trio.to_thread.run_sync(self._namespaces.read_table)
        if not document:
            return KeptWays()
        names = {peer.host: peer.name for peer in self._devnet.roster.peers}
        cut, poor = (
            frozenset((names[one], names[other]) for one, other in ways if {one, other} <= {*names})
            for ways in commands.read_ways(document)
        )
        return KeptWays(cut, poor)

    def _find_ends(self, pair: Pair) -> Ends:
        first, second = (self._devnet.peer(name).host for name in pair)
        return first, second
