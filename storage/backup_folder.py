"""The folder of backups: which there are, what each holds, and who may change them.

    <folder>/000001/ITEMS       frames: 4-byte big-endian length, then a canonical [kind, bytes]
    <folder>/000001/MANIFEST    what ITEMS holds and its SHA-256, then the SHA-256 of that

ITEMS has for each epoch its seal and what it takes in, then what no seal took in, then blobs.
Nothing derived is in it: a restore computes the state anew, so a backup of an old release is good
for a new one. A backup is written in a folder with another name and renamed at its end: what
`list_backups` names was whole once. The folder of all backups is locked by whoever changes it.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from protocol import codec
from protocol.errors import Rejected
from protocol.hashing import HASH_BYTES
from protocol.schema import Exactly, decode_record
from protocol.seals import SEAL_BYTES_MAX
from protocol.task_types import BLOB_BYTES_MAX
from protocol.transactions import NETWORK_BYTES, WIRE_BYTES_MAX
from storage.errors import Corrupt, FormatTooNew, InUse, StorageError
from storage.folder import translate_os_error

FORMAT = 1
ITEMS, MANIFEST = "ITEMS", "MANIFEST"
SEAL, SEALED_TX, SEALED_EVIDENCE, FREE_TX, FREE_EVIDENCE, BLOB = range(1, 7)
"""Kinds of frames, in the order in which they stand; the first three repeat for every epoch."""
EVIDENCE_BYTES_MAX = 2 * WIRE_BYTES_MAX + 64
ITEM_BYTES_MAX = {
    SEAL: SEAL_BYTES_MAX,
    SEALED_TX: WIRE_BYTES_MAX,
    SEALED_EVIDENCE: EVIDENCE_BYTES_MAX,
    FREE_TX: WIRE_BYTES_MAX,
    FREE_EVIDENCE: EVIDENCE_BYTES_MAX,
    BLOB: BLOB_BYTES_MAX,
}
FRAME_BYTES_MAX = max(ITEM_BYTES_MAX.values()) + 16
MANIFEST_BYTES_MAX = 1_024
NUMBERS_MAX = 999_999
_NUMBER = re.compile(r"[0-9]{6}")
UNFINISHED, LEAVING = ".new", ".old"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        epoch: the last seal in it; `seal_hash` and `state_root` are that seal's.
        transactions: all of them, sealed or not.
        evidence: all of it.
        items_bytes: length of the stream.
        digest: SHA-256 of the stream.
    """

    format: int
    network: Annotated[bytes, Exactly(NETWORK_BYTES)]
    genesis_hash: Annotated[bytes, Exactly(HASH_BYTES)]
    epoch: int
    seal_hash: Annotated[bytes, Exactly(HASH_BYTES)]
    state_root: Annotated[bytes, Exactly(HASH_BYTES)]
    transactions: int
    evidence: int
    blobs: int
    items_bytes: int
    digest: Annotated[bytes, Exactly(HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup on disk; `manifest` is None and `fault` says why if its manifest is damaged."""

    number: int
    path: Path
    manifest: Manifest | None
    fault: str | None = None


def list_backups(folder: Path) -> list[Backup]:
    """Return the backups of a folder by number; none for a folder that is not there."""
    return [find_backup(folder, number) for number in sorted(find_numbers(folder))]


def find_backup(folder: Path, number: int) -> Backup:
    """Return one backup; its fault says what is wrong with its manifest."""
    path = folder / f"{number:06d}"
    try:
        return Backup(number, path, read_manifest(path))
    except StorageError as error:
        return Backup(number, path, None, str(error))


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of the backup in a folder.

    Raises:
        Corrupt: `backup_damaged`.
        FormatTooNew: a later release wrote it.
        StorageError: `no_backup`.
    """
    try:
        with open(path / MANIFEST, "rb", opener=_open_kept) as file:
            data = file.read(MANIFEST_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise StorageError("no_backup", path, "the folder of a backup") from error
    except OSError as error:
        raise translate_os_error(error) from error
    body, check = data[:-HASH_BYTES], data[-HASH_BYTES:]
    if len(data) > MANIFEST_BYTES_MAX or hashlib.sha256(body).digest() != check:
        raise Corrupt("backup_damaged", f"another {MANIFEST}", "one that fits its checksum")
    try:
        fields = codec.decode(body)
        if isinstance(fields, list) and fields and type(fields[0]) is int and fields[0] > FORMAT:
            raise FormatTooNew("format_too_new", fields[0], f"at most {FORMAT}")
        return decode_record(Manifest, body)
    except Rejected as error:
        raise Corrupt("backup_damaged", str(error), f"a {MANIFEST} of ours") from error


def prune_backups(folder: Path, keep: int) -> list[int]:
    """Remove all but the latest `keep` backups; return the numbers that are gone.

    Raises:
        StorageError: `keep_too_few`: the last one is never removed; or the disk refuses.
        InUse: somebody else makes or removes a backup here.
    """
    if keep < 1:
        raise StorageError("keep_too_few", keep, "at least 1")
    with _locked(folder):
        sweep(folder)
        gone = sorted(find_numbers(folder))[:-keep]
        for number in gone:
            path = folder / f"{number:06d}"
            try:
                # Renamed first: a kill in the middle leaves nothing that looks whole.
                leaving = path.rename(folder / f"{path.name}{LEAVING}")
            except OSError as error:
                raise translate_os_error(error) from error
            shutil.rmtree(leaving, ignore_errors=True)
    return gone


def open_items(path: Path) -> int:
    """Return a descriptor of the stream of the backup in a folder.

    Raises:
        Corrupt: `backup_damaged`: there is none.
    """
    try:
        return _open_kept(str(path / ITEMS), os.O_RDONLY)
    except OSError as error:
        raise Corrupt("backup_damaged", f"{ITEMS}: {error.strerror}", "its file") from error


def sync_folder(path: Path) -> None:
    """Put the names in a folder on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_numbers(folder: Path) -> list[int]:
    """Return the numbers of the backups in a folder, in no order."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise translate_os_error(error) from error
    return [int(name) for name in names if _NUMBER.fullmatch(name)]


def sweep(folder: Path) -> None:
    """Remove what a killed process left. The folder is locked."""
    for path in folder.iterdir():
        if path.suffix in (UNFINISHED, LEAVING) and _NUMBER.fullmatch(path.stem):
            shutil.rmtree(path, ignore_errors=True)


def take_lock(folder: Path) -> int:
    """Lock a folder of backups, made if it is missing; return the descriptor that holds it.

    Raises:
        InUse: `backups_in_use`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise translate_os_error(error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InUse("backups_in_use", f"another backup in {folder}", "one at a time") from error
    return handle


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = take_lock(folder)
    try:
        yield
    finally:
        os.close(handle)


def open_private(path: str, flags: int) -> int:
    """Open a file for its owner alone; no link is followed."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _open_kept(path: str, flags: int) -> int:
    # Neither a link nor a pipe or device: a backup may come from elsewhere.
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", path)
    return descriptor
