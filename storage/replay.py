"""Replay: a store made anew from the seals and transactions of a journal, everything checked again.

The state is a pure function of the sealed sets, so whatever a journal still holds is enough: each
seal's quorum, each signature, each set root and each state root are verified on the way. This is
what a salvage does, and what an audit does into a store in memory.
"""

from dataclasses import dataclass

from protocol.chains import Evidence, read_evidence
from protocol.charter import find_charter
from protocol.epoch import Epoch
from protocol.errors import InvariantBroken, Rejected
from protocol.fold import fold_epoch
from protocol.intake import Intake
from protocol.lthash import LtHash
from protocol.seals import Seal, check_seal, compute_beacon, compute_set_root
from protocol.transactions import SignedTransaction
from storage.errors import Corrupt
from storage.journal import Journal
from storage.store import Store


@dataclass(frozen=True, slots=True)
class Replay:
    """How far a replay came.

    Attributes:
        epoch: the last epoch that was replayed.
        stopped: why the next one was not; None if the journal has no further seal.
    """

    epoch: int
    stopped: str | None


@dataclass(frozen=True, slots=True)
class SealedEpoch:
    """One epoch as a journal or a backup holds it, verified."""

    seal: Seal
    seal_hash: bytes
    ids: list[bytes]
    transactions: list[SignedTransaction]
    evidence: list[Evidence]


def replay(journal: Journal, store: Store) -> Replay:
    """Bring `store` on from its head through every epoch that `journal` holds whole.

    Raises:
        InvariantBroken: a set is the one that was sealed and its state root is not.
        StorageError: `store` cannot write.
    """
    intake = Intake(store.genesis.network)
    while True:
        epoch = store.head.epoch + 1
        try:
            sealed = _read_epoch(journal, store, intake, epoch)
        except (Corrupt, Rejected) as error:
            return Replay(store.head.epoch, str(error))
        if sealed is None:
            return Replay(store.head.epoch, None)
        apply_epoch(store, sealed)


def _read_epoch(journal: Journal, store: Store, intake: Intake, epoch: int) -> SealedEpoch | None:
    """Return the next epoch, None if the journal has no seal for it.

    Raises:
        Rejected: a seal, a set, a transaction or a proof is not what it should be.
        Corrupt: it cannot be read, or a part is missing.
    """
    data = journal.seal(epoch)
    if data is None:
        return None
    seal = Seal.from_bytes(data)
    seal_hash = check_next_seal(store, seal)
    transactions, evidence = [], []
    for item in journal.sealed_ids(epoch):
        wire = journal.wire(item)
        if wire is not None:
            tx = intake.open(wire)
            if tx.tx_id != item:
                raise Corrupt("transaction_damaged", tx.tx_id.hex()[:16], item.hex()[:16])
            transactions.append(tx)
            continue
        proof = journal.evidence_proof(item)
        if proof is None:
            raise Corrupt("transaction_missing", f"no {item.hex()[:16]}", f"all of seal {epoch}")
        evidence.append(read_evidence(intake, proof))
    return check_set(seal, seal_hash, transactions, evidence)


def check_next_seal(store: Store, seal: Seal) -> bytes:
    """Return the hash of a seal that follows the head of `store`.

    Raises:
        Rejected: `seal_…`.
    """
    epoch = store.head.epoch + 1
    sealers, sealers_next = (
        find_charter(store.view, store.genesis, one).sealers for one in (epoch, epoch + 1)
    )
    network, prev = store.genesis.network, store.head.seal_hash
    return check_seal(network, seal, prev, epoch, sealers, sealers_next)


def check_set(
    seal: Seal,
    seal_hash: bytes,
    transactions: list[SignedTransaction],
    evidence: list[Evidence],
) -> SealedEpoch:
    """Return an epoch once its items are those that its seal signed.

    Raises:
        Corrupt: `sealed_ids_differ`.
    """
    ids = sorted([tx.tx_id for tx in transactions] + [proof.evidence_id for proof in evidence])
    content = seal.content
    if len(ids) != content.count or compute_set_root(ids) != content.set_root:
        raise Corrupt("sealed_ids_differ", f"{len(ids)} ids", f"those of seal {content.epoch}")
    return SealedEpoch(seal, seal_hash, ids, transactions, evidence)


def apply_epoch(store: Store, sealed: SealedEpoch) -> None:
    """Fold a verified epoch and commit it.

    Raises:
        InvariantBroken: its set folds to another state than the sealed one.
        StorageError: `store` cannot write.
    """
    content = sealed.seal.content
    epoch = Epoch(
        number=content.epoch,
        beacon=compute_beacon(store.head.seal_hash, content.set_root, content.secret),
        transactions=tuple(sealed.transactions),
        evidence=tuple(sorted((proof.author, proof.seq) for proof in sealed.evidence)),
    )
    outcome = fold_epoch(store.view, store.genesis, epoch)
    rows_hash: LtHash = store.head.rows_hash.copy()
    for change in outcome.changes:
        name, key, table = change.table.name, change.key, change.table
        if change.before is not None:
            rows_hash.remove_row(name, key, table.encode_row(change.before))
        if change.after is not None:
            rows_hash.add_row(name, key, table.encode_row(change.after))
    if rows_hash.state_root() != content.state_root:
        raise InvariantBroken(f"epoch {content.epoch}: the sealed set folds to another state")
    store.put_transactions(sealed.transactions, is_replacing=True)
    for proof in sealed.evidence:
        store.put_evidence(proof)
    store.commit_epoch(sealed.seal, sealed.seal_hash, sealed.ids, outcome, rows_hash)
