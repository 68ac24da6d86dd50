"""The leaves of the range index: up to 256 records of (epoch, id), with their count and id sum.

table `range_leaves`
key    first record
value  count u16 BE || sum of the ids mod 2^256, 32 bytes LE || records
record epoch u64 BE || id 32 bytes; ascending, so the order of records is that of items
"""

from bisect import bisect_left
from operator import lt
from struct import unpack

from protocol.errors import InvariantBroken
from protocol.ranges import ID_BYTES, Bound, Item
from storage.errors import Corrupt

TABLE = "range_leaves"
LEAF_RECORDS_MAX = 256
EPOCH_BYTES = 8
RECORD_BYTES = EPOCH_BYTES + ID_BYTES
_COUNT_BYTES = 2
_HEADER_BYTES = _COUNT_BYTES + ID_BYTES
_SUM_MASK = (1 << 256) - 1

# The records of a leaf are summed as one large integer: lanes of 320 bits of which the ids take
# 256, so that the sums of 256 ids never meet.
_LANE_BITS = 8 * RECORD_BYTES
_IDS_MASK = sum(_SUM_MASK << (_LANE_BITS * lane) for lane in range(LEAF_RECORDS_MAX))
_LOW_LANES = tuple((1 << (_LANE_BITS * lanes)) - 1 for lanes in range(LEAF_RECORDS_MAX))


class Leaf:
    """What the directory holds of one leaf.

    Attributes:
        key: the first record.
        count: of the records, 1..256.
        total: the sum of the ids mod 2^256.
        records: the records themselves while they are not, or no longer, what the table has.
    """

    __slots__ = ("count", "key", "records", "total")

    def __init__(self, key: bytes, count: int, total: int, records: bytes | None) -> None:
        self.key = key
        self.count = count
        self.total = total
        self.records = records


def pack_item(item: Item) -> bytes:
    """Return the record (40 bytes) of an item."""
    return item.epoch.to_bytes(EPOCH_BYTES, "big") + item.id


def pack_bound(bound: Bound) -> bytes:
    """Return what sorts among records as the bound does among items."""
    return bound.epoch.to_bytes(EPOCH_BYTES, "big") + bound.prefix


def unpack_item(records: bytes, index: int) -> Item:
    """Return the item of one of several records."""
    start = index * RECORD_BYTES
    id_start = start + EPOCH_BYTES
    epoch = int.from_bytes(records[start:id_start], "big")
    return Item(epoch, records[id_start : start + RECORD_BYTES])


def sum_ids(records: bytes) -> int:
    """Return the sum of the ids of at most 256 records, as little-endian integers."""
    lanes = len(records) // RECORD_BYTES
    # From the first id on, so that the room for carries lies above each id and not below it.
    folded = int.from_bytes(records[EPOCH_BYTES:], "little") & _IDS_MASK
    while lanes > 1:
        half = (lanes + 1) // 2
        folded = (folded & _LOW_LANES[half]) + (folded >> (_LANE_BITS * half))
        lanes = half
    return folded


def find_record(records: bytes, key: bytes) -> int:
    """Return the least index whose record is not below `key`, else the number of records."""
    # What is appended finds its place at once; and of nothing there is no last record.
    if records[-RECORD_BYTES:] < key:
        return len(records) // RECORD_BYTES

    def read(index: int) -> bytes:
        return records[index * RECORD_BYTES : (index + 1) * RECORD_BYTES]

    return bisect_left(range(len(records) // RECORD_BYTES), key, key=read)


def insert_records(records: bytes, keys: list[bytes]) -> bytes:
    """Return the records with those of `keys` (ascending) that are not among them yet."""
    pieces = []
    start = 0
    for key in keys:
        place = find_record(records, key) * RECORD_BYTES
        if records[place : place + RECORD_BYTES] != key:
            pieces += [records[start:place], key]
            start = place
    return b"".join([*pieces, records[start:]])


def remove_records(records: bytes, keys: list[bytes]) -> bytes:
    """Return the records without those of `keys` (ascending)."""
    pieces = []
    start = 0
    for key in keys:
        place = find_record(records, key) * RECORD_BYTES
        if records[place : place + RECORD_BYTES] == key:
            pieces.append(records[start:place])
            start = place + RECORD_BYTES
    return b"".join([*pieces, records[start:]])


def build_leaves(records: bytes, *, is_append: bool) -> list[Leaf]:
    """Return the leaves of some records.

    Args:
        records: ascending; none make no leaf.
        is_append: fill each leaf to its bound, since what follows will go behind the last; else
            all get the same number, since what follows will go between.
    """
    count = len(records) // RECORD_BYTES
    parts = -(-count // LEAF_RECORDS_MAX)
    leaves = []
    start = 0
    for part in range(parts):
        share = LEAF_RECORDS_MAX if is_append else (count - start) // (parts - part)
        piece = records[start * RECORD_BYTES : (start + share) * RECORD_BYTES]
        total = sum_ids(piece) & _SUM_MASK
        leaves.append(Leaf(piece[:RECORD_BYTES], len(piece) // RECORD_BYTES, total, piece))
        start += share
    return leaves


def encode_leaf(leaf: Leaf) -> bytes:
    """Return the value of a leaf that has its records.

    Raises:
        InvariantBroken: it has not.
    """
    if leaf.records is None:
        raise InvariantBroken("a leaf is written without its records")
    total = leaf.total.to_bytes(ID_BYTES, "little")
    return leaf.count.to_bytes(_COUNT_BYTES, "big") + total + leaf.records


def decode_leaf(key: bytes, value: bytes) -> Leaf:
    """Return a leaf read from the table, all of it verified; without its records.

    Raises:
        Corrupt: `range_leaf_length`, `range_leaf_key`, `range_leaf_order`, `range_leaf_sum`.
    """
    count = int.from_bytes(value[:_COUNT_BYTES], "big")
    length = _HEADER_BYTES + count * RECORD_BYTES
    if not 0 < count <= LEAF_RECORDS_MAX or len(value) != length:
        raise Corrupt("range_leaf_length", f"{len(value)} bytes", f"{length} for {count} records")
    records = value[_HEADER_BYTES:]
    if records[:RECORD_BYTES] != key:
        raise Corrupt("range_leaf_key", key.hex(), records[:RECORD_BYTES].hex())
    every = unpack(f"{RECORD_BYTES}s" * count, records)
    if not all(map(lt, every, every[1:])):
        raise Corrupt("range_leaf_order", key.hex(), "ascending records")
    total = int.from_bytes(value[_COUNT_BYTES:_HEADER_BYTES], "little")
    if sum_ids(records) & _SUM_MASK != total:
        raise Corrupt("range_leaf_sum", key.hex(), "the sum of its ids")
    return Leaf(key, count, total, None)


def read_records(leaf: Leaf, value: bytes | None) -> bytes:
    """Return the records of a leaf from its value in the table.

    Raises:
        Corrupt: `range_leaf_lost`: the value is not the one that the directory was made of.
    """
    length = _HEADER_BYTES + leaf.count * RECORD_BYTES
    if value is None or len(value) != length:
        found = "nothing" if value is None else f"{len(value)} bytes"
        raise Corrupt("range_leaf_lost", found, f"{length} bytes at {leaf.key.hex()}")
    return value[_HEADER_BYTES:]
