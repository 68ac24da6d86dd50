"""Author chains: which transactions are linked and may be sealed, and proofs of equivocation.

`prev` and `seq` make each author's transactions a hash chain. A transaction may enter a seal when
its chain is complete down to the author's sealed head, when its epoch's window is open, and when
its author exists and was never caught signing two transactions with one seq. Nothing here depends
on when or from whom a transaction came.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from protocol import codec
from protocol.errors import Rejected
from protocol.hashing import compute_hash
from protocol.intake import Intake, check_signature
from protocol.records import Account
from protocol.tables import ACCOUNTS
from protocol.transactions import SignedTransaction
from protocol.view import StateView

LinkOf = Callable[[bytes, int], SignedTransaction | None]
"""The stored transaction of (author, seq), sealed, open or dead; None if unknown."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Proof that an author signed two transactions with one seq.

    The id names only author and seq: all nodes hold the same evidence whatever pair they saw.
    """

    author: bytes
    seq: int
    first: bytes
    second: bytes

    @property
    def evidence_id(self) -> bytes:
        """The id (32 bytes) under which the evidence is replicated and sealed."""
        return compute_evidence_id(self.author, self.seq)

    def to_bytes(self) -> bytes:
        """Return the proof: the two signed transactions."""
        return codec.encode([self.first, self.second])


def compute_evidence_id(author: bytes, seq: int) -> bytes:
    """Return the id of the evidence against (author, seq)."""
    return compute_hash("equivocation", author, seq.to_bytes(8, "big"))


def build_evidence(one: SignedTransaction, other: SignedTransaction) -> Evidence:
    """Return the evidence of two different transactions of one author and seq."""
    first, second = sorted((one, other), key=lambda tx: tx.tx_id)
    return Evidence(one.header.author, one.header.seq, first.wire, second.wire)


def read_evidence(intake: Intake, proof: bytes) -> Evidence:
    """Return the evidence that `proof` holds, both signatures verified.

    Raises:
        Rejected: `evidence_shape`, `evidence_mismatch`, or why one of the two is no transaction.
    """
    value = codec.decode(proof)
    if type(value) is not list or len(value) != 2 or not all(type(v) is bytes for v in value):
        raise Rejected("evidence_shape", "another shape", "two signed transactions")
    one, other = intake.read(value[0]), intake.read(value[1])
    same_place = (one.header.author, one.header.seq) == (other.header.author, other.header.seq)
    if not same_place or one.tx_id >= other.tx_id:
        raise Rejected("evidence_mismatch", "no conflict", "two ids, sorted, of one author and seq")
    check_signature(one)
    check_signature(other)
    return Evidence(one.header.author, one.header.seq, value[0], value[1])


def is_alive(tx_epoch: int, sealing_epoch: int, late_epochs: int) -> bool:
    """Tell whether a transaction of `tx_epoch` may still enter the seal of `sealing_epoch`."""
    return sealing_epoch <= tx_epoch + late_epochs


@dataclass(frozen=True, slots=True)
class Barrier:
    """What stands in a transaction's way into the next seal.

    Attributes:
        code: `unknown_account`, `equivocated`, `not_open`, `dead`, `wrong_anchor`, `overtaken`,
            `unlinked`; of evidence `unknown_account`, `superseded`.
        missing: an id that would help, if one is known.
    """

    code: str
    missing: bytes | None = None


class Frontier(NamedTuple):
    """How far an author's chain is complete: the next seq wanted and the id before it."""

    next_seq: int
    head: bytes | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Links that are not stored here and keep a transaction of their author out of every seal.

    Attributes:
        author: whose chain it is.
        first: the least seq that is not part of his complete chain.
        last: the seq of the link named next; those between the two may lack too.
        missing: the id of that link.
    """

    author: bytes
    first: int
    last: int
    missing: bytes


def start_frontier(account: Account | None) -> Frontier:
    """Return how far the chain of an account is sealed."""
    return Frontier(0, None) if account is None else Frontier(account.next_seq, account.head)


def extend_frontier(frontier: Frontier, author: bytes, link_of: LinkOf) -> Frontier:
    """Return the frontier moved on over every stored transaction that links to it."""
    next_seq, head = frontier.next_seq, frontier.head
    while True:
        tx = link_of(author, next_seq)
        if tx is None or tx.header.prev != head:
            return Frontier(next_seq, head)
        next_seq, head = next_seq + 1, tx.tx_id


def find_gap(tx: SignedTransaction, frontier: Frontier, link_of: LinkOf) -> Gap | None:
    """Return the highest link that lacks between an unlinked transaction and the frontier.

    Whoever fetches from there downwards knows each link by the hash in the one above it. A gap of
    one place that is taken here means another chain: its link makes an equivocation.

    Returns:
        None at the start of a chain, where nothing lacks.
    """
    author = tx.header.author
    while tx.header.prev is not None:
        seq, prev = tx.header.seq - 1, tx.header.prev
        if seq < frontier.next_seq:
            return Gap(author, seq, seq, prev)
        below = link_of(author, seq)
        if below is None:
            return Gap(author, frontier.next_seq, seq, prev)
        if below.tx_id != prev:
            return Gap(author, seq, seq, prev)
        tx = below
    return None


def find_barrier(
    tx: SignedTransaction,
    epoch: int,
    late_epochs: int,
    account: Account | None,
    barred_from: int | None,
    anchors: Mapping[int, bytes],
    frontier: Frontier,
) -> Barrier | None:
    """Return what keeps `tx` out of the seal of `epoch`, None if nothing does.

    Args:
        tx: a stored, unsealed transaction.
        epoch: the epoch to be sealed.
        late_epochs: how long a transaction may be late.
        account: the author's row at the last seal.
        barred_from: least seq with evidence against the author, sealed or not.
        anchors: seal hashes by epoch, for the epochs whose transactions are still alive.
        frontier: how far the author's chain is complete, from his sealed head on.
    """
    header = tx.header
    if account is None:
        return Barrier("unknown_account")
    if barred_from is not None and header.seq >= barred_from:
        return Barrier("equivocated")
    if not is_alive(header.epoch, epoch, late_epochs):
        return Barrier("dead")
    if header.epoch > epoch:
        return Barrier("not_open")
    anchor = anchors.get(header.epoch - 1)
    if anchor is None or anchor[: len(header.anchor)] != header.anchor:
        return Barrier("wrong_anchor")
    if header.seq < account.next_seq:
        return Barrier("overtaken")
    if header.seq >= frontier.next_seq:
        return Barrier("unlinked", header.prev)
    return None


def find_gaps(
    transactions: Sequence[SignedTransaction], view: StateView, stored_link_of: LinkOf, most: int
) -> list[Gap]:
    """Return what this peer must fetch before it can judge the chains that a seal takes in.

    A peer that was not there when links died has never seen them: no seal took them in.

    Args:
        transactions: all that the seal takes in.
        view: the state before the epoch.
        stored_link_of: what this peer stores at (author, seq).
        most: gaps returned at most, one for each author.
    """
    chains = _SealedChains(transactions, view, stored_link_of)
    gaps: list[Gap] = []
    looked_at: bytes | None = None
    for (author, seq), tx in sorted(chains.sealed.items()):
        if author == looked_at or view.get(ACCOUNTS, author) is None:
            continue
        frontier = chains.find_frontier(author)
        if seq < frontier.next_seq:
            continue
        looked_at = author
        gap = find_gap(tx, frontier, chains.link_of)
        if gap is not None:
            gaps.append(gap)
            if len(gaps) == most:
                break
    return gaps


def find_inadmissible(
    transactions: Sequence[SignedTransaction],
    evidence: Sequence[tuple[bytes, int]],
    epoch: int,
    late_epochs: int,
    view: StateView,
    anchors: Mapping[int, bytes],
    stored_link_of: LinkOf,
) -> tuple[bytes, Barrier] | None:
    """Return the first item that the seal of `epoch` must not take in, and why.

    Args:
        transactions: all that the seal takes in.
        evidence: (author, seq) of the evidence it takes in; it bars from this seal on.
        epoch: the epoch sealed.
        late_epochs: how long a transaction may be late.
        view: the state before the epoch.
        anchors: seal hashes by epoch.
        stored_link_of: what this peer stores at (author, seq); dead transactions link too.
    """
    barred: dict[bytes, int] = {}
    for author, seq in evidence:
        account = view.get(ACCOUNTS, author)
        if account is None:
            return compute_evidence_id(author, seq), Barrier("unknown_account")
        # Only a lesser seq bars anything more. Without this an author could fill seals for ever.
        if account.barred_from is not None and seq >= account.barred_from:
            return compute_evidence_id(author, seq), Barrier("superseded")
        barred[author] = min(seq, barred.get(author, seq))
    chains = _SealedChains(transactions, view, stored_link_of)
    for (author, _), tx in sorted(chains.sealed.items()):
        account = view.get(ACCOUNTS, author)
        bars = (account.barred_from if account else None, barred.get(author))
        least = min((bar for bar in bars if bar is not None), default=None)
        frontier = chains.find_frontier(author)
        barrier = find_barrier(tx, epoch, late_epochs, account, least, anchors, frontier)
        if barrier is not None:
            return tx.tx_id, barrier
    if len(chains.sealed) != len(transactions):
        return transactions[0].tx_id, Barrier("equivocated")
    return None


class _SealedChains:
    """The chains that a seal takes in, laid over what is stored."""

    def __init__(
        self,
        transactions: Iterable[SignedTransaction],
        view: StateView,
        stored_link_of: LinkOf,
    ) -> None:
        self.sealed = {(tx.header.author, tx.header.seq): tx for tx in transactions}
        self._view = view
        self._stored_link_of = stored_link_of
        self._frontiers: dict[bytes, Frontier] = {}

    def link_of(self, author: bytes, seq: int) -> SignedTransaction | None:
        return self.sealed.get((author, seq)) or self._stored_link_of(author, seq)

    def find_frontier(self, author: bytes) -> Frontier:
        frontier = self._frontiers.get(author)
        if frontier is None:
            frontier = extend_frontier(
                start_frontier(self._view.get(ACCOUNTS, author)), author, self.link_of
            )
            self._frontiers[author] = frontier
        return frontier
