"""Damage to the files of a database, as disks, operators and power cuts do it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def find_log(path: Path) -> Path:
    return max((path / "rocks").glob("*.log"))


def find_largest_table(path: Path) -> Path:
    return max((path / "rocks").glob("*.sst"), key=lambda file: file.stat().st_size)


def flip_middle(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut_tail(file: Path, bytes_cut: int) -> None:
    os.truncate(file, file.stat().st_size - bytes_cut)


def spoil_tail(file: Path, bytes_spoilt: int) -> None:
    file.write_bytes(file.read_bytes()[:-bytes_spoilt] + os.urandom(bytes_spoilt))


LOG_DAMAGE: dict[str, Callable[[Path], None]] = {
    "a flipped bit": flip_middle,
    "a cut byte": lambda log: cut_tail(log, 1),
    "a cut half": lambda log: cut_tail(log, log.stat().st_size // 2),
    "emptied": lambda log: os.truncate(log, 0),
    "deleted": lambda log: log.unlink(),
    "a garbage tail": lambda log: spoil_tail(log, 50),
}
"""By name, what happens to the file of the write-ahead log."""

FILE_DAMAGE: dict[str, Callable[[Path], None]] = {
    "no table file": lambda path: find_largest_table(path).unlink(),
    "a cut table file": lambda path: cut_tail(find_largest_table(path), 100),
    "no CURRENT": lambda path: (path / "rocks" / "CURRENT").unlink(),
    "no manifest": lambda path: max((path / "rocks").glob("MANIFEST-*")).unlink(),
    "a flipped manifest": lambda path: flip_middle(max((path / "rocks").glob("MANIFEST-*"))),
    "no database": lambda path: shutil.rmtree(path / "rocks"),
    "no floor": lambda path: (path / "FLOOR").unlink(),
    "a flipped floor": lambda path: flip_middle(path / "FLOOR"),
}
"""By name, what happens to the folder of a database."""
