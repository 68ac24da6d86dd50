"""The watch over the disk: a node whose disk fills up goes read-only, and resumes by itself.

    free space      below `warn_bytes`       told once; the node's checks say that it is not ready
                    below `reserve_bytes`    nothing is taken in any more, well before a write fails
                    above the reserve and    the store is opened again, what memory says is read
                    a quarter of it          anew, peers are asked for what was missed

A write that meets a full disk has the same effect as too little room: the gate of the store is
shut, and this task opens it. A write that failed for any other reason ends the node here: nobody
knows what is on disk, and no room will tell.

A node of a devnet can be told that its disk is full: it then does all of this, on a disk with room.
"""

from collections.abc import Callable, Sequence

import structlog
import trio

from node.state_manager import StateManager
from storage.errors import Full, InUse
from storage.folder import build_full

log = structlog.get_logger("disk")

POLL_S = 1.0

ReadFree = Callable[[], int]


class DiskWatch:
    """Shuts and opens the gate for writes of one node's store.

    Args:
        state: of the node.
        read_free: returns the bytes free where the store is; None: it lies in memory.
        reserve_bytes: what stays free.
        warn_bytes: what should be free.
        resumed: called once the store takes writes again, in order and before anybody else acts;
            each may find that the disk is full again.
    """

    def __init__(
        self,
        state: StateManager,
        read_free: ReadFree | None,
        *,
        reserve_bytes: int,
        warn_bytes: int,
        resumed: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._state = state
        self._gate = state.store.gate
        self._read_free = read_free
        self._reserve_bytes = reserve_bytes
        self._resume_bytes = reserve_bytes + reserve_bytes // 4
        self._warn_bytes = warn_bytes
        self._resumed = resumed
        self._is_warned = False
        self._is_told = False
        self._is_filled = False

    @property
    def free_bytes(self) -> int | None:
        """Bytes free where the store is; None for one in memory."""
        if self._is_filled:
            return 0
        return None if self._read_free is None else self._read_free()

    @property
    def is_filled(self) -> bool:
        """Whether it was told that the disk is full."""
        return self._is_filled

    def set_filled(self, *, on: bool) -> None:
        """Take the disk for full from now on, whatever is free; or look at it again.

        Raises:
            StorageError: as `run`.
        """
        self._is_filled = on
        self.look()

    async def run(self) -> None:
        """Look again and again; never returns.

        Raises:
            StorageError: a write failed, and not for want of room; or the database cannot be
                opened again.
        """
        while True:
            self.look()
            await trio.sleep(POLL_S)

    def look(self) -> None:
        """Shut the gate before the disk is full, open it once there is room.

        Raises:
            StorageError: as `run`.
        """
        free = self.free_bytes
        fault = self._gate.fault
        if fault is not None and not isinstance(fault, Full):
            self._gate.check()
        if free is not None:
            self._warn(free)
            if self._is_filled:
                self._gate.shut(Full("disk_full", "0 bytes free, as a fault says", "its end"))
            elif fault is None and free < self._reserve_bytes:
                self._gate.shut(build_full(free, self._reserve_bytes))
            elif fault is not None and free < self._resume_bytes:
                self._gate.shut(build_full(free, self._resume_bytes))
            elif fault is not None:
                self._resume()
        elif fault is not None:
            self._resume()
        self._tell()

    def _resume(self) -> None:
        try:
            self._state.resume()
            for resume in self._resumed:
                resume()
        except Full as error:
            self._gate.shut(error)
        except InUse as error:
            log.info("disk_resume_waits", found=error.found)

    def _warn(self, free: int) -> None:
        is_low = free < self._warn_bytes
        if is_low and not self._is_warned:
            log.warning("disk_low", free_bytes=free, wanted_bytes=self._warn_bytes)
        self._is_warned = is_low

    def _tell(self) -> None:
        fault = self._gate.fault
        if fault is not None and not self._is_told:
            log.error("disk_full", found=fault.found, wanted=fault.wanted)
        elif fault is None and self._is_told:
            log.info("disk_has_room", epoch=self._state.epoch)
        self._is_told = fault is not None
