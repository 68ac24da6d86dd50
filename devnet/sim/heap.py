"""The heap of things to come in the core layer, and the clocks that read its time.

Everything that takes time (a message, a restart, the end of a cut) is an entry of the heap. Entries
of one moment go in the order in which they were made, so a run has one order.
"""

import heapq
from collections.abc import Callable
from typing import Any

START_MS = 1_767_225_600_000
"""The wall clock at the beginning: 2026-01-01."""


class Heap:
    """What is still to be done, by the time at which it is due."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entries = 0

    def step(self, until_ms: int) -> bool:
        """Do what comes next; return whether anything was left to do in time."""
        if not self._heap or self._heap[0][0] > until_ms:
            return False
        self.now_ms, _, action, arguments = heapq.heappop(self._heap)
        action(*arguments)
        return True

    def later(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do something after a while."""
        self._entries += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._entries, action, arguments))


class HeapClock:
    """The time of the heap, with a wall clock that may be wrong by a day."""

    def __init__(self, heap: Heap, offset_ms: int) -> None:
        self._heap = heap
        self._offset_ms = offset_ms

    def now_ms(self) -> int:
        """See `node.clock.Clock`, here and below."""
        return START_MS + self._heap.now_ms + self._offset_ms

    def monotonic_s(self) -> float:
        """Return the time of the heap."""
        return self._heap.now_ms / 1_000
