"""Faults on demand, around any transport: peers cut off, links made slow.

It needs no root, no firewall and no container, and serves real processes and simulations alike.
It works at this end only: to cut two peers apart it is enough that one of them is told.

Cut:  connections to the peer are closed, dials to it are refused, its own are closed as they
      come, its streams are refused and reset, gossip it forwards is dropped. To the reader of
      `peer_events` a cut peer is simply not connected.
Deaf: the connection stays, and nothing of the peer arrives any more: its replies and requests do
      not come, the gossip it forwards is dropped. The peer still hears this one.
Alone: everybody is cut off, strangers too; the cuts of single peers stay as they are.
Off topic: gossip that others forward is dropped, what is published here goes nowhere, and nothing
      is relayed. Connections and streams work, so reconciliation alone must repair it.
Slow: what is sent to the peer on a stream, and the gossip it forwards, takes longer, waits for its
      turn, or breaks the stream.
"""

import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import trio

from node.transport.base import (
    GossipMessage,
    PeerEvent,
    PeerName,
    Stream,
    Transport,
    TransportError,
    read_peer_name,
)
from node.transport.contexts import raising_plainly
from node.transport.fault_rules import IN, OUT, WAYS, FaultRules, LinkRule
from node.transport.inbox import GossipInbox, PeerEventInbox
from node.transport.limits import TransportLimits


