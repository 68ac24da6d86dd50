"""Backups of this node while it runs: one at a time, in small steps between its other work."""

from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from storage.backup import BackupWriter, Progress
from storage.backup_folder import Backup, prune_backups
from storage.errors import InUse, StorageError
from storage.store import Store

log = structlog.get_logger("backup")


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """How the latest backup stands.

    Attributes:
        progress: how far it is; None before its first step.
        backup: what it became; None while it runs, and if it failed.
        pruned: the numbers that made room for it.
        error: why it failed.
    """

    is_running: bool = False
    progress: Progress | None = None
    backup: Backup | None = None
    pruned: tuple[int, ...] = ()
    error: StorageError | None = None


class BackupDesk:
    """Takes orders for backups and carries them out while `run` runs.

    Args:
        store: of the node.
        is_threaded: whether the sync to disk at the end may happen beside the loop.
    """

    def __init__(self, store: Store, *, is_threaded: bool) -> None:
        self._store = store
        self._is_threaded = is_threaded
        self._send, self._receive = trio.open_memory_channel[tuple[BackupWriter, Path, int]](1)
        self.status = BackupStatus()

    def start(self, folder: Path, keep: int) -> None:
        """Begin a backup; `status` tells how it goes.

        Args:
            folder: of all backups.
            keep: how many stay, this one included; 0 for all.

        Raises:
            InUse: `backup_running`, or another process makes one there.
            StorageError: as `BackupWriter`.
        """
        if self.status.is_running:
            raise InUse("backup_running", "a backup that is not done", "one at a time")
        writer = BackupWriter(self._store, folder)
        self.status = BackupStatus(is_running=True)
        self._send.send_nowait((writer, folder, keep))

    async def run(self) -> None:
        """Make what is ordered; never returns. What fails is told, and costs only itself."""
        async for writer, folder, keep in self._receive:
            try:
                await self._make(writer, folder, keep)
            except StorageError as error:
                log.error("backup_failed", folder=str(folder), error=str(error))
                self.status = BackupStatus(progress=self.status.progress, error=error)
            finally:
                writer.abandon()

    async def _make(self, writer: BackupWriter, folder: Path, keep: int) -> None:
        for progress in writer.steps():
            self.status = BackupStatus(is_running=True, progress=progress)
            await trio.lowlevel.checkpoint()
        if self._is_threaded:
            backup = await trio.to_thread.run_sync(writer.finish)
        else:
            backup = writer.finish()
        pruned = tuple(prune_backups(folder, keep)) if keep else ()
        log.info("backup_made", number=backup.number, folder=str(folder), pruned=len(pruned))
        self.status = BackupStatus(progress=self.status.progress, backup=backup, pruned=pruned)
