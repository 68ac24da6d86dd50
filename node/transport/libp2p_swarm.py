"""libp2p's swarm with bounds: who may come in, how long a handshake may take, what may be dialled.

What is different from the swarm of the library:
- an inbound place is free again when its connection closes (there: never, and after 250
  connections in its life a node is deaf);
- half-open connections, addresses and the rate of handshakes are bounded (`doorkeeper.py`);
- nothing is dialled but what `dial_addr` is asked for: no cache of failures that refuses for a
  minute, no fixed wait of 250 ms, no connection opened by the way of a stream;
- the multiplexer is ours, and comings and goings are reported synchronously, in order.
"""

from collections.abc import Callable

import structlog
import trio
from libp2p.abc import IMuxedConn, INetConn, ISecureConn
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.rcmgr import Direction
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from node.transport.doorkeeper import Doorkeeper
from node.transport.libp2p_tcp import BufferedTcpStream, TcpTransport
from node.transport.libp2p_yamux import YAMUX_PROTOCOL, ReceiveBudget, Yamux
from node.transport.limits import TransportLimits

_log = structlog.get_logger(__name__)

ConnectionCallback = Callable[[INetConn], None]


def is_outbound(connection: INetConn) -> bool:
    """Whether the connection was opened here."""
    assert isinstance(connection, SwarmConn)
    return connection.direction == Direction.OUTBOUND


class BoundedUpgrader(TransportUpgrader):
    """Makes a raw connection a secure one (Noise, nothing else), and that a multiplexed one."""

    def __init__(self, key_pair: KeyPair, limits: TransportLimits) -> None:
        noise = NoiseTransport(key_pair, noise_privkey=create_x25519_key_pair().private_key)
        super().__init__(
            secure_transports_by_protocol={NOISE_PROTOCOL: noise},
            muxer_transports_by_protocol={TProtocol(YAMUX_PROTOCOL): Yamux},
        )
        self._limits = limits
        self._budget = ReceiveBudget(limits.unread_bytes_max)

    async def upgrade_connection(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        """Agree on yamux and begin it."""
        await self.muxer_multistream.select_transport(conn)
        return Yamux(conn, peer_id, limits=self._limits, budget=self._budget)


class _IdleConnector(AutoConnector):
    """Connects nobody. The library's dials whom it has heard of, even with its watermarks at 0."""

    async def run_background_task(self, nursery: trio.Nursery) -> None:
        """Run nothing."""

    async def maybe_connect(self) -> None:
        """Connect nobody."""

    def record_disconnect(self, peer_id: ID) -> None:
        """Remember nobody."""


class BoundedSwarm(Swarm):
    """The connections of one peer."""

    def __init__(
        self,
        key_pair: KeyPair,
        transport: TcpTransport,
        limits: TransportLimits,
        *,
        on_connected: ConnectionCallback,
        on_disconnected: ConnectionCallback,
    ) -> None:
        connections_max = limits.inbound_connections_max + limits.outbound_connections_max
        peer_id = ID.from_pubkey(key_pair.public_key)
        peerstore = PeerStore()
        peerstore.add_key_pair(peer_id, key_pair)
        super().__init__(
            peer_id,
            peerstore,
            BoundedUpgrader(key_pair, limits),
            transports=[transport],
            # Who dials again, and when, is decided above.
            retry_config=RetryConfig(max_retries=0),
            connection_config=ConnectionConfig(
                max_connections=connections_max,
                # The watermarks would dial and prune by themselves.
                min_connections=0,
                low_watermark=0,
                high_watermark=connections_max,
                max_connections_per_peer=2,
                dial_timeout=limits.dial_timeout_s,
                inbound_upgrade_timeout=limits.upgrade_timeout_s,
                outbound_upgrade_timeout=limits.upgrade_timeout_s,
                inbound_stream_protocol_negotiation_timeout=limits.stream_open_timeout_s,
                outbound_stream_protocol_negotiation_timeout=limits.stream_open_timeout_s,
            ),
        )
        self.auto_connector = _IdleConnector(self)
        self.doorkeeper = Doorkeeper(limits)
        self.inbound_refused = 0
        self._is_accepting = True
        self._limits = limits
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected

    def count_outbound(self) -> int:
        """Return how many connections were opened here."""
        connections = self.get_connections()
        return sum(is_outbound(one) for one in connections)

    def stop_accepting(self) -> None:
        """Close every connection at the door from now on."""
        self._is_accepting = False

    async def dial_peer(self, peer_id: ID) -> list[INetConn]:
        """Refuse. The library calls this where it wants a stream to a peer that has just left.

        Raises:
            SwarmException: always.
        """
        raise SwarmException(f"{peer_id} is not connected, and nobody asked to dial it")

    async def notify_connected(self, conn: INetConn) -> None:
        """Report a connection that is ready for streams."""
        self._on_connected(conn)
        await super().notify_connected(conn)

    async def notify_disconnected(self, conn: INetConn) -> None:
        """Report a connection that is gone."""
        self._on_disconnected(conn)
        await super().notify_disconnected(conn)

    async def _handle_inbound_connection(
        self, read_write_closer: ReadWriteCloser, maddr: Multiaddr
    ) -> None:
        host, _ = read_write_closer.get_remote_address() or ("", 0)
        handshake = trio.CancelScope(deadline=trio.current_time() + self._limits.upgrade_timeout_s)
        ticket = None
        if self._is_accepting:
            ticket = self.doorkeeper.admit(host, handshake.cancel)
        if ticket is None:
            self.inbound_refused += 1
            await read_write_closer.close()
            return
        try:
            connection = None
            with handshake:
                connection = await self._upgrade_inbound(read_write_closer)
            self.doorkeeper.confirm(ticket)
            if connection is not None:
                await self.add_conn(connection, direction="inbound")
                await connection.event_closed.wait()
        except Exception as error:
            # The bulkhead of one inbound connection: whatever a stranger can make Noise, protobuf
            # or the negotiation raise ends his connection.
            _log.debug("inbound_connection_failed", host=host, error=repr(error)[:200])
        finally:
            self.doorkeeper.leave(ticket)
            with trio.CancelScope(shield=True):
                await read_write_closer.close()

    async def _upgrade_inbound(self, closer: ReadWriteCloser) -> Yamux:
        assert isinstance(closer, BufferedTcpStream)
        await closer.wait_for_bytes()
        # What is waited for is time itself: there is no event.
        while wait_s := self.doorkeeper.take_handshake(trio.current_time()):  # noqa: ASYNC110
            await trio.sleep(wait_s)
        raw = RawConnection(closer, False)
        secure = await self.upgrader.upgrade_security(raw, is_initiator=False)
        peer_id = secure.get_remote_peer()
        if peer_id == self.self_id:
            raise SwarmException("a connection from ourselves")
        connection = await self.upgrader.upgrade_connection(secure, peer_id)
        assert isinstance(connection, Yamux)
        return connection