class _FaultyStream:
    """A stream that obeys the rules of the moment."""

    def __init__(self, inner: Stream, rules: FaultRules) -> None:
        self._inner = inner
        self._rules = rules

    @property
    def peer(self) -> PeerName:
        """See `base.Stream`, here and below."""
        return self._inner.peer

    async def send_all(self, data: bytes) -> None:
        """Send `data`, late if the link is slow."""
        delay_s = self._rules.take_delay_s(OUT, self.peer, len(data))
        if delay_s:
            await trio.sleep(delay_s)
        self._rules.check_not_cut(self.peer)
        if self._rules.is_breaking(self.peer, len(data)):
            await self._inner.reset()
            raise TransportError("stream_failed", f"a stream to {self.peer}", "a link that holds")
        await self._inner.send_all(data)

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return some bytes, or b"" at the end."""
        self._rules.check_not_cut(self.peer)
        data = await self._inner.receive_some(bytes_max)
        await self._rules.wait_heard(self.peer)
        self._rules.check_not_cut(self.peer)
        return data

    async def aclose(self) -> None:
        """End both directions."""
        await self._inner.aclose()

    async def reset(self) -> None:
        """Tear the stream down."""
        await self._inner.reset()


class FaultyTransport:
    """A `Transport` around another, with rules that can be changed while it runs."""

    def __init__(self, inner: Transport, limits: TransportLimits, rules: FaultRules) -> None:
        self._inner = inner
        self._rules = rules
        self._events = PeerEventInbox()
        self._inbox = GossipInbox(
            messages_max=limits.gossip_inbox_max, bytes_max=limits.gossip_inbox_bytes_max
        )
        self._late_max = limits.gossip_inbox_max
        self._late: list[tuple[float, int, GossipMessage]] = []
        self._late_count = 0
        self._late_dropped = 0
        self._late_changed = trio.Event()
        # Whom the reader of `peer_events` takes for connected.
        self._shown: set[PeerName] = set()

    async def cut(self, peers: Iterable[PeerName]) -> None:
        """Cut `peers` off, besides those that are. Returns when their connections are closed."""
        names = tuple(peers)
        self._rules.cut.update(names)
        await self._close(names)

    async def set_alone(self, *, on: bool) -> None:
        """Close all connections and allow none; or allow them, and whoever wants to, dials."""
        self._rules.is_alone = on
        if on:
            await self._close(self._inner.peers())

    def set_off_topic(self, *, on: bool) -> None:
        """Neither hear nor tell gossip; or take part in it again."""
        self._rules.is_off_topic = on

    def deafen(self, peers: Iterable[PeerName]) -> None:
        """Hear nothing of `peers` any more; they go on hearing this one."""
        self._rules.deafen(peers)

    def heal(self, peers: Iterable[PeerName] | None = None) -> None:
        """Allow `peers` again, or everybody. Nobody is connected by it: whoever wants to, dials."""
        self._rules.allow(peers)

    def set_link(self, peer: PeerName, rule: LinkRule, ways: Iterable[str] = WAYS) -> None:
        """Slow down what goes to `peer` on streams (out) and the gossip that comes from it (in)."""
        self._rules.set_link(peer, rule, ways)

    @property
    def cut_peers(self) -> tuple[PeerName, ...]:
        """Who is cut off now, sorted."""
        return tuple(sorted(self._rules.cut))

    @property
    def slow_peers(self) -> tuple[PeerName, ...]:
        """To or from whom a link has a rule now, sorted."""
        return self._rules.slow

    @property
    def deaf_peers(self) -> tuple[PeerName, ...]:
        """Of whom nothing is heard now, sorted."""
        return tuple(sorted(self._rules.deaf))

    @property
    def is_alone(self) -> bool:
        """Whether everybody is cut off now."""
        return self._rules.is_alone

    @property
    def is_off_topic(self) -> bool:
        """Whether there is no gossip now."""
        return self._rules.is_off_topic

    @property
    def name(self) -> PeerName:
        """See `base.Transport`, here and below."""
        return self._inner.name

    @property
    def gossip_dropped(self) -> int:
        """Messages lost to slow reading; those of cut peers are not counted."""
        return self._inner.gossip_dropped + self._inbox.dropped + self._late_dropped

    @property
    def gossip(self) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Messages of others."""
        return self._inbox.receive_channel

    @property
    def peer_events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """Who came and went."""
        return self._events.receive_channel

    def addresses(self) -> tuple[str, ...]:
        """Where the inner transport listens."""
        return self._inner.addresses()

    def peers(self) -> tuple[PeerName, ...]:
        """Return who is connected and not cut off."""
        return tuple(peer for peer in self._inner.peers() if not self._rules.is_cut(peer))

    async def dial(self, address: str) -> PeerName:
        """Connect, unless the peer is cut off."""
        self._rules.check_not_cut(read_peer_name(address))
        peer = await self._inner.dial(address)
        if self._rules.is_cut(peer):
            # Cut off while the dial was under way.
            await self._inner.disconnect(peer)
        self._rules.check_not_cut(peer)
        return peer

    async def disconnect(self, peer: PeerName) -> None:
        """Close the connection to `peer`."""
        await self._inner.disconnect(peer)

    async def open_stream(self, peer: PeerName, protocol_id: str) -> Stream:
        """Open a stream, unless the peer is cut off."""
        self._rules.check_not_cut(peer)
        await trio.sleep(self._rules.take_delay_s(OUT, peer, 0))
        stream = await self._inner.open_stream(peer, protocol_id)
        await self._rules.wait_heard(peer)
        return _FaultyStream(stream, self._rules)

    def serve(self, protocol_id: str, handler: Callable[[Stream], Awaitable[None]]) -> None:
        """Register the handler of a protocol."""

        async def serve_uncut(stream: Stream) -> None:
            if self._rules.is_cut(stream.peer):
                await stream.reset()
            else:
                await handler(_FaultyStream(stream, self._rules))

        self._inner.serve(protocol_id, serve_uncut)

    async def publish(self, data: bytes) -> None:
        """Offer `data` to every connected peer, unless there is no gossip."""
        if not self._rules.is_off_topic:
            await self._inner.publish(data)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Pass events and gossip on by the rules while the block runs."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._events.run)
            nursery.start_soon(self._inbox.run)
            nursery.start_soon(self._pass_late_gossip)
            nursery.start_soon(self._pass_gossip)
            nursery.start_soon(self._pass_events)
            yield
            nursery.cancel_scope.cancel()

    async def _close(self, peers: Iterable[PeerName]) -> None:
        async with trio.open_nursery() as nursery:
            for name in peers:
                nursery.start_soon(self._inner.disconnect, name)

    async def _pass_events(self) -> None:
        async with trio.open_nursery() as nursery:
            async for event in self._inner.peer_events:
                if event.connected and self._rules.is_cut(event.peer):
                    nursery.start_soon(self._inner.disconnect, event.peer)
                elif event.connected:
                    self._shown.add(event.peer)
                    self._events.put(event)
                elif event.peer in self._shown:
                    self._shown.remove(event.peer)
                    self._events.put(event)

    async def _pass_gossip(self) -> None:
        async for message in self._inner.gossip:
            if self._rules.is_gossip_lost(message.sender):
                continue
            delay_s = self._rules.take_delay_s(IN, message.sender, len(message.data))
            if not delay_s:
                self._inbox.put(message)
            elif len(self._late) >= self._late_max:
                self._late_dropped += 1
            else:
                self._late_count += 1
                due_s = trio.current_time() + delay_s
                heapq.heappush(self._late, (due_s, self._late_count, message))
                self._late_changed.set()

    async def _pass_late_gossip(self) -> None:
        while True:
            self._late_changed = trio.Event()
            due_s = self._late[0][0] if self._late else float("inf")
            with trio.move_on_at(due_s):
                await self._late_changed.wait()
            while self._late and self._late[0][0] <= trio.current_time():
                _, _, message = heapq.heappop(self._late)
                if not self._rules.is_gossip_lost(message.sender):
                    self._inbox.put(message)


@asynccontextmanager
async def open_faulty_transport(
    inner: Transport, rules: FaultRules, limits: TransportLimits | None = None
) -> AsyncIterator[FaultyTransport]:
    """Wrap `inner` while the block runs; its `gossip` and `peer_events` nobody else may read.

    Args:
        inner: its validator is one that `rules` guard, or it relays without them.
        rules: that hold; more in the course of time.
        limits: of what waits here.
    """
    transport = FaultyTransport(inner, limits or TransportLimits(), rules)
    async with raising_plainly(transport.running()):
        yield transport
