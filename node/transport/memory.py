"""A network inside one trio loop: for tests, and for simulations in virtual time.

It keeps the contract of `base.py` with nothing real beneath: no socket, no thread, no clock but
trio's, no randomness. Gossip floods over the links. What a real network does besides (delay, loss)
is the business of whoever wraps or steers it.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import trio

from node.transport.base import (
    GOSSIP_SEEN_S,
    OWN_FAULTS,
    GossipMessage,
    GossipValidator,
    PeerEvent,
    PeerName,
    Stream,
    TransportError,
    check_gossip_size,
    read_peer_name,
)
from node.transport.contexts import raising_plainly
from node.transport.inbox import GossipInbox, PeerEventInbox
from node.transport.limits import TransportLimits
from node.transport.peer_log import log_handler_failure
from node.transport.seen import SeenIds, compute_gossip_id

PIPE_BYTES_MAX = 256 * 1024

_Handler = Callable[[Stream], Awaitable[None]]


class Pipe:
    """One direction of a stream: a bounded buffer with an end."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.ended = False
        self.broken = False
        # The reader has closed: what is still sent goes nowhere.
        self.unread = False
        self.changed = trio.Event()

    def notify(self) -> None:
        """Wake whoever waits for the other end."""
        self.changed.set()
        self.changed = trio.Event()


class MemoryStream:
    """One end of a stream between two peers of a `MemoryNetwork`."""

    def __init__(self, peer: PeerName, incoming: Pipe, outgoing: Pipe) -> None:
        self._peer = peer
        self._incoming = incoming
        self._outgoing = outgoing
        self._send_lock = trio.Lock()
        self._closed = False

    @property
    def peer(self) -> PeerName:
        """See `base.Stream`, here and below."""
        return self._peer

    async def send_all(self, data: bytes) -> None:
        """Send `data`, waiting while the pipe is full."""
        async with self._send_lock:
            pipe, rest = self._outgoing, memoryview(data)
            while True:
                self._check_usable(pipe)
                if pipe.unread:
                    return
                room = PIPE_BYTES_MAX - len(pipe.buffer)
                pipe.buffer += rest[:room]
                rest = rest[room:]
                pipe.notify()
                if not rest:
                    return
                await pipe.changed.wait()

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return some bytes, or b"" at the end."""
        await trio.lowlevel.checkpoint()
        pipe = self._incoming
        while True:
            self._check_usable(pipe)
            if pipe.buffer:
                data = bytes(pipe.buffer[:bytes_max])
                del pipe.buffer[:bytes_max]
                pipe.notify()
                return data
            if pipe.ended:
                return b""
            await pipe.changed.wait()

    async def aclose(self) -> None:
        """End both directions."""
        self._closed = True
        self._outgoing.ended = True
        self._incoming.unread = True
        self._incoming.buffer.clear()
        self._outgoing.notify()
        self._incoming.notify()

    async def reset(self) -> None:
        """Break both directions."""
        self._closed = True
        self.break_link()

    def break_link(self) -> None:
        """What happens to the stream when its connection is lost."""
        for pipe in (self._incoming, self._outgoing):
            pipe.broken = True
            pipe.buffer.clear()
            pipe.notify()

    def is_over(self) -> bool:
        """Whether both ends are closed, or the stream is torn down."""
        return self._incoming.broken or (self._outgoing.ended and self._incoming.ended)

    def _check_usable(self, pipe: Pipe) -> None:
        if self._closed:
            raise TransportError("stream_closed", f"a stream to {self._peer}")
        if pipe.broken:
            raise TransportError("stream_failed", f"a stream to {self._peer} that was torn down")


class _Link:
    """A connection between two peers and the streams on it, each listed at its opener's end."""

    def __init__(self) -> None:
        self.streams: list[MemoryStream] = []


