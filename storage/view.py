"""StoreView: what the fold asks of the sealed state, answered from the store."""

from collections.abc import Sequence

from protocol.records import ROLE_VALIDATOR
from protocol.tables import TASKS, split_dispute_key, split_reward_key
from protocol.view import find_closed_epoch
from storage.engine import Engine
from storage.indexes import (
    CHANGES_OPEN,
    DISPUTES_BY_DUE,
    INDEX_TABLE,
    MINERS_BY_ROLE,
    REWARDS_UNCLAIMED,
    TASKS_BY_DUE,
)
from storage.keys import decode_key, prefix_end
from storage.queries import read_primary_key
from storage.rows import Rows
from storage.tombstones import read_tombstone


class StoreView:
    """The state as the last seal left it; rows change only when a seal is committed.

    Implements `protocol.view.StateView`.
    """

    def __init__(self, engine: Engine, rows: Rows) -> None:
        self._engine = engine
        self._rows = rows
        # Most of what is asked: one row, or None. It passes as it is, at no cost.
        self.get = rows.get

    def due_tasks(self, epoch: int) -> Sequence[bytes]:
        """Return the sorted ids of the tasks of which a next deadline lies before `epoch`."""
        tasks = self._read_last_parts(TASKS_BY_DUE.prefix(), TASKS_BY_DUE.prefix(epoch))
        disputes = self._read_last_parts(DISPUTES_BY_DUE.prefix(), DISPUTES_BY_DUE.prefix(epoch))
        return sorted({*tasks, *(split_dispute_key(key)[0] for key in disputes)})

    def validators(self) -> Sequence[bytes]:
        """Return the sorted addresses of all miners registered as validators."""
        prefix = MINERS_BY_ROLE.prefix(ROLE_VALIDATOR)
        return self._read_last_parts(prefix, prefix_end(prefix))

    def open_changes(self) -> Sequence[bytes]:
        """Return the ids of the changes that can still be voted on, the first decided first."""
        prefix = CHANGES_OPEN.prefix()
        rows = self._engine.scan(INDEX_TABLE, prefix, prefix_end(prefix))
        return [read_primary_key(key) for key, _ in rows]

    def owing_tasks(self, recipient: bytes) -> Sequence[bytes]:
        """Return the sorted ids of the tasks that owe a recipient a part of their reward."""
        prefix = REWARDS_UNCLAIMED.prefix(recipient)
        keys = self._read_last_parts(prefix, prefix_end(prefix))
        return sorted({split_reward_key(key)[0] for key in keys})

    def closed_at(self, task_id: bytes) -> int | None:
        """Return the epoch in which a task closed for good, None if it did not or is unknown."""
        task = self._rows.get(TASKS, task_id)
        if task is None:
            return read_tombstone(self._engine, task_id)
        return find_closed_epoch(self, task)

    def _read_last_parts(self, lower: bytes, upper: bytes | None) -> list[bytes]:
        keys = [decode_key(key)[-1] for key, _ in self._engine.scan(INDEX_TABLE, lower, upper)]
        return sorted(key for key in keys if isinstance(key, bytes))
