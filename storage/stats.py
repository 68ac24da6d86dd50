"""What storage measures of itself: meters by table and operation, and the report made of them.

A latency goes into the bucket of its power of two in nanoseconds. That costs one `bit_length` and
needs no setting; a quantile read from it lies inside the right bucket, at most a factor of two off.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from storage.cache import RowCache
from storage.engine import TABLES, Engine

Operation = Literal["get", "get_many", "scan", "write"]

OPERATIONS: tuple[Operation, ...] = ("get", "get_many", "scan", "write")
BUCKETS = 64
"""One for each bit length of a latency in nanoseconds: more than any call can take."""


class Meter:
    """What one operation did to one table since the start.

    Attributes:
        calls: all of them, failed ones included.
        errors: calls that ended in a `StorageError`.
        rows: found by a read, put or deleted by a write.
        size_bytes: values of a get, keys and values of a scan or write.
        spent_ns: in the engine, over the calls that were timed.
        buckets: timed calls by the bit length of their latency in nanoseconds.
    """

    __slots__ = ("buckets", "calls", "errors", "rows", "size_bytes", "spent_ns")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.rows = 0
        self.size_bytes = 0
        self.spent_ns = 0
        self.buckets = [0] * BUCKETS

    @property
    def timed(self) -> int:
        """How many calls were timed: all, but of gets one in `storage.metered.TIMED_EVERY`."""
        return sum(self.buckets)

    def add(self, spent_ns: int, rows: int, size_bytes: int) -> None:
        """Count one call, and its time."""
        self.calls += 1
        self.rows += rows
        self.size_bytes += size_bytes
        self.time(spent_ns)

    def time(self, spent_ns: int) -> None:
        """Note how long a call took that is counted elsewhere."""
        self.spent_ns += spent_ns
        self.buckets[spent_ns.bit_length()] += 1

    def fail(self, spent_ns: int) -> None:
        """Count one call that raised, and its time."""
        self.errors += 1
        self.add(spent_ns, 0, 0)

    def find_quantile_ns(self, percent: int) -> int:
        """Return the latency that `percent` of the timed calls did not exceed; 0 if there is none.

        Inside a bucket calls are taken to lie evenly.
        """
        timed = self.timed
        if timed == 0:
            return 0
        rank = max(1, -(-timed * percent // 100))
        length = next(
            place for place, total in enumerate(accumulate(self.buckets)) if total >= rank
        )
        if length == 0:
            return 0
        lower = 1 << (length - 1)
        before = sum(self.buckets[:length])
        return lower + lower * (rank - before) // self.buckets[length]


class StorageStats:
    """The meters of one engine, all of them there from the start."""

    def __init__(self, tables: Sequence[str] = TABLES) -> None:
        self.meters: dict[Operation, dict[str, Meter]] = {
            operation: {table: Meter() for table in tables} for operation in OPERATIONS
        }

    def used(self) -> Iterator[tuple[str, Operation, Meter]]:
        """Yield the meters that counted anything, by table and operation."""
        for table in sorted(self.meters["get"]):
            for operation in OPERATIONS:
                meter = self.meters[operation][table]
                if meter.calls:
                    yield table, operation, meter


@dataclass(frozen=True, slots=True)
class OperationLine:
    """One operation on one table: the figures of its `Meter`, and two quantiles of them."""

    table: str
    operation: Operation
    calls: int
    errors: int
    rows: int
    size_bytes: int
    spent_ns: int
    buckets: tuple[int, ...]
    p50_ns: int
    p99_ns: int


@dataclass(frozen=True, slots=True)
class CacheLine:
    """The row cache."""

    hits: int
    misses: int
    entries: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """How storage did since the start.

    Attributes:
        operations: by table and operation, those that happened.
        cache: of decoded rows.
        properties: the engine's own figures by table; "" is the whole database.
    """

    operations: tuple[OperationLine, ...]
    cache: CacheLine
    properties: Mapping[str, Mapping[str, int]]


def build_report(stats: StorageStats, cache: RowCache, engine: Engine) -> PerformanceReport:
    """Return what there is to say now.

    Raises:
        StorageError: the engine cannot say how it is.
    """
    lines = tuple(
        OperationLine(
            table=table,
            operation=operation,
            calls=meter.calls,
            errors=meter.errors,
            rows=meter.rows,
            size_bytes=meter.size_bytes,
            spent_ns=meter.spent_ns,
            buckets=tuple(meter.buckets),
            p50_ns=meter.find_quantile_ns(50),
            p99_ns=meter.find_quantile_ns(99),
        )
        for table, operation, meter in stats.used()
    )
    held = CacheLine(cache.hits, cache.misses, len(cache), cache.size_bytes)
    return PerformanceReport(lines, held, engine.properties())
