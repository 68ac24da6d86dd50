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
        if state.epoch != self._epoch:
            self._sealed = Counter(task.status for task in state.store.queries.active_tasks())
            self._epoch = state.epoch
        counts = Counter(self._sealed)
        for task_id, task in state.open.rows(TASKS).items():
            sealed = state.store.view.get(TASKS, task_id)
            if sealed is not None:
                counts[sealed.status] -= 1
            counts[task.status] += 1
        return {get_label(status): counts[status] for status in TaskStatus if counts[status]}
