"""Every number of the network side, with the relations that must hold between them."""

from dataclasses import dataclass

from node.transport.base import GOSSIP_BYTES_MAX
from node.transport.yamux_frames import WINDOW_BYTES

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """What one peer allows its network. The defaults suit an open network and a devnet alike.

    Attributes:
        inbound_connections_max: connections that others opened.
        outbound_connections_max: connections opened here; nobody else can fill these places.
        connections_per_address_max: inbound, from one address (IPv6: from one /64).
        connections_per_group_max: inbound, from one /24 (IPv6: one /48).
        connections_per_loopback_max: inbound, from this machine. A devnet has all its peers there.
        half_open_max: inbound connections in their handshake; one more ends the oldest of them, so
            silent sockets cannot shut the door.
        handshakes_per_s: inbound handshakes begun; others wait. One costs milliseconds of CPU.
        handshakes_burst: as many at once, after a quiet time.
        dial_timeout_s: from the first packet to a connection in use.
        upgrade_timeout_s: for the inbound side of the same.
        stream_open_timeout_s: for opening a stream and agreeing on its protocol.
        write_stall_timeout_s: a write on a stream waits so long for the peer to read.
        close_timeout_s: closing the transport takes no longer.
        ping_every_s: between two pings of a connection.
        pong_timeout_s: a peer that is silent for so long after a ping is frozen: its connection is
            closed. Longer than any pause of an honest peer's event loop.
        inbound_streams_max: open at one time, opened by the peer, per connection.
        outbound_streams_max: the same, opened here. Less, so two of us never refuse each other.
        unread_bytes_max: unread bytes of all connections; above it the fullest one is closed.
        outbox_bytes: of a connection, on the way to the kernel; writers wait above it.
        gossip_queue_max: messages waiting to go to one peer; more are dropped and counted.
        gossip_queue_bytes_max: the same in bytes.
        gossip_inbox_max: messages waiting for the reader of `gossip`; more are dropped and counted.
        gossip_inbox_bytes_max: the same in bytes.
        gossip_seen_max: message ids remembered; a busier network forgets them sooner.
    """

    inbound_connections_max: int = 64
    outbound_connections_max: int = 16
    connections_per_address_max: int = 4
    connections_per_group_max: int = 8
    connections_per_loopback_max: int = 64
    half_open_max: int = 16
    handshakes_per_s: float = 20.0
    handshakes_burst: int = 64
    dial_timeout_s: float = 8.0
    upgrade_timeout_s: float = 5.0
    stream_open_timeout_s: float = 5.0
    write_stall_timeout_s: float = 30.0
    close_timeout_s: float = 3.0
    ping_every_s: float = 5.0
    pong_timeout_s: float = 8.0
    inbound_streams_max: int = 64
    outbound_streams_max: int = 32
    unread_bytes_max: int = 64 * MIB
    outbox_bytes: int = 256 * 1024
    gossip_queue_max: int = 4096
    gossip_queue_bytes_max: int = 4 * MIB
    gossip_inbox_max: int = 4096
    gossip_inbox_bytes_max: int = 16 * MIB
    gossip_seen_max: int = 262_144

    def __post_init__(self) -> None:
        """Check the relations.

        Raises:
            ValueError: the numbers contradict each other.
        """
        relations = {
            "the largest message fits into the queues": min(
                self.gossip_queue_bytes_max, self.gossip_inbox_bytes_max
            )
            > GOSSIP_BYTES_MAX,
            "the streams of an honest peer fit into memory": self.unread_bytes_max
            >= 2 * self.outbound_streams_max * WINDOW_BYTES,
            "an honest peer is never refused a stream": self.outbound_streams_max
            < self.inbound_streams_max,
            "the half-open leave places to others": self.half_open_max
            <= self.inbound_connections_max,
            "an address has no more places than there are": max(
                self.connections_per_address_max,
                self.connections_per_group_max,
                self.connections_per_loopback_max,
            )
            <= self.inbound_connections_max,
            "an address has no more places than its group": self.connections_per_address_max
            <= self.connections_per_group_max,
            "everything is positive": min(
                self.inbound_connections_max,
                self.outbound_connections_max,
                self.connections_per_address_max,
                self.connections_per_loopback_max,
                self.half_open_max,
                self.handshakes_per_s,
                self.handshakes_burst,
                self.dial_timeout_s,
                self.upgrade_timeout_s,
                self.stream_open_timeout_s,
                self.write_stall_timeout_s,
                self.close_timeout_s,
                self.ping_every_s,
                self.pong_timeout_s,
                self.outbound_streams_max,
                self.outbox_bytes,
                self.gossip_queue_max,
                self.gossip_inbox_max,
                self.gossip_seen_max,
            )
            > 0,
        }
        broken = [text for text, holds in relations.items() if not holds]
        if broken:
            raise ValueError("; ".join(broken))
