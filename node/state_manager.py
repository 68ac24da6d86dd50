"""The one door and the single writer: every transaction, from wherever, passes here.

Rules:
1. No await between reading the state and writing it: under trio that makes check-then-write one
   step, so the state needs no lock.
2. Disk first, memory after: nothing in memory says what a crash could take back.
3. Stored is not folded. Storing asks only the stateless check and the author's chain; folding is
   redone from the set whenever it is needed.
4. After a write that failed nobody knows what is on disk: the store takes no further one, and what
   is in memory is read anew by `resume`.
5. Equal sets with unequal roots is our bug: folding stops, everything is kept, the alarm is told.
"""

from collections.abc import Iterable, Sequence

import structlog

from node.ballot_desk import BallotDesk
from node.buggify import buggify
from node.door import Accepted, Door
from node.events import Alarm, Broadcast, EvidenceFound, Sealed, Stored
from node.open_set import Gone, OpenSet, Standing
from node.reversals import ReversalWatch
from node.sealing import Candidates, Folded, SealResult, build_plan, check_set
from protocol.chains import Evidence, build_evidence, read_evidence
from protocol.charter import find_charter
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.intake import Intake
from protocol.invariants import ConsistencyChecker
from protocol.keys import Signer
from protocol.messages import SealedIds, Status, pack_ids
from protocol.params import Params
from protocol.plan import Plan, complete
from protocol.seals import Seal, SealContent, sign_seal
from protocol.sharing import Deal
from protocol.transactions import SignedTransaction
from storage.errors import StorageError
from storage.replay import check_next_seal
from storage.store import Store

log = structlog.get_logger("state")


