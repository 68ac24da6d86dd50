"""An engine that counts what is asked of it, and whose disk can fill up at a chosen write."""

from collections.abc import Iterator, Mapping, Sequence

from storage.engine import Batch, Engine, Row
from storage.errors import Full


class WatchedEngine:
    """Another engine, watched.

    Attributes:
        rows: read, found or not.
        items: put or deleted.
        writes_left: so many writes go through, the next finds the disk full; None for no end.
    """

    def __init__(self, inner: Engine) -> None:
        self.inner = inner
        self.rows = 0
        self.items = 0
        self.writes_left: int | None = None

    def get(self, table: str, key: bytes) -> bytes | None:
        self.rows += 1
        return self.inner.get(table, key)

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        self.rows += len(keys)
        return self.inner.get_many(table, keys)

    def scan(
        self, table: str, lower: bytes = b"", upper: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Row]:
        # Asked for here and not when the first row is: the rows are those of the call.
        return self._walk(self.inner.scan(table, lower, upper, reverse=reverse))

    def write(self, batch: Batch, *, sync: bool) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise Full("disk_full", "no room", "room")
            self.writes_left -= 1
        self.items += len(batch)
        self.inner.write(batch, sync=sync)

    def flush(self) -> None:
        self.inner.flush()

    def compact(self, table: str) -> None:
        self.inner.compact(table)

    def properties(self) -> Mapping[str, Mapping[str, int]]:
        return self.inner.properties()

    def reopen(self) -> None:
        self.inner.reopen()

    def close(self) -> None:
        self.inner.close()

    def _walk(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            yield row
