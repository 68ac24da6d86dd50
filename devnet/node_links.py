"""Links that the nodes themselves cut and slow down, each at its own end, when its RPC is told.

It happens inside their transports, so no root and no firewall is needed. A node that is restarted
has forgotten its part. Nothing is lost on the way: what passes, passes whole.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from devnet.errors import DevnetError
from devnet.manifests.lineup import LinkPlan, Pair
from devnet.manifests.tables import NAMESPACES
from devnet.provider import KeptWays, Provider, find_awake
from devnet.remote import GONE
from node.rpc.client import RpcError
from node.transport.fault_rules import IN, OUT


class NodeLinks:
    """The links of a devnet, kept by its nodes.

    Args:
        provider: of the devnet.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def partition(self, groups: Sequence[Sequence[str]], *, one_way: bool) -> None:
        """See `Links`, here and below."""
        ways = {"one_way": True} if one_way else {}
        own = {name: group for group in groups for name in group}
        devnet = self._provider.devnet
        peer_ids = {peer.name: peer.peer_id for peer in devnet.roster.peers}
        for name in find_awake(self._provider):
            if one_way and name in groups[0]:
                continue
            friends = [peer_ids[other] for other in own[name]]
            others = [peer_ids[other] for other in devnet.names if other not in own[name]]
            await self._tell(name, "dev_partition", peers=others, **ways)
            await self._tell(name, "dev_heal", peers=friends)

    async def heal(self) -> None:
        """Allow every link."""
        for name in find_awake(self._provider):
            await self._tell(name, "dev_heal")

    async def set_link(self, pair: Pair, plan: LinkPlan, told: Iterable[str]) -> None:
        """Tell both ends of one way: the sender of its streams, the receiver of the gossip."""
        if plan.loss:
            wanted = f"network = {NAMESPACES} in [devnet], or `up --network {NAMESPACES}`"
            raise DevnetError("cannot_lose", "a network that loses no packet", wanted)
        source, target = (self._provider.devnet.peer(name) for name in pair)
        awake = set(find_awake(self._provider)).intersection(told)
        facts = dataclasses.asdict(plan.rule)
        for own, other, way in ((source, target, OUT), (target, source, IN)):
            if own.name in awake:
                await self._tell(own.name, "dev_link", peer_name=other.peer_id, ways=way, **facts)

    async def read_kept(self) -> KeptWays:
        """Return nothing: the nodes know, and say it themselves."""
        return KeptWays()

    async def _tell(self, name: str, method: str, **params: Any) -> None:
        """Tell a node what to do to itself; one that is just starting or ending is left out."""
        try:
            await self._provider.remote(name).call(method, **params)
        except RpcError as error:
            if error.code not in GONE:
                raise
