"""The chains of the open set: how far each author's is complete, who waits, and for which link.

Rules:
1. Places are what the journal stores, those of the open set among them; nothing here is on disk.
2. A frontier outlives a seal where it can: a chain may rest on many links that died unsealed, and
   walking over them again with each seal would cost more than the seal.
"""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import islice

from protocol.chains import Frontier, Gap, extend_frontier, find_gap, start_frontier
from protocol.records import Account
from protocol.tables import ACCOUNTS
from protocol.transactions import SignedTransaction
from protocol.view import StateView

StoredLinkOf = Callable[[bytes, int], SignedTransaction | None]


class OpenChains:
    """What is open of every author's chain, over what is stored.

    Args:
        stored_link_of: whatever is stored at (author, seq).
    """

    def __init__(self, stored_link_of: StoredLinkOf) -> None:
        self._stored_link_of = stored_link_of
        self._frontiers: dict[bytes, Frontier] = {}
        self._open: dict[bytes, dict[int, SignedTransaction]] = {}
        self._waiting: dict[bytes, list[int]] = {}
        # By the lowest that waits: how far down its links are stored already.
        self._lowest: dict[bytes, tuple[bytes, SignedTransaction]] = {}
        self._asked_last = b""

    def restart(self, view: StateView) -> None:
        """Stand on another seal with nothing open."""
        self._view = view
        self._open = {}
        self._waiting = {}
        self._lowest = {}
        kept: dict[bytes, Frontier] = {}
        for author, frontier in self._frontiers.items():
            if self._still_holds(frontier, view.get(ACCOUNTS, author)):
                kept[author] = frontier
        self._frontiers = kept

    def forget(self, author: bytes) -> None:
        """Walk an author's chain anew: what is stored at one of its places has changed."""
        self._frontiers.pop(author, None)
        self._lowest.pop(author, None)

    def forget_all(self) -> None:
        """Walk every chain anew: what is stored may be other than what was."""
        self._frontiers = {}
        self._lowest = {}

    def put(self, tx: SignedTransaction) -> None:
        """Take in an open transaction."""
        author, seq = tx.header.author, tx.header.seq
        self._open.setdefault(author, {})[seq] = tx
        heappush(self._waiting.setdefault(author, []), seq)

    def drop(self, tx: SignedTransaction) -> None:
        """Take out a transaction."""
        mine = self._open.get(tx.header.author, {})
        mine.pop(tx.header.seq, None)
        if not mine:
            self._open.pop(tx.header.author, None)

    def extend(self, author: bytes) -> Frontier:
        """Return how far an author's chain is complete by now."""
        known = self._frontiers.get(author)
        if known is None:
            known = start_frontier(self._view.get(ACCOUNTS, author))
        frontier = extend_frontier(known, author, self._link_of)
        self._frontiers[author] = frontier
        return frontier

    def list_waiting(self) -> list[bytes]:
        """Return the authors of whom something waits, sorted."""
        return sorted(self._waiting)

    def of(self, author: bytes) -> dict[int, SignedTransaction]:
        """Return the open transactions of an author by seq."""
        return self._open.get(author, {})

    def is_waiting(self, tx: SignedTransaction) -> bool:
        """Tell whether a link lacks between a transaction and its author's complete chain."""
        return tx.header.seq >= self.extend(tx.header.author).next_seq

    def take_linked(self, author: bytes) -> Iterator[SignedTransaction]:
        """Return those of an author that no longer wait for a link, in order; each only once."""
        frontier = self.extend(author)
        mine = self.of(author)
        waiting = self._waiting.get(author, [])
        while waiting and (waiting[0] < frontier.next_seq or waiting[0] not in mine):
            tx = mine.get(heappop(waiting))
            if tx is not None:
                yield tx
        if not waiting:
            self._waiting.pop(author, None)
            self._lowest.pop(author, None)

    def find_gap(self, author: bytes) -> Gap | None:
        """Return what an author's lowest waiting transaction lacks; None if nothing lacks."""
        mine = self.of(author)
        waiting = self._waiting.get(author, [])
        while waiting and waiting[0] not in mine:
            heappop(waiting)
        if not waiting:
            return None
        top = mine[waiting[0]]
        frontier = self.extend(author)
        seen = self._lowest.get(author)
        tx = seen[1] if seen is not None and seen[0] == top.tx_id else top
        gap = find_gap(tx, frontier, self._link_of)
        if gap is not None and gap.last + 1 < tx.header.seq:
            below = self._link_of(author, gap.last + 1)
            tx = tx if below is None else below
        self._lowest[author] = (top.tx_id, tx)
        return gap

    def find_gaps(self, most: int) -> list[Gap]:
        """Return gaps of at most `most` authors, those whose turn it is first.

        Whoever makes up links that nobody has keeps no other from being asked for.
        """
        authors = sorted(self._waiting)
        start = next((i for i, author in enumerate(authors) if author > self._asked_last), 0)
        gaps: list[Gap] = []
        for author in islice([*authors[start:], *authors[:start]], most):
            self._asked_last = author
            gap = self.find_gap(author)
            if gap is not None:
                gaps.append(gap)
        return gaps

    def _link_of(self, author: bytes, seq: int) -> SignedTransaction | None:
        mine = self._open.get(author)
        if mine is not None and seq in mine:
            return mine[seq]
        return self._stored_link_of(author, seq)

    def _still_holds(self, frontier: Frontier, account: Account | None) -> bool:
        """Tell whether a frontier found over an earlier seal goes on from the sealed head."""
        if account is None:
            return False
        if account.next_seq == 0:
            return True
        if frontier.next_seq < account.next_seq:
            return False
        last = self._stored_link_of(account.address, account.next_seq - 1)
        return last is not None and last.tx_id == account.head
