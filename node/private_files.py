"""Small files that must stay private and must not be lost: keys, tokens, marks.

Rule 1: a private file is 0600 in a folder that is 0700; one that others can read is refused, not
        repaired: whoever could read it may have read it.
Rule 2: a file appears whole or not at all, and is on disk when the call returns.
Rule 3: links are never followed.
"""

import contextlib
import os
import secrets
import stat
from pathlib import Path

from protocol.errors import BlamedError

PRIVATE_FILE_MODE = 0o600
PRIVATE_FOLDER_MODE = 0o700
_OTHERS = 0o077


class KeyFileError(BlamedError):
    """A key file, its folder or its password is at fault; the operator can repair it."""


def make_private_folder(path: Path) -> None:
    """Create a folder that only its owner can enter, or check the one that is there.

    Raises:
        KeyFileError: `folder_open` if others may enter it, `folder_unusable` if it cannot be made.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyFileError("folder_unusable", f"{path}: {error.strerror}", "a folder") from error
    check_private_folder(path)


def check_private_folder(path: Path) -> None:
    """Check that only its owner can enter a folder.

    Raises:
        KeyFileError: `folder_unusable`, `folder_open`.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise KeyFileError("folder_unusable", f"{path}: {error.strerror}", "a folder") from error
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise KeyFileError("folder_open", f"{path} mode {mode:04o}", f"0700 (chmod 700 {path})")


def read_private(path: Path, bytes_max: int, wanted: str = "a key file") -> bytes:
    """Return the content of a private file; `wanted` says what for, if there is none.

    Raises:
        KeyFileError: `key_missing`, `key_unreadable`, `key_readable_by_others`, `key_malformed`
            if it is longer than `bytes_max`.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise KeyFileError("key_missing", f"no file {path}", wanted) from error
    except OSError as error:
        raise KeyFileError("key_unreadable", f"{path}: {error.strerror}", wanted) from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise KeyFileError("key_unreadable", f"{path} is no regular file", wanted)
        if found.st_mode & _OTHERS or found.st_uid not in (0, os.geteuid()):
            mode = f"mode {stat.S_IMODE(found.st_mode):04o}, owner {found.st_uid}"
            closed = f"mode 0600, owner {os.geteuid()} (chmod 600 {path})"
            raise KeyFileError("key_readable_by_others", f"{path} {mode}", closed)
        content = os.read(handle, bytes_max + 1)
    finally:
        os.close(handle)
    if len(content) > bytes_max:
        raise KeyFileError("key_malformed", f"{path} is too long", f"at most {bytes_max} bytes")
    return content


def create_private(path: Path, content: bytes) -> None:
    """Write a private file that must not exist yet.

    Raises:
        KeyFileError: `key_exists`, `folder_open`, `folder_unusable`, `key_unwritable`.
    """
    make_private_folder(path.parent)
    draft = _write_draft(path, content)
    try:
        # A link, unlike a rename, fails when the name is taken: no key is ever overwritten.
        os.link(draft, path, follow_symlinks=False)
    except FileExistsError as error:
        raise KeyFileError("key_exists", path, "a name that is free") from error
    except OSError as error:
        raise KeyFileError(
            "key_unwritable", f"{path}: {error.strerror}", "a writable disk"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def replace_private(path: Path, content: bytes) -> None:
    """Write a private file in the place of the one that may be there.

    Raises:
        KeyFileError: `folder_open`, `folder_unusable`, `key_unwritable`.
    """
    make_private_folder(path.parent)
    draft = _write_draft(path, content)
    try:
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise KeyFileError(
            "key_unwritable", f"{path}: {error.strerror}", "a writable disk"
        ) from error
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Put the names of a folder on disk: a new file is lost with its name otherwise."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(draft, flags, PRIVATE_FILE_MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise KeyFileError(
            "key_unwritable", f"{path}: {error.strerror}", "a writable disk"
        ) from error
    return draft
