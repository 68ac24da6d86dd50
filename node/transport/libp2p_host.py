"""`Transport` on libp2p: TCP, Noise, yamux, gossipsub 1.1. Nothing else is offered or accepted.

The contexts of a running transport, outermost first; each needs the one before it:

    the bound port > swarm > pubsub > router > tasks of this file (events, gossip, farewells)
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
import trio
from libp2p.abc import INetConn, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.exceptions import StreamFailure
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from node.transport.base import (
    OWN_FAULTS,
    GossipMessage,
    GossipValidator,
    PeerEvent,
    PeerName,
    Stream,
    TransportError,
    check_gossip_size,
)
from node.transport.contexts import raising_plainly
from node.transport.inbox import GossipInbox, PeerEventInbox
from node.transport.libp2p_gossip import BoundedGossipSub
from node.transport.libp2p_guards import check_guards
from node.transport.libp2p_pubsub import BoundedPubsub
from node.transport.libp2p_settings import check_settings
from node.transport.libp2p_streams import BoundedHost, Libp2pStream, is_unsupported
from node.transport.libp2p_swarm import BoundedSwarm, is_outbound
from node.transport.libp2p_tcp import TcpTransport, bind_exclusively, read_bound_address
from node.transport.limits import TransportLimits
from node.transport.peer_log import log_handler_failure
from node.transport.tcp_address import parse_tcp_address

CROSSED_DIALS_S = 5.0
"""Two connections that come up within this time are two dials that crossed."""

_log = structlog.get_logger(__name__)


def is_older_kept(
    *, name: PeerName, peer: PeerName, older_is_ours: bool, newer_is_ours: bool, age_s: float
) -> bool:
    """Of two connections to one peer, say which stays; both ends must come to the same answer.

    Args:
        name: this peer.
        peer: the other.
        older_is_ours: whether the older connection was dialled here.
        newer_is_ours: the same of the newer.
        age_s: how long the older was up when the newer came.
    """
    if older_is_ours == newer_is_ours or age_s > CROSSED_DIALS_S:
        # Whoever dials has no connection: to him the older is dead, and only this end has not
        # noticed yet.
        return False
    return older_is_ours == (name < peer)


class Libp2pTransport:
    """See `base.Transport`; made by `open_libp2p_transport`."""

    def __init__(
        self,
        *,
        seed: bytes,
        listener: trio.SocketListener,
        topic: str,
        validate: GossipValidator,
        limits: TransportLimits,
    ) -> None:
        self._limits = limits
        self._address = read_bound_address(listener)
        self._topic = topic
        self._links: dict[PeerName, dict[INetConn, float]] = {}
        self._dialling: dict[PeerName, trio.Event] = {}
        self._is_closing = False
        self._events = PeerEventInbox()
        self._inbox = GossipInbox(
            messages_max=limits.gossip_inbox_max, bytes_max=limits.gossip_inbox_bytes_max
        )
        self._farewell_send, self._farewells = trio.open_memory_channel[INetConn](
            limits.inbound_connections_max
        )
        self._swarm = BoundedSwarm(
            create_new_key_pair(seed),
            TcpTransport(listener),
            limits,
            on_connected=self._on_connected,
            on_disconnected=self._on_disconnected,
        )
        self._host = BoundedHost(self._swarm)
        self._router = BoundedGossipSub(topic)
        self._pubsub = BoundedPubsub(
            self._host,
            self._router,
            topic=topic,
            validate=validate,
            deliver=self._on_gossip,
            limits=limits,
        )
        self._name = PeerName(str(self._host.get_id()))
        check_settings(self._swarm, self._pubsub, self._router, topic)

    @property
    def name(self) -> PeerName:
        """See `base.Transport`, here and below."""
        return self._name

    @property
    def gossip_dropped(self) -> int:
        """Messages lost to slow reading."""
        return self._inbox.dropped

    @property
    def gossip_rejected(self) -> int:
        """Messages that the validator refused."""
        return self._pubsub.rejected

    @property
    def gossip_unsent(self) -> int:
        """Messages that did not fit into the queue to a peer, once for each such peer."""
        return self._pubsub.unsent

    @property
    def inbound_refused(self) -> int:
        """Connections that were closed at the door."""
        return self._swarm.inbound_refused

    @property
    def gossip(self) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Messages of others."""
        return self._inbox.receive_channel

    @property
    def peer_events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """Who came and went."""
        return self._events.receive_channel

    def addresses(self) -> tuple[str, ...]:
        """Return where this peer listens."""
        return (f"{self._address}/p2p/{self._name}",)

    def peers(self) -> tuple[PeerName, ...]:
        """Return who is connected."""
        return tuple(
            sorted(
                name
                for name, links in self._links.items()
                if any(not connection.is_closed for connection in links)
            )
        )

    async def dial(self, address: str) -> PeerName:
        """Connect to a peer over TCP."""
        parsed = parse_tcp_address(address)
        peer_id = _read_peer_id(address, parsed.peer)
        peer = PeerName(str(peer_id))
        if peer == self._name:
            raise TransportError("dial_self", address, "the address of another")
        # From here to the entry in `_dialling` nothing waits, so no two dials to one peer begin.
        await trio.lowlevel.checkpoint()
        under_way = self._dialling.get(peer)
        if under_way is not None:
            await under_way.wait()
            self._check_came_up(peer, "the dial that was under way failed")
            return peer
        if peer in self.peers():
            return peer
        if self._is_closing:
            raise TransportError("transport_closed", address, "an open transport")
        outbound = self._swarm.count_outbound() + len(self._dialling)
        if outbound >= self._limits.outbound_connections_max:
            raise TransportError(
                "connections_full", outbound, f"below {self._limits.outbound_connections_max}"
            )
        self._dialling[peer] = trio.Event()
        try:
            with trio.fail_after(self._limits.dial_timeout_s):
                await self._swarm.dial_addr(Multiaddr(address), peer_id)
        except trio.TooSlowError as error:
            raise TransportError(
                "dial_failed",
                f"no connection to {address} in {self._limits.dial_timeout_s} s",
                "a peer that answers",
            ) from error
        except SwarmException as error:
            raise _translate_dial_error(address, error) from error
        finally:
            self._dialling.pop(peer).set()
        self._check_came_up(peer, f"{address} hung up at once")
        return peer

    async def disconnect(self, peer: PeerName) -> None:
        """Close every connection to `peer`."""
        await self._close_connections(list(self._links.get(peer, ())))

    async def open_stream(self, peer: PeerName, protocol_id: str) -> Stream:
        """Open a stream to a connected peer."""
        links = self._links.get(peer)
        if not links:
            raise TransportError("not_connected", peer, "a connected peer")
        peer_id = next(iter(links)).muxed_conn.peer_id
        try:
            with trio.fail_after(self._limits.stream_open_timeout_s):
                return Libp2pStream(await self._host.new_stream(peer_id, [TProtocol(protocol_id)]))
        except trio.TooSlowError as error:
            raise TransportError(
                "stream_failed", f"{peer} does not answer", "an answer in time"
            ) from error
        except StreamFailure as error:
            code = "protocol_unsupported" if is_unsupported(error) else "stream_failed"
            raise TransportError(code, f"{protocol_id} at {peer}: {error.__cause__}") from error
        except BaseLibp2pError as error:
            raise TransportError("stream_failed", f"{peer}: {error}") from error

    def serve(self, protocol_id: str, handler: Callable[[Stream], Awaitable[None]]) -> None:
        """Register the handler of a protocol."""

        async def serve_stream(net_stream: INetStream) -> None:
            stream = Libp2pStream(net_stream)
            try:
                await handler(stream)
            except OWN_FAULTS:
                raise
            except Exception as error:
                # The bulkhead of one stream: a peer's bytes end his stream, never this peer.
                log_handler_failure(peer=stream.peer, protocol_id=protocol_id, error=error)
                await stream.reset()
            finally:
                await stream.aclose()

        self._host.set_stream_handler(TProtocol(protocol_id), serve_stream)

    async def publish(self, data: bytes) -> None:
        """Offer `data` to every peer that hears the topic."""
        check_gossip_size(data)
        self._pubsub.publish_own(data)
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be part of the network while the block runs."""
        async with (
            self._host.run([Multiaddr(str(self._address))]),
            background_trio_service(self._pubsub),
            background_trio_service(self._router),
            trio.open_nursery() as nursery,
        ):
            await self._pubsub.wait_until_ready()
            await self._pubsub.subscribe(self._topic)
            nursery.start_soon(self._events.run)
            nursery.start_soon(self._inbox.run)
            nursery.start_soon(self._say_farewells)
            try:
                yield
            finally:
                await self._close()
                nursery.cancel_scope.cancel()

    def _on_gossip(self, forwarder: ID, data: bytes) -> None:
        self._inbox.put(GossipMessage(PeerName(str(forwarder)), data))

    def _on_connected(self, connection: INetConn) -> None:
        if connection.is_closed:
            return
        peer = PeerName(str(connection.muxed_conn.peer_id))
        links = self._links.setdefault(peer, {})
        now_s = trio.current_time()
        if not links:
            self._events.put(PeerEvent(peer, connected=True))
        for older, since_s in links.items():
            older_kept = is_older_kept(
                name=self._name,
                peer=peer,
                older_is_ours=is_outbound(older),
                newer_is_ours=is_outbound(connection),
                age_s=now_s - since_s,
            )
            self._dismiss(connection if older_kept else older)
        links[connection] = now_s

    def _on_disconnected(self, connection: INetConn) -> None:
        peer = PeerName(str(connection.muxed_conn.peer_id))
        links = self._links.get(peer, {})
        if links.pop(connection, None) is None:
            return
        self._pubsub.connection_closed(connection.muxed_conn)
        if not links:
            del self._links[peer]
            self._events.put(PeerEvent(peer, connected=False))

    def _dismiss(self, connection: INetConn) -> None:
        try:
            self._farewell_send.send_nowait(connection)
        except trio.WouldBlock:
            # More at once than there are places for connections: one stays double for a while.
            _log.warning("double_connection_kept", peer=str(connection.muxed_conn.peer_id))

    async def _say_farewells(self) -> None:
        async with trio.open_nursery() as nursery:
            async for connection in self._farewells:
                nursery.start_soon(self._close_connections, [connection])

    async def _close_connections(self, connections: list[INetConn]) -> None:
        with trio.move_on_after(self._limits.close_timeout_s):
            async with trio.open_nursery() as nursery:
                for connection in connections:
                    nursery.start_soon(connection.close)

    async def _close(self) -> None:
        self._is_closing = True
        self._swarm.stop_accepting()
        deadline_s = trio.current_time() + self._limits.close_timeout_s
        with trio.CancelScope(deadline=deadline_s, shield=True):
            await self._close_connections(self._swarm.get_connections())
            await self._host.close()

    def _check_came_up(self, peer: PeerName, found: str) -> None:
        if peer not in self.peers():
            raise TransportError("dial_failed", found, "a peer that stays")


@asynccontextmanager
async def run_libp2p_transport(
    *,
    seed: bytes,
    listen: str,
    topic: str,
    validate: GossipValidator,
    limits: TransportLimits,
) -> AsyncIterator[Libp2pTransport]:
    """See `open_libp2p_transport`."""
    address = parse_tcp_address(listen)
    await check_guards()
    async with await bind_exclusively(address) as listener:
        transport = Libp2pTransport(
            seed=seed, listener=listener, topic=topic, validate=validate, limits=limits
        )
        async with raising_plainly(transport.running()):
            yield transport


def _read_peer_id(address: str, peer: str | None) -> ID:
    wanted = "an address that ends in /p2p/<peer id>"
    if peer is None:
        raise TransportError("address_malformed", address, wanted)
    try:
        Multiaddr(address)
        return ID.from_string(peer)
    except ValueError as error:
        raise TransportError("address_malformed", f"{address}: {error}", wanted) from error


def _translate_dial_error(address: str, error: BaseException) -> TransportError:
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    if any(isinstance(one, PeerIDMismatchesPubkey) for one in chain):
        return TransportError("peer_mismatch", f"another peer at {address}", "the one named")
    # The last but for what the operating system said: that is in the text of ours above it.
    known = [one for one in chain if not isinstance(one, OSError | BaseExceptionGroup)]
    return TransportError("dial_failed", f"{address}: {known[-1]}", "a peer that answers")
