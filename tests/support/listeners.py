"""Whom a sealer speaks to that needs nobody."""

from protocol.ballots import Word
from protocol.messages import SealedIds
from protocol.plan import Plan


class Listeners:
    """Those around a sealer that is a quorum by itself: they write down its seals."""

    def __init__(self) -> None:
        self.seals: list[SealedIds] = []

    def tell_word_nowait(self, word: Word) -> None:
        """Never: one sealer has nobody to convince."""
        raise AssertionError(word)

    def tell_seal_nowait(self, sealed: SealedIds) -> None:
        """Write it down."""
        self.seals.append(sealed)

    def ask_for_set(self, plan: Plan, *, of_all: bool) -> None:
        """Never: one sealer folds what it proposes."""
        raise AssertionError(plan, of_all)

    def ask_for_ballots(self) -> None:
        """Never: one sealer waits for nobody."""
        raise AssertionError
