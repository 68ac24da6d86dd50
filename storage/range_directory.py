"""The directory of the range index: one fixed version of it, and the set as that version has it.

Two rows above the leaves: chunks of leaves, and the chunks. Each row knows the running counts and
id sums of its parts, so a rank or a fingerprint costs one search in each row, and at each end of a
range one leaf. A row never changes; an edit makes a new one and shares the parts it did not touch.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Generic, Protocol, TypeVar

from protocol.ranges import Bound, Item, check_item, check_range, compute_fingerprint
from storage.engine import Engine
from storage.range_leaves import (
    RECORD_BYTES,
    TABLE,
    Leaf,
    find_record,
    pack_bound,
    pack_item,
    read_records,
    sum_ids,
    unpack_item,
)

CHUNK_LEAVES_MAX = 256
"""Ten million items are some 250 chunks of some 200 leaves: an edit copies one row of each."""


class _Part(Protocol):
    key: bytes
    count: int
    total: int


PartT = TypeVar("PartT", bound=_Part)


class Row(Generic[PartT]):
    """Parts in order, with what lies before each.

    Attributes:
        parts: the leaves of a chunk, or the chunks of a version.
        keys: the first record of each part.
        ranks: the items before each part; behind the last, all.
        sums: the sum of the ids before each part, not reduced; behind the last, of all.
        key: the first record of all, empty where there is none.
        count: of all items.
        total: of all ids.
    """

    __slots__ = ("count", "key", "keys", "parts", "ranks", "sums", "total")

    def __init__(self, parts: Sequence[PartT]) -> None:
        self.parts = tuple(parts)
        self.keys = [part.key for part in self.parts]
        self.ranks = list(accumulate((part.count for part in self.parts), initial=0))
        self.sums = list(accumulate((part.total for part in self.parts), initial=0))
        self.key = self.keys[0] if self.keys else b""
        self.count = self.ranks[-1]
        self.total = self.sums[-1]

    def find_key(self, key: bytes) -> int:
        """Return the part that holds a record, or would: the first also what lies before it."""
        return max(0, bisect_right(self.keys, key) - 1)

    def find_rank(self, rank: int) -> int:
        """Return the part that holds a rank; the rank is below `count`."""
        return bisect_right(self.ranks, rank) - 1


Chunk = Row[Leaf]
Version = Row[Row[Leaf]]


def build_chunks(leaves: Sequence[Leaf]) -> list[Chunk]:
    """Return leaves in as few chunks as hold them, of about the same size."""
    if not leaves:
        return []
    count = -(-len(leaves) // CHUNK_LEAVES_MAX)
    places = [len(leaves) * chunk // count for chunk in range(count + 1)]
    return [Row(leaves[start:end]) for start, end in pairwise(places)]


def fetch_records(engine: Engine, leaf: Leaf) -> bytes:
    """Return the records of a leaf, from memory or from the table.

    Raises:
        StorageError: `range_leaf_lost`, or what the engine raises.
    """
    if leaf.records is not None:
        return leaf.records
    return read_records(leaf, engine.get(TABLE, leaf.key))


class RangeSnapshot:
    """A `RangeView` of the index at one moment; later edits do not show in it.

    Every method but `size` may raise a `StorageError`. Not for two threads at once: it remembers
    what it read last, because a session asks for neighbouring ranges.
    """

    __slots__ = ("_engine", "_last_leaf", "_last_rank", "_last_records", "_last_sum", "_version")

    def __init__(self, engine: Engine, version: Version) -> None:
        self._engine = engine
        self._version = version
        self._last_leaf: Leaf | None = None
        self._last_records = b""
        self._last_rank = 0
        self._last_sum = 0

    def size(self) -> int:
        """Return the number of items."""
        return self._version.count

    def item(self, rank: int) -> Item:
        """Return the item at a rank."""
        check_range(rank, rank + 1, self._version.count)
        chunk, place, index = self._find_rank(rank)
        return unpack_item(self._fetch(chunk.parts[place]), index)

    def iterate(self, begin: int, end: int) -> Iterator[Item]:
        """Return the items of a range in order."""
        check_range(begin, end, self._version.count)
        return self._walk(begin, end)

    def find_lower_bound(self, begin: int, end: int, bound: Bound) -> int:
        """Return the least rank in [begin, end] whose item is not below the bound, else `end`."""
        check_range(begin, end, self._version.count)
        return min(max(begin, self._find_key(pack_bound(bound))), end)

    def fingerprint(self, begin: int, end: int) -> bytes:
        """Return the fingerprint (16 bytes) of a range."""
        return compute_fingerprint(self.sum(begin, end), end - begin)

    def sum(self, begin: int, end: int) -> int:
        """Return the sum of the ids of a range, right mod 2^256; it may be negative."""
        check_range(begin, end, self._version.count)
        lower = self._sum_before(begin)
        upper = self._sum_before(end)
        self._last_rank, self._last_sum = end, upper
        return upper - lower

    def contains(self, item: Item) -> bool:
        """Tell whether an item is a member.

        Raises:
            InvariantBroken: it is no item at all.
        """
        check_item(item)
        rank = self._find_key(pack_item(item))
        return rank < self._version.count and self.item(rank) == item

    def _find_key(self, key: bytes) -> int:
        """Return the rank of the first record that is not below `key`."""
        version = self._version
        if not version.parts:
            return 0
        chunk_place = version.find_key(key)
        chunk = version.parts[chunk_place]
        place = chunk.find_key(key)
        rank = version.ranks[chunk_place] + chunk.ranks[place]
        # What begins with its leaf, as most bounds do that a peer sends back, needs no read.
        if key <= chunk.keys[place]:
            return rank
        return rank + find_record(self._fetch(chunk.parts[place]), key)

    def _find_rank(self, rank: int) -> tuple[Chunk, int, int]:
        version = self._version
        chunk_place = version.find_rank(rank)
        chunk = version.parts[chunk_place]
        rank -= version.ranks[chunk_place]
        place = chunk.find_rank(rank)
        return chunk, place, rank - chunk.ranks[place]

    def _sum_before(self, rank: int) -> int:
        """Return the sum of the ids below a rank, right mod 2^256."""
        if rank == self._last_rank:
            return self._last_sum
        version = self._version
        if rank == version.count:
            return version.total
        chunk_place = version.find_rank(rank)
        chunk = version.parts[chunk_place]
        rank -= version.ranks[chunk_place]
        place = chunk.find_rank(rank)
        total = version.sums[chunk_place] + chunk.sums[place]
        index = rank - chunk.ranks[place]
        if index == 0:
            return total
        leaf = chunk.parts[place]
        records = self._fetch(leaf)
        # The shorter side is summed; the other is what the whole leaf has beyond it.
        if 2 * index <= leaf.count:
            return total + sum_ids(records[: index * RECORD_BYTES])
        return total + leaf.total - sum_ids(records[index * RECORD_BYTES :])

    def _walk(self, begin: int, end: int) -> Iterator[Item]:
        while begin < end:
            chunk, place, index = self._find_rank(begin)
            leaf = chunk.parts[place]
            records = self._fetch(leaf)
            stop = min(leaf.count, index + end - begin)
            for at in range(index, stop):
                yield unpack_item(records, at)
            begin += stop - index

    def _fetch(self, leaf: Leaf) -> bytes:
        if leaf is not self._last_leaf:
            self._last_records = fetch_records(self._engine, leaf)
            self._last_leaf = leaf
        return self._last_records
