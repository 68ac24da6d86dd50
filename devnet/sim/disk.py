"""A disk that forgets what was not synced: the memory engine with the log's durable end.

A power cut takes away batches from the end of the log, never from its middle, and never one that a
synced batch came after: that is what RocksDB with tail tolerance promises. A batch is whole or not
there at all.
"""

from storage.engine import TABLES, Batch
from storage.errors import Full, StorageError
from storage.memory import MemoryEngine

Undo = list[tuple[str, bytes, bytes | None]]
Image = dict[str, dict[bytes, bytes]]


class CrashEngine(MemoryEngine):
    """An engine in memory of which a crash takes back what was not synced."""

    def __init__(self) -> None:
        super().__init__()
        self.unsynced: list[Undo] = []
        self.fails_next: str | None = None
        """How the next write fails: `before` it is on disk, or `after`."""
        self.is_full = False

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply a batch; with `sync` it and all before it will outlast a crash.

        Raises:
            StorageError: `disk_failed`, where a plan says so.
            Full: likewise.
        """
        if self.is_full:
            raise Full("disk_full", "no room", "a disk with room")
        failure, self.fails_next = self.fails_next, None
        if failure == "before":
            raise StorageError("disk_failed", "an I/O error", "a disk that writes")
        undo: Undo = []
        if not sync:
            tables = self._tables
            undo = [
                (table, key, tables[table].values.get(key)) for table, key, _ in batch.operations
            ]
        super().write(batch, sync=sync)
        if sync:
            self.unsynced.clear()
        else:
            self.unsynced.append(undo)
        if failure == "after":
            raise StorageError("disk_failed", "an I/O error", "a disk that writes")

    def crash(self, kept: int) -> "CrashEngine":
        """Return what a power cut leaves, of the batches that were not synced the first `kept`.

        This engine refuses all further calls.
        """
        batch = Batch()
        for undo in reversed(self.unsynced[kept:]):
            for table, key, value in reversed(undo):
                if value is None:
                    batch.delete(table, key)
                else:
                    batch.put(table, key, value)
        if batch:
            MemoryEngine.write(self, batch, sync=True)
        left = CrashEngine()
        left.is_full = self.is_full
        left._tables = self._tables
        self.close()
        return left

    def copy_image(self) -> Image:
        """Return all rows: a backup."""
        return {name: dict(self._tables[name].values) for name in TABLES}

    @classmethod
    def from_image(cls, image: Image) -> "CrashEngine":
        """Return a disk with the rows of a backup."""
        engine, batch = cls(), Batch()
        for name, rows in image.items():
            for key, value in rows.items():
                batch.put(name, key, value)
        engine.write(batch, sync=True)
        return engine
