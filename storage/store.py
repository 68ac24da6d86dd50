"""Store: opens a database, checks whose it is and whether it is whole, and hands out its parts.

Every write of the node passes here. Each is one atomic batch, and memory follows only once the
batch is written: after a failed write the store still says what is on disk.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from protocol.chains import Evidence
from protocol.errors import InvariantBroken
from protocol.fold import Change, Outcome
from protocol.genesis import Genesis
from protocol.lthash import LtHash
from protocol.ranges import RangeView, compute_fingerprint
from protocol.seals import Seal
from protocol.tables import BY_NAME
from protocol.transactions import SignedTransaction
from storage import meta
from storage.cache import RowCache
from storage.commit import stage_changes
from storage.engine import Batch, Engine
from storage.errors import Corrupt, StorageError, WrongNetwork
from storage.gated import GatedEngine
from storage.indexes import INDEXES_VERSION
from storage.journal import OPEN, Journal, Sealing
from storage.local import LocalStore
from storage.memory import MemoryEngine
from storage.meta import META, Head, Totals
from storage.metered import MeteredEngine
from storage.migrations import SCHEMA, keep_copy, migrate, read_schema, stage_schema
from storage.overlay import OverlayView
from storage.queries import Queries
from storage.range_index import RangeIndex
from storage.rebuild import rebuild_indexes
from storage.rocks import RocksEngine, RocksSettings
from storage.rows import Rows
from storage.stats import PerformanceReport, build_report
from storage.tombstones import read_pruned, stage_pruned
from storage.view import StoreView


class Store:
    """One peer's state at rest.

    Attributes:
        gate: refuses writes after one that failed, or into a full disk.
        engine: where the bytes are, gated and measured.
        head: the last seal and the state it left.
        totals: what is stored, counted as it was written.
        journal: signed transactions, chains, evidence, seals, blobs.
        view: the sealed state as the fold asks for it.
        queries: the sealed state as people ask for it.
        pruned: what of the sealed state was dropped here.
        migrated_from: the older schema that this open found, None if it found ours.
        local: what this node thinks of it; part of no root.
    """

    def __init__(self, engine: Engine, genesis: Genesis) -> None:
        """Stand on an open engine; write the genesis into a new one, migrate an old one.

        Raises:
            FormatTooNew: a later release wrote it.
            WrongNetwork: the database has another genesis.
            Corrupt: its counts do not fit what it holds.
        """
        self.gate = GatedEngine(engine)
        self.engine = engine = MeteredEngine(self.gate)
        self.genesis = genesis
        self.rows = Rows(engine, RowCache())
        self.journal = Journal(engine, genesis)
        self.view = StoreView(engine, self.rows)
        self.queries = Queries(engine, self.rows)
        schema = read_schema(engine)
        head = meta.read_head(engine)
        if head is None:
            self._write_genesis()
            schema = SCHEMA
            head = meta.read_head(engine)
        if head is None or engine.get(META, meta.GENESIS) != genesis.hash:
            raise WrongNetwork("wrong_genesis", "another genesis", genesis.hash.hex()[:16])
        self.migrated_from = schema if schema < SCHEMA else None
        if self.migrated_from is not None:
            if isinstance(self.gate.inner, RocksEngine):
                keep_copy(self.gate.inner, genesis.network)
            migrate(engine)
        self.head = head
        self.totals = meta.read_totals(engine)
        self.pruned = read_pruned(engine)
        self._ranges = RangeIndex(engine)
        self._check()
        self.local = LocalStore(engine, self.rows)
        if engine.get(META, meta.INDEXES) != bytes([INDEXES_VERSION]):
            rebuild_indexes(engine)

    @classmethod
    def open(
        cls, path: Path, genesis: Genesis, *, settings: RocksSettings | None = None
    ) -> "Store":
        """Open the store in a folder; create it where there is none.

        Raises:
            StorageError: as `RocksEngine` and the constructor.
        """
        engine = RocksEngine(path, network=genesis.network, settings=settings)
        try:
            return cls(engine, genesis)
        except BaseException:
            engine.close()
            raise

    @classmethod
    def in_memory(cls, genesis: Genesis) -> "Store":
        """Return a new store in memory: for tests and simulations."""
        return cls(MemoryEngine(), genesis)

    def reopen(self) -> None:
        """Open the database again after a full disk, and say anew what is on disk.

        Raises:
            Full: there is too little room yet; reads go on.
            StorageError: as `open`.
        """
        self.gate.reopen()
        self.rows.cache.clear()
        self.head = meta.read_head(self.engine) or self.head
        self.totals = meta.read_totals(self.engine)
        self.pruned = read_pruned(self.engine)
        self._ranges.reload()
        self._check()
        self.local.reload()

    def close(self) -> None:
        """Close the engine; a second close is no error."""
        self.engine.close()

    # ------------------------------------------------------------------------------- writing

    def put_transactions(
        self, transactions: Iterable[SignedTransaction], *, is_replacing: bool = False
    ) -> None:
        """Store transactions in one synced batch; those stored already change nothing.

        With `is_replacing` they take their places in their authors' chains from whatever is there:
        a seal has decided for them.

        Raises:
            InvariantBroken: a place is taken and `is_replacing` is not given.
        """
        unique = {tx.tx_id: tx for tx in transactions}
        known = self.journal.find_stored(list(unique))
        fresh = [tx for tx_id, tx in unique.items() if tx_id not in known]
        if not fresh:
            return
        displaced = self.journal.find_displaced(fresh)
        places = {(tx.header.author, tx.header.seq) for tx in fresh}
        if len(places) != len(fresh) or (displaced and not is_replacing):
            raise InvariantBroken("two transactions for one place of an author's chain")
        batch = Batch()
        for tx in fresh:
            self.journal.stage_transaction(batch, tx)
        buried = self.journal.stage_burial(batch, displaced)
        totals = replace(
            self.totals,
            stored=self.totals.stored + len(fresh),
            open=self.totals.open + len(fresh) - buried,
        )
        self._write(batch, totals, sync=True)
        for tx in fresh:
            self.journal.remember(tx)

    def bury(self, ids: Iterable[bytes]) -> None:
        """Take transactions out of the open set that no seal will ever take in.

        They stay in the journal and in their chains. What is dead is computed again after a
        crash, so this is not synced.
        """
        batch = Batch()
        buried = self.journal.stage_burial(batch, ids)
        if buried:
            self._write(batch, replace(self.totals, open=self.totals.open - buried), sync=False)

    def put_evidence(self, proof: Evidence) -> None:
        """Store a proof of equivocation, synced; one that is stored already changes nothing."""
        if self.journal.has_evidence(proof.evidence_id):
            return
        batch = Batch()
        self.journal.stage_evidence(batch, proof)
        self._write(batch, replace(self.totals, evidence=self.totals.evidence + 1), sync=True)

    def drop_evidence(self, ids: Iterable[bytes]) -> None:
        """Forget unsealed evidence that bars nothing which other evidence does not bar.

        Not synced: which evidence that is, is computed again after a crash.
        """
        batch = Batch()
        dropped = self.journal.stage_evidence_drop(batch, ids)
        if dropped:
            totals = replace(self.totals, evidence=self.totals.evidence - dropped)
            self._write(batch, totals, sync=False)

    def put_blob(self, content_hash: bytes, data: bytes) -> None:
        """Store a blob, synced.

        Raises:
            Rejected: `blob_too_long` or `blob_mismatch`.
        """
        self.journal.blobs.put(content_hash, data)

    def commit_epoch(
        self,
        seal: Seal,
        seal_hash: bytes,
        ids: Sequence[bytes],
        outcome: Outcome,
        rows_hash: LtHash,
    ) -> None:
        """Write a sealed epoch: rows, indexes, seal, journal marks, range index, head; one batch.

        Args:
            seal: checked by the caller.
            seal_hash: its hash.
            ids: what it takes in, sorted; all of it is stored.
            outcome: what the fold made of it.
            rows_hash: set hash of all rows afterwards.

        Raises:
            InvariantBroken: these do not fit together or do not follow the head.
        """
        head = Head(seal.content.epoch, seal_hash, rows_hash.copy())
        if head.epoch != self.head.epoch + 1 or outcome.epoch != head.epoch:
            raise InvariantBroken(f"epoch {head.epoch} after {self.head.epoch}")
        if head.state_root != seal.content.state_root:
            raise InvariantBroken(f"epoch {head.epoch}: another state root than its seal's")
        if list(ids) != sorted(set(ids)) or len(ids) != seal.content.count:
            raise InvariantBroken(f"epoch {head.epoch}: ids that its seal did not sign")
        batch = Batch()
        updates, more_rows = stage_changes(batch, outcome.changes)
        sealing = self.journal.stage_seal(batch, seal, seal_hash, ids)
        ranges = self._ranges.edit(batch)
        if ranges.insert_many(sealing.items) != len(sealing.items):
            raise InvariantBroken(f"epoch {head.epoch}: an id that an earlier seal took in")
        meta.stage_head(batch, head)
        self._write(batch, self._count_sealing(sealing, more_rows), sync=True)
        self.head = head
        self.rows.cache.update(updates)
        ranges.applied()

    def prune(
        self,
        batch: Batch,
        changes: Sequence[Change],
        *,
        tasks: int = 0,
        freed_bytes: int = 0,
        leaving: bytes | None = None,
        upto: int = 0,
    ) -> None:
        """Drop rows that no fold will ask for again, with their index keys; one batch.

        The state root stays that of all rows: these go over into `pruned`. Not synced: a crash
        leaves more to be dropped.

        Args:
            batch: what is to be written with it.
            changes: the rows, none of them with an `after`.
            tasks: how many tasks this ends.
            freed_bytes: of blobs deleted in the batch.
            leaving: the task that is half dropped now.
            upto: the epoch up to which rulings are gone, 0 if that does not change.
        """
        dropped = LtHash.from_bytes(self.pruned.lanes)
        for change in changes:
            data = change.table.encode_row(change.before)
            dropped.add_row(change.table.name, change.key, data)
            freed_bytes += len(data)
        staged = batch.size_bytes
        updates, _ = stage_changes(batch, changes)
        pruned = replace(
            self.pruned.count(
                tasks=tasks,
                rows=len(changes),
                size_bytes=freed_bytes + batch.size_bytes - staged,
            ),
            lanes=dropped.to_bytes(),
            leaving=leaving,
            upto=max(self.pruned.upto, upto),
        )
        stage_pruned(batch, pruned)
        self.engine.write(batch, sync=False)
        self.pruned = pruned
        for place, _, _ in updates:
            self.rows.cache.forget(place)

    def meta_put(self, name: str, value: bytes) -> None:
        """Store a small local record, synced."""
        batch = Batch()
        batch.put(META, meta.LOCAL + name.encode("utf-8"), value)
        self.engine.write(batch, sync=True)

    def mark_repaired(self) -> None:
        """Record that what a salvage lost has been refilled."""
        batch = Batch()
        batch.delete(META, meta.NEEDS_REPAIR)
        self.engine.write(batch, sync=True)

    def checkpoint(self, path: Path) -> None:
        """Write a consistent copy to a new folder: a backup that opens like any store.

        Raises:
            StorageError: `folder_not_empty`, `no_files` for a store in memory, or as `Full`.
        """
        engine = self.gate.inner
        if not isinstance(engine, RocksEngine):
            raise StorageError("no_files", "a store in memory", "one in a folder")
        engine.checkpoint(path)

    # ------------------------------------------------------------------------------- reading

    def meta_get(self, name: str) -> bytes | None:
        """Return a small local record, or None."""
        return self.engine.get(META, meta.LOCAL + name.encode("utf-8"))

    @property
    def needs_repair(self) -> str | None:
        """Why this store must be refilled from peers before it serves; None if it need not."""
        reason = self.engine.get(META, meta.NEEDS_REPAIR)
        return None if reason is None else reason.decode("utf-8", "replace")

    def range_view(self) -> RangeView:
        """Return everything sealed or open by (epoch, id), as of now."""
        return OverlayView(self._ranges.snapshot(), self.journal.open_items())

    def report_performance(self) -> PerformanceReport:
        """Return how storage did since it was opened.

        Raises:
            StorageError: as `Engine.properties`.
        """
        return build_report(self.engine.stats, self.rows.cache, self.engine)

    # --------------------------------------------------------------------------- inner parts

    def _write(self, batch: Batch, totals: Totals, *, sync: bool) -> None:
        meta.stage_totals(batch, totals)
        self.engine.write(batch, sync=sync)
        self.totals = totals

    def _count_sealing(self, sealing: Sealing, more_rows: int) -> Totals:
        totals = self.totals
        items_sum = int.from_bytes(totals.items_sum, "little")
        items_sum += sum(int.from_bytes(item.id, "little") for item in sealing.items)
        return replace(
            totals,
            open=totals.open - sealing.opened,
            sealed=totals.sealed + sealing.transactions,
            items=totals.items + len(sealing.items),
            items_sum=(items_sum % (1 << 256)).to_bytes(32, "little"),
            rows=totals.rows + more_rows,
        )

    def _write_genesis(self) -> None:
        rows_hash = LtHash()
        changes = []
        for (name, key), record in sorted(self.genesis.rows().items()):
            table = BY_NAME[name]
            rows_hash.add_row(name, key, table.encode_row(record))
            changes.append(Change(table, key, None, record))
        batch = Batch()
        _, rows = stage_changes(batch, changes)
        meta.stage_head(batch, Head(0, self.genesis.hash, rows_hash))
        meta.stage_totals(batch, replace(meta.NOTHING, rows=rows))
        stage_schema(batch)
        batch.put(META, meta.GENESIS, self.genesis.hash)
        batch.put(META, meta.INDEXES, bytes([INDEXES_VERSION]))
        self.engine.write(batch, sync=True)

    def _check(self) -> None:
        """Compare the counts with what is there; quick, because the open must be.

        Raises:
            Corrupt: they differ.
        """
        totals = self.totals
        items = self._ranges.snapshot()
        items_sum = int.from_bytes(totals.items_sum, "little")
        if items.size() != totals.items or items.fingerprint(
            0, totals.items
        ) != compute_fingerprint(items_sum, totals.items):
            raise Corrupt("items_differ", f"{items.size()} items", f"those {totals.items} counted")
        opened = sum(1 for _ in self.engine.scan(OPEN))
        if opened != totals.open:
            raise Corrupt("open_set_differs", f"{opened} open", totals.open)
        if self.head.epoch:
            data = self.journal.seal(self.head.epoch)
            if data is None or self.journal.seal_hash(self.head.epoch) != self.head.seal_hash:
                raise Corrupt("head_differs", "another last seal", f"epoch {self.head.epoch}")
            if Seal.from_bytes(data).content.state_root != self.head.state_root:
                raise Corrupt("head_differs", "another state root", f"epoch {self.head.epoch}")
