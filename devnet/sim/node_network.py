"""The wire of the node layer: the network in memory, with weather, cuts and a trace.

Gossip meets its fate on each link: lost, late, twice, overtaken. A stream keeps its order as TCP
does, so a write is only late, or lost together with the stream. A cut in both directions closes the
connection; one in a single direction lets it stall and break, as a firewall would.
"""

import heapq
from collections.abc import Callable, Iterable

import trio

from devnet.sim.fates import Fates
from devnet.sim.sealer_lies import Said
from devnet.sim.witness import Witness
from node.transport.base import GossipMessage, PeerName, TransportError
from node.transport.memory import MemoryNetwork, MemoryStream, MemoryTransport, Pipe
from protocol.ballots import Ballot, Proposal, SealVote
from protocol.messages import (
    BallotNotice,
    DealNotice,
    OpeningNotice,
    ProposalNotice,
    SealVoteNotice,
    encode_message,
    pack_ids,
)
from protocol.sharing import Deal, Opening

STREAM_LOSS_SHARE = 20
"""TCP sends again: of messages that the weather loses, one in so many breaks its stream."""
STALL_S = 1.5


class WeatherStream(MemoryStream):
    """One end of a stream on a link with weather."""

    def __init__(
        self,
        network: "WeatherNetwork",
        own: PeerName,
        peer: PeerName,
        incoming: Pipe,
        outgoing: Pipe,
    ) -> None:
        super().__init__(peer, incoming, outgoing)
        self._network = network
        self._own = own

    async def send_all(self, data: bytes) -> None:
        """Send `data`, late; or break the stream."""
        delay_s = self._network.delay_stream(self._own, self.peer, len(data))
        if delay_s is None:
            await trio.sleep(STALL_S)
            self.break_link()
            raise TransportError("stream_failed", f"a stream to {self.peer}", "a link that works")
        await trio.sleep(delay_s)
        await super().send_all(data)


