"""Tombstones: what stays of a task whose rows were dropped, and of all such rows together.

    tombstones   task id -> the epoch in which it closed for good (8 BE)
    meta         "pruned": how much was dropped, and the set hash of it

With the tombstone every transaction about the task is ruled as by a peer that kept its rows. With
the set hash the rows that are left still prove the state root.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from protocol.errors import Rejected
from protocol.lthash import LTHASH_BYTES, LtHash
from protocol.schema import Exactly, decode_record, encode_record
from protocol.task_types import Id
from storage.engine import Batch, Engine
from storage.errors import Corrupt
from storage.meta import META

TOMBSTONES = "tombstones"
PRUNED = b"pruned"


@dataclass(frozen=True, slots=True)
class Pruned:
    """All that was dropped since the database was made.

    Attributes:
        upto: rulings of this epoch and earlier ones may be gone; 0 before the first clean-up.
        tasks: of which nothing but a tombstone is left.
        rows: of the sealed state, of any table.
        size_bytes: of keys and values: rows, index keys, opinions, blobs.
        lanes: set hash of the rows; with that of the rows that are left it gives the state root.
        leaving: a task that is half dropped, to be finished first.
    """

    upto: int
    tasks: int
    rows: int
    size_bytes: int
    lanes: Annotated[bytes, Exactly(LTHASH_BYTES)]
    leaving: Id | None

    def count(self, *, tasks: int = 0, rows: int = 0, size_bytes: int = 0) -> "Pruned":
        """Return these with more dropped."""
        return replace(
            self,
            tasks=self.tasks + tasks,
            rows=self.rows + rows,
            size_bytes=self.size_bytes + size_bytes,
        )


NOTHING_PRUNED = Pruned(0, 0, 0, 0, LtHash().to_bytes(), None)


def stage_tombstone(batch: Batch, task_id: bytes, closed: int) -> None:
    """Add the tombstone of a task."""
    batch.put(TOMBSTONES, task_id, closed.to_bytes(8, "big"))


def read_tombstone(engine: Engine, task_id: bytes) -> int | None:
    """Return the epoch in which a task closed whose rows were dropped, None for any other.

    Raises:
        Corrupt: `tombstone_damaged`.
    """
    data = engine.get(TOMBSTONES, task_id)
    if data is None:
        return None
    if len(data) != 8:
        raise Corrupt("tombstone_damaged", f"{len(data)} bytes", "8")
    return int.from_bytes(data, "big")


def stage_pruned(batch: Batch, pruned: Pruned) -> None:
    """Add what was dropped so far to a batch."""
    batch.put(META, PRUNED, encode_record(pruned))


def read_pruned(engine: Engine) -> Pruned:
    """Return what was dropped so far.

    Raises:
        Corrupt: `meta_damaged`.
    """
    data = engine.get(META, PRUNED)
    if data is None:
        return NOTHING_PRUNED
    try:
        return decode_record(Pruned, data)
    except Rejected as error:
        raise Corrupt("meta_damaged", str(error), "what was pruned") from error
