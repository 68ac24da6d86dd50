"""What this peer saw lately, with the time: for devnets, which compare the peers of one machine.

Only a node with `dev.faults` keeps it. It is an aid to the eye: bounded, forgotten at the end, and
nothing that peers agree on hears of it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from node.clock import Clock, SettableClock
from node.events import Event, Sealed, Stored
from node.state_manager import StateManager
from protocol.seals import Seal

SIGHTINGS_MAX = 8_192
"""Some minutes of a busy devnet; whoever looks comes by every second."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One thing that happened here.

    Attributes:
        number: counts what this peer saw, from 0 at its start, without gaps.
        at_ms: when, by the wall clock of the machine: milliseconds since 1970.
        tx_id: of a transaction that was stored; None for a seal.
        epoch: that was sealed; 0 for a transaction.
        state_root: after that seal.
    """

    number: int
    at_ms: int
    tx_id: bytes | None = None
    epoch: int = 0
    state_root: bytes = b""


class Lookout:
    """Writes down what the state tells while `run` runs.

    Args:
        state: of this peer.
        clock: says when.
    """

    def __init__(self, state: StateManager, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._seen: deque[Sighting] = deque(maxlen=SIGHTINGS_MAX)
        self.count = 0
        """How many there were, those that were dropped included."""

    @property
    def clock_offset_ms(self) -> int:
        """How wrong the wall clock of this node has been put."""
        return self._clock.offset_ms if isinstance(self._clock, SettableClock) else 0

    async def run(self) -> None:
        """Listen; never returns. What is told while it is too slow to listen it does not see."""
        with self._state.broadcast.listen() as listener:
            while True:
                self._take(await listener.next())

    def list_from(self, number: int, most: int) -> Sequence[Sighting]:
        """Return up to `most` sightings from a number on, as far as they are still there."""
        oldest = self.count - len(self._seen)
        begin = max(0, number - oldest)
        return [self._seen[place] for place in range(begin, min(begin + most, len(self._seen)))]

    def _take(self, event: Event) -> None:
        match event:
            case Stored(tx_ids):
                for tx_id in tx_ids:
                    self._note(tx_id=tx_id)
            case Sealed(epoch):
                seal = self._state.store.journal.seal(epoch)
                # Pruned between the event and this moment, or the genesis: nothing to show.
                if seal is not None:
                    self._note(epoch=epoch, state_root=Seal.from_bytes(seal).content.state_root)

    def _note(self, *, tx_id: bytes | None = None, epoch: int = 0, state_root: bytes = b"") -> None:
        # A devnet may have put this node's clock wrong; then its peers' times would not compare.
        at_ms = self._clock.now_ms() - self.clock_offset_ms
        self._seen.append(Sighting(self.count, at_ms, tx_id, epoch, state_root))
        self.count += 1
