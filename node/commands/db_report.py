"""minesync db report: how the database of the running node does."""

from typing import Any

from rich.console import Console

from node.commands.common import COMMON, Common, emit, show_pairs, show_table
from node.rpc.client import connect


def db_report(*, common: Common = COMMON) -> None:
    """Show calls, bytes and latencies by table and operation, the cache, and what lies on disk."""
    with connect(common.paths) as client:
        data: dict[str, Any] = client.call("db_report")
    emit(common, data, lambda console: _render(console, data))


def _render(console: Console, data: dict[str, Any]) -> None:
    rows = [
        [
            line.get("table"),
            line.get("operation"),
            line.get("calls"),
            line.get("errors"),
            _show_kib(line.get("bytes")),
            _show_us(line.get("p50_ns")),
            _show_us(line.get("p99_ns")),
        ]
        for line in data.get("operations") or []
    ]
    columns = ("table", "operation", "calls", "errors", "KiB", "p50 us", "p99 us")
    show_table(console, columns, rows)
    console.print()
    cache = data.get("cache") or {}
    hits, misses = int(cache.get("hits") or 0), int(cache.get("misses") or 0)
    share = f"{hits * 100 // (hits + misses)} %" if hits + misses else None
    tables = (data.get("tables") or {}).values()
    show_pairs(
        console,
        [
            ("cache hits", share),
            ("cache reads", hits + misses),
            ("cached rows", cache.get("rows")),
            ("cached KiB", _show_kib(cache.get("bytes"))),
            ("stored KiB", _show_kib(sum(int(figures.get("bytes") or 0) for figures in tables))),
            *((name.replace("_", " "), value) for name, value in _list_database(data)),
        ],
    )


def _list_database(data: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted((data.get("database") or {}).items())


def _show_kib(size_bytes: Any) -> int | None:
    """Return bytes in whole KiB, rounded up: what is there is never shown as nothing."""
    return None if size_bytes is None else -(-int(size_bytes) // 1_024)


def _show_us(spent_ns: Any) -> int | None:
    return None if spent_ns is None else -(-int(spent_ns) // 1_000)
