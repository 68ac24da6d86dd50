"""minesync_db_*: the performance report of storage as metrics."""

from collections.abc import Iterator

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from storage.stats import OperationLine, PerformanceReport

BOUNDS_BITS = (10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 34)
"""Upper bounds of the buckets shown, as powers of two in nanoseconds: 1 us to 17 s."""
_LABELS = ("table", "operation")


def list_database(report: PerformanceReport) -> Iterator[Metric]:
    """Yield the metrics of a report; a table that nobody touched has no operations."""
    calls = CounterMetricFamily("minesync_db_operations", "Calls, failed ones too.", labels=_LABELS)
    errors = CounterMetricFamily("minesync_db_errors", "Calls that failed.", labels=_LABELS)
    rows = CounterMetricFamily("minesync_db_rows", "Rows found or written.", labels=_LABELS)
    sizes = CounterMetricFamily("minesync_db_bytes", "Bytes read or written.", labels=_LABELS)
    times = HistogramMetricFamily(
        "minesync_db_operation_seconds", "Time in the engine; gets are sampled.", labels=_LABELS
    )
    for line in report.operations:
        place = (line.table, line.operation)
        calls.add_metric(place, line.calls)
        errors.add_metric(place, line.errors)
        rows.add_metric(place, line.rows)
        sizes.add_metric(place, line.size_bytes)
        times.add_metric(place, list(_list_buckets(line)), line.spent_ns / 1e9)
    yield from (calls, errors, rows, sizes, times)
    yield from _list_cache(report)
    yield from _list_properties(report)


def _list_buckets(line: OperationLine) -> Iterator[tuple[str, float]]:
    # A latency of n bits is below 2 ** n nanoseconds.
    for bits in BOUNDS_BITS:
        yield repr((1 << bits) / 1e9), float(sum(line.buckets[: bits + 1]))
    yield "+Inf", float(sum(line.buckets))


def _list_cache(report: PerformanceReport) -> Iterator[Metric]:
    cache = report.cache
    reads = CounterMetricFamily(
        "minesync_db_cache_reads", "Reads of sealed rows.", labels=("result",)
    )
    reads.add_metric(("hit",), cache.hits)
    reads.add_metric(("miss",), cache.misses)
    yield reads
    yield GaugeMetricFamily("minesync_db_cache_rows", "Rows cached.", value=cache.entries)
    yield GaugeMetricFamily("minesync_db_cache_bytes", "Their bytes.", value=cache.size_bytes)


def _list_properties(report: PerformanceReport) -> Iterator[Metric]:
    """Yield the engine's own figures: of the whole database, then by table."""
    tables = dict(report.properties)
    for name, value in sorted(tables.pop("", {}).items()):
        yield GaugeMetricFamily(f"minesync_db_{name}", "Of the whole database.", value=value)
    for name in sorted({name for figures in tables.values() for name in figures}):
        family = GaugeMetricFamily(f"minesync_db_table_{name}", "Of a table.", labels=("table",))
        for table, figures in sorted(tables.items()):
            if name in figures:
                family.add_metric((table,), figures[name])
        yield family
