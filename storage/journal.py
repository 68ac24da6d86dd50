"""The journal: every signed transaction, each author's chain, evidence, seals and blobs.

    transactions    id -> wire
    author_chains   author, seq (8 BE) -> id        whatever stands there: sealed, open or dead
    open_set        id -> epoch named (8 BE)        unsealed and not buried
    evidence        id -> sealed epoch (8 BE, 0 = none), author, seq (8 BE), proof
    seals           "s", epoch (8 BE) -> hash, seal
                    "i", epoch (8 BE), first id -> up to 512 sorted ids that the seal takes in
    blobs           `storage.blobs`

What a transaction is follows from where its id lies: in the open set, under a seal, or in neither,
and then it is dead. So a seal moves ids and never rewrites a transaction.

Rule: nothing here writes by itself. Each `stage_` method adds to a batch; `storage.store` writes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from protocol.chains import Evidence
from protocol.errors import InvariantBroken, Rejected
from protocol.genesis import Genesis
from protocol.hashing import HASH_BYTES
from protocol.intake import Intake
from protocol.ranges import Item
from protocol.seals import Seal
from protocol.transactions import SignedTransaction
from storage.blobs import Blobs
from storage.engine import Batch, Engine
from storage.errors import Corrupt
from storage.keys import prefix_end

TRANSACTIONS, CHAINS, OPEN, EVIDENCE, SEALS = (
    "transactions",
    "author_chains",
    "open_set",
    "evidence",
    "seals",
)
IDS_PER_ROW = 512
OPENED_MAX = 2_048
"""Transactions kept opened: reading one strictly costs more than fetching it."""
READ_AHEAD = 512
EVIDENCE_EPOCH = 0
"""Where evidence sorts among (epoch, id): no transaction names this epoch."""

_SEAL, _IDS = b"s", b"i"


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One proof of equivocation as it is stored; `sealed` is None until a seal takes it in."""

    author: bytes
    seq: int
    proof: bytes
    sealed: int | None


@dataclass(frozen=True, slots=True)
class Sealing:
    """What a seal takes in, as (epoch named, id); how many transactions, and open ones of them."""

    items: tuple[Item, ...]
    transactions: int
    opened: int


