"""What the node asks of a network: the waist between it and libp2p, memory or a simulation.

Rules every transport keeps (`tests/support/transport_contract.py` checks them):
1. At most one connection to a peer is used; a peer counts as connected from its first connection
   to its last, and `peer_events` tells both.
2. Gossip is a hint. A message may be lost, and the same bytes published again within
   `GOSSIP_SEEN_S` travel nowhere. A peer receives a message at most once, its author never.
3. Nothing here grows without bound; what overflows is dropped and counted, or waits, as the
   docstring of each queue says.
4. Nothing a peer sends or does raises anywhere but in the call that talks to that peer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NewType, Protocol

import trio

from protocol.errors import BlamedError, InvariantBroken
from storage.errors import StorageError

PeerName = NewType("PeerName", str)
"""A peer's id as text. Whoever is connected under a name has proved that it is his."""

GOSSIP_BYTES_MAX = (1 << 20) - 1024
"""Of one published message. Other implementations refuse an RPC above 1 MiB; 1,024 is for its
envelope: origin, sequence number, topic, key and signature."""

GOSSIP_SEEN_S = 300
"""For so long the same bytes are taken for the same message."""

OWN_FAULTS = (InvariantBroken, StorageError)
"""What no peer can cause and no bulkhead holds back: it ends the transport, hence the node. After a
failed write nobody knows what is on the disk, so nothing may go on from what is in memory."""

GossipValidator = Callable[[bytes], bool]
"""Whether a message may be delivered and passed on. Synchronous, cheap; must not raise."""


class TransportError(BlamedError):
    """The network did not do what was asked. The codes:

    address_malformed    not an address of the form this transport understands
    port_in_use          somebody listens there already
    listen_failed        the operating system refused the address for another reason
    guard_broken         an assumption about the network library does not hold; nothing was started
    dial_self            the address is one's own
    dial_failed          nobody answered, or not in time, or not as a peer does
    peer_mismatch        somebody else answered
    connections_full     no place for one more outbound connection
    not_connected        there is no connection to that peer
    protocol_unsupported the peer does not serve that protocol
    stream_failed        a stream could not be opened, or ended by fault of link or peer
    stream_closed        the stream was closed on this side before
    link_cut             a fault rule forbids to talk to that peer
    gossip_too_large     more than `GOSSIP_BYTES_MAX`
    transport_closed     the transport is shut
    """


class Stream(Protocol):
    """Bytes both ways, in order. Both sides must close it, whatever happened on it."""

    @property
    def peer(self) -> PeerName:
        """Who is at the other end."""
        ...

    async def send_all(self, data: bytes) -> None:
        """Send `data`; wait while the peer does not read.

        Calls from several tasks do not interleave. After a cancellation it is unknown how much
        was sent: reset the stream.

        Raises:
            TransportError: stream_failed, stream_closed, link_cut.
        """
        ...

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return 1 to `bytes_max` bytes, or b"" after the last byte of the peer.

        Raises:
            TransportError: stream_failed, stream_closed, link_cut.
        """
        ...

    async def aclose(self) -> None:
        """End both directions; what was sent still arrives. Never raises, bounded in time."""
        ...

    async def reset(self) -> None:
        """Tear the stream down; the peer's calls on it fail. Never raises, bounded in time."""
        ...


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """One message of the topic, as it was forwarded to us.

    Attributes:
        sender: the peer that forwarded it, seldom its author.
        data: as published.
    """

    sender: PeerName
    data: bytes


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """A peer came (its first connection is up) or went (its last is down)."""

    peer: PeerName
    connected: bool


class Transport(Protocol):
    """One peer's place in the network."""

    @property
    def name(self) -> PeerName:
        """This peer's own name."""
        ...

    @property
    def gossip_dropped(self) -> int:
        """How many valid messages were lost because nobody read `gossip` fast enough."""
        ...

    def addresses(self) -> tuple[str, ...]:
        """Where this peer listens, in a form that `dial` of another takes."""
        ...

    def peers(self) -> tuple[PeerName, ...]:
        """Who is connected now, sorted."""
        ...

    async def dial(self, address: str) -> PeerName:
        """Connect to the peer at `address`; return at once when it is connected already.

        Remembers nothing of a failure, so it may be called as often as wanted.

        Raises:
            TransportError: address_malformed, dial_self, dial_failed, peer_mismatch,
                connections_full, link_cut, transport_closed.
        """
        ...

    async def disconnect(self, peer: PeerName) -> None:
        """Close every connection to `peer`, if there is any. Bounded in time."""
        ...

    async def open_stream(self, peer: PeerName, protocol_id: str) -> Stream:
        """Open a stream to a connected peer. It never dials.

        Raises:
            TransportError: not_connected, protocol_unsupported, stream_failed, link_cut.
        """
        ...

    def serve(self, protocol_id: str, handler: Callable[[Stream], Awaitable[None]]) -> None:
        """Call `handler` with each stream that a peer opens, in a task of its own.

        When it returns the stream is closed; when it raises an `Exception` the stream is reset
        and the exception logged. It ends there, unless it is one of `OWN_FAULTS`: that ends the
        transport, hence the node.
        """
        ...

    async def publish(self, data: bytes) -> None:
        """Offer `data` to every peer that hears the topic. Best effort; never waits for a peer.

        Raises:
            TransportError: gossip_too_large.
        """
        ...

    @property
    def gossip(self) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Valid messages of others, each once. Overflow drops the newest and counts it."""
        ...

    @property
    def peer_events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """Who came and went. For a slow reader a whole visit that he missed is left out;
        what he has read always adds up to who is connected."""
        ...


def read_peer_name(address: str) -> PeerName:
    """Return the name at the end of an address, the part behind its last `/p2p/`.

    Raises:
        TransportError: address_malformed.
    """
    _, separator, name = address.rpartition("/p2p/")
    if not separator or not name or "/" in name:
        raise TransportError("address_malformed", address, "an address that ends in /p2p/<name>")
    return PeerName(name)


def check_gossip_size(data: bytes) -> None:
    """Raise `TransportError` (gossip_too_large) for more than one message may hold."""
    if len(data) > GOSSIP_BYTES_MAX:
        raise TransportError(
            "gossip_too_large", f"{len(data)} bytes", f"at most {GOSSIP_BYTES_MAX}"
        )
