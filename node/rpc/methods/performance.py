"""db_report: how storage did since the start."""

from typing import Any

from node.peer import Peer
from node.rpc.method import Method


def read_report(peer: Peer) -> dict[str, Any]:
    """Return the performance report of storage; times are nanoseconds."""
    report = peer.state.store.report_performance()
    return {
        "operations": [
            {
                "table": line.table,
                "operation": line.operation,
                "calls": line.calls,
                "errors": line.errors,
                "rows": line.rows,
                "bytes": line.size_bytes,
                "p50_ns": line.p50_ns,
                "p99_ns": line.p99_ns,
            }
            for line in report.operations
        ],
        "cache": {
            "hits": report.cache.hits,
            "misses": report.cache.misses,
            "rows": report.cache.entries,
            "bytes": report.cache.size_bytes,
        },
        "tables": {name: dict(figures) for name, figures in report.properties.items() if name},
        "database": dict(report.properties.get("", {})),
    }


METHODS = (
    Method(
        "db_report",
        read_report,
        "How storage did since the start: calls, bytes, times, cache, size of each table.",
    ),
)