class Journal:
    """Reads of the set, and what to add to a batch to change it."""

    def __init__(self, engine: Engine, genesis: Genesis) -> None:
        self._engine = engine
        self._intake = Intake(genesis.network)
        self._genesis_hash = genesis.hash
        self._late_epochs = genesis.params.late_epochs
        self.blobs = Blobs(engine)
        self._opened: dict[bytes, SignedTransaction] = {}

    # -------------------------------------------------------------------------- transactions

    def has(self, tx_id: bytes) -> bool:
        """Tell whether a transaction is stored."""
        return tx_id in self._opened or self._engine.get(TRANSACTIONS, tx_id) is not None

    def find_stored(self, ids: Sequence[bytes]) -> set[bytes]:
        """Return which of many transactions are stored."""
        wires = self._engine.get_many(TRANSACTIONS, ids)
        return {tx_id for tx_id, wire in zip(ids, wires, strict=True) if wire is not None}

    def wire(self, tx_id: bytes) -> bytes | None:
        """Return the bytes of a transaction, or None."""
        return self._engine.get(TRANSACTIONS, tx_id)

    def get(self, tx_id: bytes) -> SignedTransaction | None:
        """Return a transaction, or None. Its signature was verified before it was stored.

        Raises:
            Corrupt: `transaction_damaged`.
        """
        known = self._opened.get(tx_id)
        if known is not None:
            return known
        wire = self._engine.get(TRANSACTIONS, tx_id)
        return None if wire is None else self._open(tx_id, wire)

    def at(self, author: bytes, seq: int) -> SignedTransaction | None:
        """Return whatever is at a place of an author's chain: sealed, open or dead."""
        tx_id = self._engine.get(CHAINS, _place(author, seq))
        if tx_id is None:
            return None
        tx = self.get(tx_id)
        if tx is None:
            raise Corrupt("transaction_missing", tx_id.hex()[:16], "what the author's chain names")
        return tx

    def author_head(self, author: bytes) -> tuple[int, bytes] | None:
        """Return the highest seq stored of an author and its id; None for nobody we know."""
        rows = self._engine.scan(CHAINS, author, prefix_end(author), reverse=True)
        last = next(rows, None)
        return None if last is None else (int.from_bytes(last[0][HASH_BYTES:], "big"), last[1])

    def is_open(self, tx_id: bytes) -> bool:
        """Tell whether a transaction is stored, unsealed and not buried."""
        return self._engine.get(OPEN, tx_id) is not None

    def open_items(self) -> Iterator[Item]:
        """Return (epoch, id) of all that is open, evidence included, in no order."""
        for key, epoch in self._engine.scan(OPEN):
            yield Item(int.from_bytes(epoch, "big"), key)
        for key in self.open_evidence():
            yield Item(EVIDENCE_EPOCH, key)

    def open_transactions(self) -> Iterator[SignedTransaction]:
        """Return all open transactions, by id."""
        for ids in _in_chunks(key for key, _ in self._engine.scan(OPEN)):
            wires = self._engine.get_many(TRANSACTIONS, ids)
            for tx_id, wire in zip(ids, wires, strict=True):
                if wire is None:
                    raise Corrupt("transaction_missing", tx_id.hex()[:16], "what is open")
                yield self._open(tx_id, wire)

    def find_displaced(self, transactions: Sequence[SignedTransaction]) -> list[bytes]:
        """Return the ids of other transactions at the places of these."""
        places = [_place(tx.header.author, tx.header.seq) for tx in transactions]
        found = self._engine.get_many(CHAINS, places)
        return [
            tx_id
            for tx, tx_id in zip(transactions, found, strict=True)
            if tx_id is not None and tx_id != tx.tx_id
        ]

    def stage_transaction(self, batch: Batch, tx: SignedTransaction) -> None:
        """Add a transaction that is not stored yet; it begins open."""
        header = tx.header
        batch.put(TRANSACTIONS, tx.tx_id, tx.wire)
        batch.put(CHAINS, _place(header.author, header.seq), tx.tx_id)
        batch.put(OPEN, tx.tx_id, _number(header.epoch))

    def stage_burial(self, batch: Batch, ids: Iterable[bytes]) -> int:
        """Take transactions out of the open set; return how many were in."""
        buried = 0
        for chunk in _in_chunks(dict.fromkeys(ids)):
            for tx_id, epoch in zip(chunk, self._engine.get_many(OPEN, chunk), strict=True):
                if epoch is not None:
                    batch.delete(OPEN, tx_id)
                    buried += 1
        return buried

    def remember(self, tx: SignedTransaction) -> None:
        """Keep a transaction opened that has been written."""
        self._opened[tx.tx_id] = tx
        if len(self._opened) > OPENED_MAX:
            del self._opened[next(iter(self._opened))]

    def read(self, tx_id: bytes, wire: bytes) -> SignedTransaction:
        """Return the transaction that stored bytes are.

        Raises:
            Corrupt: `transaction_damaged`: they are not those of `tx_id`.
        """
        try:
            tx = self._intake.read(wire)
        except Rejected as error:
            raise Corrupt("transaction_damaged", f"{tx_id.hex()[:16]}: {error}", "ours") from error
        if tx.tx_id != tx_id:
            raise Corrupt("transaction_damaged", tx.tx_id.hex()[:16], tx_id.hex()[:16])
        return tx

    def _open(self, tx_id: bytes, wire: bytes) -> SignedTransaction:
        tx = self.read(tx_id, wire)
        self.remember(tx)
        return tx

    # ------------------------------------------------------------------------------ evidence

    def has_evidence(self, evidence_id: bytes) -> bool:
        """Tell whether evidence is stored."""
        return self._engine.get(EVIDENCE, evidence_id) is not None

    def evidence(self, evidence_id: bytes) -> EvidenceRow | None:
        """Return one proof with its place, or None."""
        data = self._engine.get(EVIDENCE, evidence_id)
        return None if data is None else _read_evidence_row(data)

    def evidence_place(self, evidence_id: bytes) -> tuple[bytes, int] | None:
        """Return (author, seq) of evidence, or None."""
        row = self.evidence(evidence_id)
        return None if row is None else (row.author, row.seq)

    def evidence_proof(self, evidence_id: bytes) -> bytes | None:
        """Return the proof as it travels, or None."""
        row = self.evidence(evidence_id)
        return None if row is None else row.proof

    def all_evidence(self) -> Iterator[tuple[bytes, EvidenceRow]]:
        """Return all evidence by id, as of now."""
        rows = self._engine.scan(EVIDENCE)
        return ((key, _read_evidence_row(data)) for key, data in rows)

    def open_evidence(self) -> dict[bytes, tuple[bytes, int]]:
        """Return (author, seq) by id of the evidence that no seal took in yet."""
        return {
            key: (row.author, row.seq) for key, row in self.all_evidence() if row.sealed is None
        }

    @staticmethod
    def read_proof(row: bytes) -> bytes:
        """Return the proof in a row of the table `evidence`.

        Raises:
            Corrupt: `evidence_damaged`.
        """
        return _read_evidence_row(row).proof

    @staticmethod
    def sealed_in(row: bytes) -> int | None:
        """Return the epoch whose seal took in the evidence of a row, None if none did.

        Raises:
            Corrupt: `evidence_damaged`.
        """
        return _read_evidence_row(row).sealed

    def stage_evidence(self, batch: Batch, proof: Evidence) -> None:
        """Add evidence."""
        row = EvidenceRow(proof.author, proof.seq, proof.to_bytes(), None)
        batch.put(EVIDENCE, proof.evidence_id, _encode_evidence_row(row))

    def stage_evidence_drop(self, batch: Batch, ids: Iterable[bytes]) -> int:
        """Take out evidence that no seal took in; return how much there was."""
        dropped = 0
        for evidence_id in dict.fromkeys(ids):
            row = self.evidence(evidence_id)
            if row is not None and row.sealed is None:
                batch.delete(EVIDENCE, evidence_id)
                dropped += 1
        return dropped

    # --------------------------------------------------------------------------------- seals

    def seal(self, epoch: int) -> bytes | None:
        """Return the bytes of an epoch's seal, or None."""
        data = self._engine.get(SEALS, _SEAL + _number(epoch))
        return None if data is None else data[HASH_BYTES:]

    def seal_hash(self, epoch: int) -> bytes:
        """Return the hash of an epoch's seal; that of the genesis for epoch 0.

        Raises:
            Corrupt: there is none.
        """
        if epoch == 0:
            return self._genesis_hash
        data = self._engine.get(SEALS, _SEAL + _number(epoch))
        if data is None:
            raise Corrupt("seal_missing", f"no seal {epoch}", "every seal up to the last")
        return data[:HASH_BYTES]

    def sealed_ids(self, epoch: int) -> list[bytes]:
        """Return the sorted ids that an epoch's seal takes in; none for an unknown epoch."""
        return list(self.iterate_sealed_ids(epoch))

    def iterate_sealed_ids(self, epoch: int) -> Iterator[bytes]:
        """Return the ids of an epoch's seal one by one, for whoever pauses between them."""
        prefix = _IDS + _number(epoch)
        for _, ids in self._engine.scan(SEALS, prefix, prefix_end(prefix)):
            yield from (ids[i : i + HASH_BYTES] for i in range(0, len(ids), HASH_BYTES))

    def read_sealed_ids(self, epoch: int, offset: int, most: int) -> list[bytes]:
        """Return at most `most` of the sorted ids of an epoch's seal from a place on."""
        found: list[bytes] = []
        prefix = _IDS + _number(epoch)
        for _, packed in self._engine.scan(SEALS, prefix, prefix_end(prefix)):
            count = len(packed) // HASH_BYTES
            for place in range(min(offset, count), min(count, offset + most - len(found))):
                found.append(packed[place * HASH_BYTES : (place + 1) * HASH_BYTES])
            offset = max(0, offset - count)
            if len(found) == most:
                break
        return found

    def sealed_epoch(self, item: bytes) -> int | None:
        """Return the epoch whose seal took a transaction or evidence in, or None."""
        tx = self.get(item)
        if tx is None:
            proof = self.evidence(item)
            return None if proof is None else proof.sealed
        for epoch in range(tx.header.epoch, tx.header.epoch + self._late_epochs + 1):
            prefix = _IDS + _number(epoch)
            rows = self._engine.scan(SEALS, prefix, prefix + item + b"\x00", reverse=True)
            row = next(rows, None)
            if row is not None and _is_in(item, row[1]):
                return epoch
        return None

    def stage_seal(
        self, batch: Batch, seal: Seal, seal_hash: bytes, ids: Sequence[bytes]
    ) -> "Sealing":
        """Add a seal: its ids leave the open set, its evidence is marked.

        Raises:
            InvariantBroken: an id is neither a stored transaction nor stored evidence.
        """
        epoch = seal.content.epoch
        batch.put(SEALS, _SEAL + _number(epoch), seal_hash + seal.to_bytes())
        items: list[Item] = []
        transactions = opened = 0
        for chunk in _in_chunks(ids, IDS_PER_ROW):
            batch.put(SEALS, _IDS + _number(epoch) + chunk[0], b"".join(chunk))
            proofs = self._engine.get_many(EVIDENCE, chunk)
            epochs = self._engine.get_many(OPEN, chunk)
            for item, proof, named in zip(chunk, proofs, epochs, strict=True):
                if proof is not None:
                    batch.put(EVIDENCE, item, _number(epoch) + proof[8:])
                    items.append(Item(EVIDENCE_EPOCH, item))
                    continue
                transactions += 1
                if named is not None:
                    opened += 1
                    batch.delete(OPEN, item)
                    items.append(Item(int.from_bytes(named, "big"), item))
                else:
                    items.append(Item(self._require(item).header.epoch, item))
        return Sealing(tuple(items), transactions, opened)

    def _require(self, tx_id: bytes) -> SignedTransaction:
        tx = self.get(tx_id)
        if tx is None:
            raise InvariantBroken(f"a seal takes in {tx_id.hex()[:16]}, which is not stored")
        return tx

    # --------------------------------------------------------------------------------- blobs

    def blob(self, content_hash: bytes) -> bytes | None:
        """Return a blob, its hash checked, or None."""
        return self.blobs.get(content_hash)

    def has_blob(self, content_hash: bytes) -> bool:
        """Tell whether a blob is stored."""
        return self.blobs.has(content_hash)


def _place(author: bytes, seq: int) -> bytes:
    return author + _number(seq)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _in_chunks(ids: Iterable[bytes], size: int = READ_AHEAD) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for item in ids:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _is_in(item: bytes, packed: bytes) -> bool:
    place = packed.find(item)
    while place % HASH_BYTES and place >= 0:
        place = packed.find(item, place + 1)
    return place >= 0


def _encode_evidence_row(row: EvidenceRow) -> bytes:
    return _number(row.sealed or 0) + row.author + _number(row.seq) + row.proof


def _read_evidence_row(data: bytes) -> EvidenceRow:
    head = 8 + HASH_BYTES + 8
    if len(data) <= head:
        raise Corrupt("evidence_damaged", f"{len(data)} bytes", f"over {head}")
    sealed = int.from_bytes(data[:8], "big")
    author, seq = data[8 : 8 + HASH_BYTES], int.from_bytes(data[8 + HASH_BYTES : head], "big")
    return EvidenceRow(author, seq, data[head:], sealed or None)
