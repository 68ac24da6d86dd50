"""The open set: what this peer holds of the epochs to come, and the provisional state over it.

Rules:
1. It is memory only and a function of the journal, the evidence and the last seal: a restart
   rebuilds it.
2. It decides nothing. What it shows is what the next seal would do if it took in all of it.
3. Of the evidence against an author only the least seq is in, and only if it bars more than seals
   already do: all peers that saw the same keep the same, and nobody can fill the set with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from node.open_chains import OpenChains, StoredLinkOf
from node.purses import Purses
from protocol.book import Refused
from protocol.chains import Barrier, Frontier, Gap, compute_evidence_id, find_barrier
from protocol.charter_records import Charter
from protocol.epoch import Epoch
from protocol.fold import SubjectOutcome, fold_subject
from protocol.ranges import Item, VectorView, compute_fingerprint
from protocol.records import Account, Ruling
from protocol.tables import ACCOUNTS, Table
from protocol.transactions import SignedTransaction
from protocol.view import Key, StateView

T = TypeVar("T")
EVIDENCE_EPOCH = 0
"""Where evidence sorts among (epoch, id): no transaction has this epoch."""

GONE = ("unknown_account", "dead", "wrong_anchor", "overtaken", "equivocated")
"""Barriers that nothing will ever lift."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the last seal fixed, as the open set needs it.

    Attributes:
        epoch: the last sealed epoch.
        charter: the numbers and the sealers of the next one.
        view: the sealed state.
        anchors: seal hashes by epoch, for all epochs whose transactions may still be alive.
    """

    epoch: int
    charter: Charter
    view: StateView
    anchors: Mapping[int, bytes]


class Gone(NamedTuple):
    """What no seal will ever take in: transactions, and ids of evidence that bars nothing more."""

    transactions: tuple[SignedTransaction, ...] = ()
    evidence: tuple[bytes, ...] = ()


class OpenSet:
    """Unsealed transactions and evidence, linked, funded and folded provisionally."""

    def __init__(self, network: bytes, stored_link_of: StoredLinkOf) -> None:
        self._network = network
        self.chains = OpenChains(stored_link_of)
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
    ) -> Gone:
        """Stand on a seal with these unsealed items; return those of them that are gone."""
        self.standing = standing
        self.transactions = {}
        self.effective = {}
        self.evidence = {}
        self.chains.restart(standing.view)
        self._barred: dict[bytes, int] = {}
        self._purses = Purses(standing.view, standing.charter.params)
        # By author: the seq from which on the next seal has no place.
        self._crowded: dict[bytes, int] = {}
        self._by_subject: dict[bytes, dict[bytes, SignedTransaction]] = {}
        self._outcomes: dict[bytes, SubjectOutcome] = {}
        self._rows: dict[Key, Any] = {}
        self._dirty: set[bytes] = set(standing.view.due_tasks(self.next_epoch))
        self._sum = 0
        self._items: VectorView | None = None
        self._fingerprint: bytes | None = None
        superseded: list[bytes] = []
        for evidence_id, (author, seq) in sorted(evidence.items()):
            superseded += self.bar(evidence_id, author, seq).evidence
        dead = []
        for tx in transactions:
            if self.is_gone(tx):
                dead.append(tx)
            else:
                self._put(tx)
        for author in self.chains.list_waiting():
            self._admit(author)
        return Gone(tuple(dead), tuple(superseded))

    @property
    def next_epoch(self) -> int:
        """The epoch that everything here would enter."""
        return self.standing.epoch + 1

    def add_many(self, transactions: Iterable[SignedTransaction]) -> Gone:
        """Take in transactions that are stored and unsealed; return those that are gone.

        They are not kept, but link the chain of their author like any other.
        """
        authors: dict[bytes, None] = {}
        gone = []
        for tx in transactions:
            authors[tx.header.author] = None
            if self.is_gone(tx):
                gone.append(tx)
            elif tx.tx_id not in self.transactions:
                self._put(tx)
        # A gap that closes, even by a dead link, makes those behind it effective.
        for author in authors:
            self._admit(author)
        return Gone(tuple(gone))

    def add(self, tx: SignedTransaction) -> None:
        """Take in one transaction."""
        self.add_many((tx,))

    def is_gone(self, tx: SignedTransaction) -> bool:
        """Tell whether no seal from now on can take a transaction in, whatever else arrives."""
        return self.find_doom(tx) is not None

    def find_doom(self, tx: SignedTransaction) -> str | None:
        """Return the code, one of `GONE`, of why no seal will ever take a transaction in."""
        barrier = self._judge_linked(tx)
        return barrier.code if barrier is not None and barrier.code in GONE else None

    def find_end(self, tx: SignedTransaction) -> str | None:
        """Return the code of `find_doom` if it rests on seals alone.

        Evidence that no seal took in yet keeps a transaction out of our next seal only: one made
        elsewhere, without it, may have taken the transaction in.
        """
        author, seq = tx.header.author, tx.header.seq
        account = self.standing.view.get(ACCOUNTS, author)
        barred = None if account is None else account.barred_from
        is_passed = account is not None and seq < account.next_seq
        code = self.find_doom(tx)
        is_sealed = code != "equivocated" or is_passed or (barred is not None and seq >= barred)
        return code if is_sealed else None

    def bar(self, evidence_id: bytes, author: bytes, seq: int) -> Gone:
        """Take in evidence against an author; return what of his it puts out."""
        if self.is_barred(author, seq):
            known = evidence_id in self.evidence
            return Gone() if known else Gone(evidence=(evidence_id,))
        earlier = self._barred.get(author)
        superseded: tuple[bytes, ...] = ()
        if earlier is not None:
            superseded = (compute_evidence_id(author, earlier),)
            del self.evidence[superseded[0]]
            self._count(superseded[0], -1)
        self.evidence[evidence_id] = (author, seq)
        self._count(evidence_id, 1)
        self._barred[author] = seq
        mine = self.chains.of(author)
        gone = tuple(mine[place] for place in sorted(mine) if place >= seq)
        for tx in gone:
            self._remove(tx)
        left = [tx for tx in self.chains.of(author).values() if tx.tx_id in self.effective]
        self._dirty |= self._purses.recount(author, left)
        return Gone(gone, superseded)

    def is_barred(self, author: bytes, seq: int) -> bool:
        """Tell whether evidence, sealed or not, stands against an author's `seq`."""
        least = self._least_barred(author)
        return least is not None and seq >= least

    def next_link(self, author: bytes) -> tuple[int, bytes | None]:
        """Return the next seq of an author's complete chain and the id before it."""
        frontier = self.chains.extend(author)
        return frontier.next_seq, frontier.head

    def fingerprint(self) -> bytes:
        """Return the fingerprint (16 bytes) of all items, as Negentropy defines it."""
        if self._fingerprint is None:
            self._fingerprint = compute_fingerprint(self._sum, self.count)
        return self._fingerprint

    def find_gaps(self, most: int) -> list[Gap]:
        """Return gaps in the chains of at most `most` authors, by turns."""
        return self.chains.find_gaps(most)

    def missing_links(self, most: int) -> list[bytes]:
        """Return at most `most` ids whose lack keeps stored transactions out, sorted."""
        return sorted(gap.missing for gap in self.chains.find_gaps(most))

    def is_any_waiting(self, ids: Iterable[bytes]) -> bool:
        """Tell whether a link lacks for one of these transactions, if they are in."""
        known = (self.transactions.get(tx_id) for tx_id in ids)
        return any(tx is not None and self.chains.is_waiting(tx) for tx in known)

    def fingerprint_items(self) -> VectorView:
        """Return the open set as sorted (epoch, id), for a reconciliation session."""
        if self._items is None:
            items = [Item(tx.header.epoch, tx.tx_id) for tx in self.transactions.values()]
            items += [Item(EVIDENCE_EPOCH, evidence_id) for evidence_id in self.evidence]
            self._items = VectorView(items)
        return self._items

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

    @property
    def shown(self) -> Mapping[bytes, SubjectOutcome]:
        """What the fold last said of each subject that was asked for since the last seal.

        Nothing is folded for it; the next seal begins another mapping and leaves this one alone.
        """
        return self._outcomes

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
        known = self._by_subject.get(tx.header.subject, {})
        unfunded = self._purses.try_out(tx)
        outcome = self._fold(tx.header.subject, (*known.values(), tx), unfunded)
        return next((ruling for ruling in outcome.rulings if ruling.tx_id == tx.tx_id), None)

    # ---------------------------------------------------------------------------- inner parts

    def _least_barred(self, author: bytes) -> int | None:
        account = self.standing.view.get(ACCOUNTS, author)
        sealed = account.barred_from if account else None
        fresh = self._barred.get(author)
        if sealed is None or fresh is None:
            return fresh if sealed is None else sealed
        return min(sealed, fresh)

    def _judge_linked(self, tx: SignedTransaction) -> Barrier | None:
        # Whether links lack is not asked, so the chain need not be walked.
        return self._judge(tx, Frontier(tx.header.seq + 1, None))

    def _judge(self, tx: SignedTransaction, frontier: Frontier) -> Barrier | None:
        author = tx.header.author
        return find_barrier(
            tx,
            self.next_epoch,
            self.standing.charter.params.late_epochs,
            self.standing.view.get(ACCOUNTS, author),
            self._least_barred(author),
            self.standing.anchors,
            frontier,
        )

    def _put(self, tx: SignedTransaction) -> None:
        self.transactions[tx.tx_id] = tx
        self._count(tx.tx_id, 1)
        self.chains.put(tx)

    def _remove(self, tx: SignedTransaction) -> None:
        self.chains.drop(tx)
        self._purses.unfunded.pop(tx.tx_id, None)
        if self.transactions.pop(tx.tx_id, None) is not None:
            self._count(tx.tx_id, -1)
        if self.effective.pop(tx.tx_id, None) is not None:
            self._by_subject[tx.header.subject].pop(tx.tx_id, None)
            self._dirty.add(tx.header.subject)

    def _count(self, item: bytes, sign: int) -> None:
        self._sum += sign * int.from_bytes(item, "little")
        self._items = None
        self._fingerprint = None

    def _admit(self, author: bytes) -> None:
        """Make effective what of an author waits for nothing any more."""
        for tx in self.chains.take_linked(author):
            if self._judge_linked(tx) is not None or author in self._crowded:
                continue
            if self._purses.has_room(tx):
                self._make_effective(tx)
            else:
                # Later ones must not overtake it: a chain is sealed in order or not at all.
                self._crowded[author] = tx.header.seq

    def _make_effective(self, tx: SignedTransaction) -> None:
        header = tx.header
        self.effective[tx.tx_id] = tx
        self._by_subject.setdefault(header.subject, {})[tx.tx_id] = tx
        self._dirty.add(header.subject)
        if self._purses.is_in_turn(tx):
            self._purses.take(tx)
            return
        mine = self.chains.of(header.author).values()
        left = [one for one in mine if one.tx_id in self.effective]
        self._dirty |= self._purses.recount(header.author, left)

    def _fold(
        self,
        subject: bytes,
        transactions: Iterable[SignedTransaction],
        unfunded: Mapping[bytes, Refused],
    ) -> SubjectOutcome:
        return fold_subject(
            self.standing.view,
            self.standing.charter,
            self._network,
            Epoch(self.next_epoch, None, ()),
            subject,
            tuple(transactions),
            unfunded,
        )

    def _fold_dirty(self) -> None:
        if not self._dirty:
            return
        for subject in sorted(self._dirty):
            earlier = self._outcomes.get(subject)
            if earlier is not None:
                for key in earlier.rows:
                    self._rows.pop(key, None)
            known = self._by_subject.get(subject, {})
            outcome = self._fold(subject, known.values(), self._purses.unfunded)
            self._outcomes[subject] = outcome
            self._rows.update(outcome.rows)
        self._dirty.clear()

    def _provisional_account(self, address: bytes) -> Account | None:
        account = self.standing.view.get(ACCOUNTS, address)
        return replace(account, balance=self._purses.compute_left(address)) if account else None