class StateManager:
    """One peer's state: the journal, the sealed rows and the open set over them."""

    def __init__(self, genesis: Genesis, store: Store, broadcast: Broadcast) -> None:
        self.genesis = genesis
        self.network = genesis.network
        self.intake = Intake(genesis.network)
        self.store = store
        self.broadcast = broadcast
        self.alarm: str | None = None
        self._anchors: dict[int, bytes] = {}
        self.ballots = BallotDesk(genesis, store, broadcast)
        self.open = OpenSet(self.network, store.journal.at)
        self._candidates = Candidates(store, self.open, ConsistencyChecker())
        self.door = Door(store, self.open)
        self._reversals = ReversalWatch(store.local.reversals)
        self._read_open()

    def resume(self) -> None:
        """Open the store again after a full disk and stand on what is on disk.

        Raises:
            Full: there is too little room yet; all stays as it was.
            StorageError: as `Store.reopen`.
        """
        self.store.reopen()
        self._anchors = {}
        self._candidates.forget()
        self.open.chains.forget_all()
        self._reversals = ReversalWatch(self.store.local.reversals)
        self._read_open()
        if self.ballots.box.epoch != self.epoch + 1:
            # The seal whose write was told as failed is there.
            self.ballots.restart()
        # Whoever waits for an event may have missed it: that of a write that was told as failed.
        self.broadcast.tell_nowait(Sealed(self.epoch))

    # ------------------------------------------------------------------------------ reading

    @property
    def params(self) -> Params:
        """The numbers that hold in the next epoch."""
        return self.open.standing.charter.params

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

    def _read_open(self) -> None:
        journal, standing = self.store.journal, self._read_standing()
        opened, evidence = journal.open_transactions(), journal.open_evidence()
        self._bury(self.open.rebuild(standing, opened, evidence))

    def _read_standing(self) -> Standing:
        head = self.store.head
        charter = find_charter(self.store.view, self.genesis, head.epoch + 1)
        oldest = max(0, head.epoch - charter.params.late_epochs - 1)
        self._anchors = {
            epoch: self._anchors.get(epoch) or self.store.journal.seal_hash(epoch)
            for epoch in range(oldest, head.epoch + 1)
        }
        return Standing(head.epoch, charter, self.store.view, self._anchors)

    # ----------------------------------------------------------------------------- the door

    def accept(self, transactions: Iterable[SignedTransaction], source: str | None) -> Accepted:
        """Store what is new of verified transactions, in one synced batch.

        Args:
            transactions: their signatures were verified.
            source: the peer they came from, None for our own.
        """
        judged = self.door.judge_all(transactions)
        fresh = [judged.fresh[place] for place in sorted(judged.fresh)]
        if fresh:
            self._store(fresh, source)
        evidence = tuple(key for key, proof in sorted(judged.proofs.items()) if self._bar(proof))
        return Accepted(tuple(tx.tx_id for tx in fresh), evidence, tuple(judged.refused))

    def _store(
        self,
        transactions: Sequence[SignedTransaction],
        source: str | None,
        *,
        is_replacing: bool = False,
    ) -> None:
        self.store.put_transactions(transactions, is_replacing=is_replacing)
        self._bury(self.open.add_many(transactions))
        if buggify("refold"):
            self._read_open()
        self.broadcast.tell_nowait(Stored(tuple(tx.tx_id for tx in transactions), source))

    def _bury(self, gone: Gone) -> None:
        if gone.transactions:
            self.store.bury(tx.tx_id for tx in gone.transactions)
        if gone.evidence:
            self.store.drop_evidence(gone.evidence)

    def next_link(self, author: bytes) -> tuple[int, bytes | None]:
        """Return the next seq of an author's complete chain and the id before it."""
        return self.open.next_link(author)

    def stage(self, tx: SignedTransaction) -> None:
        """Take one of our own into the open set; `store_staged` must follow without an await.

        Raises:
            Rejected: what keeps it from the next seal.
        """
        doom = self.open.find_doom(tx)
        if doom is not None:
            raise Rejected(doom, f"seq {tx.header.seq}", "a place in the next seal")
        self.open.add(tx)

    def store_staged(self, transactions: Sequence[SignedTransaction]) -> None:
        """Put staged transactions on disk, all in one synced write.

        Raises:
            StorageError: they may not be there; they are staged no more.
        """
        try:
            self.store.put_transactions(transactions)
        except StorageError:
            self._unstage(transactions)
            raise
        self.broadcast.tell_nowait(Stored(tuple(tx.tx_id for tx in transactions), None))

    def _unstage(self, transactions: Sequence[SignedTransaction]) -> None:
        opened, staged = self.open, {tx.tx_id for tx in transactions}
        for author in sorted({tx.header.author for tx in transactions}):
            opened.chains.forget(author)
        left = [tx for key, tx in opened.transactions.items() if key not in staged]
        # Over the same seal nothing is gone that was not before.
        opened.rebuild(opened.standing, left, opened.evidence)

    def accept_evidence(self, proof: bytes) -> bool:
        """Store evidence that is new; return whether it was.

        Raises:
            Rejected: the proof proves nothing.
        """
        return self._bar(read_evidence(self.intake, proof))

    def take_evidence(self, proof: bytes, *, for_seal: bool = False) -> bytes:
        """Store evidence that was asked for; return its id, new or not.

        Args:
            proof: two signed transactions.
            for_seal: a seal took it in, so it is stored even if it bars nothing more.

        Raises:
            Rejected: the proof proves nothing.
        """
        evidence = read_evidence(self.intake, proof)
        self._bar(evidence, for_seal=for_seal)
        return evidence.evidence_id

    def knows(self, item: bytes) -> bool:
        """Tell whether a transaction or evidence of this id is stored."""
        return self.store.journal.has(item) or self.store.journal.has_evidence(item)

    def find_unknown(self, ids: Sequence[bytes]) -> list[bytes]:
        """Return those of many ids under which nothing is stored, in their order."""
        journal = self.store.journal
        stored = journal.find_stored(ids)
        return [item for item in ids if item not in stored and not journal.has_evidence(item)]

    def _bar(self, proof: Evidence, *, for_seal: bool = False) -> bool:
        evidence_id = proof.evidence_id
        if not (self.door.is_storable(proof) if for_seal else self.door.is_news(proof)):
            return False
        self.store.put_evidence(proof)
        gone = self.open.bar(evidence_id, proof.author, proof.seq)
        self._bury(gone._replace(evidence=tuple(i for i in gone.evidence if i != evidence_id)))
        log.warning("equivocation_found", author=proof.author.hex()[:16], seq=proof.seq)
        self.broadcast.tell_nowait(EvidenceFound(evidence_id))
        return True

    # ------------------------------------------------------------------------------- seals

    def draft(self, time_ms: int, deals: Sequence[Deal] = ()) -> Plan:
        """Return the plan to take in all that is effective; its set is remembered."""
        set_root, ids = self._candidates.choose()
        return build_plan(self.store, set_root, len(ids), time_ms, deals)

    def seal(self, signer: Signer, time_ms: int) -> SealedIds:
        """End the epoch where this signature is a quorum; return what is to be told of it.

        Raises:
            StorageError: it may not be on disk.
        """
        plan = self.draft(time_ms)
        folded = self.fold(plan.set_root, None)
        content = complete(self.network, plan, None, folded.state_root)
        seal = Seal(content, (sign_seal(self.network, content, signer),))
        self.apply_seal(seal, folded.ids)
        return SealedIds(seal.to_bytes(), pack_ids(folded.ids))

    def check_next_seal(self, seal: Seal) -> bytes:
        """Return the hash of a seal that follows our last one.

        Raises:
            Rejected: `seal_…`.
        """
        return check_next_seal(self.store, seal)

    def find_set(self, planned: Plan | SealContent) -> Sequence[bytes] | None:
        """Return the ids that a plan or a seal takes in, if they were told and checked."""
        ids = self._candidates.find(planned.set_root)
        return self.ballots.find_set(planned.set_root) if ids is None else ids

    def examine(self, planned: Plan | SealContent, ids: Sequence[bytes]) -> SealResult | None:
        """Tell what is missing here of what a plan or a seal takes in; None if nothing is.

        Raises:
            Rejected: as `Candidates.examine`.
        """
        return self._candidates.examine(planned, ids)

    def fold(self, set_root: bytes, secret: bytes | None) -> Folded:
        """Return what the next epoch does if it takes in an examined set, with that secret."""
        return self._candidates.fold(set_root, secret)

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
        check_set(content, ids)
        lacking = self.examine(content, ids)
        if lacking is not None:
            return lacking
        folded = self.fold(content.set_root, content.secret)
        if folded.state_root != content.state_root:
            self.raise_alarm(content, folded.state_root)
            return SealResult(False)
        self._commit(seal, seal_hash, folded)
        return SealResult(True)

    def raise_alarm(self, content: SealContent, state_root: bytes) -> None:
        """Stop folding: others have another state over an equal set; all data is kept."""
        self.alarm = (
            f"epoch {content.epoch}: our state root {state_root.hex()[:16]}, "
            f"sealed {content.state_root.hex()[:16]} over the same set"
        )
        log.critical("state_diverged", reason=self.alarm)
        self.broadcast.tell_nowait(Alarm(self.alarm))

    def store_for_seal(
        self, transactions: Sequence[SignedTransaction], source: str | None = None
    ) -> None:
        """Store transactions that a valid seal took in, whatever else we hold at their places.

        What we hold there instead is the other half of an equivocation.
        """
        journal = self.store.journal
        fresh: dict[tuple[bytes, int], SignedTransaction] = {}
        rest: list[SignedTransaction] = []
        for tx in transactions:
            place = (tx.header.author, tx.header.seq)
            if place in fresh:
                rest.append(tx)
            elif not journal.has(tx.tx_id):
                fresh[place] = tx
        for (author, seq), tx in fresh.items():
            rival = journal.at(author, seq)
            if rival is not None:
                # Before its place is taken: a crash in between must not forget the loser.
                self._bar(build_evidence(rival, tx))
                self.open.chains.forget(author)
        if fresh:
            self._store([fresh[place] for place in sorted(fresh)], source, is_replacing=True)
        if rest:
            self.store_for_seal(rest, source)

    def _commit(self, seal: Seal, seal_hash: bytes, folded: Folded) -> None:
        ids = folded.ids
        shown = self._reversals.look(self.open, ids)
        self.store.commit_epoch(seal, seal_hash, ids, folded.outcome, folded.rows_hash)
        self._candidates.forget()
        sealed = set(ids)
        left = [tx for key, tx in self.open.transactions.items() if key not in sealed]
        evidence = {key: at for key, at in self.open.evidence.items() if key not in sealed}
        self._bury(self.open.rebuild(self._read_standing(), left, evidence))
        self.ballots.restart()
        self.broadcast.tell_nowait(Sealed(seal.content.epoch))
        self._reversals.compare(shown, self.open, folded.outcome)
