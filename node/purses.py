"""What each author can still spend and do before the next seal; rebuilt with each seal.

Kept up to date one transaction at a time, with the outcome of `protocol.accounts.find_unfunded` and
`protocol.quota.find_crowded` over all of them.
"""

from collections.abc import Iterable

from protocol import kinds
from protocol.book import Refused
from protocol.params import Params
from protocol.quota import FREE_PER_SEAL_MAX, is_free
from protocol.tables import ACCOUNTS
from protocol.transactions import SignedTransaction
from protocol.view import StateView


class _Purse:
    """One author's: what is left, the last seq counted, free transactions counted."""

    __slots__ = ("free", "last_seq", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.last_seq = -1
        self.free = 0


class Purses:
    """All authors' purses over one seal.

    Attributes:
        unfunded: why each transaction that its author cannot pay for is refused, by id.
    """

    def __init__(self, view: StateView, params: Params) -> None:
        self._view = view
        self._params = params
        self._purses: dict[bytes, _Purse] = {}
        self.unfunded: dict[bytes, Refused] = {}

    def compute_left(self, author: bytes) -> int:
        """Return the nano-units that an author can still spend."""
        return self._open(author).left

    def compute_debit(self, tx: SignedTransaction) -> int:
        """Return the nano-units that a transaction takes if it applies."""
        return kinds.BY_CODE[tx.header.kind].compute_debit(tx, self._params)

    def has_room(self, tx: SignedTransaction) -> bool:
        """Tell whether the next seal has a place for one more of the author's."""
        purse = self._open(tx.header.author)
        if purse.free < FREE_PER_SEAL_MAX:
            return True
        debit = self.compute_debit(tx)
        return not is_free(debit, self._params, is_unfunded=debit > purse.left)

    def take(self, tx: SignedTransaction) -> None:
        """Count a transaction; those of one author in the order of his chain."""
        purse = self._open(tx.header.author)
        debit = self.compute_debit(tx)
        is_unfunded = debit > purse.left
        if is_unfunded:
            found = f"{purse.left} nano"
            self.unfunded[tx.tx_id] = Refused("unfunded", found, f"{debit} nano")
        else:
            purse.left -= debit
        purse.free += is_free(debit, self._params, is_unfunded=is_unfunded)
        purse.last_seq = tx.header.seq

    def is_in_turn(self, tx: SignedTransaction) -> bool:
        """Tell whether a transaction comes after all of its author's that were counted."""
        return tx.header.seq > self._open(tx.header.author).last_seq

    def recount(self, author: bytes, transactions: Iterable[SignedTransaction]) -> set[bytes]:
        """Count an author anew: some of his transactions went, or one came out of turn.

        Returns:
            The subjects of those whose funding changed.
        """
        mine = sorted(transactions, key=lambda tx: tx.header.seq)
        before = {tx.tx_id for tx in mine if self.unfunded.pop(tx.tx_id, None) is not None}
        self._purses.pop(author, None)
        for tx in mine:
            self.take(tx)
        return {
            tx.header.subject for tx in mine if (tx.tx_id in before) != (tx.tx_id in self.unfunded)
        }

    def try_out(self, tx: SignedTransaction) -> dict[bytes, Refused]:
        """Return what would be unfunded with one more transaction at the end of a chain."""
        left, debit = self.compute_left(tx.header.author), self.compute_debit(tx)
        if debit <= left:
            return self.unfunded
        refused = Refused("unfunded", f"{left} nano", f"{debit} nano")
        return {**self.unfunded, tx.tx_id: refused}

    def _open(self, author: bytes) -> _Purse:
        purse = self._purses.get(author)
        if purse is None:
            account = self._view.get(ACCOUNTS, author)
            purse = self._purses[author] = _Purse(account.balance if account else 0)
        return purse
