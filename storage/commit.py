"""What a seal does to the rows: the rows themselves and the differences of their indexes.

One function stages both, from the same before and after, so that no row changes without its
indexes. All of it goes into the one batch that also holds the seal and the head.
"""

from collections.abc import Iterable
from typing import Any

from protocol.fold import Change
from protocol.view import Key
from storage.engine import Batch
from storage.indexes import INDEX_TABLE, compute_index_keys

CacheUpdate = tuple[Key, Any, int]
"""A place, its new row or None, and the row's bytes."""


def stage_changes(batch: Batch, changes: Iterable[Change]) -> tuple[list[CacheUpdate], int]:
    """Add rows and index differences to a batch.

    Returns:
        What to tell the row cache once the batch is written, and how many rows there are more.
    """
    updates: list[CacheUpdate] = []
    more_rows = 0
    for change in changes:
        table, key = change.table, change.key
        if change.after is None:
            batch.delete(table.name, key)
            updates.append(((table.name, key), None, 0))
        else:
            data = table.encode_row(change.after)
            batch.put(table.name, key, data)
            updates.append(((table.name, key), change.after, len(data)))
        more_rows += (change.after is not None) - (change.before is not None)
        before = compute_index_keys(table, key, change.before)
        after = compute_index_keys(table, key, change.after)
        for index_key in sorted(before - after):
            batch.delete(INDEX_TABLE, index_key)
        for index_key in sorted(after - before):
            batch.put(INDEX_TABLE, index_key, b"")
    return updates, more_rows
