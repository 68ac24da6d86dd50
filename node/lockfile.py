"""One running node per data directory, held by the kernel; and where that node answers.

The lock is an flock on `node.lock`: it ends with the process, however that ends, so a file that a
`kill -9` left behind never has to be deleted. The content tells others whom they met. It is
rewritten in place and never replaced, because the lock is on the file and not on its name.
"""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from node.private_files import PRIVATE_FILE_MODE, make_private_folder
from protocol.errors import BlamedError

LOCK_BYTES_MAX = 4_096


class DataDirError(BlamedError):
    """The data directory cannot be used; the operator says which one it should be."""


@dataclass(frozen=True, slots=True)
class LockInfo:
    """Who runs in a data directory.

    Attributes:
        started_ms: wall clock, for people.
        rpc_url: empty until the RPC listens, and if it does not.
    """

    pid: int
    started_ms: int
    rpc_url: str
    version: str


class NodeLock:
    """The lock of one data directory, held until `close`."""

    def __init__(self, handle: int, info: LockInfo) -> None:
        self._handle = handle
        self.info = info

    @classmethod
    def acquire(cls, path: Path, *, started_ms: int, version: str) -> "NodeLock":
        """Take the lock or say who has it.

        Raises:
            DataDirError: `data_dir_in_use`, `data_dir_unusable`.
            KeyFileError: `folder_open`, `folder_unusable`.
        """
        make_private_folder(path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        try:
            handle = os.open(path, flags, PRIVATE_FILE_MODE)
        except OSError as error:
            found = f"{path}: {error.strerror}"
            raise DataDirError("data_dir_unusable", found, "a writable folder") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _parse(os.pread(handle, LOCK_BYTES_MAX, 0))
            os.close(handle)
            who = f"held by process {holder.pid}" if holder else "held by another process"
            wanted = "a data directory of its own, or `minesync stop` first"
            raise DataDirError("data_dir_in_use", f"{path.parent} {who}", wanted) from error
        lock = cls(handle, LockInfo(os.getpid(), started_ms, "", version))
        lock._write()
        return lock

    def publish_rpc_url(self, rpc_url: str) -> None:
        """Tell where the RPC listens."""
        self.info = LockInfo(self.info.pid, self.info.started_ms, rpc_url, self.info.version)
        self._write()

    def close(self) -> None:
        """Empty the file and give the lock back."""
        if self._handle < 0:
            return
        handle, self._handle = self._handle, -1
        os.ftruncate(handle, 0)
        os.close(handle)

    def __enter__(self) -> "NodeLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self) -> None:
        # Content before length: a reader meets a whole line or trailing blanks, never half of one.
        text = json.dumps(asdict(self.info)) + "\n"
        data = text.encode("ascii").ljust(os.fstat(self._handle).st_size)
        os.pwrite(self._handle, data, 0)


def read_lock(path: Path) -> LockInfo | None:
    """Return who runs in a data directory, None if nobody does.

    A process of the same number that is not the node cannot be told apart here; whoever then talks
    to the RPC finds out.
    """
    try:
        with path.open("rb") as file:
            info = _parse(file.read(LOCK_BYTES_MAX))
    except OSError:
        return None
    if info is None or not _is_alive(info.pid):
        return None
    return info


def is_held(path: Path) -> bool:
    """Tell for certain whether a node runs in a data directory: ask the kernel for its lock.

    A node that starts in this very moment could be refused because of the question, so it is for
    those who are about to send a signal, and for nobody else.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _parse(data: bytes) -> LockInfo | None:
    try:
        value: Any = json.loads(data)
    except ValueError:
        return None
    if not isinstance(value, dict) or value.keys() != LockInfo.__dataclass_fields__.keys():
        return None
    kinds = (("pid", int), ("started_ms", int), ("rpc_url", str), ("version", str))
    if any(type(value[name]) is not kind for name, kind in kinds) or value["pid"] < 1:
        return None
    return LockInfo(**value)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
