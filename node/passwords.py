"""Where a password comes from: a file that was named, or a prompt. Never the command line."""

import getpass
import os
import sys
from pathlib import Path

from node.keystore import PASSWORD_BYTES_MAX
from node.private_files import KeyFileError, read_private

PASSWORD_FILE_VARIABLE = "MINESYNC_PASSWORD_FILE"


def read_password(file: Path | None, question: str, *, is_new: bool = False) -> str:
    """Return a password from `file`, else from the file MINESYNC_PASSWORD_FILE names, else asked.

    Args:
        question: what the prompt says.
        is_new: a new password is asked for twice.

    Raises:
        KeyFileError: `password_required` when there is neither file nor terminal,
            `password_mismatch`, `key_readable_by_others`, `key_missing`, ...
    """
    named = file or os.environ.get(PASSWORD_FILE_VARIABLE)
    if named:
        return _read_first_line(Path(named))
    if not sys.stdin.isatty():
        wanted = f"--password-file, {PASSWORD_FILE_VARIABLE} or a terminal"
        raise KeyFileError("password_required", "no password", wanted)
    password = getpass.getpass(f"{question}: ")
    if is_new and getpass.getpass("Again: ") != password:
        raise KeyFileError("password_mismatch", "two different passwords", "the same one twice")
    return password


def _read_first_line(path: Path) -> str:
    data = read_private(path, 2 * PASSWORD_BYTES_MAX, "a file with a password")
    try:
        return data.decode("utf-8").split("\n", 1)[0].removesuffix("\r")
    except UnicodeDecodeError as error:
        raise KeyFileError("key_malformed", f"{path} is no text", "UTF-8") from error
