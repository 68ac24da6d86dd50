"""The one door and the single writer: every transaction, from wherever, passes here.

Rules:
1. No await between reading the state and writing it: under trio that makes check-then-write one
   step, so the state needs no lock.
2. Disk first, memory after: nothing in memory says what a crash could take back.
3. Stored is not folded. Storing asks only the stateless check and the author's chain; folding is
   redone from the set whenever it is needed.
4. Equal sets with unequal roots is our bug: folding stops, everything is kept, the alarm is told.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from node.events import Alarm, Broadcast, EvidenceFound, Sealed, Stored
from node.open_set import OpenSet, Standing
from protocol.chains import (
    Evidence,
    build_evidence,
    find_inadmissible,
    read_evidence,
)
from protocol.errors import Rejected
from protocol.fold import Epoch, Outcome, fold_epoch
from protocol.genesis import Genesis
from protocol.intake import AHEAD_EPOCHS_MAX, Intake
from protocol.invariants import ConsistencyChecker
from protocol.keys import Signer
from protocol.lthash import LtHash
from protocol.messages import SealedIds, Status, pack_ids
from protocol.seals import (
    Seal,
    SealContent,
    check_seal,
    compute_beacon,
    compute_sealers_hash,
    compute_set_root,
    sign_seal,
)
from protocol.tables import ACCOUNTS
from protocol.transactions import SignedTransaction
from storage.store import Store

log = structlog.get_logger("state")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a batch at the door.

    Attributes:
        stored: ids that are new and on disk.
        evidence: ids of evidence that is new.
        refused: (id, code) of what was not stored; none of it blames the peer that sent it.
    """

    stored: tuple[bytes, ...]
    evidence: tuple[bytes, ...]
    refused: tuple[tuple[bytes, str], ...]


@dataclass(frozen=True, slots=True)
class SealResult:
    """What became of a seal: applied, or the ids that are missing for it."""

    applied: bool
    missing: tuple[bytes, ...] = ()


