"""FaultyEngine: an engine whose n-th write or read fails, as a disk does, and then every write.

Inert it keeps every promise of the engine behind it; `tests/test_storage/test_faulty.py` holds it
to that.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from storage.engine import Batch, Engine, Row
from storage.errors import Full, StorageError


class Fate(Enum):
    """What becomes of a batch whose write raises."""

    LOST = "lost"
    """It is not on disk, and never will be."""
    WRITTEN = "written"
    """It is on disk and is read: only what follows a write went wrong."""
    REVEALED = "revealed"
    """It is in the log but is not read: it shows when the database is opened again."""


def a_full_disk() -> Full:
    """Return what an engine says about a full disk."""
    return Full("disk_full", "0 bytes free", "room on the disk")


def an_io_error() -> StorageError:
    """Return what an engine says about a disk that fails."""
    return StorageError("storage_failed", "IO error", "a working disk")


class FaultyEngine:
    """Another engine, whose calls fail when they are told to.

    Attributes:
        writes, reads: how many there were.
    """

    def __init__(self, inner: Engine) -> None:
        self.inner = inner
        self.writes = 0
        self.reads = 0
        self._failing_write = self._failing_read = 0
        self._fate = Fate.LOST
        self._error: StorageError = a_full_disk()
        self._is_stuck = False
        self._limbo: Batch | None = None

    def fail_write(self, number: int, error: StorageError, fate: Fate = Fate.LOST) -> None:
        """Fail the n-th write from now on, and all that follow until it is opened again."""
        self._failing_write, self._error, self._fate = self.writes + number, error, fate

    def fail_read(self, number: int, error: StorageError) -> None:
        """Fail the n-th read from now on, and only it."""
        self._failing_read, self._error = self.reads + number, error

    @property
    def has_failed(self) -> bool:
        """Whether a write has failed since it was opened."""
        return self._is_stuck

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        self._read()
        return self.inner.get(table, key)

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in the order asked."""
        self._read()
        return self.inner.get_many(table, keys)

    def scan(
        self, table: str, lower: bytes = b"", upper: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Row]:
        """Return the rows with lower <= key < upper as of now."""
        self._read()
        return self.inner.scan(table, lower, upper, reverse=reverse)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply a batch atomically, unless it is its turn to fail."""
        self.writes += 1
        if self._is_stuck:
            raise self._error
        if self.writes != self._failing_write:
            self.inner.write(batch, sync=sync)
            return
        self._is_stuck = True
        if self._fate is Fate.WRITTEN:
            self.inner.write(batch, sync=sync)
        elif self._fate is Fate.REVEALED:
            self._limbo = batch
        raise self._error

    def flush(self) -> None:
        """Put everything written so far on disk."""
        self.inner.flush()

    def compact(self, table: str) -> None:
        """Give back the room of what was deleted from a table."""
        self.inner.compact(table)

    def properties(self) -> Mapping[str, Mapping[str, int]]:
        """Return figures by table."""
        return self.inner.properties()

    def reopen(self) -> None:
        """Close and open again: a batch in limbo is there now, and writes are taken."""
        self.inner.reopen()
        batch, self._limbo = self._limbo, None
        if batch is not None:
            self.inner.write(batch, sync=True)
        self._is_stuck = False

    def close(self) -> None:
        """Release everything."""
        self.inner.close()

    def _read(self) -> None:
        self.reads += 1
        if self.reads == self._failing_read:
            raise self._error
