"""Frames out of a byte stream and back: a 4-byte big-endian length, then the payload.

No I/O: bytes are fed in, whole payloads come out. What is kept between two feeds is at most one
unfinished frame, so the bound of a frame is the bound of the memory.
"""

from protocol.errors import InvariantBroken, PeerFault

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 1 << 20
"""1 MiB of payload; what is larger travels in parts."""


class FrameReader:
    """Cuts one stream into payloads."""

    __slots__ = ("_buffer", "_frame_bytes_max")

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Begin at the start of a stream whose payloads have at most `frame_bytes_max` bytes."""
        self._buffer = bytearray()
        self._frame_bytes_max = frame_bytes_max

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the payloads they complete, in order.

        A length is judged as soon as it is there, before one byte of its payload is kept. After a
        fault the stream has no more frames: every further call raises it again.

        Raises:
            PeerFault: `frame_too_long`, `frame_empty`.
        """
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        start = 0
        while len(buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(buffer[start : start + LENGTH_BYTES], "big")
            if length == 0 or length > self._frame_bytes_max:
                del buffer[:start], buffer[LENGTH_BYTES:]
                raise self._fault(length)
            end = start + LENGTH_BYTES + length
            if len(buffer) < end:
                break
            frames.append(bytes(buffer[start + LENGTH_BYTES : end]))
            start = end
        del buffer[:start]
        return frames

    def finish(self) -> None:
        """Take the end of the stream.

        Raises:
            PeerFault: `frame_cut`: it ended inside a frame.
        """
        if self._buffer:
            raise PeerFault("frame_cut", f"an end after {len(self._buffer)} bytes", "a whole frame")

    def _fault(self, length: int) -> PeerFault:
        wanted = f"1..{self._frame_bytes_max} bytes"
        if length == 0:
            return PeerFault("frame_empty", "0 bytes", wanted)
        return PeerFault("frame_too_long", f"{length} bytes", wanted)


def frame(payload: bytes, frame_bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """Return a payload with its length in front.

    Raises:
        InvariantBroken: the payload is empty or longer than `frame_bytes_max`; we never send that.
    """
    if not 0 < len(payload) <= frame_bytes_max:
        raise InvariantBroken(f"a frame of {len(payload)} bytes, bound {frame_bytes_max}")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload
