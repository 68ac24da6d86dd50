"""The open set: what this peer holds of the epochs to come, and the provisional state over it.

Rules:
1. It is memory only and a function of the journal, the evidence and the last seal: a restart
   rebuilds it.
2. It decides nothing. What it shows is what the next seal would do if it took in all of it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from protocol import kinds
from protocol.accounts import find_unfunded
from protocol.book import Refused
from protocol.chains import Barrier, Frontier, extend_frontier, find_barrier
from protocol.fold import Epoch, SubjectOutcome, fold_subject
from protocol.params import Params
from protocol.ranges import Item, VectorView, compute_fingerprint
from protocol.records import Account, Ruling
from protocol.tables import ACCOUNTS, Table
from protocol.transactions import SignedTransaction
from protocol.view import Key, StateView

T = TypeVar("T")
EVIDENCE_EPOCH = 0
"""Where evidence sorts among (epoch, id): no transaction has this epoch."""

GONE = ("dead", "overtaken", "equivocated")
"""Barriers that nothing will ever lift."""

StoredLinkOf = Callable[[bytes, int], SignedTransaction | None]


@dataclass(frozen=True, slots=True)
class Standing:
    """What the last seal fixed, as the open set needs it.

    Attributes:
        epoch: the last sealed epoch.
        view: the sealed state.
        anchors: seal hashes by epoch, for all epochs whose transactions may still be alive.
    """

    epoch: int
    view: StateView
    anchors: Mapping[int, bytes]


class OpenSet:
    """Unsealed transactions and evidence, linked, funded and folded provisionally."""

    def __init__(self, params: Params, network: bytes, stored_link_of: StoredLinkOf) -> None:
        self._params = params
        self._network = network
        self._stored_link_of = stored_link_of
        self.transactions: dict[bytes, SignedTransaction] = {}
        self.evidence: dict[bytes, tuple[bytes, int]] = {}
        """Evidence that no seal took in yet: id to (author, seq)."""
        self.effective: dict[bytes, SignedTransaction] = {}
        """What may enter the next seal."""

    def rebuild(
        self,
        standing: Standing,
        transactions: Iterable[SignedTransaction],
        evidence: Mapping[bytes, tuple[bytes, int]],
    ) -> tuple[SignedTransaction, ...]:
        """Stand on a seal with these unsealed items; return the transactions that are dead."""
        self.standing = standing
        self.transactions = {}
        self.effective = {}
        self.evidence = dict(evidence)
        self._barred: dict[bytes, int] = {}
        self._by_author: dict[bytes, dict[int, SignedTransaction]] = {}
        self._frontiers: dict[bytes, Frontier] = {}
        self._left: dict[bytes, tuple[int, int]] = {}
        self._unfunded: dict[bytes, Refused] = {}
        self._by_subject: dict[bytes, dict[bytes, SignedTransaction]] = {}
        self._outcomes: dict[bytes, SubjectOutcome] = {}
        self._rows: dict[Key, Any] = {}
        self._dirty: set[bytes] = set(standing.view.due_tasks(self.next_epoch))
        self._sum = sum(int.from_bytes(item, "little") for item in self.evidence)
        for author, seq in self.evidence.values():
            self._barred[author] = min(seq, self._barred.get(author, seq))
        dead = []
        for tx in sorted(transactions, key=lambda tx: (tx.header.author, tx.header.seq)):
            barrier = self.add(tx)
            if barrier is not None and barrier.code in GONE:
                dead.append(tx)
        return tuple(dead)

    @property
    def next_epoch(self) -> int:
        """The epoch that everything here would enter."""
        return self.standing.epoch + 1

    def add(self, tx: SignedTransaction) -> Barrier | None:
        """Take in a stored, unsealed transaction; return what keeps it from the next seal.

        A dead, overtaken or equivocated one is not kept.
        """
        header = tx.header
        author = header.author
        mine = self._by_author.setdefault(author, {})
        mine[header.seq] = tx
        frontier = self._extend(author)
        barrier = self._find_barrier(tx, frontier)
        if barrier is not None and barrier.code in GONE:
            del mine[header.seq]
        elif tx.tx_id not in self.transactions:
            self.transactions[tx.tx_id] = tx
            self._sum += int.from_bytes(tx.tx_id, "little")
        # A gap that closes, even by a dead link, makes those behind it effective.
        for seq in range(header.seq, frontier.next_seq):
            waiting = mine.get(seq)
            if waiting is None or waiting.tx_id in self.effective:
                continue
            if self._find_barrier(waiting, frontier) is None:
                self._make_effective(waiting)
        return barrier

    def bar(self, evidence_id: bytes, author: bytes, seq: int) -> tuple[SignedTransaction, ...]:
        """Take in evidence against an author; return his transactions that it puts out."""
        if evidence_id not in self.evidence:
            self.evidence[evidence_id] = (author, seq)
            self._sum += int.from_bytes(evidence_id, "little")
        self._barred[author] = min(seq, self._barred.get(author, seq))
        mine = self._by_author.get(author, {})
        gone = tuple(mine[place] for place in sorted(mine) if place >= seq)
        for tx in gone:
            del mine[tx.header.seq]
            if self.transactions.pop(tx.tx_id, None) is not None:
                self._sum -= int.from_bytes(tx.tx_id, "little")
            if self.effective.pop(tx.tx_id, None) is not None:
                self._by_subject[tx.header.subject].pop(tx.tx_id, None)
                self._dirty.add(tx.header.subject)
        self._refund(author)
        return gone

    def is_barred(self, author: bytes, seq: int) -> bool:
        """Tell whether evidence, sealed or not, stands against an author's `seq`."""
        least = self._least_barred(author)
        return least is not None and seq >= least

    def next_link(self, author: bytes) -> tuple[int, bytes | None]:
        """Return the next seq of an author's complete chain and the id before it."""
        frontier = self._extend(author)
        return frontier.next_seq, frontier.head

    def fingerprint(self) -> bytes:
        """Return the fingerprint (16 bytes) of all items, as Negentropy defines it."""
        return compute_fingerprint(self._sum, self.count)

    def missing_links(self, most: int) -> list[bytes]:
        """Return at most `most` ids whose lack keeps stored transactions out, sorted."""
        missing = set()
        for author, mine in sorted(self._by_author.items()):
            frontier = self._extend(author)
            behind = [seq for seq in mine if seq >= frontier.next_seq]
            if behind:
                prev = mine[min(behind)].header.prev
                if prev is not None:
                    missing.add(prev)
            if len(missing) >= most:
                break
        return sorted(missing)[:most]

    def fingerprint_items(self) -> VectorView:
        """Return the open set as sorted (epoch, id), for a reconciliation session."""
        items = [Item(tx.header.epoch, tx.tx_id) for tx in self.transactions.values()]
        items += [Item(EVIDENCE_EPOCH, evidence_id) for evidence_id in self.evidence]
        return VectorView(items)

    @property
    def count(self) -> int:
        """How many items the open set has, evidence included."""
        return len(self.transactions) + len(self.evidence)

    # ------------------------------------------------------------------ the provisional state

    def get(self, table: Table[T], key: bytes) -> T | None:
        """Return a row as the next seal would leave it if it took in all that is effective.

        Accounts show what is left after the debits of what is effective; credits arrive at seals.
        """
        self._fold_dirty()
        if table.name == ACCOUNTS.name:
            account: Any = self._provisional_account(key)
            row: T | None = account
            return row
        if (table.name, key) in self._rows:
            row = self._rows[(table.name, key)]
            return row
        return self.standing.view.get(table, key)

    def rows(self, table: Table[T]) -> dict[bytes, T]:
        """Return the rows of a table that the provisional fold changes, by key."""
        self._fold_dirty()
        return {key: row for (name, key), row in self._rows.items() if name == table.name}

    def rulings(self) -> tuple[Ruling, ...]:
        """Return the provisional rulings, sorted by transaction."""
        self._fold_dirty()
        found = [ruling for outcome in self._outcomes.values() for ruling in outcome.rulings]
        return tuple(sorted(found, key=lambda ruling: ruling.tx_id))

    def judge(self, tx: SignedTransaction) -> Ruling | None:
        """Return the ruling against a transaction that is already in, None if it stands."""
        self._fold_dirty()
        outcome = self._outcomes.get(tx.header.subject)
        if outcome is None:
            return None
        return next((ruling for ruling in outcome.rulings if ruling.tx_id == tx.tx_id), None)

    def try_out(self, tx: SignedTransaction) -> Ruling | None:
        """Return the ruling that a transaction not yet taken in would get, None if it stands."""
        author = tx.header.author
        unfunded = dict(self._unfunded)
        debit = kinds.BY_CODE[tx.header.kind].compute_debit(tx, self._params)
        left = self._purse(author)[0]
        if debit > left:
            unfunded[tx.tx_id] = Refused("unfunded", f"{left} nano", f"{debit} nano")
        known = self._by_subject.get(tx.header.subject, {})
        outcome = self._fold(tx.header.subject, (*known.values(), tx), unfunded)
        return next((ruling for ruling in outcome.rulings if ruling.tx_id == tx.tx_id), None)

    # ---------------------------------------------------------------------------- inner parts

    def _link_of(self, author: bytes, seq: int) -> SignedTransaction | None:
        mine = self._by_author.get(author)
        if mine is not None and seq in mine:
            return mine[seq]
        return self._stored_link_of(author, seq)

    def _extend(self, author: bytes) -> Frontier:
        known = self._frontiers.get(author)
        if known is None:
            account = self.standing.view.get(ACCOUNTS, author)
            known = Frontier(account.next_seq, account.head) if account else Frontier(0, None)
        frontier = extend_frontier(known, author, self._link_of)
        self._frontiers[author] = frontier
        return frontier

    def _least_barred(self, author: bytes) -> int | None:
        account = self.standing.view.get(ACCOUNTS, author)
        sealed = account.barred_from if account else None
        fresh = self._barred.get(author)
        return min((seq for seq in (sealed, fresh) if seq is not None), default=None)

    def _find_barrier(self, tx: SignedTransaction, frontier: Frontier) -> Barrier | None:
        author = tx.header.author
        return find_barrier(
            tx,
            self.next_epoch,
            self._params.late_epochs,
            self.standing.view.get(ACCOUNTS, author),
            self._least_barred(author),
            self.standing.anchors,
            frontier,
        )

    def _make_effective(self, tx: SignedTransaction) -> None:
        header = tx.header
        self.effective[tx.tx_id] = tx
        self._by_subject.setdefault(header.subject, {})[tx.tx_id] = tx
        self._dirty.add(header.subject)
        left, last_seq = self._purse(header.author)
        if header.seq <= last_seq:
            self._refund(header.author)
            return
        debit = kinds.BY_CODE[header.kind].compute_debit(tx, self._params)
        if debit > left:
            self._unfunded[tx.tx_id] = Refused("unfunded", f"{left} nano", f"{debit} nano")
            debit = 0
        self._left[header.author] = (left - debit, header.seq)

    def _purse(self, author: bytes) -> tuple[int, int]:
        """Return what the author can still spend and the last seq counted."""
        if author not in self._left:
            account = self.standing.view.get(ACCOUNTS, author)
            self._left[author] = (account.balance if account else 0, -1)
        return self._left[author]

    def _refund(self, author: bytes) -> None:
        """Count an author's debits again: one of his transactions came or went out of turn."""
        mine = [tx for tx in self._by_author.get(author, {}).values() if tx.tx_id in self.effective]
        before = {tx.tx_id for tx in mine if tx.tx_id in self._unfunded}
        for tx_id in before:
            del self._unfunded[tx_id]
        after = find_unfunded(self.standing.view, self._params, mine)
        self._unfunded.update(after)
        account = self.standing.view.get(ACCOUNTS, author)
        spent = sum(
            kinds.BY_CODE[tx.header.kind].compute_debit(tx, self._params)
            for tx in mine
            if tx.tx_id not in after
        )
        last_seq = max((tx.header.seq for tx in mine), default=-1)
        self._left[author] = ((account.balance if account else 0) - spent, last_seq)
        self._dirty.update(
            tx.header.subject for tx in mine if (tx.tx_id in before) != (tx.tx_id in after)
        )

    def _fold(
        self,
        subject: bytes,
        transactions: Iterable[SignedTransaction],
        unfunded: Mapping[bytes, Refused],
    ) -> SubjectOutcome:
        return fold_subject(
            self.standing.view,
            self._params,
            self._network,
            Epoch(self.next_epoch, None, ()),
            subject,
            tuple(transactions),
            unfunded,
        )

    def _fold_dirty(self) -> None:
        for subject in sorted(self._dirty):
            earlier = self._outcomes.get(subject)
            if earlier is not None:
                for key in earlier.rows:
                    self._rows.pop(key, None)
            known = self._by_subject.get(subject, {})
            outcome = self._fold(subject, known.values(), self._unfunded)
            self._outcomes[subject] = outcome
            self._rows.update(outcome.rows)
        self._dirty.clear()

    def _provisional_account(self, address: bytes) -> Account | None:
        account = self.standing.view.get(ACCOUNTS, address)
        return replace(account, balance=self._purse(address)[0]) if account else None
