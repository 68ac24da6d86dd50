"""Three ways to keep keys and values in a folder: ours, rocksdict without us, and sqlite3."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from storage.engine import Batch
from storage.metered import MeteredEngine
from storage.rocks import RocksEngine

TABLE = "transactions"
CACHE_BYTES = 8 << 20

Rows = Sequence[tuple[bytes, bytes | None]]
"""Keys with their values; None deletes."""


class Contender(Protocol):
    """One of them, open."""

    def put(self, rows: Rows, *, sync: bool) -> None:
        """Write rows together: all or none."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """Return a value."""
        ...

    def scan(self) -> int:
        """Read every row in order; return the bytes seen."""
        ...

    def close(self) -> None:
        """Put everything on disk and let go."""
        ...


class Ours:
    """The engine as a node has it, measured."""

    def __init__(self, path: Path) -> None:
        self.inner = RocksEngine(path, network=bytes(8))
        self.engine = MeteredEngine(self.inner)

    def put(self, rows: Rows, *, sync: bool) -> None:
        batch = Batch()
        for key, value in rows:
            if value is None:
                batch.delete(TABLE, key)
            else:
                batch.put(TABLE, key, value)
        self.engine.write(batch, sync=sync)

    def get(self, key: bytes) -> bytes | None:
        return self.engine.get(TABLE, key)

    def scan(self) -> int:
        return sum(len(key) + len(value) for key, value in self.engine.scan(TABLE))

    def close(self) -> None:
        self.engine.flush()
        self.engine.close()


class Raw:
    """rocksdict with one column and nothing checked: what the machine allows."""

    def __init__(self, path: Path) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        blocks = BlockBasedOptions()
        blocks.set_block_size(8 << 10)
        blocks.set_block_cache(Cache(CACHE_BYTES))
        blocks.set_bloom_filter(10, False)
        blocks.set_format_version(5)
        blocks.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(blocks)
        self._database = Rdict(str(path), options, column_families={TABLE: options})
        self._column = self._database.get_column_family(TABLE)
        self._handle = self._database.get_column_family_handle(TABLE)
        self._synced = WriteOptions()
        self._synced.sync = True
        self._unsynced = WriteOptions()

    def put(self, rows: Rows, *, sync: bool) -> None:
        batch = WriteBatch(raw_mode=True)
        for key, value in rows:
            if value is None:
                batch.delete(key, self._handle)
            else:
                batch.put(key, value, self._handle)
        self._database.write(batch, self._synced if sync else self._unsynced)

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._column.get(key)
        return value

    def scan(self) -> int:
        rows: Any = self._column.items()
        return sum(len(key) + len(value) for key, value in rows)

    def close(self) -> None:
        self._column.flush(wait=True)
        del self._column, self._handle
        self._database.close()


class Sqlite:
    """sqlite3 with a write-ahead log that is synced at each commit when asked."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(f"PRAGMA cache_size=-{CACHE_BYTES >> 10}")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS t (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID"
        )

    def put(self, rows: Rows, *, sync: bool) -> None:
        self._database.execute(f"PRAGMA synchronous={'FULL' if sync else 'OFF'}")
        self._database.execute("BEGIN")
        kept = ((key, value) for key, value in rows if value is not None)
        self._database.executemany("INSERT OR REPLACE INTO t VALUES (?, ?)", kept)
        gone = ((key,) for key, value in rows if value is None)
        self._database.executemany("DELETE FROM t WHERE k = ?", gone)
        self._database.execute("COMMIT")

    def get(self, key: bytes) -> bytes | None:
        row = self._database.execute("SELECT v FROM t WHERE k = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def scan(self) -> int:
        rows: Any = self._database.execute("SELECT k, v FROM t ORDER BY k")
        return sum(len(key) + len(value) for key, value in rows)

    def close(self) -> None:
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.close()
