"""The real sealer on a heap of events: a call of `wake` is what a turn of its task is.

`node.sealer` needs trio for waiting only. Its timers, its diary, what it builds, judges and says
are the product's own; what it tells its peers and asks of them is left in a letter box, from which
the network of the core layer takes it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from node.clock import Clock
from node.diary_file import DiaryFile
from node.events import Broadcast, Event, Heard, Sealed
from node.high_water import HighWater
from node.sealer import Sealer
from node.state_manager import StateManager
from protocol.ballots import Word
from protocol.keys import Signer
from protocol.messages import SealedIds
from protocol.plan import Plan

LATER_S = 3_600.0
"""When a sealer that has nothing to wait for looks again."""


class Bell(Broadcast):
    """Remembers that something happened that a sealer must look at."""

    def __init__(self) -> None:
        super().__init__()
        self.is_rung = False

    def tell_nowait(self, event: Event) -> None:
        """See `Broadcast.tell_nowait`."""
        self.is_rung = self.is_rung or isinstance(event, Heard | Sealed)
        super().tell_nowait(event)


@dataclass(slots=True)
class LetterBox:
    """What a sealer wants of its peers, until the network comes by.

    Attributes:
        words, seals: to be told to everybody.
        holders: whom to ask for what lacks; None: everybody.
        hear_word: told of each word that this sealer says.
    """

    state: StateManager
    hear_word: Callable[[Word], None]
    words: list[Word] = field(default_factory=list)
    seals: list[SealedIds] = field(default_factory=list)
    holders: list[str | None] = field(default_factory=list)

    def tell_word_nowait(self, word: Word) -> None:
        """See `node.sealer.Peers`, here and below."""
        self.hear_word(word)
        self.words.append(word)

    def tell_seal_nowait(self, sealed: SealedIds) -> None:
        """Put a seal into the box."""
        self.seals.append(sealed)

    def ask_for_set(self, plan: Plan, *, of_all: bool) -> None:
        """Put down whom to ask."""
        known = () if of_all else self.state.ballots.find_holders(plan.set_root)
        self.holders.append(known[0] if known else None)

    def ask_for_ballots(self) -> None:
        """Put down that everybody is to be asked."""
        self.holders.append(None)


class CoreSealer(Sealer):
    """A sealer that is woken instead of waiting."""

    def __init__(
        self,
        state: StateManager,
        signer: Signer,
        clock: Clock,
        mark: HighWater,
        diary: DiaryFile,
        box: LetterBox,
    ) -> None:
        super().__init__(state, signer, clock, mark, diary, box)
        self._sits_on = 0

    def wake(self) -> float:
        """Do all that is due; return for how many seconds there is nothing more to do.

        Raises:
            StorageError: the disk failed.
        """
        while True:
            if self._state.alarm is not None and not self._state.ballots.is_needed:
                return LATER_S
            if self._is_behind():
                self._sits_on = 0
                return self._epoch_s
            epoch = self._state.epoch + 1
            if self._sits_on == epoch:
                self._look()
            else:
                self._sits_on = epoch
                self._begin()
            self._state.store.gate.check()
            if self._state.epoch + 1 == epoch:
                due_s = min((*self._timers.values(), *self._unjudged.values()), default=LATER_S)
                return max(0.0, due_s - self._now_s())
