"""The logs of peers on one screen: the last lines, or those that match; then what comes."""

import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio
from rich.console import Console
from rich.text import Text

from devnet.errors import DevnetError
from devnet.layout import Devnet
from node.text import clean_text

FOLLOW_S = 0.2
LINE_CHARACTERS_MAX = 1_000
CHUNK_BYTES = 1 << 16
LINES = 20
MATCHES_MAX = 10_000
"""Of one peer, the last of them."""
PATTERN_CHARACTERS_MAX = 1_000
DAY_MS = 86_400_000
BACK_MS = 3_600_000
"""A time of day that is earlier by less is a clock put back, not the day before."""
_STAMP = re.compile(r"(?:^|T)(\d\d):(\d\d):(\d\d)\.(\d\d\d)")
_STAMP_CHARACTERS = 120
_STYLES = ("cyan", "magenta", "yellow", "blue", "green")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are shown.

    Attributes:
        lines: at most so many of each peer at first; None: as many as is usual.
        pattern: that a line holds; None: any.
        since_s: written within so many seconds; None: whenever.
    """

    lines: int | None = None
    pattern: re.Pattern[str] | None = None
    since_s: float | None = None

    @property
    def is_all(self) -> bool:
        """Whether any line will do."""
        return self.pattern is None and self.since_s is None

    @property
    def lines_max(self) -> int:
        """How many are shown at first."""
        if self.lines is not None:
            return self.lines
        return LINES if self.is_all else MATCHES_MAX

    def matches(self, line: str) -> bool:
        """Tell whether a line holds the pattern."""
        return self.pattern is None or self.pattern.search(line) is not None


def compile_pattern(text: str) -> re.Pattern[str]:
    """Return the pattern that somebody typed.

    Raises:
        DevnetError: `bad_pattern`.
    """
    wanted = "a regular expression of Python"
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise DevnetError("bad_pattern", f"{len(text)} characters", f"{PATTERN_CHARACTERS_MAX}")
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        found = f"{clean_text(text, 64)!r}: {error}"
        raise DevnetError("bad_pattern", found, wanted) from error


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


def find_lines(path: Path, wanted: Wanted, now_s: float) -> list[str]:
    """Return the lines of a log that are wanted, the last of them if they are many.

    Lines bear a time of day alone, by the clock of the peer, which may be wrong. So only how far
    they lie apart is read, backwards from the last one, which is as old as the file.

    Args:
        path: of the log, which may not be there.
        wanted: which lines.
        now_s: the wall clock, in seconds since 1970.
    """
    if not path.exists():
        return []
    idle_ms = max(0.0, now_s - path.stat().st_mtime) * 1_000
    reach_ms = None if wanted.since_s is None else wanted.since_s * 1_000 - idle_ms
    kept: deque[tuple[int, str]] = deque(maxlen=wanted.lines_max)
    at_ms = 0
    for at_ms, line in _date(path):
        if wanted.matches(line):
            kept.append((at_ms, line))
    return [line for one_ms, line in kept if reach_ms is None or one_ms >= at_ms - reach_ms]


async def follow_logs(
    devnet: Devnet, names: Sequence[str], wanted: Wanted, console: Console, *, goes_on: bool
) -> None:
    """Print lines of each peer and, if it goes on, every further one that is wanted."""
    readers = {name: LogReader(devnet.log_path(name)) for name in names}
    now_s = time.time()
    for name in names:
        if wanted.is_all:
            lines = [_clean(line) for line in devnet.read_log_tail(name, wanted.lines_max)]
        else:
            lines = find_lines(devnet.log_path(name), wanted, now_s)
        _print(console, names, name, lines, wanted)
    while goes_on:
        for name, reader in readers.items():
            lines = [_clean(line) for line in reader.read_lines()]
            _print(console, names, name, [line for line in lines if wanted.matches(line)], wanted)
        await trio.sleep(FOLLOW_S)


def _date(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line with its time since the first one; one without a time has that before it."""
    at_ms, last_ms = 0, None
    with path.open("rb") as file:
        while raw := file.readline(CHUNK_BYTES):
            line = _clean(raw.decode("utf-8", "replace").rstrip("\n"))
            found = _STAMP.search(line[:_STAMP_CHARACTERS])
            if found is not None:
                hours, minutes, seconds, thousandths = map(int, found.groups())
                own_ms = ((hours * 60 + minutes) * 60 + seconds) * 1_000 + thousandths
                step_ms = 0 if last_ms is None else (own_ms - last_ms) % DAY_MS
                last_ms = own_ms
                at_ms += 0 if step_ms > DAY_MS - BACK_MS else step_ms
            yield at_ms, line


def _clean(line: str) -> str:
    # A log holds texts of strangers, and colours when a peer took the file for a terminal.
    return clean_text(line, LINE_CHARACTERS_MAX)


def _print(
    console: Console, names: Sequence[str], name: str, lines: Sequence[str], wanted: Wanted
) -> None:
    style = _STYLES[names.index(name) % len(_STYLES)]
    for line in lines:
        text = Text(line)
        if wanted.pattern is not None:
            text.highlight_regex(wanted.pattern, "bold red")
        mark = Text(f"{name} | ", style=style) if len(names) > 1 else Text()
        # The console leaves colours out where nobody would see them.
        console.print(mark + text, soft_wrap=True)
