"""One stream of a yamux connection: two windows, two ends, a buffer for what is not read yet."""

from abc import abstractmethod
from types import TracebackType

import trio
from libp2p.abc import IMuxedConn, IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedStreamClosed, MuxedStreamEOF, MuxedStreamReset

from node.transport.limits import TransportLimits
from node.transport.yamux_frames import (
    FLAG_FIN,
    FLAG_RST,
    TYPE_DATA,
    TYPE_WINDOW_UPDATE,
    WINDOW_BYTES,
    YamuxFault,
    encode_frame,
)

_SEND_WINDOW_MAX = (1 << 32) - 1


class StreamCarrier(IMuxedConn):
    """What a stream asks of the connection that it is a part of."""

    limits: TransportLimits

    @abstractmethod
    def count_unread(self, size: int) -> None:
        """Count unread bytes, or (negative) read ones."""

    @abstractmethod
    def push_control(self, frame: bytes) -> None:
        """Send a short frame before all data. A queue full of them ends the connection."""

    @abstractmethod
    def push_data(self, frame: bytes) -> None:
        """Send a frame behind the data that waits."""

    @abstractmethod
    async def push_payload(self, stream: "YamuxStream", rest: memoryview) -> memoryview:
        """Wait for room, send as much of `rest` as fits into one frame, return what is left."""

    @abstractmethod
    def forget(self, stream: "YamuxStream") -> None:
        """Both sides are done with `stream`."""

    @abstractmethod
    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the remote host and port."""


class YamuxStream(IMuxedStream):
    """One stream. One task may read and one may write at a time."""

    def __init__(self, connection: StreamCarrier, stream_id: int, *, is_inbound: bool) -> None:
        self.muxed_conn: StreamCarrier = connection
        self.stream_id = stream_id
        self.is_inbound = is_inbound
        self.closed_at_s: float | None = None
        self._buffer = bytearray()
        # What the peer may still send, and what was read here without telling it.
        self._receive_window = WINDOW_BYTES
        self._read_untold = 0
        self._send_window = WINDOW_BYTES
        self._peer_ended = False
        self._we_ended = False
        self._torn = False
        self._arrived = trio.Event()
        self._may_send = trio.Event()

    async def read(self, n: int | None = None) -> bytes:
        """Return 1 to `n` bytes as soon as there are any; without `n` all there are.

        Raises:
            MuxedStreamEOF: the peer has ended its direction and all is read.
            MuxedStreamReset: the stream is torn down.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._buffer:
            if self._torn or self.closed_at_s is not None:
                raise MuxedStreamReset(f"stream {self.stream_id} is torn down")
            if self._peer_ended:
                raise MuxedStreamEOF(f"stream {self.stream_id} is at its end")
            self._arrived = trio.Event()
            await self._arrived.wait()
        wanted = len(self._buffer) if n is None or n < 0 else n
        data = bytes(self._buffer[:wanted])
        del self._buffer[:wanted]
        self.muxed_conn.count_unread(-len(data))
        self._tell_window(len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting for window and room. Not all may be sent when it raises.

        Raises:
            MuxedStreamClosed: this side has ended its direction.
            MuxedStreamReset: the stream is torn down, or was because the peer does not read.
        """
        rest = memoryview(data)
        timeout_s = self.muxed_conn.limits.write_stall_timeout_s
        while rest:
            with trio.move_on_after(timeout_s) as patience:
                while not self._send_window and not self._torn:
                    self._may_send = trio.Event()
                    await self._may_send.wait()
                self._check_writable()
                rest = await self.muxed_conn.push_payload(self, rest)
                self._check_writable()
            if patience.cancelled_caught:
                await self.reset()
                raise MuxedStreamReset(f"the peer has not read for {timeout_s} s")

    async def close_write(self) -> None:
        """End this direction, behind all that was written."""
        if self._we_ended or self._torn:
            return
        self._we_ended = True
        # Among the data, so that it does not overtake what it ends.
        self.muxed_conn.push_data(encode_frame(TYPE_DATA, FLAG_FIN, self.stream_id, 0))
        if self._peer_ended:
            self.muxed_conn.forget(self)

    async def close(self) -> None:
        """End both directions: nothing more is read here, what was written still arrives."""
        await self.close_write()
        if self.closed_at_s is None:
            self.closed_at_s = trio.current_time()
            self._drop_unread()
            self._arrived.set()

    async def reset(self) -> None:
        """Tear the stream down."""
        if not self._torn:
            self.muxed_conn.push_control(
                encode_frame(TYPE_WINDOW_UPDATE, FLAG_RST, self.stream_id, 0)
            )
        self.fail()
        self.muxed_conn.forget(self)

    def set_deadline(self, ttl: int) -> None:
        """Refuse: who wants a deadline has cancel scopes."""
        raise NotImplementedError("use a cancel scope")

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the remote host and port."""
        return self.muxed_conn.get_remote_address()

    async def __aenter__(self) -> "YamuxStream":
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()

    # For the connection.

    def take_window(self, wanted: int) -> int:
        """Use up to `wanted` bytes of what the peer allows; return how many."""
        size = 0 if self._torn or self._we_ended else min(wanted, self._send_window)
        self._send_window -= size
        return size

    def on_data(self, payload: bytes) -> None:
        """Take what arrived."""
        if len(payload) > self._receive_window:
            raise YamuxFault(f"{len(payload)} bytes into a window of {self._receive_window} bytes")
        if self._peer_ended:
            raise YamuxFault(f"data behind the end of stream {self.stream_id}")
        self._receive_window -= len(payload)
        if self.closed_at_s is None:
            self._buffer += payload
            self._arrived.set()
            self.muxed_conn.count_unread(len(payload))

    def on_window(self, growth: int) -> None:
        """The peer allows `growth` bytes more."""
        self._send_window += growth
        if self._send_window > _SEND_WINDOW_MAX:
            raise YamuxFault(f"a window of {self._send_window} bytes")
        self._may_send.set()

    def on_fin(self) -> None:
        """The peer has ended its direction."""
        self._peer_ended = True
        self._arrived.set()
        if self._we_ended:
            self.muxed_conn.forget(self)

    def fail(self) -> None:
        """Let every call on this stream fail from now on."""
        self._torn = True
        self._drop_unread()
        self._arrived.set()
        self._may_send.set()

    def _check_writable(self) -> None:
        if self._torn:
            raise MuxedStreamReset(f"stream {self.stream_id} is torn down")
        if self._we_ended:
            raise MuxedStreamClosed(f"stream {self.stream_id} is closed here")

    def _drop_unread(self) -> None:
        self.muxed_conn.count_unread(-len(self._buffer))
        self._buffer.clear()

    def _tell_window(self, size: int) -> None:
        """Let the peer send again what was read: in large steps, for each costs a frame."""
        self._read_untold += size
        if self._peer_ended or self._torn or self._read_untold < WINDOW_BYTES // 2:
            return
        growth, self._read_untold = self._read_untold, 0
        self._receive_window += growth
        self.muxed_conn.push_control(encode_frame(TYPE_WINDOW_UPDATE, 0, self.stream_id, growth))
