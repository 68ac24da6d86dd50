"""A yamux multiplexer that holds its peer to the protocol; on the wire it is plain yamux.

Rules:
1. Unread bytes are bounded: a stream takes no more than its window, all connections together no
   more than `ReceiveBudget`. A peer that sends beyond is cut off.
2. The task that reads never writes. What it has to answer goes into a bounded queue; a peer that
   fills it (pings, streams opened faster than it reads) is cut off.
3. Only one task writes, so a cancelled caller never leaves half a frame on the wire.
4. A peer that does not answer a ping in time is frozen: the connection ends, whatever is stuck.
5. Nothing raises out of `start`: what ends a connection ends nothing else.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import structlog
import trio
from libp2p.abc import ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError
from multiaddr import Multiaddr

from node.transport.libp2p_yamux_stream import StreamCarrier, YamuxStream
from node.transport.limits import TransportLimits
from node.transport.yamux_frames import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    PAYLOAD_BYTES_MAX,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    Frame,
    FrameReader,
    YamuxFault,
    encode_frame,
)

YAMUX_PROTOCOL = "/yamux/1.0.0"

CONTROL_FRAMES_MAX = 1024
FAREWELL_S = 0.5
CLOSED_STREAM_GRACE_S = 30.0
"""A stream closed here and not by the peer is kept so long to take in what is under way."""

_BATCH_BYTES_MAX = PAYLOAD_BYTES_MAX + 12
_STREAM_ID_MAX = (1 << 32) - 1

_log = structlog.get_logger(__name__)


class ReceiveBudget:
    """The unread bytes of all connections of a transport, with one bound."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held: dict[Yamux, int] = {}
        self.bytes_held = 0

    def add(self, connection: "Yamux", size: int) -> None:
        """Count `size` unread bytes (negative: read); above the bound end the fullest."""
        self._held[connection] = self._held.get(connection, 0) + size
        self.bytes_held += size
        if self.bytes_held > self._bytes_max:
            fullest = max(self._held, key=lambda one: self._held[one])
            fullest.end(f"{self._held[fullest]} unread bytes when all together were too many")

    def forget(self, connection: "Yamux") -> None:
        """Count nothing more for a connection that has ended."""
        self.bytes_held -= self._held.pop(connection, 0)


