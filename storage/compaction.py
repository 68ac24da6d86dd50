"""Compaction: every table rewritten without what was deleted, and what the tables take."""

from collections.abc import Iterator

from storage.engine import Engine


def measure_tables(engine: Engine) -> dict[str, int]:
    """Return the bytes on disk of every table, those in memory counted in."""
    figures = engine.properties()
    return {name: row.get("bytes", 0) for name, row in sorted(figures.items()) if name}


def compact_tables(engine: Engine) -> Iterator[tuple[int, int]]:
    """Flush, then compact table by table; yield (tables done, of how many) after each.

    Each step is one long call that lets go of the interpreter's lock: a node makes it in a thread.

    Raises:
        StorageError: as the engine says.
    """
    engine.flush()
    names = sorted(measure_tables(engine))
    for done, name in enumerate(names, 1):
        engine.compact(name)
        yield done, len(names)
