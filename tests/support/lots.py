"""Worlds with the same lots: two stories about the same people that differ in deeds alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from protocol.epoch import Epoch
from protocol.fold import Outcome
from protocol.genesis import Genesis
from protocol.invariants import ConsistencyChecker
from protocol.transactions import SignedTransaction
from tests.support.world import Place, World


class LotWorld(World):
    """A world that can draw the lots of another, so that two stories differ in deeds alone."""

    def __init__(self, genesis: Genesis, lots: Mapping[int, bytes], *, is_checked: bool) -> None:
        super().__init__(genesis)
        self.lots: dict[int, bytes] = {}
        self._given = lots
        if not is_checked:
            self._checker = _NoChecker()

    def build_epoch(
        self, transactions: Iterable[SignedTransaction], evidence: Iterable[Place] = ()
    ) -> Epoch:
        """Return the next epoch, with the other world's beacon if it is known."""
        epoch = super().build_epoch(transactions, evidence)
        return replace(epoch, beacon=self._given.get(epoch.number, epoch.beacon))

    def guess_epoch(
        self, transactions: Iterable[SignedTransaction], evidence: Iterable[Place] = ()
    ) -> Epoch:
        """Return the next epoch as whoever knows its whole set can know it before it is decided.

        The secret is none of that; where there is none, this is the epoch.
        """
        secret, self.secret = self.secret, None
        epoch = self.build_epoch(transactions, evidence)
        self.secret = secret
        return epoch

    def seal(self, *transactions: SignedTransaction, evidence: Sequence[Place] = ()) -> Outcome:
        """End the epoch; keep its beacon."""
        beacon = self.build_epoch(transactions, evidence).beacon
        assert beacon is not None
        self.lots[self.epoch + 1] = beacon
        return super().seal(*transactions, evidence=evidence)

    def next_seq(self, who: str) -> int:
        """Return the seq of what somebody signs next."""
        return self._chains.get(who, (0, None))[0]

    def sign_as_of(
        self, epoch: int, who: str, kind: str, payload: Any, subject: bytes
    ) -> SignedTransaction:
        """Return what somebody would have signed when `epoch` was the last one sealed."""
        now = self.epoch, self.seal_hash
        self.epoch, self.seal_hash = epoch, self.anchors[epoch]
        tx = self.sign(who, kind, payload, subject=subject)
        self.epoch, self.seal_hash = now
        return tx

    def take_instead(self, who: str, tx: SignedTransaction) -> None:
        """Have a transaction be the last of somebody's chain, whatever he signed there before."""
        self._chains[who] = (tx.header.seq + 1, tx.tx_id)
        self.links[(tx.header.author, tx.header.seq)] = tx


class _NoChecker(ConsistencyChecker):
    """What lets an economy without a defence go on: the invariants would stop it."""

    def check(self, view: Any, outcome: Outcome) -> None:
        pass
