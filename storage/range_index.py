"""The range index: fingerprint, rank and place of any range of (epoch, id), beside the journal.

Two levels: leaves of up to 256 records in the table `range_leaves` (`storage.range_leaves`), and
in memory a directory with the first record, count and id sum of each (`storage.range_directory`).

Rule 1: the directory is made from the leaves at open, each of them verified; it is never stored.
Rule 2: an edit writes into the caller's batch and changes nothing else. Once the batch is written
        the caller says `applied`; an edit that is dropped never was. A crash anywhere leaves the
        leaves of before or of after.
Rule 3: edits come one after the other: an edit begins after the one before was applied or dropped.
Rule 4: a snapshot is fixed. A leaf that an edit replaces keeps its old records in memory, for as
        long as some snapshot still holds it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable

from protocol.errors import InvariantBroken
from protocol.ranges import Item, check_item
from storage.engine import Batch, Engine
from storage.errors import Corrupt
from storage.range_directory import (
    Chunk,
    RangeSnapshot,
    Row,
    Version,
    build_chunks,
    fetch_records,
)
from storage.range_leaves import (
    LEAF_RECORDS_MAX,
    RECORD_BYTES,
    TABLE,
    Leaf,
    build_leaves,
    decode_leaf,
    encode_leaf,
    insert_records,
    pack_item,
    remove_records,
)

HOT_LEAVES_MAX = 64
"""Leaves just written whose records stay in memory, 10 KiB each: the next edit wants them."""
_FEW_RECORDS = LEAF_RECORDS_MAX // 4
_MERGED_RECORDS_MAX = 3 * LEAF_RECORDS_MAX // 4

ChangeRecords = Callable[[bytes, list[bytes]], bytes]


class RangeIndex:
    """The index of one database; its single writer edits, anyone takes snapshots."""

    def __init__(self, engine: Engine) -> None:
        """Read and verify all leaves.

        Raises:
            StorageError: a leaf is damaged (`Corrupt`, `range_leaf_…`), or as the engine says.
        """
        self._engine = engine
        self._version: Version = Row([])
        self._hot: dict[bytes, Leaf] = {}
        self.reload()

    def reload(self) -> None:
        """Read the leaves anew: whether the last edit was written, nobody knew.

        Raises:
            StorageError: as the constructor.
        """
        # A leaf that is what it was stays the same object: snapshots hold it, and are told by it
        # when it is replaced.
        known = {leaf.key: leaf for chunk in self._version.parts for leaf in chunk.parts}
        leaves: list[Leaf] = []
        last = b""
        for key, value in self._engine.scan(TABLE):
            if key <= last:
                raise Corrupt("range_leaf_order", key.hex(), f"a key above {last.hex()}")
            leaf = decode_leaf(key, value)
            old = known.get(key)
            is_same = old is not None and (old.count, old.total) == (leaf.count, leaf.total)
            leaves.append(old if old is not None and is_same else leaf)
            last = value[-RECORD_BYTES:]
        self._version = Row(build_chunks(leaves))
        self._hot = {}

    def size(self) -> int:
        """Return the number of items."""
        return self._version.count

    def snapshot(self) -> RangeSnapshot:
        """Return the set as it is now; costs nothing, and what it pins goes with it."""
        return RangeSnapshot(self._engine, self._version)

    def contains(self, item: Item) -> bool:
        """Tell whether an item is a member.

        Raises:
            StorageError: the leaf cannot be read.
        """
        return self.snapshot().contains(item)

    def edit(self, batch: Batch) -> "RangeEdit":
        """Begin an edit whose leaves go into `batch`."""
        return RangeEdit(self, batch)


class RangeEdit:
    """Items that come and go with one batch."""

    def __init__(self, index: RangeIndex, batch: Batch) -> None:
        self._index = index
        self._batch = batch
        self._base = index._version
        self._version = index._version
        self._built: dict[bytes, Leaf] = {}
        self._replaced: list[bytes] = []

    def insert_many(self, items: Iterable[Item]) -> int:
        """Put items in, in any order; return how many were not there before.

        Raises:
            StorageError: a leaf cannot be read.
            InvariantBroken: something is no item.
        """
        return self._change(items, insert_records)

    def remove_many(self, items: Iterable[Item]) -> int:
        """Take items out, in any order; return how many were there.

        Raises:
            As `insert_many`.
        """
        return -self._change(items, remove_records)

    def applied(self) -> None:
        """Make the edit visible: the batch has been written.

        Raises:
            InvariantBroken: another edit was applied meanwhile; the leaves are then wrong.
        """
        index = self._index
        if index._version is not self._base:
            raise InvariantBroken("two edits of the range index at once")
        index._version = self._base = self._version
        hot = index._hot
        # Forgotten, not emptied: a snapshot may need their records.
        for key in self._replaced:
            hot.pop(key, None)
        hot.update(self._built)
        while len(hot) > HOT_LEAVES_MAX:
            hot.pop(next(iter(hot))).records = None

    def _change(self, items: Iterable[Item], change: ChangeRecords) -> int:
        """Rewrite every leaf that the items change; return by how much the set has grown."""
        keys = sorted({_pack_checked(item) for item in items})
        version = self._version
        rewrite = _Rewrite(self._index._engine, change)
        chunks: list[Chunk] = []
        start = kept = 0
        while start < len(keys) and version.parts:
            place = version.find_key(keys[start])
            end = _find_end(keys, start, version.keys, place)
            is_last = place + 1 == len(version.parts)
            leaves = rewrite.change_chunk(version.parts[place], keys[start:end], is_last=is_last)
            chunks += version.parts[kept:place]
            chunks += build_chunks(leaves)
            kept = place + 1
            start = end
        if version.parts:
            chunks += version.parts[kept:]
        else:
            chunks = build_chunks(rewrite.change_nothing(keys))
        self._version = Row(chunks)
        self._take_over(rewrite)
        return self._version.count - version.count

    def _take_over(self, rewrite: "_Rewrite") -> None:
        for key in rewrite.replaced:
            self._built.pop(key, None)
            self._replaced.append(key)
            if key not in rewrite.built:
                self._batch.delete(TABLE, key)
        for key, leaf in rewrite.built.items():
            self._built[key] = leaf
            self._batch.put(TABLE, key, encode_leaf(leaf))


class _Rewrite:
    """One pass of one change over some leaves.

    Attributes:
        built: the new leaves by key, with their records.
        replaced: the keys of the leaves they stand for.
    """

    __slots__ = ("_change", "_engine", "built", "replaced")

    def __init__(self, engine: Engine, change: ChangeRecords) -> None:
        self._engine = engine
        self._change = change
        self.built: dict[bytes, Leaf] = {}
        self.replaced: list[bytes] = []

    def change_nothing(self, keys: list[bytes]) -> list[Leaf]:
        """Return the leaves of an index that had none."""
        return self._build(self._change(b"", keys), is_append=True)

    def change_chunk(self, chunk: Chunk, keys: list[bytes], *, is_last: bool) -> list[Leaf]:
        """Return the leaves of a chunk after the change of some records, none of them outside.

        Args:
            chunk: with at least one leaf.
            keys: ascending, at least one.
            is_last: nothing follows the chunk.
        """
        leaves: list[Leaf] = []
        start = kept = 0
        while start < len(keys):
            place = chunk.find_key(keys[start])
            end = _find_end(keys, start, chunk.keys, place)
            leaves += chunk.parts[kept:place]
            leaf = chunk.parts[place]
            kept = place + 1
            old = fetch_records(self._engine, leaf)
            new = self._change(old, keys[start:end])
            if len(new) == len(old):
                leaves.append(leaf)
            else:
                is_append = is_last and kept == len(chunk.parts) and new.startswith(old)
                self._replace(leaf, old)
                leaves += self._build(self._merge_few(leaves, new), is_append=is_append)
            start = end
        return [*leaves, *chunk.parts[kept:]]

    def _replace(self, leaf: Leaf, records: bytes) -> None:
        # Whoever holds an older version finds the records here once the table has other ones.
        leaf.records = records
        if self.built.pop(leaf.key, None) is None:
            self.replaced.append(leaf.key)

    def _merge_few(self, leaves: list[Leaf], records: bytes) -> bytes:
        """Return records, if few together with those of the leaf before; that leaf goes."""
        count = len(records) // RECORD_BYTES
        if not 0 < count < _FEW_RECORDS or not leaves:
            return records
        if leaves[-1].count + count > _MERGED_RECORDS_MAX:
            return records
        before = leaves.pop()
        records_before = fetch_records(self._engine, before)
        self._replace(before, records_before)
        return records_before + records

    def _build(self, records: bytes, *, is_append: bool) -> list[Leaf]:
        leaves = build_leaves(records, is_append=is_append)
        self.built.update((leaf.key, leaf) for leaf in leaves)
        return leaves


def _find_end(keys: list[bytes], start: int, part_keys: list[bytes], place: int) -> int:
    """Return how far from `start` on the keys belong to the part at `place`."""
    if place + 1 == len(part_keys):
        return len(keys)
    return bisect_left(keys, part_keys[place + 1], start)


def _pack_checked(item: Item) -> bytes:
    check_item(item)
    return pack_item(item)
