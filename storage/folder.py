"""The folder around a database: whose it is, and what must still be in it.

    MARKER   JSON: kind, format, network, state ("creating" until the database has opened once)
    FLOOR    16 bytes: the sequence number of the last synced write and a check value
    rocks/   the database's own files

The floor is synced once, before the marker says "ready", and then written in place after every
synced write, into the page cache only: after a power cut it may be older than the truth, never
newer. The lock on the folder is a lock on this file.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from storage.errors import Corrupt, FormatTooNew, Full, InUse, StorageError, WrongNetwork
from storage.log_shape import check_logs, cut_logs

FORMAT = 1
KIND = "minesync database"
MARKER_BYTES_MAX = 4_096
FLOOR_BYTES = 16
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when the disk or a quota is full."""
_CREATING, _READY = "creating", "ready"


class Folder:
    """One database folder of one network."""

    def __init__(self, path: Path, network: bytes) -> None:
        self.path = path
        self.network = network
        self.rocks = path / "rocks"
        self._marker = path / "MARKER"
        self._draft = path / "MARKER.new"
        self._floor = path / "FLOOR"
        self._floor_fd = -1

    def prepare(self, *, is_salvage: bool = False) -> bool:
        """Check and lock the folder, or create it; return whether the database is still to come.

        In a salvage the database's own files are not asked for, and logs are cut at a trap.

        Raises:
            WrongNetwork: `foreign_folder` or `wrong_network`.
            FormatTooNew: `format_too_new`.
            InUse: `database_in_use`.
            Corrupt: `database_damaged`, when files that must be there are not.
        """
        if self.is_empty():
            self.create()
        state = self.check_marker()
        self.lock(is_new=state == _CREATING)
        if state == _CREATING:
            # The process died inside the very first open: nothing was ever acknowledged.
            shutil.rmtree(self.rocks, ignore_errors=True)
            return True
        try:
            if is_salvage:
                cut_logs(self.rocks)
            else:
                self._check_files()
        except OSError as error:
            raise translate_os_error(error) from error
        return False

    def is_empty(self) -> bool:
        """Tell whether nothing is in it, or only the draft of a marker that a kill left behind."""
        if not self.path.exists():
            return True
        return {entry.name for entry in self.path.iterdir()} <= {self._draft.name}

    def create(self) -> None:
        """Make the folder and its marker.

        Raises:
            StorageError: `folder_not_empty`.
        """
        if not self.is_empty():
            raise StorageError("folder_not_empty", self.path, "a new or empty folder")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write_marker(_CREATING)
        except OSError as error:
            raise translate_os_error(error) from error

    def mark_ready(self) -> None:
        """Record that the database exists: from now on its absence is damage. It is locked."""
        try:
            # The floor must not be a name without content after a power cut.
            os.fsync(self._floor_fd)
            self._write_marker(_READY)
        except OSError as error:
            raise translate_os_error(error) from error

    def check_marker(self) -> str:
        """Return the marker's state.

        Raises:
            WrongNetwork: no marker of ours, or another network's.
            FormatTooNew: a later release wrote it.
        """
        marker = self._read_marker()
        if marker["format"] > FORMAT:
            found = f"format {marker['format']} in {self.path}"
            raise FormatTooNew("format_too_new", found, f"at most {FORMAT}")
        if marker["network"] != self.network.hex():
            found = f"network {marker['network']} in {self.path}"
            raise WrongNetwork("wrong_network", found, f"{self.network.hex()}, as in the genesis")
        return str(marker["state"])

    def is_whole(self) -> bool:
        """Tell whether the database in it was written to its end.

        Raises:
            StorageError: as `check_marker`.
        """
        return self.check_marker() == _READY

    def set_aside(self) -> "Folder":
        """Rename the folder to the first free `<name>.damaged-<n>` and return it."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        try:
            self.path.rename(aside)
        except OSError as error:
            raise translate_os_error(error) from error
        return Folder(aside, self.network)

    def copy_to(self, path: Path) -> "Folder":
        """Copy the folder; table files are immutable and become hard links."""
        try:
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(self.path, path, copy_function=_link_or_copy)
        except (OSError, shutil.Error) as error:
            raise StorageError("copy_failed", str(error)[:300], f"a copy in {path}") from error
        return Folder(path, self.network)

    def remove(self) -> None:
        """Delete the folder with all it holds."""
        shutil.rmtree(self.path, ignore_errors=True)

    def lock(self, *, is_new: bool = False) -> None:
        """Take the folder for this handle alone, until `close` or the end of the process.

        Raises:
            InUse: another handle has it.
            Corrupt: there is no floor file and the folder is not new.
        """
        if self._floor_fd >= 0:
            return
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if is_new else 0)
        try:
            descriptor = os.open(self._floor, flags, 0o600)
        except FileNotFoundError as error:
            raise Corrupt("database_damaged", "no FLOOR", "its file") from error
        except OSError as error:
            raise translate_os_error(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise InUse("database_in_use", read_holder(self.path), "a database at rest") from error
        self._floor_fd = descriptor

    def read_floor(self) -> int:
        """Return the sequence number below which nothing may be missing. The folder is locked.

        Raises:
            Corrupt: the file is damaged.
        """
        try:
            data = os.pread(self._floor_fd, FLOOR_BYTES + 1, 0)
        except OSError as error:
            raise translate_os_error(error) from error
        if len(data) != FLOOR_BYTES or data[8:] != _check_value(data[:8]):
            raise Corrupt("database_damaged", f"FLOOR of {len(data)} bytes", "its check value")
        return int.from_bytes(data[:8], "big")

    def write_floor(self, sequence: int) -> None:
        """Record the sequence number of a synced write. The folder is locked."""
        number = sequence.to_bytes(8, "big")
        try:
            os.pwrite(self._floor_fd, number + _check_value(number), 0)
        except OSError as error:
            raise translate_os_error(error) from error

    def check_room(self, bytes_min: int) -> None:
        """Check that the disk has room for `bytes_min`.

        Raises:
            Full: it has not.
        """
        free = shutil.disk_usage(self.path).free
        if free < bytes_min:
            raise build_full(free, bytes_min)

    def close(self) -> None:
        """Release the lock; a second close is no error."""
        if self._floor_fd >= 0:
            os.close(self._floor_fd)
            self._floor_fd = -1

    def _check_files(self) -> None:
        if not self.rocks.is_dir():
            raise Corrupt("database_damaged", "no folder rocks", "the database's files")
        # RocksDB keeps a log open at all times and opens without a word when it has been deleted.
        if not any(self.rocks.glob("*.log")):
            raise Corrupt("database_damaged", "no write-ahead log", "at least one")
        check_logs(self.rocks)

    def _read_marker(self) -> dict[str, Any]:
        try:
            with self._marker.open("rb") as file:
                data = file.read(MARKER_BYTES_MAX + 1)
        except OSError as error:
            raise WrongNetwork("foreign_folder", self.path, "a folder with our marker") from error
        try:
            marker = json.loads(data)
        except ValueError as error:
            found = f"{self._marker} unreadable"
            raise WrongNetwork("foreign_folder", found, "the marker of our databases") from error
        shape = {"kind": str, "format": int, "network": str, "state": str}
        if (
            len(data) > MARKER_BYTES_MAX
            or not isinstance(marker, dict)
            or any(type(marker.get(name)) is not kind for name, kind in shape.items())
            or marker["kind"] != KIND
            or marker["state"] not in (_CREATING, _READY)
        ):
            found = f"{self._marker} of another shape"
            raise WrongNetwork("foreign_folder", found, "the marker of our databases")
        return marker

    def _write_marker(self, state: str) -> None:
        marker = {"kind": KIND, "format": FORMAT, "network": self.network.hex(), "state": state}
        descriptor = os.open(
            self._draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(descriptor, json.dumps(marker, indent=1).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self._draft, self._marker)
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_holder(path: Path) -> str:
    """Return who holds a database, as far as a `node.lock` beside it tells."""
    for candidate in (path / "node.lock", path.parent / "node.lock"):
        try:
            with candidate.open("rb") as file:
                text = file.read(MARKER_BYTES_MAX).decode("utf-8", "replace")
        except OSError:
            continue
        found = re.match(r"\s*(\d{1,10})\b", text) or re.search(r"\bpid\W{1,4}(\d{1,10})", text)
        if found:
            return f"{path} held by process {found.group(1)}"
    return f"{path} held by a process that left no node.lock"


def build_full(bytes_free: int, bytes_min: int) -> Full:
    """Return the error for a disk with too little room."""
    return Full("disk_full", f"{bytes_free} bytes free", f"at least {bytes_min}")


def translate_os_error(error: OSError) -> StorageError:
    """Return our error for a failed call to the system."""
    text = f"{error.filename or 'a file'}: {error.strerror}"
    if error.errno in NO_ROOM:
        return Full("disk_full", text, "room on the disk")
    return StorageError("storage_failed", text, "a working disk")


def _check_value(number: bytes) -> bytes:
    return hashlib.sha256(b"floor" + number).digest()[:8]


def _link_or_copy(source: str, target: str) -> str:
    if source.endswith(".sst"):
        try:
            os.link(source, target)
            return target
        except OSError:
            # Another file system, or one without links.
            pass
    return shutil.copy2(source, target)
