"""Streams of a libp2p host: ours around the library's, and a host that survives what peers send."""

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost, _IdentifyNotifee
from libp2p.host.exceptions import StreamFailure
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamClosed, MuxedStreamEOF

from node.transport.base import OWN_FAULTS, PeerName, TransportError
from node.transport.libp2p_swarm import BoundedSwarm
from node.transport.peer_log import log_peer_fault

CLOSE_S = 1.0


class BoundedHost(BasicHost):
    """Negotiates protocols; serves identify and ping; asks nobody who he is.

    The library's host asks every peer, believes his addresses and dials them later. Here a peer is
    his key, and an address comes from the operator or from the peer book.
    """

    def __init__(self, swarm: BoundedSwarm) -> None:
        super().__init__(swarm, disable_identify_address_discovery=True)
        for notifee in list(swarm.notifees):
            if isinstance(notifee, _IdentifyNotifee):
                swarm.remove_notifee(notifee)
        self.remove_stream_handler(ID_PUSH)

    def _schedule_identify(self, peer_id: ID, *, reason: str) -> None:
        """Ask nobody."""

    async def _swarm_stream_handler(self, net_stream: INetStream) -> None:
        try:
            await super()._swarm_stream_handler(net_stream)
        except OWN_FAULTS:
            raise
        except Exception as error:
            # The bulkhead of one inbound stream of any protocol, ours and the library's. Without
            # it the exception would end the swarm.
            log_peer_fault("stream_failed", peer=net_stream.muxed_conn.peer_id, error=error)
            await net_stream.reset()


class Libp2pStream:
    """A `Stream` over one stream of libp2p."""

    def __init__(self, stream: INetStream) -> None:
        assert isinstance(stream, NetStream)
        self._stream = stream
        # Past the library's wrapper, which takes two locks for every call.
        self._muxed = stream.muxed_stream
        self._peer = PeerName(str(stream.muxed_conn.peer_id))
        self._send_lock = trio.Lock()
        self._closed = False

    @property
    def peer(self) -> PeerName:
        """See `base.Stream`, here and below."""
        return self._peer

    async def send_all(self, data: bytes) -> None:
        """Send `data`."""
        async with self._send_lock:
            self._check_open()
            try:
                await self._muxed.write(data)
            except MuxedStreamClosed as error:
                raise TransportError("stream_closed", error, "an open stream") from error
            except BaseLibp2pError as error:
                raise TransportError("stream_failed", error, "a peer that reads") from error

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return some bytes, or b"" at the end."""
        self._check_open()
        try:
            return await self._muxed.read(bytes_max)
        except MuxedStreamEOF:
            return b""
        except BaseLibp2pError as error:
            self._check_open()
            raise TransportError("stream_failed", error, "a peer that sends") from error

    async def aclose(self) -> None:
        """End both directions."""
        if not self._closed:
            self._closed = True
            with trio.CancelScope(deadline=trio.current_time() + CLOSE_S, shield=True):
                await self._stream.close()

    async def reset(self) -> None:
        """Tear the stream down."""
        if not self._closed:
            self._closed = True
            with trio.CancelScope(deadline=trio.current_time() + CLOSE_S, shield=True):
                await self._stream.reset()

    def _check_open(self) -> None:
        if self._closed:
            raise TransportError("stream_closed", f"a stream to {self._peer}", "an open stream")


def is_unsupported(error: StreamFailure) -> bool:
    """Whether a stream failed because the peer does not serve the protocol."""
    # The library raises one class for every end of a negotiation, and says which in the text.
    return "not supported" in str(error.__cause__)
