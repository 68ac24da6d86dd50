"""Restoring: a backup becomes a new database, everything in it checked again.

Nothing in a backup is trusted. First the stream must be the one that its manifest names, then each
seal's quorum, each signature, each set root and each state root are verified as they would be had a
peer sent them. The new database is made beside its place and renamed into it at the end: what is in
place is whole. The marks of what this machine ever signed lie outside it and are not touched.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from protocol import codec
from protocol.chains import Evidence, read_evidence
from protocol.errors import Rejected
from protocol.framing import LENGTH_BYTES
from protocol.genesis import Genesis
from protocol.hashing import compute_content_hash
from protocol.intake import Intake
from protocol.seals import Seal
from protocol.transactions import SignedTransaction
from storage.backup_folder import (
    BLOB,
    FRAME_BYTES_MAX,
    FREE_EVIDENCE,
    FREE_TX,
    ITEM_BYTES_MAX,
    ITEMS,
    SEAL,
    SEALED_EVIDENCE,
    SEALED_TX,
    Manifest,
    open_items,
    read_manifest,
    sync_folder,
)
from storage.errors import Corrupt, StorageError, WrongNetwork
from storage.folder import translate_os_error
from storage.replay import apply_epoch, check_next_seal, check_set
from storage.rocks import RocksSettings
from storage.store import Store

CHUNK_BYTES = 1 << 20
BATCH_ITEMS = 256
OnBytes = Callable[[int, int], None]
"""Told how many bytes of how many have been read."""
Item = tuple[int, bytes]


@dataclass(slots=True)
class _Pending:
    """One epoch while its items come in."""

    seal: Seal
    seal_hash: bytes
    transactions: list[SignedTransaction]
    evidence: list[Evidence]


def restore(
    backup: Path,
    path: Path,
    genesis: Genesis,
    *,
    settings: RocksSettings | None = None,
    on_bytes: OnBytes | None = None,
) -> Manifest:
    """Make the database of a backup in `path`, which is not there or empty.

    The caller holds the data directory's lock. A kill leaves `path` as it was.

    Raises:
        StorageError: `folder_not_empty`, `no_backup`.
        WrongNetwork: the backup is another network's.
        FormatTooNew: a later release wrote it.
        Corrupt: the backup is not what was written.
        Full: no room.
    """
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise StorageError("folder_not_empty", path, "a new or empty folder")
    manifest = check_stream(backup, genesis, on_bytes=on_bytes)
    work = path.with_name(path.name + ".restore")
    try:
        _rebuild(backup, manifest, work, genesis, settings, on_bytes)
        with suppress(FileNotFoundError):
            path.rmdir()
        work.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise translate_os_error(error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def verify_backup(
    backup: Path, genesis: Genesis, work: Path, *, on_bytes: OnBytes | None = None
) -> Manifest:
    """Restore a backup into a folder that is removed again: all that a restore would find.

    Args:
        backup: its folder.
        genesis: of the network.
        work: a folder that is not there, on a disk with room for a database.
        on_bytes: told how far it is.

    Raises:
        StorageError: as `restore`.
    """
    manifest = check_stream(backup, genesis, on_bytes=on_bytes)
    try:
        _rebuild(backup, manifest, work, genesis, None, on_bytes)
    except OSError as error:
        raise translate_os_error(error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def check_stream(backup: Path, genesis: Genesis, *, on_bytes: OnBytes | None = None) -> Manifest:
    """Return the manifest of a backup whose bytes are those that were written.

    Raises:
        WrongNetwork: `wrong_network` or `wrong_genesis`.
        Corrupt: `backup_damaged`.
        StorageError: as `read_manifest`.
    """
    manifest = read_manifest(backup)
    if manifest.network != genesis.network:
        raise WrongNetwork("wrong_network", manifest.network.hex(), genesis.network.hex())
    if manifest.genesis_hash != genesis.hash:
        raise WrongNetwork("wrong_genesis", "another genesis", genesis.hash.hex()[:16])
    digest = hashlib.sha256()
    done = 0
    with os.fdopen(open_items(backup), "rb") as file:
        # Length first: what follows a whole stream is damage too.
        found = os.fstat(file.fileno()).st_size
        if found != manifest.items_bytes:
            wanted = f"{manifest.items_bytes} bytes"
            raise Corrupt("backup_damaged", f"{ITEMS} of {found} bytes", wanted)
        try:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                if on_bytes is not None:
                    on_bytes(done, 2 * manifest.items_bytes)
        except OSError as error:
            raise translate_os_error(error) from error
    if digest.digest() != manifest.digest:
        raise Corrupt("backup_damaged", f"{ITEMS} with another checksum", "that of its manifest")
    return manifest


def _rebuild(
    backup: Path,
    manifest: Manifest,
    work: Path,
    genesis: Genesis,
    settings: RocksSettings | None,
    on_bytes: OnBytes | None,
) -> None:
    shutil.rmtree(work, ignore_errors=True)
    store = Store.open(work, genesis, settings=settings)
    try:
        load_items(store, _read_items(backup, manifest, on_bytes))
        _compare(store, manifest)
        store.engine.flush()
    finally:
        store.close()


def load_items(store: Store, items: Iterator[Item]) -> None:
    """Take the stream of a backup into a new store, each item verified.

    Raises:
        Corrupt: `backup_damaged`, `sealed_ids_differ`.
        StorageError: the store cannot write.
    """
    try:
        _load(store, items)
    except Rejected as error:
        raise Corrupt("backup_damaged", str(error), "items that were signed so") from error


def _load(store: Store, items: Iterator[Item]) -> None:
    intake = Intake(store.genesis.network)
    pending: _Pending | None = None
    free: list[SignedTransaction] = []
    for kind, data in items:
        if kind == SEAL or kind > SEALED_EVIDENCE:
            _end_epoch(store, pending)
            pending = None
        if kind in (SEALED_TX, SEALED_EVIDENCE):
            pending = _take_sealed(intake, pending, kind, data)
        elif kind == SEAL:
            seal = Seal.from_bytes(data)
            pending = _Pending(seal, check_next_seal(store, seal), [], [])
        elif kind == FREE_TX:
            free.append(intake.open(data))
            if len(free) == BATCH_ITEMS:
                _store_free(store, free)
                free = []
        elif kind == FREE_EVIDENCE:
            store.put_evidence(read_evidence(intake, data))
        else:
            store.put_blob(compute_content_hash(data), data)
    _end_epoch(store, pending)
    _store_free(store, free)


def _take_sealed(intake: Intake, pending: _Pending | None, kind: int, data: bytes) -> _Pending:
    if pending is None:
        raise Corrupt("backup_damaged", "a sealed item", "its seal before it")
    if len(pending.transactions) + len(pending.evidence) >= pending.seal.content.count:
        wanted = f"the {pending.seal.content.count} signed"
        raise Corrupt("backup_damaged", "one item more than a seal takes in", wanted)
    if kind == SEALED_TX:
        pending.transactions.append(intake.open(data))
    else:
        pending.evidence.append(read_evidence(intake, data))
    return pending


def _end_epoch(store: Store, pending: _Pending | None) -> None:
    if pending is not None:
        sealed = check_set(pending.seal, pending.seal_hash, pending.transactions, pending.evidence)
        apply_epoch(store, sealed)


def _store_free(store: Store, transactions: list[SignedTransaction]) -> None:
    """Store what no seal took in, where its place in the author's chain is free.

    What is dead of it, the node finds out at its start.
    """
    places: dict[tuple[bytes, int], SignedTransaction] = {}
    for tx in transactions:
        place = (tx.header.author, tx.header.seq)
        if store.journal.at(*place) is None:
            places.setdefault(place, tx)
    store.put_transactions(places.values())


def _compare(store: Store, manifest: Manifest) -> None:
    head = store.head
    if (head.epoch, head.seal_hash, head.state_root) != (
        manifest.epoch,
        manifest.seal_hash,
        manifest.state_root,
    ):
        raise Corrupt("backup_damaged", f"a state of epoch {head.epoch}", "that of its manifest")


def _read_items(backup: Path, manifest: Manifest, on_bytes: OnBytes | None) -> Iterator[Item]:
    """Return the items of a stream, in the order in which they must stand.

    Raises:
        Corrupt: `backup_damaged`.
        Rejected: bytes outside the codec.
    """
    last = SEAL
    done = 0
    with os.fdopen(open_items(backup), "rb") as file:
        while head := file.read(LENGTH_BYTES):
            length = int.from_bytes(head, "big")
            if len(head) < LENGTH_BYTES or not 0 < length <= FRAME_BYTES_MAX:
                wanted = f"1..{FRAME_BYTES_MAX} bytes"
                raise Corrupt("backup_damaged", f"a frame of {length} bytes", wanted)
            payload = file.read(length)
            done += LENGTH_BYTES + len(payload)
            if len(payload) < length or done > manifest.items_bytes:
                raise Corrupt("backup_damaged", "a cut frame", "a whole one")
            kind, data = _read_item(payload)
            if kind < last and last > SEALED_EVIDENCE:
                raise Corrupt("backup_damaged", f"kind {kind} after {last}", "their order")
            last = kind
            yield kind, data
            if on_bytes is not None:
                on_bytes(manifest.items_bytes + done, 2 * manifest.items_bytes)


def _read_item(payload: bytes) -> Item:
    value = codec.decode(payload, bytes_max=FRAME_BYTES_MAX)
    if type(value) is not list or len(value) != 2:
        raise Corrupt("backup_damaged", "an item of another shape", "[kind, bytes]")
    kind, data = value
    if type(kind) is not int or type(data) is not bytes or kind not in ITEM_BYTES_MAX:
        raise Corrupt("backup_damaged", "an item of another kind", f"{SEAL}..{BLOB}")
    if len(data) > ITEM_BYTES_MAX[kind]:
        wanted = f"at most {ITEM_BYTES_MAX[kind]}"
        raise Corrupt("backup_damaged", f"an item of {len(data)} bytes", wanted)
    return kind, data
