"""How many tasks are in each phase: counted once an epoch, not once for each who asks."""

from collections import Counter

from node.state_manager import StateManager
from protocol.phases import TaskStatus, get_label
from protocol.tables import TASKS


class TaskCounts:
    """The tasks to which something can still happen, by phase."""

    def __init__(self, state: StateManager) -> None:
        self._state = state
        self._epoch = -1
        self._sealed: Counter[TaskStatus] = Counter()

    def read(self) -> dict[str, int]:
        """Return the counts by the names of the phases, what the open set changes counted in."""
        state = self._state
        counts = Counter(self._count_sealed())
        for task_id, task in state.open.rows(TASKS).items():
            sealed = state.store.view.get(TASKS, task_id)
            if sealed is not None:
                counts[sealed.status] -= 1
            counts[task.status] += 1
        return _show(counts)

    def read_sealed(self) -> dict[str, int]:
        """Return the counts as the last seal left them."""
        return _show(self._count_sealed())

    def _count_sealed(self) -> Counter[TaskStatus]:
        state = self._state
        if state.epoch != self._epoch:
            self._sealed = Counter(task.status for task in state.store.queries.active_tasks())
            self._epoch = state.epoch
        return self._sealed


def _show(counts: Counter[TaskStatus]) -> dict[str, int]:
    return {get_label(status): counts[status] for status in TaskStatus if counts[status]}
