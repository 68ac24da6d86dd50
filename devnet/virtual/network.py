"""The network in memory on which a node can be frozen: it neither sends nor hears, and stays.

Latency, cuts and what else is wrong with links is the business of each node's own fault rules, as
with real processes.
"""

import trio

from node.transport.base import GossipMessage, PeerName
from node.transport.memory import MemoryNetwork, MemoryStream, Pipe


class FreezableStream(MemoryStream):
    """One end of a stream; it stands still while its owner is frozen."""

    def __init__(
        self, network: "VirtualNetwork", own: PeerName, peer: PeerName, incoming: Pipe, out: Pipe
    ) -> None:
        super().__init__(peer, incoming, out)
        self._network = network
        self._own = own

    async def send_all(self, data: bytes) -> None:
        """Send `data` once the owner moves."""
        await self._network.wait_thawed(self._own)
        await super().send_all(data)

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return some bytes, or b"" at the end, once the owner moves."""
        data = await super().receive_some(bytes_max)
        await self._network.wait_thawed(self._own)
        return data


class VirtualNetwork(MemoryNetwork):
    """The nodes of one devnet and the links between them."""

    def __init__(self) -> None:
        super().__init__()
        self._frozen: set[PeerName] = set()
        self._held: list[tuple[PeerName, GossipMessage]] = []
        self._thawed = trio.Event()

    def freeze(self, peer: PeerName) -> None:
        """Let nothing pass to or from a peer; what is sent meanwhile waits, as in TCP's buffers."""
        self._frozen.add(peer)

    def thaw(self, peer: PeerName) -> None:
        """Let a frozen peer move again and hand it what waited."""
        self._frozen.discard(peer)
        self._thawed.set()
        self._thawed = trio.Event()
        held, self._held = self._held, []
        for target, message in held:
            transport = self._transports.get(target)
            if transport is not None and message.sender in transport.links:
                self.carry(target, message)

    async def wait_thawed(self, peer: PeerName) -> None:
        """Wait until a peer is not frozen; at once if it is not."""
        while peer in self._frozen:
            await self._thawed.wait()

    def carry(self, peer: PeerName, message: GossipMessage) -> None:
        """Hand a message to a linked peer, unless one of the two is frozen."""
        if self._frozen.isdisjoint((peer, message.sender)):
            super().carry(peer, message)
        else:
            self._held.append((peer, message))

    def make_stream(self, opener: PeerName, other: PeerName) -> tuple[MemoryStream, MemoryStream]:
        """Return the two ends of a stream."""
        forth, back = Pipe(), Pipe()
        return (
            FreezableStream(self, opener, other, back, forth),
            FreezableStream(self, other, opener, forth, back),
        )
