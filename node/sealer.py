"""The sealer: ends an epoch when it has lasted long enough, by this machine's monotonic clock.

Rules:
1. An epoch lasts at least `epoch_ms` from the moment the last seal was known here. After a pause
   one seal is made, not all that were missed: nothing is gained by empty epochs in a burst.
2. The highest epoch ever sealed is kept on disk beside the database, like the signing marks of the
   author: a database restored from yesterday must not seal the same epoch in another way.
3. While the disk is full no epoch ends. A seal that was signed and could not be written is the next
   to be written, as it was.
4. The clock moves when a seal comes, never what it means.
"""

from collections.abc import Callable

import structlog
import trio

from node.clock import Clock
from node.high_water import HighWater
from node.options import ConfigError
from node.state_manager import StateManager
from protocol.genesis import Genesis
from protocol.keys import Signer
from protocol.messages import SealedIds
from protocol.seals import compute_quorum
from storage.errors import Full

log = structlog.get_logger("sealer")


def check_sealer(genesis: Genesis, signer: Signer) -> None:
    """Check that this account alone can end the epochs of a network.

    Raises:
        ConfigError: `not_a_sealer`, `sealers_unsupported`.
    """
    if signer.address not in genesis.sealers:
        wanted = f"one of the {len(genesis.sealers)} of the genesis"
        raise ConfigError("not_a_sealer", signer.address.hex(), wanted)
    quorum = compute_quorum(len(genesis.sealers))
    if quorum > 1:
        raise ConfigError("sealers_unsupported", f"a quorum of {quorum}", "a network of one sealer")


class Sealer:
    """Ends the epochs of a network in which one sealer is a quorum.

    Args:
        state: what is sealed.
        signer: the sealer's key.
        clock: of this machine.
        mark: the highest epoch that this sealer ever sealed, under its address.
        tell: told of every seal that is on disk.
    """

    def __init__(
        self,
        state: StateManager,
        signer: Signer,
        clock: Clock,
        mark: HighWater,
        tell: Callable[[SealedIds], None],
    ) -> None:
        check_sealer(state.genesis, signer)
        self._state = state
        self._signer = signer
        self._clock = clock
        self._mark = mark
        self._tell = tell

    async def run(self) -> None:
        """Seal epoch after epoch; return only when an alarm forbids to go on."""
        epoch_s = self._state.params.epoch_ms / 1_000
        known = self._state.epoch
        was_behind = False
        while self._state.alarm is None:
            await trio.sleep(epoch_s)
            is_behind = self._is_behind()
            if is_behind and not was_behind:
                self._warn_behind()
            was_behind = is_behind
            # Seals of ours from an earlier life may come back through peers: each starts the wait
            # anew, until the mark is reached.
            if self._state.epoch == known and not is_behind and self._state.alarm is None:
                self.end_epoch()
            known = self._state.epoch
        log.error("sealer_stopped", reason=self._state.alarm)

    def resume(self) -> None:
        """After a full disk: bring the mark up to what is sealed, before any peer hears of it.

        Raises:
            Full: it is full again.
            SigningError: `mark_unwritable`.
        """
        mark = self._mark.get(self._signer.address)
        if self._state.epoch > (0 if mark is None else mark):
            self._mark.raise_to(self._signer.address, self._state.epoch)

    def _is_behind(self) -> bool:
        if self._state.store.needs_repair is not None:
            return True
        mark = self._mark.get(self._signer.address)
        return mark is not None and self._state.epoch < mark

    def _warn_behind(self) -> None:
        mark = self._mark.get(self._signer.address)
        log.warning("sealer_behind", epoch=self._state.epoch, sealed_before=mark)

    def end_epoch(self) -> None:
        """End the epoch now; on a full disk it goes on."""
        # No await in here: no peer can learn of a seal before its mark is on disk.
        try:
            sealed = self._state.seal(self._signer, self._clock.now_ms())
            epoch = self._state.epoch
            self._mark.raise_to(self._signer.address, epoch)
        except Full as error:
            self._state.store.gate.shut(error)
            return
        self._tell(sealed)
        count = 0 if sealed.ids is None else len(sealed.ids) // 32
        log.debug("epoch_sealed", epoch=epoch, items=count, root=self._state.state_root[:8])
