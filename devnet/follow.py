"""The logs of peers on one screen: the last lines, then what comes."""

import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from devnet.layout import Devnet
from node.text import clean_text

FOLLOW_S = 0.2
LINE_CHARACTERS_MAX = 1_000
CHUNK_BYTES = 1 << 16


class LogReader:
    """Reads what is added to a file, a line at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = path.stat().st_size if path.exists() else 0
        self._held = b""

    def read_lines(self) -> list[str]:
        """Return the lines that were completed since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._place)
            chunk = file.read(CHUNK_BYTES)
        self._place += len(chunk)
        *lines, self._held = (self._held + chunk).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]


async def follow_logs(devnet: Devnet, names: Sequence[str], lines_max: int, goes_on: bool) -> None:
    """Print the last lines of each peer and, if it goes on, every further one."""
    readers = {name: LogReader(devnet.log_path(name)) for name in names}
    for name in names:
        _print(names, name, devnet.read_log_tail(name, lines_max))
    while goes_on:
        for name, reader in readers.items():
            _print(names, name, reader.read_lines())
        await trio.sleep(FOLLOW_S)


def _print(names: Sequence[str], name: str, lines: Sequence[str]) -> None:
    mark = f"{name} | " if len(names) > 1 else ""
    for line in lines:
        # A log holds texts of strangers, and colours when a peer took the file for a terminal.
        sys.stdout.write(mark + clean_text(line, LINE_CHARACTERS_MAX) + "\n")
    sys.stdout.flush()
