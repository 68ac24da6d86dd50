"""OverlayView: sealed items and open ones as one set.

The range index holds what is sealed: items enter it sorted, in bulk, with their seal, which costs
one fifteenth of entering on arrival, where each batch would rewrite a leaf for nearly every id.
What is open is small and lies in the open set; here it is laid over.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Protocol

from protocol.ranges import (
    Bound,
    Item,
    RangeView,
    VectorView,
    check_range,
    compute_fingerprint,
)


class SummedView(RangeView, Protocol):
    """A range view that also tells sums of ids."""

    def sum(self, begin: int, end: int) -> int:
        """Return the sum of the ids of a range, right mod 2^256."""
        ...


class OverlayView:
    """The union of two disjoint sets that do not change. Implements `protocol.ranges.RangeView`."""

    def __init__(self, sealed: SummedView, open_items: Iterable[Item]) -> None:
        items = sorted(open_items)
        self._sealed = sealed
        self._open = VectorView(items)
        numbers = (int.from_bytes(item.id, "little") for item in items)
        self._open_sums = list(accumulate(numbers, initial=0))
        # The rank in the union of each open item: those before it on either side.
        size = sealed.size()
        self._places = [
            sealed.find_lower_bound(0, size, Bound(*item)) + before
            for before, item in enumerate(items)
        ]

    def size(self) -> int:
        """Return the number of items."""
        return self._sealed.size() + self._open.size()

    def item(self, rank: int) -> Item:
        """Return the item at a rank."""
        check_range(rank, rank + 1, self.size())
        before = bisect_left(self._places, rank)
        if before < len(self._places) and self._places[before] == rank:
            return self._open.item(before)
        return self._sealed.item(rank - before)

    def iterate(self, begin: int, end: int) -> Iterator[Item]:
        """Return the items of a range in order."""
        check_range(begin, end, self.size())
        return self._walk(begin, end)

    def find_lower_bound(self, begin: int, end: int, bound: Bound) -> int:
        """Return the least rank in [begin, end] whose item is not below the bound, else `end`."""
        check_range(begin, end, self.size())
        sealed = self._sealed.find_lower_bound(0, self._sealed.size(), bound)
        opened = self._open.find_lower_bound(0, self._open.size(), bound)
        return min(max(sealed + opened, begin), end)

    def fingerprint(self, begin: int, end: int) -> bytes:
        """Return the fingerprint (16 bytes) of a range."""
        check_range(begin, end, self.size())
        first, last = bisect_left(self._places, begin), bisect_left(self._places, end)
        total = self._sealed.sum(begin - first, end - last)
        total += self._open_sums[last] - self._open_sums[first]
        # Sums of the sealed side are right mod 2^256 only and may be below zero.
        return compute_fingerprint(total % (1 << 256), end - begin)

    def _walk(self, begin: int, end: int) -> Iterator[Item]:
        while begin < end:
            before = bisect_left(self._places, begin)
            if before < len(self._places) and self._places[before] == begin:
                yield self._open.item(before)
                begin += 1
                continue
            stop = end if before == len(self._places) else min(end, self._places[before])
            yield from self._sealed.iterate(begin - before, stop - before)
            begin = stop
