"""Two stores that live through the same: one in memory, one on RocksDB, compared at every step.

A database on disk takes tens of milliseconds to make, so one serves for many lives: between two of
them it is emptied.
"""

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from protocol.closing import compute_archive_epochs
from protocol.errors import InvariantBroken, Rejected
from protocol.genesis import Genesis
from protocol.tables import ALL, BY_NAME
from protocol.view import Key
from storage.backup import make_backup
from storage.backup_folder import ITEMS
from storage.engine import TABLES, Batch, Engine
from storage.errors import Full, StorageError
from storage.indexes import INDEX_TABLE, compute_index_keys
from storage.local_tables import FRAUD
from storage.memory import MemoryEngine
from storage.prune import Pruner
from storage.rebuild import rebuild_indexes
from storage.restore import restore
from storage.rocks import RocksEngine
from storage.scrub import scrub
from storage.store import Store
from storage.tombstones import Pruned
from tests.support.engines import WatchedEngine
from tests.support.golden import read_rows

T = TypeVar("T")


@dataclass(frozen=True)
class Raised:
    """An operation ended in an error."""

    name: str
    text: str


class TwinStores:
    """The two stores; `each` runs an operation on both and compares what comes of it."""

    def __init__(self, folder: Path, genesis: Genesis) -> None:
        self.genesis = genesis
        self._folder = folder
        self._disk = RocksEngine(folder / "db", network=genesis.network)
        self.begin()

    def begin(self) -> None:
        """Empty the database and begin anew at the genesis."""
        empty(self._disk)
        self._memory = MemoryEngine()
        self._open()

    def each(self, operation: Callable[[Store], T]) -> T:
        """Return what an operation returns on both stores.

        Raises:
            AssertionError: the two differ.
        """
        memory, rocks = (attempt(operation, store) for store in self.stores)
        assert memory == rocks, f"in memory {memory!r}\non RocksDB {rocks!r}"
        assert not isinstance(memory, Raised), memory
        return memory

    def each_fails(self, error: type[Exception], operation: Callable[[Store], object]) -> None:
        """Run an operation that both stores refuse with the same words."""
        memory, rocks = (attempt(operation, store) for store in self.stores)
        assert memory == rocks, f"in memory {memory!r}\non RocksDB {rocks!r}"
        assert isinstance(memory, Raised), f"not refused, but {memory!r}"
        assert memory.name == error.__name__, memory

    def each_is_full(self, operation: Callable[[Store], object]) -> None:
        """Run an operation that writes while no disk has room."""
        for engine in self._engines:
            engine.writes_left = 0
        self.each_fails(Full, operation)
        for engine in self._engines:
            engine.writes_left = None
        # After a failed write a store takes no further one until it has read anew what is there.
        self.each(lambda store: store.reopen())

    def reopen(self, *, is_real: bool) -> None:
        """Open both stores again; a real reopening closes the database on disk as well."""
        if is_real:
            self.close()
            self._disk = RocksEngine(self._folder / "db", network=self.genesis.network)
            self._memory.reopen()
        self._open()

    def close(self) -> None:
        """Close both."""
        for store in self.stores:
            store.close()

    def check(self, rows: Mapping[Key, Any]) -> None:
        """Check both against the rows of a model, and as `check_alike`."""
        for store in self.stores:
            check_rows(store, rows)
        self.each(lambda store: store.report_performance().cache)
        self.check_alike()

    def check_alike(self) -> None:
        """Check both against one another, and one against itself."""
        memory, rocks = (read_rows(store.engine) for store in self.stores)
        for table in TABLES:
            assert memory[table] == rocks[table], f"{table} differs"
        self.each(lambda store: (store.totals, store.head.state_root, store.local.progress))
        # The bytes are the same, so one of the two speaks for both.
        check_whole(self.stores[1])

    def backup_and_restore(self) -> None:
        """Back both up, compare the copies, restore one and compare it with what it was made of."""
        copies = []
        for number, store in enumerate(self.stores):
            backup = make_backup(store, self._folder / f"backups {number}")
            copies.append((backup.manifest, (backup.path / ITEMS).read_bytes()))
            last = backup
        assert copies[0] == copies[1]
        restore(last.path, self._folder / "restored", self.genesis)
        store = self.stores[1]
        restored = Store.open(self._folder / "restored", self.genesis)
        check_whole(restored)
        assert restored.head.seal_hash == store.head.seal_hash
        assert restored.head.state_root == store.head.state_root
        assert restored.totals.sealed == store.totals.sealed
        # What was buried is open again until the node looks at it.
        assert {*store.journal.open_items()} <= {*restored.journal.open_items()}
        restored.close()
        for name in ("restored", "backups 0", "backups 1"):
            shutil.rmtree(self._folder / name)

    def _open(self) -> None:
        self._engines = [WatchedEngine(self._memory), WatchedEngine(self._disk)]
        self.stores = [Store(engine, self.genesis) for engine in self._engines]


