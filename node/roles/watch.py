"""What a role looks at next: the tasks that events name, or all that are going on.

Events are hints. What a role does follows from the state alone, so a role that missed them, or was
just started, looks at everything and does the same.
"""

from collections.abc import Callable, Iterable

import trio

from node.events import Event, Listener, Sealed, Stored
from node.state_manager import StateManager
from protocol.tables import TASKS

LOOK_PAUSE_S = 0.02
"""Events of this time are looked at together: a burst costs one look at each task, not many."""
RETRY_S = 1.0
"""A role looks again after this time even if nothing happened: an input may have arrived."""
TURN_TASKS = 64
"""Tasks looked at before others get a turn."""


class Watch:
    """One role's view of what happens."""

    def __init__(self, state: StateManager, listener: Listener) -> None:
        self._state = state
        self._listener = listener
        self._is_new = True

    async def look_at_next(self, look: Callable[[bytes], object]) -> None:
        """Wait as `next_tasks` does; have each task looked at, and others get a turn between."""
        for place, task_id in enumerate(await self.next_tasks()):
            look(task_id)
            if place % TURN_TASKS == 0:
                await trio.lowlevel.checkpoint()

    async def next_tasks(self) -> list[bytes]:
        """Wait until something happened; return the tasks to look at, sorted.

        None are named when only time has passed. After an alarm it does not return: this state is
        in doubt, and nothing may be signed on it.
        """
        await wait_without_alarm(self._state)
        if self._is_new:
            self._is_new = False
            return self.list_all()
        events: list[Event] = []
        with trio.move_on_after(RETRY_S):
            events.append(await self._listener.next())
        with trio.move_on_after(LOOK_PAUSE_S if events else 0):
            while events:
                events.append(await self._listener.next())
        if self._listener.lagged or any(isinstance(event, Sealed) for event in events):
            self._listener.lagged = False
            return self.list_all()
        return sorted(self._find_subjects(events))

    def list_all(self) -> list[bytes]:
        """Return every task to which something can happen, sealed or not."""
        sealed = {task.task_id for task in self._state.store.queries.active_tasks()}
        return sorted(sealed | self._state.open.rows(TASKS).keys())

    def _find_subjects(self, events: Iterable[Event]) -> set[bytes]:
        known = self._state.open.transactions
        return {
            known[tx_id].header.subject
            for event in events
            if isinstance(event, Stored)
            for tx_id in event.tx_ids
            if tx_id in known
        }


async def wait_without_alarm(state: StateManager) -> None:
    """Return at once, or never if folding has stopped."""
    if state.alarm is not None:
        await trio.sleep_forever()
