"""A small disk of its own: a tmpfs, where this machine lets us mount one, and what fills it up."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20
CHUNK = bytes(64 << 10)


class SmallDisk:
    """One mounted tmpfs.

    Attributes:
        path: where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free(self) -> int:
        """Bytes free."""
        return shutil.disk_usage(self.path).free

    def fill(self, leave_bytes: int = 0) -> None:
        """Fill it up, but for so many bytes."""
        with self._ballast.open("ab", buffering=0) as file:
            while (room := self.free - leave_bytes) > 0:
                try:
                    file.write(CHUNK[:room])
                except OSError:
                    return

    def empty(self) -> None:
        """Take out what filled it up."""
        self._ballast.unlink()

    def resize(self, size_mib: int) -> None:
        """Make it larger or smaller."""
        _mount("-o", f"remount,size={size_mib}M", str(self.path))


@contextmanager
def a_small_disk(path: Path, size_mib: int) -> Iterator[SmallDisk]:
    """Mount a small disk while the block lasts; skip the test where that is not permitted."""
    path.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", f"size={size_mib}M,mode=0700", "tmpfs", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        text = getattr(error, "stderr", b"") or str(error).encode()
        pytest.skip(f"no tmpfs can be mounted here: {text.decode(errors='replace').strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def _mount(*arguments: str) -> None:
    if os.geteuid() != 0:
        raise PermissionError("mount needs root")
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