class WeatherNetwork(MemoryNetwork):
    """The peers of one run and the links between them.

    Args:
        peers: how many may take part.
    """

    def __init__(self, peers: int, fates: Fates, witness: Witness) -> None:
        super().__init__()
        self._numbers = {name_peer(number): number for number in range(peers)}
        self._fates = fates
        self._witness = witness
        self._blocked: dict[tuple[int, int], int] = {}
        self._late: list[tuple[float, int, PeerName, GossipMessage]] = []
        self._sent = 0
        self._writes: dict[tuple[int, int], int] = {}
        self._changed = trio.Event()
        self.liars: dict[int, Callable[[MemoryStream], None]] = {}
        """Who takes the streams to a peer in its place."""

    async def run(self) -> None:
        """Deliver gossip when its time has come; never returns."""
        while True:
            self._changed = trio.Event()
            due_s = self._late[0][0] if self._late else float("inf")
            with trio.move_on_at(due_s):
                await self._changed.wait()
            while self._late and self._late[0][0] <= trio.current_time():
                _, _, peer, message = heapq.heappop(self._late)
                self._deliver(peer, message)

    def send_gossip(self, source: int, target: int, data: bytes) -> None:
        """Tell one peer something as if it had been relayed: what a liar does."""
        self.carry(self._name(target), GossipMessage(self._name(source), data))

    def send_word(self, source: int, said: Said) -> None:
        """Tell neighbours what a sealer says, each the face that is meant for him."""
        here = self.find_transport(source)
        for place, name in enumerate(sorted(here.links) if here else ()):
            if said.is_for(place):
                notice = encode_message(_make_notice(self._name(source), said))
                self.send_gossip(source, self._numbers[name], notice)

    def carry(self, peer: PeerName, message: GossipMessage) -> None:
        """Send a message over a link, whatever becomes of it."""
        source, target = self._numbers[message.sender], self._numbers[peer]
        self._witness.counts["messages"] += 1
        fate = self._fates.draw_message(source, target, is_gossip=True)
        for delay_ms in fate.delays_ms:
            self._sent += 1
            due_s = trio.current_time() + delay_ms / 1_000
            heapq.heappush(self._late, (due_s, self._sent, peer, message))
        self._changed.set()

    def accept(self, peer: PeerName, protocol_id: str, stream: MemoryStream) -> None:
        """Hand a new stream to its other end, or to who lies for it."""
        lie = self.liars.get(self._numbers[peer])
        if lie is None:
            super().accept(peer, protocol_id, stream)
        else:
            lie(stream)

    def make_stream(self, opener: PeerName, other: PeerName) -> tuple[MemoryStream, MemoryStream]:
        """Return the two ends of a stream."""
        forth, back = Pipe(), Pipe()
        return (
            WeatherStream(self, opener, other, back, forth),
            WeatherStream(self, other, opener, forth, back),
        )

    def delay_stream(self, own: PeerName, peer: PeerName, size: int) -> float | None:
        """Return how long a write takes, in seconds; None if it is lost with its stream."""
        source, target = self._numbers[own], self._numbers[peer]
        place = self._writes.get((source, target), 0)
        self._writes[(source, target)] = place + 1
        self._witness.counts["messages"] += 1
        self._witness.note("write", source, target, size)
        loss = self._fates.weather.loss // STREAM_LOSS_SHARE
        if self._blocked.get((source, target)) or self._fates.is_chosen(
            loss, "write", source, target, place
        ):
            return None
        fate = self._fates.draw_message(source, target, is_gossip=False)
        return (fate.delays_ms[0] if fate.delays_ms else self._fates.weather.delay_ms_max) / 1_000

    def block(self, pairs: Iterable[tuple[int, int]], *, is_parting: bool = False) -> None:
        """Let nothing pass from one peer to another, until `unblock`; connections may stay."""
        for source, target in pairs:
            self._blocked[(source, target)] = self._blocked.get((source, target), 0) + 1
            if is_parting:
                self.part(self._name(source), self._name(target))

    def unblock(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take one `block` of these links back. Nobody is connected by it."""
        for pair in pairs:
            if self._blocked.get(pair):
                self._blocked[pair] -= 1

    def connect(self, transport: MemoryTransport, name: PeerName) -> None:
        """Link two peers; a connection needs both directions.

        Raises:
            TransportError: dial_failed.
        """
        one, other = self._numbers[transport.name], self._numbers[name]
        if self._blocked.get((one, other)) or self._blocked.get((other, one)):
            raise TransportError("dial_failed", f"nobody answers as {name}", "a reachable peer")
        super().connect(transport, name)

    def unblock_all(self, peers: set[int]) -> None:
        """Take every block between these peers back."""
        self.unblock(
            [
                pair
                for pair, count in sorted(self._blocked.items())
                for _ in range(count)
                if set(pair) <= peers
            ]
        )

    def find_transport(self, number: int) -> MemoryTransport | None:
        """Return the transport of a peer that is up."""
        return self._transports.get(self._name(number))

    def _deliver(self, peer: PeerName, message: GossipMessage) -> None:
        source, target = self._numbers[message.sender], self._numbers[peer]
        here, there = self.find_transport(target), self.find_transport(source)
        is_linked = here is not None and message.sender in here.links
        if here is None or there is None or not is_linked or self._blocked.get((source, target)):
            return
        self._witness.note("gossip", source, target, len(message.data))
        here.arrive(message)

    def _name(self, number: int) -> PeerName:
        return PeerName(name_peer(number))


def _make_notice(origin: PeerName, said: Said) -> object:
    match said.word:
        case Ballot():
            return BallotNotice(said.word)
        case Proposal():
            packed = None if said.ids is None else pack_ids(said.ids)
            return ProposalNotice(origin, said.word, packed)
        case SealVote():
            return SealVoteNotice(said.word)
        case Deal():
            return DealNotice(said.word)
        case Opening():
            return OpeningNotice(said.word)
        case _:
            raise TypeError(f"no sealer says {type(said.word).__name__}")


def name_peer(number: int) -> str:
    """Return the name of a peer."""
    return f"n{number:02}"


def make_address(number: int) -> str:
    """Return the address at which a peer is dialled."""
    name = name_peer(number)
    return f"/memory/{name}/p2p/{name}"