class StateManager:
    """One peer's state: the journal, the sealed rows and the open set over them."""

    def __init__(self, genesis: Genesis, store: Store, broadcast: Broadcast) -> None:
        self.genesis = genesis
        self.params = genesis.params
        self.network = genesis.network
        self.intake = Intake(genesis.network)
        self.store = store
        self.broadcast = broadcast
        self.alarm: str | None = None
        self._checker = ConsistencyChecker()
        self.open = OpenSet(self.params, self.network, store.journal.at)
        dead = self.open.rebuild(
            self._read_standing(), store.journal.open_transactions(), store.journal.open_evidence()
        )
        if dead:
            self.store.bury(tx.tx_id for tx in dead)

    # ------------------------------------------------------------------------------ reading

    @property
    def epoch(self) -> int:
        """The last sealed epoch."""
        return self.store.head.epoch

    @property
    def seal_hash(self) -> bytes:
        """The hash of the last seal; of the genesis before the first."""
        return self.store.head.seal_hash

    @property
    def state_root(self) -> bytes:
        """The root of the sealed state."""
        return self.store.head.state_root

    def status(self) -> Status:
        """Return where this peer stands, for its peers."""
        view = self.open
        return Status(
            epoch=self.epoch,
            seal_hash=self.seal_hash,
            open_count=view.count,
            open_fingerprint=view.fingerprint(),
            state_root=self.state_root,
        )

    def _read_standing(self) -> Standing:
        head = self.store.head
        oldest = max(0, head.epoch - self.params.late_epochs - 1)
        anchors = {e: self.store.journal.seal_hash(e) for e in range(oldest, head.epoch + 1)}
        return Standing(head.epoch, self.store.view, anchors)

    # ----------------------------------------------------------------------------- the door

    def accept(self, transactions: Iterable[SignedTransaction], source: str | None) -> Accepted:
        """Store what is new of verified transactions, in one synced batch.

        Args:
            transactions: their signatures were verified.
            source: the peer they came from, None for our own.
        """
        journal = self.store.journal
        fresh: list[SignedTransaction] = []
        proofs: dict[bytes, Evidence] = {}
        refused: list[tuple[bytes, str]] = []
        places: dict[tuple[bytes, int], SignedTransaction] = {}
        for tx in transactions:
            place = (tx.header.author, tx.header.seq)
            other = places.get(place) or journal.at(*place)
            if (other is not None and other.tx_id == tx.tx_id) or journal.has(tx.tx_id):
                continue
            code = self._find_refusal(tx)
            if code is not None:
                refused.append((tx.tx_id, code))
            elif other is not None:
                proof = build_evidence(other, tx)
                proofs.setdefault(proof.evidence_id, proof)
            else:
                fresh.append(tx)
                places[place] = tx
        if fresh:
            self.store.put_transactions(fresh)
            # In the order of their chains: a later link first would be counted twice.
            fresh.sort(key=lambda tx: (tx.header.author, tx.header.seq))
            dead = [tx.tx_id for tx in fresh if self._is_spent(tx)]
            if dead:
                self.store.bury(dead)
            self.broadcast.tell_nowait(Stored(tuple(tx.tx_id for tx in fresh), source))
        evidence = tuple(key for key, proof in sorted(proofs.items()) if self._bar(proof))
        return Accepted(tuple(tx.tx_id for tx in fresh), evidence, tuple(refused))

    def _is_spent(self, tx: SignedTransaction) -> bool:
        barrier = self.open.add(tx)
        return barrier is not None and tx.tx_id not in self.open.transactions

    def _find_refusal(self, tx: SignedTransaction) -> str | None:
        """Return why a transaction is not stored now; it may be offered again later."""
        if tx.header.epoch > self.epoch + 1 + AHEAD_EPOCHS_MAX:
            return "too_far_ahead"
        if self.store.view.get(ACCOUNTS, tx.header.author) is None:
            return "unknown_account"
        if self.open.is_barred(tx.header.author, tx.header.seq):
            return "equivocated"
        return None

    def next_link(self, author: bytes) -> tuple[int, bytes | None]:
        """Return the next seq of an author's complete chain and the id before it."""
        return self.open.next_link(author)

    def stage(self, tx: SignedTransaction) -> None:
        """Take one of our own into the open set; `store_staged` must follow without an await.

        Raises:
            Rejected: what keeps it from the next seal.
        """
        barrier = self.open.add(tx)
        if barrier is not None:
            raise Rejected(barrier.code, f"seq {tx.header.seq}", "a place in the next seal")

    def store_staged(self, transactions: Sequence[SignedTransaction]) -> None:
        """Put staged transactions on disk, all in one synced write."""
        self.store.put_transactions(transactions)
        self.broadcast.tell_nowait(Stored(tuple(tx.tx_id for tx in transactions), None))

    def accept_evidence(self, proof: bytes) -> bool:
        """Store evidence that is new; return whether it was.

        Raises:
            Rejected: the proof proves nothing.
        """
        return self._bar(read_evidence(self.intake, proof))

    def take_evidence(self, proof: bytes) -> bytes:
        """Store evidence that was asked for; return its id, new or not.

        Raises:
            Rejected: the proof proves nothing.
        """
        evidence = read_evidence(self.intake, proof)
        self._bar(evidence)
        return evidence.evidence_id

    def knows(self, item: bytes) -> bool:
        """Tell whether a transaction or evidence of this id is stored."""
        return self.store.journal.has(item) or self.store.journal.has_evidence(item)

    def _bar(self, proof: Evidence) -> bool:
        if self.store.journal.has_evidence(proof.evidence_id):
            return False
        if self.store.view.get(ACCOUNTS, proof.author) is None:
            return False
        self.store.put_evidence(proof)
        gone = self.open.bar(proof.evidence_id, proof.author, proof.seq)
        if gone:
            self.store.bury(tx.tx_id for tx in gone)
        log.warning("equivocation_found", author=proof.author.hex()[:16], seq=proof.seq)
        self.broadcast.tell_nowait(EvidenceFound(proof.evidence_id))
        return True

    # ------------------------------------------------------------------------------- seals

    def seal(self, signer: Signer, time_ms: int) -> SealedIds:
        """End the epoch with all that is effective; sign, fold and store it.

        Returns:
            The seal and the ids it takes in, to be told to the peers.
        """
        transactions = tuple(self.open.effective[key] for key in sorted(self.open.effective))
        evidence = tuple(sorted(self.open.evidence.items()))
        ids = sorted([tx.tx_id for tx in transactions] + [key for key, _ in evidence])
        epoch, outcome, rows_hash = self._fold(ids, transactions, [place for _, place in evidence])
        content = SealContent(
            epoch=epoch.number,
            prev=self.seal_hash,
            set_root=compute_set_root(ids),
            count=len(ids),
            state_root=rows_hash.state_root(),
            sealers_next=compute_sealers_hash(self.genesis.sealers),
            time_ms=time_ms,
        )
        seal = Seal(content, (sign_seal(self.network, content, signer),))
        seal_hash = check_seal(
            self.network, seal, self.seal_hash, epoch.number, self.genesis.sealers
        )
        self._commit(seal, seal_hash, ids, outcome, rows_hash)
        return SealedIds(seal.to_bytes(), pack_ids(ids))

    def check_next_seal(self, seal: Seal) -> bytes:
        """Return the hash of a seal that follows our last one.

        Raises:
            Rejected: `seal_…`.
        """
        return check_seal(self.network, seal, self.seal_hash, self.epoch + 1, self.genesis.sealers)

    def apply_seal(self, seal: Seal, ids: Sequence[bytes]) -> SealResult:
        """Take in the next seal: find what it took in, fold, compare the roots, store.

        Raises:
            Rejected: `seal_…`: the seal does not follow, its ids are not those it signed, or it
                takes in what must not be sealed.
        """
        if self.alarm is not None:
            return SealResult(False)
        content = seal.content
        seal_hash = self.check_next_seal(seal)
        if len(ids) != content.count or compute_set_root(ids) != content.set_root:
            raise Rejected("seal_set", f"{len(ids)} other ids", f"the {content.count} signed")
        transactions, evidence, missing = self._collect(ids)
        if missing:
            return SealResult(False, tuple(missing))
        inadmissible = find_inadmissible(
            transactions,
            evidence,
            content.epoch,
            self.params.late_epochs,
            self.store.view,
            self.open.standing.anchors,
            self.store.journal.at,
        )
        if inadmissible is not None:
            tx_id, barrier = inadmissible
            if barrier.missing is not None and not self.store.journal.has(barrier.missing):
                return SealResult(False, (barrier.missing,))
            raise Rejected("seal_inadmissible", f"{tx_id.hex()[:16]} {barrier.code}", "a legal set")
        _, outcome, rows_hash = self._fold(sorted(ids), transactions, evidence)
        if rows_hash.state_root() != content.state_root:
            self._raise_alarm(
                f"epoch {content.epoch}: our state root {rows_hash.state_root().hex()[:16]}, "
                f"sealed {content.state_root.hex()[:16]} over the same set"
            )
            return SealResult(False)
        self._commit(seal, seal_hash, sorted(ids), outcome, rows_hash)
        return SealResult(True)

    def store_for_seal(
        self, transactions: Sequence[SignedTransaction], source: str | None = None
    ) -> None:
        """Store transactions that a valid seal took in, whatever else we hold at their places.

        What we hold there instead is the other half of an equivocation.
        """
        journal = self.store.journal
        fresh = [tx for tx in transactions if not journal.has(tx.tx_id)]
        rivals = [(journal.at(tx.header.author, tx.header.seq), tx) for tx in fresh]
        if fresh:
            self.store.put_transactions(fresh, is_replacing=True)
            self.broadcast.tell_nowait(Stored(tuple(tx.tx_id for tx in fresh), source))
        for rival, tx in rivals:
            if rival is not None:
                self._bar(build_evidence(rival, tx))

    def _collect(
        self, ids: Iterable[bytes]
    ) -> tuple[list[SignedTransaction], list[tuple[bytes, int]], list[bytes]]:
        transactions: list[SignedTransaction] = []
        evidence: list[tuple[bytes, int]] = []
        missing: list[bytes] = []
        for item in ids:
            tx = self.open.transactions.get(item) or self.store.journal.get(item)
            if tx is not None:
                transactions.append(tx)
                continue
            place = self.open.evidence.get(item) or self.store.journal.evidence_place(item)
            if place is not None:
                evidence.append(place)
            else:
                missing.append(item)
        return transactions, evidence, missing

    def _fold(
        self,
        ids: Sequence[bytes],
        transactions: Sequence[SignedTransaction],
        evidence: Sequence[tuple[bytes, int]],
    ) -> tuple[Epoch, Outcome, LtHash]:
        epoch = Epoch(
            number=self.epoch + 1,
            beacon=compute_beacon(self.seal_hash, compute_set_root(ids)),
            transactions=tuple(transactions),
            evidence=tuple(sorted(evidence)),
        )
        outcome = fold_epoch(self.store.view, self.params, self.network, epoch)
        self._checker.check(self.store.view, outcome)
        rows_hash = self.store.head.rows_hash.copy()
        for change in outcome.changes:
            name, key, table = change.table.name, change.key, change.table
            if change.before is not None:
                rows_hash.remove_row(name, key, table.encode_row(change.before))
            if change.after is not None:
                rows_hash.add_row(name, key, table.encode_row(change.after))
        return epoch, outcome, rows_hash

    def _commit(
        self,
        seal: Seal,
        seal_hash: bytes,
        ids: Sequence[bytes],
        outcome: Outcome,
        rows_hash: LtHash,
    ) -> None:
        self.store.commit_epoch(seal, seal_hash, ids, outcome, rows_hash)
        sealed = set(ids)
        left = [tx for key, tx in self.open.transactions.items() if key not in sealed]
        evidence = {key: at for key, at in self.open.evidence.items() if key not in sealed}
        dead = self.open.rebuild(self._read_standing(), left, evidence)
        if dead:
            self.store.bury(tx.tx_id for tx in dead)
        self.broadcast.tell_nowait(Sealed(seal.content.epoch))

    def _raise_alarm(self, reason: str) -> None:
        self.alarm = reason
        log.critical("state_diverged", reason=reason)
        self.broadcast.tell_nowait(Alarm(reason))
