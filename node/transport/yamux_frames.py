"""Frames of the yamux protocol: how they are written, and how they are read out of bytes.

A frame is 12 bytes, then, for data only, its payload:

    version 1 | type 1 | flags 2 | stream id 4 | value 4      big-endian

`value` is the length of the payload, the growth of a window, the number of a ping, or the reason
of a farewell. The reader checks a header before it waits for the payload that it announces.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

TYPE_DATA = 0
TYPE_WINDOW_UPDATE = 1
TYPE_PING = 2
TYPE_GO_AWAY = 3

FLAG_SYN = 1
FLAG_ACK = 2
FLAG_FIN = 4
FLAG_RST = 8

WINDOW_BYTES = 256 * 1024
"""What every stream begins with by the rules of yamux. Ours stay with it: that is 200 MB/s on one
machine and 2.5 MB/s over 100 ms, and it bounds what an unread stream can cost."""

FRAME_BYTES_MAX = WINDOW_BYTES
"""Of the payload of one frame. Some implementations fill a window with a single frame."""

_HEADER = struct.Struct("!BBHII")

# One Noise message holds 65,519 bytes: a frame of this payload and its header fill it exactly.
PAYLOAD_BYTES_MAX = 65_519 - _HEADER.size


class YamuxFault(Exception):
    """The peer broke the protocol; the connection cannot go on."""


class Frame(NamedTuple):
    """One frame as received."""

    type: int
    flags: int
    stream_id: int
    value: int
    payload: bytes


def encode_frame(
    frame_type: int, flags: int, stream_id: int, value: int, payload: bytes | memoryview = b""
) -> bytes:
    """Return the bytes of a frame; for data, `value` must be the length of `payload`."""
    return _HEADER.pack(0, frame_type, flags, stream_id, value) + payload


class FrameReader:
    """Cuts a stream of bytes into frames, holding no more than one of them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with `data`.

        Raises:
            YamuxFault: a header that no implementation sends, or a frame above the bound.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEADER.size:
            version, frame_type, flags, stream_id, value = _HEADER.unpack_from(buffer, at)
            if version != 0 or frame_type > TYPE_GO_AWAY:
                raise YamuxFault(f"version {version}, type {frame_type}")
            end = at + _HEADER.size
            if frame_type == TYPE_DATA:
                if value > FRAME_BYTES_MAX:
                    raise YamuxFault(f"a frame of {value} bytes, {FRAME_BYTES_MAX} allowed")
                end += value
                if len(buffer) < end:
                    break
            payload = bytes(buffer[at + _HEADER.size : end])
            at = end
            yield Frame(frame_type, flags, stream_id, value, payload)
        del buffer[:at]
