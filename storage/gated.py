"""GatedEngine: an engine that takes no write after one that failed, and none into a full disk.

Rule 1: whether a batch whose write failed is on disk, nobody knows: its log record may be whole and
        only the sync have failed. So the first failure shuts the gate, whatever it was.
Rule 2: behind a shut gate reads go on; every write is refused with what shut it.
Rule 3: only a reopen opens it. Whoever keeps in memory what is on disk reads it anew then.
"""

from collections.abc import Mapping

from storage.engine import Batch, Engine
from storage.errors import Full, InUse, StorageError


class GatedEngine:
    """Another engine behind a gate for writes.

    Attributes:
        inner: the engine that does the work.
        fault: what shut the gate; None while it is open.
    """

    def __init__(self, inner: Engine) -> None:
        self.inner = inner
        self.fault: StorageError | None = None
        self._compactions = 0
        # Reads pass as they are, at no cost.
        self.get = inner.get
        self.get_many = inner.get_many
        self.scan = inner.scan

    def shut(self, fault: StorageError) -> None:
        """Refuse writes from now on; a fault that room on the disk does not cure stays the reason.

        Args:
            fault: what every write is refused with.
        """
        if self.fault is None or isinstance(self.fault, Full):
            self.fault = fault

    def check(self) -> None:
        """Check that writes are taken.

        Raises:
            StorageError: what shut the gate.
        """
        fault = self.fault
        if fault is not None:
            # A new one each time: an error carries the trace of where it was raised.
            raise type(fault)(fault.code, fault.found, fault.wanted)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply a batch atomically; with `sync` it is on disk when this returns.

        Raises:
            StorageError: what shut the gate, this time or before.
        """
        self.check()
        try:
            self.inner.write(batch, sync=sync)
        except StorageError as error:
            self.shut(error)
            raise

    def flush(self) -> None:
        """Put everything written so far on disk."""
        self.check()
        self.inner.flush()

    def compact(self, table: str) -> None:
        """Give back the room of what was deleted from a table; another thread may ask for it."""
        self._compactions += 1
        try:
            self.inner.compact(table)
        finally:
            self._compactions -= 1

    def properties(self) -> Mapping[str, Mapping[str, int]]:
        """Return figures by table: at least `keys` (estimated) and `bytes`."""
        return self.inner.properties()

    def reopen(self) -> None:
        """Close and open again; then the gate is open.

        Raises:
            Full: there is too little room to open; reads go on as before.
            InUse: a compaction is under way in another thread, the same.
        """
        if self._compactions:
            raise InUse("database_busy", "a compaction under way", "another try after it")
        self.inner.reopen()
        self.fault = None

    def close(self) -> None:
        """Release everything; a second close is no error."""
        self.inner.close()
