"""The row cache: decoded rows of the last seal, least recently used ones leave first.

Records are frozen, so that one may be handed out many times. The bound is in bytes, not in rows:
a task with 255 participants weighs what it weighs. That a row does not exist is remembered too.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from protocol.view import Key

CACHE_BYTES_MAX = 4 << 20
"""Of rows as stored; decoded they take several times as much."""
ENTRY_BYTES = 128
"""What an entry takes beside its row."""


class RowCache:
    """Decoded rows by table and key."""

    # Not cachetools: it keeps a second map of sizes, takes twice as long to evict, and answers a
    # row above the bound with an error that leaves the old copy in place.

    def __init__(self, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        # Not a plain dictionary: finding its first key walks over every hole that evictions left.
        self._entries: OrderedDict[Key, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        self.misses = 0

    def find(self, place: Key) -> tuple[bool, Any]:
        """Return (True, row or None) if the place is known, else (False, None)."""
        entry = self._entries.get(place)
        if entry is None:
            self.misses += 1
            return False, None
        self._entries.move_to_end(place)
        self.hits += 1
        return True, entry[0]

    def put(self, place: Key, row: Any, row_bytes: int) -> None:
        """Remember a row, or with None that there is none."""
        self.forget(place)
        size = row_bytes + ENTRY_BYTES
        if size > self._bytes_max:
            return
        self._entries[place] = (row, size)
        self._bytes += size
        while self._bytes > self._bytes_max:
            _, (_, evicted) = self._entries.popitem(last=False)
            self._bytes -= evicted

    def update(self, changes: Iterable[tuple[Key, Any, int]]) -> None:
        """Take in rows that were just written: (place, row or None, bytes)."""
        for place, row, row_bytes in changes:
            self.put(place, row, row_bytes)

    def clear(self) -> None:
        """Forget everything; the counters stay."""
        self._entries.clear()
        self._bytes = 0

    def forget(self, place: Key) -> None:
        """Know nothing of a place any more."""
        entry = self._entries.pop(place, None)
        if entry is not None:
            self._bytes -= entry[1]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes counted against the bound."""
        return self._bytes

    @property
    def hit_share(self) -> float:
        """Hits by reads, 0 to 1; 0 before the first read."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0
