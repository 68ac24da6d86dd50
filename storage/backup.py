"""Making a backup of a store that is in use: copied in small steps, named at its end.

The format, and the folder that backups lie in, are `storage.backup_folder`'s.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from protocol import codec
from protocol.framing import LENGTH_BYTES
from protocol.hashing import HASH_BYTES
from protocol.schema import encode_record
from storage.backup_folder import (
    BLOB,
    FORMAT,
    FREE_EVIDENCE,
    FREE_TX,
    ITEM_BYTES_MAX,
    ITEMS,
    MANIFEST,
    NUMBERS_MAX,
    SEAL,
    SEALED_EVIDENCE,
    SEALED_TX,
    UNFINISHED,
    Backup,
    Manifest,
    find_numbers,
    open_private,
    sweep,
    sync_folder,
    take_lock,
)
from storage.blobs import BLOBS
from storage.errors import Corrupt, StorageError
from storage.folder import translate_os_error
from storage.journal import EVIDENCE, OPEN, TRANSACTIONS
from storage.rocks import RocksEngine
from storage.store import Store

STEP_ITEMS = 64
"""Items copied between two places to pause: a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy is; `total` is an estimate."""

    done: int
    total: int


class BackupWriter:
    """One backup while it is made: `steps` to its end, then `finish`; `abandon` at any time.

    Between two steps the store may be written to: the backup holds what was there at the first.

    Args:
        store: open.
        folder: of all backups; made if it is missing.

    Raises:
        StorageError: `backup_inside_database`, `too_many_backups`, or the disk refuses.
        InUse: somebody else makes or removes a backup here.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        check_outside(store, folder)
        self._store = store
        self._folder = folder
        self._lock = take_lock(folder)
        try:
            sweep(folder)
            self._number = max(find_numbers(folder), default=0) + 1
            if self._number > NUMBERS_MAX:
                raise StorageError("too_many_backups", self._number, f"at most {NUMBERS_MAX}")
            self._work = folder / f"{self._number:06d}{UNFINISHED}"
            self._work.mkdir(mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self._file = os.fdopen(open_private(str(self._work / ITEMS), flags), "wb")
        except OSError as error:
            os.close(self._lock)
            raise translate_os_error(error) from error
        except StorageError:
            os.close(self._lock)
            raise
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._counts = dict.fromkeys(ITEM_BYTES_MAX, 0)
        self._head = store.head
        self._is_open = True

    def steps(self) -> Iterator[Progress]:
        """Copy; yield after every few items.

        Raises:
            Corrupt: the store lacks what its seals name.
            StorageError: it cannot be read, or the disk refuses.
        """
        store = self._store
        # All of this moment, before the first pause: the scans see no later write.
        self._head, totals = store.head, store.totals
        opened = store.engine.scan(OPEN)
        proofs = store.engine.scan(EVIDENCE)
        # What died in the open set is rare; it is looked for only where there is any.
        died = totals.stored - totals.sealed - totals.open
        everything = store.engine.scan(TRANSACTIONS) if died else iter(())
        blobs = store.engine.scan(BLOBS)
        total = totals.stored + totals.evidence
        try:
            for epoch in range(1, self._head.epoch + 1):
                for _ in self._copy_epoch(epoch):
                    yield self._progress(total)
            free: set[bytes] = set()
            for ids in _cut((key for key, _ in opened), STEP_ITEMS):
                free.update(ids)
                self._copy_transactions(FREE_TX, ids)
                yield self._progress(total)
            for place, (tx_id, wire) in enumerate(everything):
                if tx_id not in free and not self._is_sealed(tx_id):
                    self._add(FREE_TX, wire)
                if place % STEP_ITEMS == 0:
                    yield self._progress(total)
            for _, row in proofs:
                sealed = store.journal.sealed_in(row)
                if sealed is None or sealed > self._head.epoch:
                    self._add(FREE_EVIDENCE, store.journal.read_proof(row))
                    yield self._progress(total)
            for key, _ in blobs:
                data = store.journal.blob(key) if len(key) == HASH_BYTES else None
                if data is not None:
                    self._add(BLOB, data)
                yield self._progress(total)
        except OSError as error:
            raise translate_os_error(error) from error

    def finish(self) -> Backup:
        """Put everything on disk and give it its name. Asks nothing of the store.

        Raises:
            StorageError: the disk refuses.
        """
        genesis, head, counts = self._store.genesis, self._head, self._counts
        manifest = Manifest(
            format=FORMAT,
            network=genesis.network,
            genesis_hash=genesis.hash,
            epoch=head.epoch,
            seal_hash=head.seal_hash,
            state_root=head.state_root,
            transactions=counts[SEALED_TX] + counts[FREE_TX],
            evidence=counts[SEALED_EVIDENCE] + counts[FREE_EVIDENCE],
            blobs=counts[BLOB],
            items_bytes=self._bytes,
            digest=self._digest.digest(),
        )
        path = self._folder / f"{self._number:06d}"
        data = encode_record(manifest)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            with open(self._work / MANIFEST, "xb", opener=open_private) as file:
                file.write(data + hashlib.sha256(data).digest())
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._work)
            self._work.rename(path)
            sync_folder(self._folder)
        except OSError as error:
            raise translate_os_error(error) from error
        self._close()
        return Backup(self._number, path, manifest)

    def abandon(self) -> None:
        """Remove what was copied so far; after `finish` this does nothing."""
        if self._is_open:
            shutil.rmtree(self._work, ignore_errors=True)
            self._close()

    def _close(self) -> None:
        self._is_open = False
        with suppress(OSError):
            self._file.close()
        os.close(self._lock)

    def _copy_epoch(self, epoch: int) -> Iterator[None]:
        seal = self._store.journal.seal(epoch)
        if seal is None:
            raise Corrupt("seal_missing", f"no seal {epoch}", "every seal up to the last")
        self._add(SEAL, seal)
        for ids in _cut(self._store.journal.sealed_ids(epoch), STEP_ITEMS):
            self._copy_transactions(SEALED_TX, ids)
            yield
        yield

    def _copy_transactions(self, kind: int, ids: Sequence[bytes]) -> None:
        journal = self._store.journal
        wires = self._store.engine.get_many(TRANSACTIONS, ids)
        for item, wire in zip(ids, wires, strict=True):
            proof = journal.evidence_proof(item) if wire is None else None
            if wire is not None:
                self._add(kind, wire)
            elif proof is not None and kind == SEALED_TX:
                self._add(SEALED_EVIDENCE, proof)
            else:
                raise Corrupt("transaction_missing", f"no {item.hex()[:16]}", "what is named")

    def _is_sealed(self, tx_id: bytes) -> bool:
        sealed = self._store.journal.sealed_epoch(tx_id)
        return sealed is not None and sealed <= self._head.epoch

    def _add(self, kind: int, data: bytes) -> None:
        payload = codec.encode([kind, data])
        framed = len(payload).to_bytes(LENGTH_BYTES, "big") + payload
        self._file.write(framed)
        self._digest.update(framed)
        self._bytes += len(framed)
        self._counts[kind] += 1

    def _progress(self, total: int) -> Progress:
        counts = self._counts
        return Progress(sum(counts.values()) - counts[SEAL] - counts[BLOB], total)


def make_backup(store: Store, folder: Path) -> Backup:
    """Make a backup in one go.

    Raises:
        StorageError: as `BackupWriter`.
    """
    writer = BackupWriter(store, folder)
    try:
        for _ in writer.steps():
            pass
        return writer.finish()
    finally:
        writer.abandon()


def check_outside(store: Store, folder: Path) -> None:
    """Check that a folder does not lie in the folder of the database.

    Raises:
        StorageError: `backup_inside_database`.
    """
    engine = store.gate.inner
    if isinstance(engine, RocksEngine):
        database = engine.path.resolve()
        if folder.resolve().is_relative_to(database):
            raise StorageError("backup_inside_database", folder, f"a folder outside {database}")


def _cut(ids: Iterator[bytes] | Sequence[bytes], size: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for item in ids:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
