"""What the fold asks of the sealed state: five questions, declared by the one who asks them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from protocol.closing import compute_closed_epoch, find_owed
from protocol.dispute_records import DisputeCase
from protocol.phases import ChangeStatus, DisputeStatus, TaskStatus
from protocol.records import ROLE_VALIDATOR, Miner, Task
from protocol.tables import (
    BY_NAME,
    CHANGES,
    DISPUTES,
    MINERS,
    REWARDS,
    TASKS,
    Table,
    dispute_key,
    reward_key,
)

T = TypeVar("T")

Key = tuple[str, bytes]
"""A row's address: the name of its table and its key there."""


class RowReader(Protocol):
    """Whatever gives rows."""

    def get(self, table: Table[T], key: bytes) -> T | None:
        """Return one row, or None."""
        ...


class StateView(RowReader, Protocol):
    """The state as one seal left it; reads never change under the reader."""

    def due_tasks(self, epoch: int) -> Sequence[bytes]:
        """Return the sorted ids of the tasks of which a next deadline lies before `epoch`.

        It is the task's own, or that of the dispute it is in.
        """
        ...

    def validators(self) -> Sequence[bytes]:
        """Return the sorted addresses of all miners registered as validators."""
        ...

    def open_changes(self) -> Sequence[bytes]:
        """Return the ids of the changes that can still be voted on, the first to be decided first.

        Those that are decided in one epoch are sorted by id.
        """
        ...

    def owing_tasks(self, recipient: bytes) -> Sequence[bytes]:
        """Return the sorted ids of the tasks that owe a recipient a part of their reward."""
        ...

    def closed_at(self, task_id: bytes) -> int | None:
        """Return the epoch in which a task closed for good, None if it did not or is unknown.

        `protocol.closing` says what that is; the answer outlives the rows of the task.
        """
        ...


def compute_next_deadline(task: Task) -> int | None:
    """Return the last epoch of the window a task is in, None once nothing more happens by time."""
    times = task.lifecycle
    match task.status:
        case TaskStatus.PUBLISHED | TaskStatus.IN_PROGRESS:
            return times.submission_deadline
        case TaskStatus.ANSWERS_SUBMITTED:
            return times.reveal_deadline
        case TaskStatus.UNDER_VALIDATION:
            # At the validation deadline votes open, and nothing moves.
            return times.finalize_deadline
        case TaskStatus.COMPLETED:
            return None if task.settled else times.dispute_deadline
        case _:
            return None


def compute_dispute_deadline(case: DisputeCase) -> int | None:
    """Return the last epoch of the window a dispute is in, None once it has ended."""
    match case.status:
        case DisputeStatus.PENDING | DisputeStatus.APPEALED:
            return case.pending_until
        case DisputeStatus.UNDER_REVIEW:
            return case.voting_deadline
        case DisputeStatus.RESOLVED_APPEALABLE:
            return case.appeal_deadline
        case _:
            return None


def is_due(rows: RowReader, subject: bytes, epoch: int) -> bool:
    """Tell whether a subject is a task of which a next deadline lies before `epoch`."""
    task = rows.get(TASKS, subject)
    if task is None:
        return False
    case = rows.get(DISPUTES, dispute_key(subject, task.lifecycle.round))
    found = (compute_next_deadline(task), None if case is None else compute_dispute_deadline(case))
    return any(deadline is not None and deadline < epoch for deadline in found)


def find_closed_epoch(view: RowReader, task: Task) -> int | None:
    """Return the epoch in which a task closed for good, by its rows; None while it has not."""
    key = reward_key(task.task_id, task.lifecycle.round)
    return compute_closed_epoch(task, view.get(REWARDS, key))


def is_validator(miner: Miner) -> bool:
    """Tell whether a miner is registered as a validator."""
    return bool(miner.roles & ROLE_VALIDATOR)


class EpochView:
    """A state during one epoch: a list that many subjects need is read once."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        # Most of what is asked: one row, or None. It passes as it is, at no cost.
        self.get = view.get
        self._validators: Sequence[bytes] | None = None
        self._open_changes: Sequence[bytes] | None = None

    def due_tasks(self, epoch: int) -> Sequence[bytes]:
        """Return the sorted ids of the tasks of which a next deadline lies before `epoch`."""
        return self._view.due_tasks(epoch)

    def validators(self) -> Sequence[bytes]:
        """Return the sorted addresses of all miners registered as validators."""
        if self._validators is None:
            self._validators = tuple(self._view.validators())
        return self._validators

    def open_changes(self) -> Sequence[bytes]:
        """Return the ids of the changes that can still be voted on, the first decided first."""
        if self._open_changes is None:
            self._open_changes = tuple(self._view.open_changes())
        return self._open_changes

    def owing_tasks(self, recipient: bytes) -> Sequence[bytes]:
        """Return the sorted ids of the tasks that owe a recipient a part of their reward."""
        return self._view.owing_tasks(recipient)

    def closed_at(self, task_id: bytes) -> int | None:
        """Return the epoch in which a task closed for good, None if it did not or is unknown."""
        return self._view.closed_at(task_id)


class MemoryView:
    """A whole state in a dictionary: for tests, simulations and the overlay of the open set."""

    def __init__(self, rows: Mapping[Key, Any] | None = None) -> None:
        self.rows: dict[Key, Any] = dict(rows or {})

    def get(self, table: Table[T], key: bytes) -> T | None:
        """Return one row, or None."""
        row: T | None = self.rows.get((table.name, key))
        return row

    def apply(self, changes: Iterable[tuple[Key, Any]]) -> None:
        """Put rows; a row of None is removed."""
        for (name, key), record in changes:
            if name not in BY_NAME:
                raise KeyError(name)
            if record is None:
                self.rows.pop((name, key), None)
            else:
                self.rows[(name, key)] = record

    def due_tasks(self, epoch: int) -> Sequence[bytes]:
        """Return the sorted ids of the tasks of which a next deadline lies before `epoch`."""
        due = set()
        for (name, _), row in self.rows.items():
            deadline = None
            if name == TASKS.name:
                deadline = compute_next_deadline(row)
            elif name == DISPUTES.name:
                deadline = compute_dispute_deadline(row)
            if deadline is not None and deadline < epoch:
                due.add(row.task_id)
        return sorted(due)

    def validators(self) -> Sequence[bytes]:
        """Return the sorted addresses of all miners registered as validators."""
        return sorted(
            key
            for (name, key), row in self.rows.items()
            if name == MINERS.name and is_validator(row)
        )

    def open_changes(self) -> Sequence[bytes]:
        """Return the ids of the changes that can still be voted on, the first decided first."""
        found = [row for (name, _), row in self.rows.items() if name == CHANGES.name]
        opened = [one for one in found if one.status is ChangeStatus.OPEN]
        opened.sort(key=lambda one: (one.change.effective_at, one.change_id))
        return [one.change_id for one in opened]

    def owing_tasks(self, recipient: bytes) -> Sequence[bytes]:
        """Return the sorted ids of the tasks that owe a recipient a part of their reward."""
        owing = {
            row.task_id
            for (name, _), row in self.rows.items()
            if name == REWARDS.name and recipient in find_owed(row)
        }
        return sorted(owing)

    def closed_at(self, task_id: bytes) -> int | None:
        """Return the epoch in which a task closed for good, None if it did not or is unknown."""
        task = self.get(TASKS, task_id)
        return None if task is None else find_closed_epoch(self, task)
