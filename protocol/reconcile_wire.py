"""The bytes of Negentropy V1: parsed strictly and whole, written piece by piece.

    message = 61, then ranges          range = upper bound, mode, payload
    bound   = varint: 0 for infinity, else 1 + epoch - epoch of the bound before;
              varint: length of the prefix, then the prefix
    mode    = varint: 0 skip: nothing
                      1 fingerprint: 16 bytes
                      2 id list: varint: count, then count x 32 bytes

The lower bound of a range is the upper bound of the one before; the first begins at epoch 0. Epoch
differences start anew with every message. Nothing is said after the last range, or of skips at the
end. Varints are base 128, most significant digit first, in the fewest bytes.
"""

from enum import IntEnum
from typing import NamedTuple

from protocol.errors import PeerFault
from protocol.ranges import (
    EPOCH_MAX,
    FINGERPRINT_BYTES,
    ID_BYTES,
    INFINITY,
    LOWEST,
    Bound,
    encode_varint,
)

VERSION = 0x61
_VARINT_BYTES_MAX = 10
_VARINT_MAX = (1 << 64) - 1


class Mode(IntEnum):
    """What a range says about its items."""

    SKIP = 0
    FINGERPRINT = 1
    ID_LIST = 2


class Range(NamedTuple):
    """One parsed range; the payload of an id list is its ids alone."""

    bound: Bound
    mode: Mode
    payload: bytes


Mark = tuple[int, int, Bound | None, int]


class Answer:
    """A message being written. Skips are written when something follows them, or never.

    Attributes:
        ranges: how many are written.
        is_complete: the last one ends at infinity.
    """

    __slots__ = ("_data", "_epoch", "_skip", "is_complete", "ranges")

    def __init__(self) -> None:
        """Begin with no ranges, which says that nothing differs."""
        self._data = bytearray([VERSION])
        self._epoch = 0
        self._skip: Bound | None = None
        self.ranges = 0
        self.is_complete = False

    @property
    def size_bytes(self) -> int:
        """Bytes written, a pending skip not counted."""
        return len(self._data)

    def skip_to(self, bound: Bound) -> None:
        """Have nothing to say of what lies below a bound."""
        self._skip = bound

    def put(self, bound: Bound, mode: Mode, payload: bytes) -> None:
        """Write the range that ends at a bound; the bounds of a message never descend."""
        if self._skip is not None:
            skip, self._skip = self._skip, None
            self.put(skip, Mode.SKIP, b"")
        if bound == INFINITY:
            self._data.append(0)
            self.is_complete = True
        else:
            self._data += encode_varint(1 + bound.epoch - self._epoch)
            self._epoch = bound.epoch
        self._data += encode_varint(len(bound.prefix)) + bound.prefix
        self._data += encode_varint(mode) + payload
        self.ranges += 1

    def mark(self) -> Mark:
        """Return what `undo` needs to come back to here."""
        return len(self._data), self._epoch, self._skip, self.ranges

    def undo(self, mark: Mark) -> None:
        """Take back everything since a mark."""
        length, self._epoch, self._skip, self.ranges = mark
        del self._data[length:]
        # Nothing can be marked after infinity.
        self.is_complete = False

    def to_bytes(self) -> bytes:
        """Return the message."""
        return bytes(self._data)


class _Cursor:
    """The unread part of a message."""

    __slots__ = ("_data", "_place", "epoch")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 1
        self.epoch = 0

    @property
    def rest_bytes(self) -> int:
        return len(self._data) - self._place

    def take(self, count: int) -> bytes:
        if count > self.rest_bytes:
            raise PeerFault("message_cut", f"{self.rest_bytes} bytes", f"{count} bytes")
        start = self._place
        self._place += count
        return self._data[start : self._place]

    def take_varint(self) -> int:
        value = 0
        for digit in range(_VARINT_BYTES_MAX):
            byte = self.take(1)[0]
            if digit == 0 and byte == 0x80:
                raise PeerFault("varint_not_minimal", "a leading zero digit", "the fewest bytes")
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                break
        else:
            raise PeerFault("varint_too_large", "a digit too many", f"{_VARINT_BYTES_MAX} bytes")
        if value > _VARINT_MAX:
            raise PeerFault("varint_too_large", value, f"at most {_VARINT_MAX}")
        return value

    def take_bound(self) -> Bound:
        word = self.take_varint()
        if word:
            self.epoch += word - 1
            if self.epoch > EPOCH_MAX:
                raise PeerFault("bound_epoch_too_large", self.epoch, f"at most {EPOCH_MAX}")
        prefix_bytes = self.take_varint()
        if prefix_bytes > ID_BYTES:
            raise PeerFault("bound_prefix_too_long", f"{prefix_bytes} bytes", f"at most {ID_BYTES}")
        prefix = self.take(prefix_bytes)
        if word:
            return Bound(self.epoch, prefix)
        # Some implementations write out the zeros of every prefix, even here.
        if any(prefix):
            raise PeerFault("bound_after_infinity", "a prefix", "none, or zeros")
        return INFINITY


def parse_ranges(message: bytes, ranges_max: int) -> list[Range]:
    """Return the ranges of a message of our version, all of them well-formed and ascending.

    Empty ranges and skips that could have been left out are accepted, though nobody needs them.

    Raises:
        PeerFault: `ranges_too_many`, `message_cut`, `varint_not_minimal`, `varint_too_large`,
            `bound_epoch_too_large`, `bound_prefix_too_long`, `bound_after_infinity`,
            `bounds_descend`, `mode_unknown`, `ids_cut`.
    """
    cursor = _Cursor(message)
    ranges: list[Range] = []
    previous = LOWEST
    while cursor.rest_bytes:
        if len(ranges) == ranges_max:
            raise PeerFault("ranges_too_many", f"more than {ranges_max}", f"at most {ranges_max}")
        if previous == INFINITY:
            raise PeerFault("bound_after_infinity", f"{cursor.rest_bytes} bytes more", "the end")
        bound = cursor.take_bound()
        if bound.is_before(previous):
            raise PeerFault("bounds_descend", "a bound below the one before", "ascending bounds")
        mode = cursor.take_varint()
        if mode == Mode.SKIP:
            ranges.append(Range(bound, Mode.SKIP, b""))
        elif mode == Mode.FINGERPRINT:
            ranges.append(Range(bound, Mode.FINGERPRINT, cursor.take(FINGERPRINT_BYTES)))
        elif mode == Mode.ID_LIST:
            count = cursor.take_varint()
            # Judged by what is there before anything is taken for it: the count is the peer's.
            if count > cursor.rest_bytes // ID_BYTES:
                raise PeerFault("ids_cut", f"{cursor.rest_bytes} bytes", f"{count} ids")
            ranges.append(Range(bound, Mode.ID_LIST, cursor.take(count * ID_BYTES)))
        else:
            raise PeerFault("mode_unknown", mode, "0, 1 or 2")
        previous = bound
    return ranges
