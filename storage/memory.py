"""MemoryEngine: the verified fake. It keeps every promise of the real engine but durability."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from weakref import WeakSet

from storage.engine import TABLES, Batch, Row
from storage.errors import Closed

SHORT_ROWS = 64
"""A scan of so many rows takes them along; a longer one holds the table as it was."""


class _Table:
    """Sorted keys beside a dictionary; copied on the first write under a running scan."""

    __slots__ = ("keys", "scans", "values")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.values: dict[bytes, bytes] = {}
        self.scans: WeakSet[Iterator[Row]] = WeakSet()

    def detach_scans(self) -> None:
        if self.scans:
            self.keys = self.keys.copy()
            self.values = self.values.copy()
            self.scans.clear()

    def apply(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            if key not in self.values:
                if not self.keys or key > self.keys[-1]:
                    self.keys.append(key)
                else:
                    insort(self.keys, key)
            self.values[key] = value
        elif key in self.values:
            del self.values[key]
            del self.keys[bisect_left(self.keys, key)]


class MemoryEngine:
    """An engine in dictionaries: for tests, simulations and in-memory devnets."""

    def __init__(self, tables: Sequence[str] = TABLES) -> None:
        self._tables = {name: _Table() for name in tables}
        self._is_closed = False
        self.life = 0
        """How often it was opened again: a scan does not outlive a close."""

    def check_open(self, life: int | None = None) -> None:
        """Check that the engine is open, for a scan: that it was never closed since.

        Raises:
            Closed: it is not.
        """
        if self._is_closed or life not in (None, self.life):
            raise Closed("storage_closed", "a call after close", "an open database")

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        self.check_open()
        return self._tables[table].values.get(key)

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in the order asked."""
        self.check_open()
        values = self._tables[table].values
        return [values.get(key) for key in keys]

    def scan(
        self, table: str, lower: bytes = b"", upper: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Row]:
        """Return the rows with lower <= key < upper as of now."""
        self.check_open()
        source = self._tables[table]
        start = bisect_left(source.keys, lower)
        stop = len(source.keys) if upper is None else bisect_left(source.keys, upper)
        if stop - start <= SHORT_ROWS:
            rows = [(key, source.values[key]) for key in source.keys[start:stop]]
            return self._walk(reversed(rows) if reverse else rows, self.life)
        places = range(start, stop)
        # Those of now: the table gets others before it is written to.
        keys, values = source.keys, source.values
        held = ((keys[place], values[keys[place]]) for place in places[:: -1 if reverse else 1])
        scan = self._walk(held, self.life)
        source.scans.add(scan)
        return scan

    def _walk(self, rows: Iterable[Row], life: int) -> Iterator[Row]:
        for row in rows:
            if self._is_closed or life != self.life:
                break
            yield row
        self.check_open(life)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply a batch atomically; `sync` means nothing here."""
        self.check_open()
        # Every name and type is checked before the first change, or the batch would not be atomic.
        for table, key, value in batch.operations:
            if table not in self._tables:
                raise KeyError(table)
            if type(key) is not bytes or (value is not None and type(value) is not bytes):
                raise TypeError(f"{table}: keys and values are bytes")
        for table in dict.fromkeys(table for table, _, _ in batch.operations):
            self._tables[table].detach_scans()
        for table, key, value in batch.operations:
            self._tables[table].apply(key, value)

    def flush(self) -> None:
        """Do what there is to do, which is nothing."""
        self.check_open()

    def compact(self, table: str) -> None:
        """Check the name; memory needs no compaction."""
        self.check_open()
        self._tables[table]

    def properties(self) -> Mapping[str, Mapping[str, int]]:
        """Return `keys` and `bytes` by table."""
        self.check_open()
        return {
            name: {
                "keys": len(table.keys),
                "bytes": sum(len(key) + len(value) for key, value in table.values.items()),
            }
            for name, table in self._tables.items()
        }

    def close(self) -> None:
        """Refuse all later calls; the rows stay, so that a restart can be played."""
        self._is_closed = True

    def reopen(self) -> None:
        """Open again with the rows of before, as a restart does."""
        self._is_closed = False
        self.life += 1
