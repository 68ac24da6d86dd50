"""What range-based reconciliation sees of a set: items in order, their ranks, range fingerprints.

An item is (epoch, id); the order is by epoch, then by id, bytewise. The fingerprint of a range is
that of Negentropy V1:

    SHA-256(sum of the ids as little-endian integers mod 2^256, 32 bytes LE || varint(count))[:16]

A fingerprint finds differences between honest sets. It is no commitment: who may choose many ids
can make two sets collide. What must not collide is a Merkle root (`protocol.merkle`).
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

from protocol.errors import InvariantBroken

ID_BYTES = 32
FINGERPRINT_BYTES = 16
EPOCH_MAX = (1 << 64) - 2
"""The epoch above it is the word for infinity."""
_SUM_MASK = (1 << 256) - 1


class Item(NamedTuple):
    """One member of the set; tuples of this form sort as the protocol wants."""

    epoch: int
    id: bytes


class Bound(NamedTuple):
    """A place between items: in front of the first item that is not less.

    Attributes:
        epoch: 0..2^64 - 1.
        prefix: 0..32 leading bytes of an id; those left out count as zero.
    """

    epoch: int
    prefix: bytes

    def is_before(self, other: "Bound") -> bool:
        """Tell whether this bound is strictly the lower one; trailing zero bytes say nothing."""
        return (self.epoch, self.prefix.ljust(ID_BYTES, b"\0")) < (
            other.epoch,
            other.prefix.ljust(ID_BYTES, b"\0"),
        )


LOWEST = Bound(0, b"")
INFINITY = Bound(EPOCH_MAX + 1, b"")


class RangeView(Protocol):
    """A set that does not change while it is looked at.

    Ranks are 0..size(); ranges are [begin, end) with 0 <= begin <= end <= size(). Anything else
    is our own mistake and raises `InvariantBroken`.
    """

    def size(self) -> int:
        """Return the number of items."""
        ...

    def item(self, rank: int) -> Item:
        """Return the item at a rank below size()."""
        ...

    def iterate(self, begin: int, end: int) -> Iterator[Item]:
        """Return the items of a range in order."""
        ...

    def find_lower_bound(self, begin: int, end: int, bound: Bound) -> int:
        """Return the least rank in [begin, end] whose item is not below the bound, else `end`."""
        ...

    def fingerprint(self, begin: int, end: int) -> bytes:
        """Return the fingerprint (16 bytes) of a range."""
        ...


class VectorView:
    """A set in memory: a sorted tuple of items and the sums of its ids up to each rank."""

    __slots__ = ("_items", "_sums")

    def __init__(self, items: Iterable[Item]) -> None:
        """Take the items in any order.

        Raises:
            InvariantBroken: an item is there twice, or is none (`check_item`).
        """
        self._items = tuple(sorted(items))
        for item in self._items:
            check_item(item)
        if any(left == right for left, right in pairwise(self._items)):
            raise InvariantBroken("an item is in the set twice")
        numbers = (int.from_bytes(item.id, "little") for item in self._items)
        self._sums = tuple(accumulate(numbers, initial=0))

    def size(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def item(self, rank: int) -> Item:
        """Return the item at a rank."""
        check_range(rank, rank + 1, len(self._items))
        return self._items[rank]

    def iterate(self, begin: int, end: int) -> Iterator[Item]:
        """Return the items of a range in order."""
        check_range(begin, end, len(self._items))
        return iter(self._items[begin:end])

    def find_lower_bound(self, begin: int, end: int, bound: Bound) -> int:
        """Return the least rank in [begin, end] whose item is not below the bound, else `end`."""
        check_range(begin, end, len(self._items))
        # A shorter prefix sorts before every id it begins, as zeros in its place would.
        return bisect_left(self._items, bound, begin, end)

    def fingerprint(self, begin: int, end: int) -> bytes:
        """Return the fingerprint (16 bytes) of a range."""
        return compute_fingerprint(self.sum(begin, end), end - begin)

    def sum(self, begin: int, end: int) -> int:
        """Return the sum of the ids of a range, as little-endian integers."""
        check_range(begin, end, len(self._items))
        return self._sums[end] - self._sums[begin]


class SubView:
    """The part of a view between two bounds, as a view of its own: some epochs, for instance."""

    __slots__ = ("_begin", "_end", "_view")

    def __init__(self, view: RangeView, lower: Bound, upper: Bound) -> None:
        """Select the items of `view` with lower <= item < upper."""
        self._view = view
        size = view.size()
        self._begin = view.find_lower_bound(0, size, lower)
        self._end = view.find_lower_bound(self._begin, size, upper)

    def size(self) -> int:
        """Return the number of items."""
        return self._end - self._begin

    def item(self, rank: int) -> Item:
        """Return the item at a rank."""
        check_range(rank, rank + 1, self.size())
        return self._view.item(self._begin + rank)

    def iterate(self, begin: int, end: int) -> Iterator[Item]:
        """Return the items of a range in order."""
        check_range(begin, end, self.size())
        return self._view.iterate(self._begin + begin, self._begin + end)

    def find_lower_bound(self, begin: int, end: int, bound: Bound) -> int:
        """Return the least rank in [begin, end] whose item is not below the bound, else `end`."""
        check_range(begin, end, self.size())
        offset = self._begin
        return self._view.find_lower_bound(offset + begin, offset + end, bound) - offset

    def fingerprint(self, begin: int, end: int) -> bytes:
        """Return the fingerprint (16 bytes) of a range."""
        check_range(begin, end, self.size())
        return self._view.fingerprint(self._begin + begin, self._begin + end)


def select_epochs(view: RangeView, first: int, last: int) -> SubView:
    """Return the items of the epochs first..last, both included."""
    return SubView(view, Bound(first, b""), Bound(last + 1, b""))


def compute_fingerprint(total: int, count: int) -> bytes:
    """Return the fingerprint (16 bytes) of `count` ids whose little-endian sum is `total`.

    Args:
        total: taken mod 2^256.
        count: how many ids.
    """
    data = (total & _SUM_MASK).to_bytes(ID_BYTES, "little") + encode_varint(count)
    return hashlib.sha256(data).digest()[:FINGERPRINT_BYTES]


def compute_minimal_bound(lower: Item, upper: Item) -> Bound:
    """Return the shortest bound that separates two items, lower < upper."""
    if lower.epoch != upper.epoch:
        return Bound(upper.epoch, b"")
    shared = 0
    while lower.id[shared] == upper.id[shared]:
        shared += 1
    return Bound(upper.epoch, upper.id[: shared + 1])


def encode_varint(value: int) -> bytes:
    """Return a number >= 0 in base 128, most significant digit first, in the fewest bytes."""
    if value < 0x80:
        return value.to_bytes(1, "big")
    digits = [value & 0x7F]
    value >>= 7
    while value:
        digits.append(0x80 | value & 0x7F)
        value >>= 7
    return bytes(reversed(digits))


def check_item(item: Item) -> None:
    """Check that an item can be a member of a set.

    Raises:
        InvariantBroken: the epoch is out of 0..2^64 - 2 or the id has not 32 bytes.
    """
    if not 0 <= item.epoch <= EPOCH_MAX or len(item.id) != ID_BYTES:
        raise InvariantBroken(f"no item: epoch {item.epoch}, id of {len(item.id)} bytes")


def check_range(begin: int, end: int, size: int) -> None:
    """Check ranks that our own code computed.

    Raises:
        InvariantBroken: not 0 <= begin <= end <= size.
    """
    if not 0 <= begin <= end <= size:
        raise InvariantBroken(f"no range: [{begin}, {end}) of {size}")
