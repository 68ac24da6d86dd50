"""Lines out of a worker's pipes, bounded in length and in number."""

from collections.abc import Iterator


class LineSplitter:
    """Cuts a stream of bytes into lines, holding at most one line of `bytes_max` bytes.

    A longer line comes out once, as soon as it is too long, cut to `bytes_max` + 1 bytes so that
    one sees that it was; its remainder is swallowed.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()
        self._swallowing = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that `chunk` completes, without their newlines."""
        pieces = chunk.split(b"\n")
        for piece in pieces[:-1]:
            yield from self._take(piece)
            if not self._swallowing:
                yield bytes(self._held)
            self._held.clear()
            self._swallowing = False
        yield from self._take(pieces[-1])

    def end(self) -> Iterator[bytes]:
        """Yield what stands after the last newline, if anything does."""
        if self._held:
            yield bytes(self._held)
        self._held.clear()

    def _take(self, piece: bytes) -> Iterator[bytes]:
        if self._swallowing:
            return
        self._held += piece
        if len(self._held) > self._bytes_max:
            yield bytes(self._held[: self._bytes_max + 1])
            self._held.clear()
            self._swallowing = True


class RateWindow:
    """Counts events by the second and tells those beyond so many in one."""

    def __init__(self, per_second_max: int) -> None:
        self._per_second_max = per_second_max
        self._second = -1
        self._count = 0
        self.excess = 0
        """Events beyond the limit, over all time."""

    def is_excess(self, now_s: float) -> bool:
        """Count one event at `now_s` and tell whether it is one too many in its second."""
        if int(now_s) != self._second:
            self._second = int(now_s)
            self._count = 0
        self._count += 1
        if self._count <= self._per_second_max:
            return False
        self.excess += 1
        return True