class MemoryTransport:
    """One peer of a `MemoryNetwork`; made by `MemoryNetwork.open`."""

    def __init__(
        self,
        network: "MemoryNetwork",
        name: PeerName,
        validate: GossipValidator,
        limits: TransportLimits,
    ) -> None:
        self._network = network
        self._name = name
        self._validate = validate
        self._limits = limits
        self._handlers: dict[str, _Handler] = {}
        self._events = PeerEventInbox()
        self._inbox = GossipInbox(
            messages_max=limits.gossip_inbox_max, bytes_max=limits.gossip_inbox_bytes_max
        )
        self._seen = SeenIds(ttl_s=GOSSIP_SEEN_S, ids_max=limits.gossip_seen_max)
        self._arrivals: deque[GossipMessage] = deque()
        self._arrived = trio.Event()
        self._arrivals_dropped = 0
        self._accepted_send, self._accepted = trio.open_memory_channel[tuple[str, MemoryStream]](
            limits.inbound_streams_max
        )
        self.links: dict[PeerName, _Link] = {}

    @property
    def name(self) -> PeerName:
        """See `base.Transport`, here and below."""
        return self._name

    @property
    def gossip_dropped(self) -> int:
        """Messages lost on the way in, before or behind validation."""
        return self._inbox.dropped + self._arrivals_dropped

    @property
    def gossip(self) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Messages of others."""
        return self._inbox.receive_channel

    @property
    def peer_events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """Who came and went."""
        return self._events.receive_channel

    def addresses(self) -> tuple[str, ...]:
        """Return the one address of this peer."""
        return (f"/memory/{self._name}/p2p/{self._name}",)

    def peers(self) -> tuple[PeerName, ...]:
        """Return who is connected."""
        return tuple(sorted(self.links))

    async def dial(self, address: str) -> PeerName:
        """Connect to a peer of the same network."""
        name = read_peer_name(address)
        if not address.startswith("/memory/"):
            raise TransportError("address_malformed", address, "/memory/<name>/p2p/<name>")
        if name == self._name:
            raise TransportError("dial_self", address, "the address of another")
        await trio.lowlevel.checkpoint()
        self._network.connect(self, name)
        return name

    async def disconnect(self, peer: PeerName) -> None:
        """Close the connection to `peer`."""
        self._network.part(self._name, peer)
        await trio.lowlevel.checkpoint()

    async def open_stream(self, peer: PeerName, protocol_id: str) -> Stream:
        """Open a stream to a connected peer."""
        await trio.lowlevel.checkpoint()
        link = self.links.get(peer)
        if link is None:
            raise TransportError("not_connected", peer, "a connected peer")
        stream, far_end = self._network.make_stream(self._name, peer)
        self._network.accept(peer, protocol_id, far_end)
        link.streams = [other for other in link.streams if not other.is_over()] + [stream]
        return stream

    def serve(self, protocol_id: str, handler: _Handler) -> None:
        """Register the handler of a protocol."""
        self._handlers[protocol_id] = handler

    async def publish(self, data: bytes) -> None:
        """Offer `data` to every connected peer."""
        check_gossip_size(data)
        if self._seen.add(compute_gossip_id(data)):
            self._flood(GossipMessage(self._name, data), came_from=self._name)
        await trio.lowlevel.checkpoint()

    def accept(self, protocol_id: str, stream: MemoryStream) -> None:
        """Take a stream that a peer opens.

        Raises:
            TransportError: protocol_unsupported, stream_failed.
        """
        if protocol_id not in self._handlers:
            raise TransportError("protocol_unsupported", protocol_id, f"one that {self._name} has")
        try:
            self._accepted_send.send_nowait((protocol_id, stream))
        except (trio.WouldBlock, trio.BrokenResourceError) as error:
            raise TransportError("stream_failed", f"{self._name} takes no stream now") from error

    def arrive(self, message: GossipMessage) -> None:
        """Take a message from a peer; full: drop and count it."""
        if len(self._arrivals) >= self._limits.gossip_queue_max:
            self._arrivals_dropped += 1
            return
        self._arrivals.append(message)
        self._arrived.set()

    def note(self, event: PeerEvent) -> None:
        """Tell the reader that a peer came or went."""
        self._events.put(event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Move events and gossip and serve streams while the block runs."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._events.run)
            nursery.start_soon(self._inbox.run)
            nursery.start_soon(self._run_gossip)
            nursery.start_soon(self._serve_streams)
            yield
            nursery.cancel_scope.cancel()

    async def _serve_streams(self) -> None:
        async with trio.open_nursery() as nursery, self._accepted:
            async for protocol_id, stream in self._accepted:
                nursery.start_soon(self._serve_stream, protocol_id, stream)

    async def _serve_stream(self, protocol_id: str, stream: MemoryStream) -> None:
        try:
            await self._handlers[protocol_id](stream)
        except OWN_FAULTS:
            raise
        except Exception as error:
            # The bulkhead of one stream: a peer's bytes end his stream, never this peer.
            log_handler_failure(peer=stream.peer, protocol_id=protocol_id, error=error)
            await stream.reset()
        finally:
            await stream.aclose()

    async def _run_gossip(self) -> None:
        while True:
            while not self._arrivals:
                self._arrived = trio.Event()
                await self._arrived.wait()
            message = self._arrivals.popleft()
            message_id = compute_gossip_id(message.data)
            if not self._seen.has(message_id) and self._validate(message.data):
                self._seen.add(message_id)
                self._inbox.put(message)
                self._flood(GossipMessage(self._name, message.data), came_from=message.sender)
            await trio.lowlevel.checkpoint()

    def _flood(self, message: GossipMessage, *, came_from: PeerName) -> None:
        for peer in self.peers():
            if peer != came_from:
                self._network.carry(peer, message)


class MemoryNetwork:
    """The peers of one loop, who is linked with whom, and who cannot be."""

    def __init__(self) -> None:
        self._transports: dict[PeerName, MemoryTransport] = {}
        self._cut_pairs: set[frozenset[PeerName]] = set()

    @asynccontextmanager
    async def open(
        self,
        name: str,
        *,
        validate: GossipValidator = lambda data: True,
        limits: TransportLimits | None = None,
    ) -> AsyncIterator[MemoryTransport]:
        """Put a peer into the network; on exit it is gone and its peers have noticed.

        Raises:
            TransportError: port_in_use, when a peer of that name is there already.
        """
        peer = PeerName(name)
        if peer in self._transports:
            raise TransportError("port_in_use", name, "a name that no peer of this network has")
        transport = MemoryTransport(self, peer, validate, limits or TransportLimits())
        self._transports[peer] = transport
        try:
            async with raising_plainly(transport.running()):
                yield transport
        finally:
            for other in transport.peers():
                self.part(peer, other)
            del self._transports[peer]

    def cut(self, left: Iterable[PeerName], right: Iterable[PeerName]) -> None:
        """Close every link between the two groups and allow no new one until `heal`."""
        others = tuple(right)
        for one in left:
            for other in others:
                if one != other:
                    self._cut_pairs.add(frozenset((one, other)))
                    self.part(one, other)

    def heal(self) -> None:
        """Allow every link again. Nobody is connected by it."""
        self._cut_pairs.clear()

    def connect(self, transport: MemoryTransport, name: PeerName) -> None:
        """Link two peers, unless they are linked.

        Raises:
            TransportError: dial_failed.
        """
        other = self._transports.get(name)
        if other is None or frozenset((transport.name, name)) in self._cut_pairs:
            raise TransportError("dial_failed", f"nobody answers as {name}", "a reachable peer")
        if name in transport.links:
            return
        transport.links[name], other.links[transport.name] = _Link(), _Link()
        transport.note(PeerEvent(name, connected=True))
        other.note(PeerEvent(transport.name, connected=True))

    def part(self, one: PeerName, other: PeerName) -> None:
        """Take the link between two peers away, if there is one, and all streams on it."""
        for here, there in ((one, other), (other, one)):
            transport = self._transports.get(here)
            link = transport.links.pop(there, None) if transport else None
            if transport and link:
                for stream in link.streams:
                    stream.break_link()
                transport.note(PeerEvent(there, connected=False))

    def make_stream(self, opener: PeerName, other: PeerName) -> tuple[MemoryStream, MemoryStream]:
        """Return the two ends of a new stream; whoever steers the network may give slower ones."""
        forth, back = Pipe(), Pipe()
        return MemoryStream(other, back, forth), MemoryStream(opener, forth, back)

    def accept(self, peer: PeerName, protocol_id: str, stream: MemoryStream) -> None:
        """Hand a new stream to its other end."""
        self._transports[peer].accept(protocol_id, stream)

    def carry(self, peer: PeerName, message: GossipMessage) -> None:
        """Hand a message to a linked peer."""
        self._transports[peer].arrive(message)