class Yamux(StreamCarrier):
    """One multiplexed connection."""

    def __init__(
        self,
        conn: ISecureConn,
        peer_id: ID,
        *,
        limits: TransportLimits,
        budget: ReceiveBudget,
    ) -> None:
        self.peer_id = peer_id
        self.secured_conn = conn
        self.limits = limits
        self.event_started = trio.Event()
        self.event_closed = trio.Event()
        self.end_reason = ""
        # libp2p asks for these two by name.
        self.negotiated_muxer_protocol = YAMUX_PROTOCOL
        self.negotiated_security_protocol = getattr(conn, "negotiated_security_protocol", None)
        self._budget = budget
        self._reader = FrameReader()
        self._streams: dict[int, YamuxStream] = {}
        self._streams_open = {True: 0, False: 0}
        self._next_stream_id = 1 if conn.is_initiator else 2
        self._accepted_send, self._accepted = trio.open_memory_channel[YamuxStream](
            limits.inbound_streams_max
        )
        self._control: deque[bytes] = deque()
        self._data: deque[bytes] = deque()
        self._data_bytes = 0
        self._filled = trio.Event()
        self._room = trio.Event()
        self._idle = trio.Event()
        self._turn = trio.Lock()
        self._ping_number = 0
        self._pong = trio.Event()
        self._scope = trio.CancelScope()

    @property
    def is_initiator(self) -> bool:
        """Whether this side opened the connection."""
        return self.secured_conn.is_initiator

    @property
    def is_established(self) -> bool:
        """Whether streams can be opened."""
        return self.event_started.is_set() and not self.is_closed

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self.event_closed.is_set()

    async def start(self) -> None:
        """Run the connection to its end."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for part in (self._read, self._write, self._watch):
                        nursery.start_soon(self._run_part, part)
                    self.event_started.set()
        finally:
            await self._hang_up("stopped")

    async def close(self) -> None:
        """Say farewell and end the connection, within `FAREWELL_S`."""
        if self.is_established:
            self.push_control(encode_frame(TYPE_GO_AWAY, 0, 0, 0))
            with trio.CancelScope(deadline=trio.current_time() + FAREWELL_S, shield=True):
                while (self._control or self._data or not self._idle.is_set()) and (
                    not self.is_closed
                ):
                    await self._idle.wait()
                    await trio.lowlevel.checkpoint()
        await self._hang_up("closed here")

    def end(self, reason: str) -> None:
        """Mark the connection as ended and let `start` hang up. Only the first call counts."""
        if self.is_closed:
            return
        self.end_reason = reason
        self.event_closed.set()
        for stream in list(self._streams.values()):
            stream.fail()
        self._streams.clear()
        self._budget.forget(self)
        self._accepted_send.close()
        self._room.set()
        self._idle.set()
        self._scope.cancel()
        _log.debug("connection_ended", peer=str(self.peer_id), reason=reason)

    async def open_stream(self) -> YamuxStream:
        """Open a stream.

        Raises:
            MuxedConnUnavailable: the connection has ended.
            MuxedStreamError: too many streams are open.
        """
        await trio.lowlevel.checkpoint()
        if self.is_closed:
            raise MuxedConnUnavailable(f"the connection has ended: {self.end_reason}")
        if self._streams_open[False] >= self.limits.outbound_streams_max:
            raise MuxedStreamError(f"{self.limits.outbound_streams_max} streams are open")
        stream_id = self._next_stream_id
        if stream_id > _STREAM_ID_MAX:
            raise MuxedStreamError("stream ids are used up")
        self._next_stream_id += 2
        self.push_control(encode_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, stream_id, 0))
        return self._add_stream(stream_id, inbound=False)

    async def accept_stream(self) -> YamuxStream:
        """Wait for the next stream of the peer.

        Raises:
            MuxedConnUnavailable: the connection has ended.
        """
        try:
            return await self._accepted.receive()
        except trio.EndOfChannel as error:
            raise MuxedConnUnavailable(f"the connection has ended: {self.end_reason}") from error

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return the remote address, as far as it is known."""
        return self.secured_conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        """Return whether the connection is direct."""
        return self.secured_conn.get_connection_type()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the remote host and port."""
        return self.secured_conn.get_remote_address()

    # What `StreamCarrier` wants, for the streams of this connection.

    def count_unread(self, size: int) -> None:
        """Count unread bytes, or (negative) read ones."""
        if not self.is_closed:
            self._budget.add(self, size)

    def push_control(self, frame: bytes) -> None:
        """Send a short frame before all data. A queue full of them ends the connection."""
        if self.is_closed:
            return
        if len(self._control) >= CONTROL_FRAMES_MAX:
            self.end(f"{CONTROL_FRAMES_MAX} answers wait for a peer that does not read")
            return
        self._control.append(frame)
        self._filled.set()

    def push_data(self, frame: bytes) -> None:
        """Send a frame behind the data that waits."""
        if self.is_closed:
            return
        self._data.append(frame)
        self._data_bytes += len(frame)
        self._filled.set()

    async def push_payload(self, stream: YamuxStream, rest: memoryview) -> memoryview:
        """Wait for room, send as much of `rest` as fits into one frame, return what is left."""
        async with self._turn:
            while self._data_bytes >= self.limits.outbox_bytes and not self.is_closed:
                await self._room.wait()
        size = stream.take_window(min(len(rest), PAYLOAD_BYTES_MAX))
        if size:
            self.push_data(encode_frame(TYPE_DATA, 0, stream.stream_id, size, rest[:size]))
        return rest[size:]

    def forget(self, stream: YamuxStream) -> None:
        """Both sides are done with `stream`."""
        if self._streams.pop(stream.stream_id, None) is not None:
            self._streams_open[stream.is_inbound] -= 1

    # The three parts.

    async def _run_part(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except Exception as error:
            # The bulkhead of one connection. Beneath are Noise, protobuf and the socket, each
            # with errors of its own, and all of them mean that this connection is over.
            self.end(f"{type(error).__name__}: {error}")
        else:
            self.end("the peer is gone")

    async def _read(self) -> None:
        while True:
            data = await self.secured_conn.read()
            if not data:
                return
            for frame in self._reader.feed(data):
                if frame.type == TYPE_GO_AWAY:
                    return
                self._on_frame(frame)
                if self.is_closed:
                    return
            # A peer whose bytes are always there must not keep the loop to himself.
            await trio.lowlevel.checkpoint()

    async def _write(self) -> None:
        while True:
            while not self._control and not self._data:
                self._idle.set()
                self._filled = trio.Event()
                await self._filled.wait()
            self._idle = trio.Event() if self._idle.is_set() else self._idle
            await self.secured_conn.write(self._take_batch())

    async def _watch(self) -> None:
        while True:
            await trio.sleep(self.limits.ping_every_s)
            self._ping_number = (self._ping_number + 1) % _STREAM_ID_MAX
            self._pong = trio.Event()
            self.push_control(encode_frame(TYPE_PING, FLAG_SYN, 0, self._ping_number))
            with trio.move_on_after(self.limits.pong_timeout_s):
                await self._pong.wait()
            if not self._pong.is_set():
                raise YamuxFault(f"no answer to a ping in {self.limits.pong_timeout_s} s")
            long_ago_s = trio.current_time() - CLOSED_STREAM_GRACE_S
            for stream in list(self._streams.values()):
                if stream.closed_at_s is not None and stream.closed_at_s < long_ago_s:
                    await stream.reset()

    def _take_batch(self) -> bytes:
        batch = list(self._control)
        self._control.clear()
        size = sum(map(len, batch))
        while self._data and (not batch or size + len(self._data[0]) <= _BATCH_BYTES_MAX):
            frame = self._data.popleft()
            batch.append(frame)
            size += len(frame)
            self._data_bytes -= len(frame)
        if self._data_bytes < self.limits.outbox_bytes:
            self._room.set()
            self._room = trio.Event()
        return b"".join(batch)

    def _on_frame(self, frame: Frame) -> None:
        if frame.type == TYPE_PING:
            if frame.flags & FLAG_SYN:
                self.push_control(encode_frame(TYPE_PING, FLAG_ACK, 0, frame.value))
            elif frame.flags & FLAG_ACK and frame.value == self._ping_number:
                self._pong.set()
            return
        if frame.flags & FLAG_SYN:
            self._on_new_stream(frame.stream_id)
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            # Late for a stream that is over here, or refused: nobody waits for it.
            return
        if frame.type == TYPE_WINDOW_UPDATE:
            stream.on_window(frame.value)
        elif frame.payload:
            stream.on_data(frame.payload)
        if frame.flags & FLAG_RST:
            stream.fail()
            self.forget(stream)
        elif frame.flags & FLAG_FIN:
            stream.on_fin()

    def _on_new_stream(self, stream_id: int) -> None:
        # The side that opened the connection has the odd ids.
        if stream_id % 2 == self._next_stream_id % 2 or stream_id in self._streams:
            raise YamuxFault(f"stream id {stream_id} is not the peer's to open")
        if self._streams_open[True] < self.limits.inbound_streams_max:
            stream = self._add_stream(stream_id, inbound=True)
            try:
                self._accepted_send.send_nowait(stream)
            except trio.WouldBlock:
                self.forget(stream)
            else:
                self.push_control(encode_frame(TYPE_WINDOW_UPDATE, FLAG_ACK, stream_id, 0))
                return
        self.push_control(encode_frame(TYPE_WINDOW_UPDATE, FLAG_RST, stream_id, 0))

    def _add_stream(self, stream_id: int, *, inbound: bool) -> YamuxStream:
        stream = YamuxStream(self, stream_id, is_inbound=inbound)
        self._streams[stream_id] = stream
        self._streams_open[inbound] += 1
        return stream

    async def _hang_up(self, reason: str) -> None:
        self.end(reason)
        with trio.CancelScope(shield=True):
            await self.secured_conn.close()
