"""Comparing the index table with the rows, and making it what they say.

Both directions are walked row by row, so that memory stays small however much is stored. A fault is
confirmed against the present row before it is named: seals may be committed between two steps.
"""

from collections.abc import Iterator
from typing import Any

from protocol.tables import Table
from storage.engine import BATCH_ITEMS_MAX, Batch, Engine
from storage.errors import Corrupt
from storage.indexes import BY_TABLE, INDEX_TABLE, INDEXES, INDEXES_VERSION, compute_index_keys
from storage.keys import decode_key
from storage.meta import INDEXES as INDEXES_MARK
from storage.meta import META
from storage.rows import decode_row

_TABLES = {index.name: index.table for index in INDEXES}


def find_missing_keys(engine: Engine) -> Iterator[bytes]:
    """Return the index keys that rows ask for and that are not there."""
    for name in sorted(BY_TABLE):
        table = BY_TABLE[name][0].table
        for key, data in engine.scan(name):
            wanted = sorted(compute_index_keys(table, key, decode_row(table, key, data)))
            found = engine.get_many(INDEX_TABLE, wanted)
            for index_key, value in zip(wanted, found, strict=True):
                if value is None and index_key in _compute_present_keys(engine, table, key):
                    yield index_key


def find_stale_keys(engine: Engine) -> Iterator[bytes]:
    """Return the index keys that no row asks for."""
    for index_key, _ in engine.scan(INDEX_TABLE):
        place = _read_place(index_key)
        if place is not None and index_key in _compute_present_keys(engine, *place):
            continue
        if engine.get(INDEX_TABLE, index_key) is not None:
            yield index_key


def rebuild_indexes(engine: Engine) -> int:
    """Make the index table what the rows say, then note the version; return how many keys changed.

    Interrupted anywhere, it is simply run again: the version is noted last.
    """
    changed = 0
    batch = Batch()
    for index_key in find_stale_keys(engine):
        batch.delete(INDEX_TABLE, index_key)
        changed += 1
        batch = _write_if_full(engine, batch)
    for index_key in find_missing_keys(engine):
        batch.put(INDEX_TABLE, index_key, b"")
        changed += 1
        batch = _write_if_full(engine, batch)
    batch.put(META, INDEXES_MARK, bytes([INDEXES_VERSION]))
    engine.write(batch, sync=True)
    return changed


def _compute_present_keys(engine: Engine, table: Table[Any], key: bytes) -> set[bytes]:
    data = engine.get(table.name, key)
    return set() if data is None else compute_index_keys(table, key, decode_row(table, key, data))


def _read_place(index_key: bytes) -> tuple[Table[Any], bytes] | None:
    """Return the row that an index key names, None if it is no index key of ours."""
    try:
        parts = decode_key(index_key)
    except Corrupt:
        return None
    if len(parts) < 2 or not isinstance(parts[0], str) or not isinstance(parts[-1], bytes):
        return None
    table = _TABLES.get(parts[0])
    return None if table is None else (table, parts[-1])


def _write_if_full(engine: Engine, batch: Batch) -> Batch:
    if len(batch) < BATCH_ITEMS_MAX:
        return batch
    engine.write(batch, sync=False)
    return Batch()