def attempt(operation: Callable[[Store], T], store: Store) -> T | Raised:
    """Return what an operation returns, or what it was refused with."""
    try:
        return operation(store)
    except (StorageError, Rejected, InvariantBroken) as error:
        return Raised(type(error).__name__, str(error))


def empty(engine: Engine) -> None:
    """Delete every row of every table."""
    batch = Batch()
    for table in TABLES:
        for key, _ in engine.scan(table):
            batch.delete(table, key)
    engine.write(batch, sync=False)


def delete_blob(store: Store, content_hash: bytes) -> int:
    """Delete a blob; return the bytes freed."""
    batch = Batch()
    freed = store.journal.blobs.stage_delete(batch, content_hash)
    store.engine.write(batch, sync=False)
    return freed


def clean_up(store: Store, retention: int | None = None) -> Pruned:
    """Drop all that may be dropped, or is older; return what was dropped so far."""
    least = compute_archive_epochs(store.genesis.params)
    for _ in Pruner(store, least if retention is None else retention).steps():
        pass
    return store.pruned


def check_rows(store: Store, rows: Mapping[Key, Any]) -> None:
    """Check that a store has the rows of a model, and that its cache tells of no other.

    Raises:
        AssertionError: it has not.
    """
    found = {(table.name, key): row for table in ALL for key, row in store.rows.scan(table)}
    assert found == rows, "rows differ from those of the model"
    for (name, key), row in rows.items():
        assert store.rows.get(BY_NAME[name], key) == row, "the cache tells another row"


def check_whole(store: Store) -> None:
    """Check that a store agrees with itself.

    Raises:
        AssertionError: rows, indexes, counts and journal do not fit together.
    """
    check_indexes(store)
    assert [line for line in scrub(store) if line is not None] == []
    fresh = Store(store.gate.inner, store.genesis)
    assert fresh.totals == store.totals
    assert fresh.head.state_root == store.head.state_root
    assert fresh.local.progress == store.local.progress
    flagged = sum(row.flagged for _, row in store.rows.scan(FRAUD))
    assert store.local.progress.flagged == flagged == len(store.local.flagged(1_000).items)


def check_indexes(store: Store) -> None:
    """Compare all indexes with what the rows say, then with what a rebuild makes of them.

    Raises:
        AssertionError: they differ.
    """
    engine = store.engine
    wanted = {
        index_key
        for table in (*ALL, FRAUD)
        for key, row in store.rows.scan(table)
        for index_key in compute_index_keys(table, key, row)
    }
    before = {key for key, _ in engine.scan(INDEX_TABLE)}
    assert before == wanted, "indexes differ from what the rows say"
    assert rebuild_indexes(engine) == 0, "a rebuild changed indexes"
    assert {key for key, _ in engine.scan(INDEX_TABLE)} == before


def draw_bytes(chance: random.Random, most: int) -> bytes:
    """Return some bytes that compress."""
    return bytes([chance.randrange(256)]) * chance.randrange(most)
