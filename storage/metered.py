"""MeteredEngine: an engine that counts and times what is asked of it, and changes nothing else.

Counts are exact. A get takes a few microseconds and reading the clock twice is a tenth of that, so
only one get in `TIMED_EVERY` is timed, and the path of the others is written out.
`tests/benchmarks/bench_store_ops.py` shows what is left beside the get itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from time import perf_counter_ns

from storage.engine import TABLES, Batch, Engine, Row
from storage.errors import StorageError
from storage.stats import Meter, StorageStats

PAGE_ROWS_MAX = 128
TIMED_EVERY = 16
"""Of the gets of a table the first and then every so many; a power of two."""
assert TIMED_EVERY & (TIMED_EVERY - 1) == 0
_UNTIMED = TIMED_EVERY - 1


class MeteredEngine:
    """Another engine, measured.

    Attributes:
        inner: the engine that does the work.
        stats: what it was asked so far.
    """

    def __init__(
        self,
        inner: Engine,
        *,
        tables: Sequence[str] = TABLES,
        read_ns: Callable[[], int] = perf_counter_ns,
    ) -> None:
        """Stand before `inner`; `read_ns` is a clock that never goes back."""
        self.inner = inner
        self.stats = StorageStats(tables)
        self._read_ns = read_ns
        self._gets = self.stats.meters["get"]
        self._inner_get = inner.get

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        meter = self._gets[table]
        meter.calls = calls = meter.calls + 1
        try:
            if calls & _UNTIMED == 1:
                value = self._get_timed(meter, table, key)
            else:
                value = self._inner_get(table, key)
        except StorageError:
            meter.errors += 1
            raise
        if value is not None:
            meter.rows += 1
            meter.size_bytes += len(value)
        return value

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in the order asked."""
        meter = self.stats.meters["get_many"][table]
        started_ns = self._read_ns()
        try:
            values = self.inner.get_many(table, keys)
        except StorageError:
            meter.fail(self._read_ns() - started_ns)
            raise
        spent_ns = self._read_ns() - started_ns
        found = [value for value in values if value is not None]
        meter.add(spent_ns, len(found), sum(map(len, found)))
        return values

    def scan(
        self, table: str, lower: bytes = b"", upper: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Row]:
        """Return the rows with lower <= key < upper as of now; counted once its reader leaves it.

        The time is that spent in the engine, not that which the reader takes between two rows.
        """
        meter = self.stats.meters["scan"][table]
        started_ns = self._read_ns()
        try:
            rows = self.inner.scan(table, lower, upper, reverse=reverse)
        except StorageError:
            meter.fail(self._read_ns() - started_ns)
            raise
        return self._walk(meter, rows, self._read_ns() - started_ns)

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply a batch atomically; it counts in each table it touches, with its whole time."""
        touched: dict[str, list[int]] = {}
        for table, key, value in batch.operations:
            figures = touched.get(table)
            if figures is None:
                figures = touched[table] = [0, 0]
            figures[0] += 1
            figures[1] += len(key) if value is None else len(key) + len(value)
        started_ns = self._read_ns()
        meters = self.stats.meters["write"]
        try:
            self.inner.write(batch, sync=sync)
        except StorageError:
            for table in touched:
                meters[table].fail(self._read_ns() - started_ns)
            raise
        spent_ns = self._read_ns() - started_ns
        for table, (rows, size_bytes) in touched.items():
            meters[table].add(spent_ns, rows, size_bytes)

    def flush(self) -> None:
        """Put everything written so far on disk."""
        self.inner.flush()

    def compact(self, table: str) -> None:
        """Give back the room of what was deleted from a table."""
        self.inner.compact(table)

    def properties(self) -> Mapping[str, Mapping[str, int]]:
        """Return figures by table: at least `keys` (estimated) and `bytes`."""
        return self.inner.properties()

    def reopen(self) -> None:
        """Close and open again."""
        self.inner.reopen()

    def close(self) -> None:
        """Release everything; a second close is no error."""
        self.inner.close()

    def _get_timed(self, meter: Meter, table: str, key: bytes) -> bytes | None:
        started_ns = self._read_ns()
        try:
            return self._inner_get(table, key)
        finally:
            meter.time(self._read_ns() - started_ns)

    def _walk(self, meter: Meter, source: Iterator[Row], spent_ns: int) -> Iterator[Row]:
        """Pass rows on in pages that grow as RocksEngine's do: a clock read for each page only."""
        read_ns = self._read_ns
        rows, size_bytes, page_rows = 0, 0, 1
        failed = False
        try:
            while True:
                started_ns = read_ns()
                try:
                    page = list(islice(source, page_rows))
                except StorageError:
                    failed = True
                    raise
                finally:
                    spent_ns += read_ns() - started_ns
                rows += len(page)
                size_bytes += sum(map(len, chain.from_iterable(page)))
                yield from page
                if len(page) < page_rows:
                    return
                page_rows = min(2 * page_rows, PAGE_ROWS_MAX)
        finally:
            meter.errors += failed
            meter.add(spent_ns, rows, size_bytes)
