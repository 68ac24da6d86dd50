"""Clean-up of this node while it runs: tasks that closed long ago are dropped, in small steps.

It runs by itself every so many epochs if the operator chose a retention, and when it is ordered to.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog
import trio

from node.options import ConfigError
from node.state_manager import StateManager
from protocol.errors import BlamedError, Rejected
from storage.compaction import compact_tables, measure_tables
from storage.errors import InUse, StorageError
from storage.prune import Progress, Pruner, check_retention
from storage.tombstones import Pruned

log = structlog.get_logger("cleaner")

T = TypeVar("T")
SHARE = 8
"""By itself it runs so many times in one retention: what is kept too long is an eighth at most."""


@dataclass(frozen=True, slots=True)
class CleanUpStatus:
    """How the latest clean-up stands.

    Attributes:
        retention: in epochs.
        progress: how far it is; None before its first step.
        tasks, rows: what was dropped.
        dropped_bytes: of keys and values.
        disk_bytes: of all tables before it, and after compaction; the latter 0 until then.
        error: why it failed.
    """

    is_running: bool = False
    retention: int = 0
    progress: Progress | None = None
    tasks: int = 0
    rows: int = 0
    dropped_bytes: int = 0
    disk_bytes: tuple[int, int] = (0, 0)
    error: BlamedError | None = None


class Cleaner:
    """Carries out clean-ups while `run` runs, one at a time.

    Args:
        state: of the node.
        retention: in epochs; 0 for a node that cleans up only when it is told to.
        is_threaded: whether compaction may happen beside the loop.

    Raises:
        ConfigError: `retention_too_short`.
    """

    def __init__(self, state: StateManager, retention: int, *, is_threaded: bool) -> None:
        if retention:
            try:
                check_retention(state.params, retention)
            except Rejected as error:
                found = f"store.retention_epochs = {retention}"
                raise ConfigError(error.code, found, error.wanted) from error
        self._state = state
        self._retention = retention
        self._is_threaded = is_threaded
        self._send, self._receive = trio.open_memory_channel[Pruner](1)
        self._next_epoch = 0
        self.status = CleanUpStatus()

    def start(self, retention: int) -> None:
        """Begin a clean-up; `status` tells how it goes.

        Raises:
            InUse: `clean_up_running`.
            Rejected: `retention_too_short`.
        """
        if self.status.is_running:
            raise InUse("clean_up_running", "a clean-up that is not done", "one at a time")
        state = self._state
        pruner = Pruner(state.store, retention, lambda: list(state.open.transactions.values()))
        self.status = CleanUpStatus(is_running=True, retention=retention)
        self._send.send_nowait(pruner)

    async def run(self) -> None:
        """Clean up when it is due or ordered; never returns. What fails costs only itself."""
        async with trio.open_nursery() as nursery:
            if self._retention:
                nursery.start_soon(self._follow_seals)
            async for pruner in self._receive:
                try:
                    await self._clean_up(pruner)
                except StorageError as error:
                    log.error("clean_up_failed", error=str(error))
                    self.status = replace(self.status, is_running=False, error=error)

    async def _follow_seals(self) -> None:
        with self._state.broadcast.listen() as listener:
            while True:
                await listener.wait(math.inf)
                epoch = self._state.epoch
                if epoch >= self._next_epoch and not self.status.is_running:
                    self._next_epoch = epoch + max(1, self._retention // SHARE)
                    self.start(self._retention)

    async def _clean_up(self, pruner: Pruner) -> None:
        store = self._state.store
        before, disk_before = store.pruned, self._measure()
        for progress in pruner.steps():
            self._tell(before, progress)
            await trio.lowlevel.checkpoint()
        dropped = self._tell(before, self.status.progress)
        disk_after = disk_before
        if dropped.rows:
            steps = compact_tables(store.engine)
            while await self._take_step(steps) is not None:
                await trio.lowlevel.checkpoint()
            disk_after = self._measure()
            log.info("cleaned_up", tasks=dropped.tasks, freed_bytes=disk_before - disk_after)
        self.status = replace(self.status, is_running=False, disk_bytes=(disk_before, disk_after))

    def _tell(self, before: Pruned, progress: Progress | None) -> CleanUpStatus:
        now = self._state.store.pruned
        self.status = replace(
            self.status,
            progress=progress,
            tasks=now.tasks - before.tasks,
            rows=now.rows - before.rows,
            dropped_bytes=now.size_bytes - before.size_bytes,
        )
        return self.status

    def _measure(self) -> int:
        return sum(measure_tables(self._state.store.engine).values())

    async def _take_step(self, steps: Iterator[T]) -> T | None:
        if self._is_threaded:
            return await trio.to_thread.run_sync(next, steps, None)
        return next(steps, None)
