"""After a repair: the node refills from its peers, and is trusted again once it stands with them.

Until then its checks say that it is not ready, and it neither signs nor seals: what it would build
on may lack what it signed itself.
"""

import structlog
import trio

from node.state_manager import StateManager
from node.sync.peers import PeerBook
from node.transport.base import Transport

log = structlog.get_logger("repair")

POLL_S = 1.0


class RepairWatch:
    """Takes the mark `needs_repair` off a store that has been refilled.

    Args:
        state: of the node.
        book: where its peers stand.
        transport: tells who is connected.
    """

    def __init__(self, state: StateManager, book: PeerBook, transport: Transport) -> None:
        self._state = state
        self._book = book
        self._transport = transport

    def is_refilled(self) -> bool:
        """Tell whether a connected peer holds exactly what we hold, and none is ahead of us."""
        records = [self._book.get(name) for name in self._transport.peers()]
        epoch = self._state.epoch
        is_ahead = any(record.epoch > epoch for record in records)
        is_equal = any(record.equal and record.epoch == epoch for record in records)
        return is_equal and not is_ahead and self._state.alarm is None

    async def run(self) -> None:
        """Wait until the store is refilled, and take off its mark; return at once without one."""
        store = self._state.store
        reason = store.needs_repair
        if reason is None:
            return
        log.warning("repair_refilling", reason=reason, epoch=self._state.epoch)
        while True:
            if self.is_refilled() and store.gate.fault is None:
                store.mark_repaired()
                log.info("repair_done", epoch=self._state.epoch)
                return
            await trio.sleep(POLL_S)
