"""What a seal does to the rows: the rows themselves and the differences of their indexes.

One function stages both, from the same before and after, so that no row changes without its
indexes. All of it goes into the one batch that also holds the seal and the head.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from protocol.fold import Change
from protocol.view import Key
from storage.engine import Batch
from storage.indexes import INDEX_TABLE, compute_index_keys

CacheUpdate = tuple[Key, Any, int]
"""A place, its new row or None, and the row's bytes."""


class Difference(NamedTuple):
    """What a change is on disk: the row's bytes, and the index keys that go and that come."""

    data: bytes | None
    gone: tuple[bytes, ...]
    come: tuple[bytes, ...]


def compute_difference(change: Change) -> Difference:
    """Return what there is to write for a change."""
    table, key = change.table, change.key
    data = None if change.after is None else table.encode_row(change.after)
    before = compute_index_keys(table, key, change.before)
    after = compute_index_keys(table, key, change.after)
    return Difference(data, tuple(sorted(before - after)), tuple(sorted(after - before)))


def stage_changes(batch: Batch, changes: Iterable[Change]) -> tuple[list[CacheUpdate], int]:
    """Add rows and index differences to a batch.

    Returns:
        What to tell the row cache once the batch is written, and how many rows there are more.
    """
    updates: list[CacheUpdate] = []
    more_rows = 0
    for change in changes:
        name, key = change.table.name, change.key
        data, gone, come = compute_difference(change)
        if data is None:
            batch.delete(name, key)
        else:
            batch.put(name, key, data)
        updates.append(((name, key), change.after, len(data or b"")))
        more_rows += (change.after is not None) - (change.before is not None)
        for index_key in gone:
            batch.delete(INDEX_TABLE, index_key)
        for index_key in come:
            batch.put(INDEX_TABLE, index_key, b"")
    return updates, more_rows
