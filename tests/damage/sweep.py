"""The sweep: one damage after the other is done to copies of a database; none may go unseen."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from protocol.errors import BlamedError
from storage.errors import FormatTooNew, WrongNetwork
from tests.damage.image import Image, read_as_a_node_does, serve_again

GARBAGE = bytes(range(1, 256)) * 5
TAILS = (1, 7, 50, 137, 1_000)

Damage = Callable[[Path], None]


@dataclass(slots=True)
class Tally:
    """What became of the copies that one kind of damage was done to.

    Attributes:
        positions: how many there were.
        harmless: opened with all that was acknowledged.
        detected: an error said so.
        silent: opened without an error, and something was missing or other than it was.
        wrong: found, and not in service with the same state after the repair.
        served_again: in service in the end.
        examples: a line for each that is silent or wrong.
    """

    positions: int = 0
    harmless: int = 0
    detected: int = 0
    silent: int = 0
    wrong: int = 0
    served_again: int = 0
    examples: list[str] = field(default_factory=list)

    def render(self, kind: str) -> str:
        """Return the line of a kind."""
        names = ("positions", "harmless", "detected", "silent", "wrong", "served_again")
        return f"DAMAGE {kind} " + " ".join(f"{name}={getattr(self, name)}" for name in names)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of damage to one file.

    Attributes:
        name: such as flip=wal.
        pattern: finds the file in the folder; the largest of several.
        list_damage: yields (where, what is done to the file), at most so many.
        is_in_log: whether it is done to a database whose rows are in its log.
    """

    name: str
    pattern: str
    list_damage: Callable[[Path, int], Iterator[tuple[str, Damage]]]
    is_in_log: bool = False


def find_file(folder: Path, pattern: str) -> Path:
    """Return the largest file that a pattern finds."""
    return max(folder.glob(pattern), key=lambda file: (file.stat().st_size, file.name))


def spread(count: int, most: int) -> range:
    """Return at most `most` of the numbers below `count`, evenly."""
    return range(0, count, max(1, -(-count // most)))


def list_flips(file: Path, most: int) -> Iterator[tuple[str, Damage]]:
    """Yield the flip of one bit at places all over a file, another bit each time."""
    for number, place in enumerate(spread(file.stat().st_size, most)):
        bit = 1 << (3 * number % 8)

        def flip(target: Path, place: int = place, bit: int = bit) -> None:
            with target.open("r+b") as opened:
                opened.seek(place)
                byte = opened.read(1)[0]
                opened.seek(place)
                opened.write(bytes([byte ^ bit]))

        yield f"byte {place} bit {bit}", flip


def list_cuts(file: Path, most: int) -> Iterator[tuple[str, Damage]]:
    """Yield truncations to lengths all over a file, and to nearly all of it."""
    size = file.stat().st_size
    for length in dict.fromkeys(chain(spread(size, most), (size - cut for cut in TAILS))):
        if 0 <= length < size:
            yield f"to {length} of {size}", partial(_cut, length=length)


def _cut(target: Path, length: int) -> None:
    os.truncate(target, length)


def list_removals(file: Path, most: int) -> Iterator[tuple[str, Damage]]:
    """Yield the loss of a file."""
    del most
    yield file.name, Path.unlink


def list_tails(file: Path, most: int) -> Iterator[tuple[str, Damage]]:
    """Yield garbage behind the end of a file, and in the place of its last bytes."""
    size = file.stat().st_size
    for count in TAILS[:most]:

        def append(target: Path, count: int = count) -> None:
            with target.open("ab") as opened:
                opened.write(GARBAGE[:count])

        def spoil(target: Path, count: int = count) -> None:
            with target.open("r+b") as opened:
                opened.seek(-count, os.SEEK_END)
                opened.write(GARBAGE[:count])

        yield f"{count} bytes more", append
        if count <= size:
            yield f"the last {count} bytes", spoil


KINDS = (
    Kind("flip=wal", "rocks/*.log", list_flips, is_in_log=True),
    Kind("cut=wal", "rocks/*.log", list_cuts, is_in_log=True),
    Kind("tail=wal", "rocks/*.log", list_tails, is_in_log=True),
    Kind("gone=wal", "rocks/*.log", list_removals, is_in_log=True),
    Kind("flip=sst", "rocks/*.sst", list_flips),
    Kind("cut=sst", "rocks/*.sst", list_cuts),
    Kind("tail=sst", "rocks/*.sst", list_tails),
    Kind("gone=sst", "rocks/*.sst", list_removals),
    Kind("flip=manifest", "rocks/MANIFEST-*", list_flips),
    Kind("cut=manifest", "rocks/MANIFEST-*", list_cuts),
    Kind("tail=manifest", "rocks/MANIFEST-*", list_tails),
    Kind("gone=manifest", "rocks/MANIFEST-*", list_removals),
    Kind("flip=current", "rocks/CURRENT", list_flips),
    Kind("cut=current", "rocks/CURRENT", list_cuts),
    Kind("gone=current", "rocks/CURRENT", list_removals),
    Kind("gone=options", "rocks/OPTIONS-*", list_removals),
    Kind("gone=identity", "rocks/IDENTITY", list_removals),
    Kind("flip=floor", "FLOOR", list_flips),
    Kind("cut=floor", "FLOOR", list_cuts),
    Kind("gone=floor", "FLOOR", list_removals),
    Kind("flip=marker", "MARKER", list_flips),
    Kind("cut=marker", "MARKER", list_cuts),
    Kind("gone=marker", "MARKER", list_removals),
)


def sweep(kind: Kind, image: Image, folder: Path, most: int, tell: Callable[[str], None]) -> Tally:
    """Do one kind of damage at up to about `most` positions, each to a copy of its own.

    Args:
        kind: of damage.
        image: what is copied.
        folder: an empty one for the copies.
        most: positions.
        tell: told of each position before it.
    """
    tally = Tally()
    target = find_file(image.path, kind.pattern)
    for where, damage in kind.list_damage(target, most):
        tell(where)
        path = folder / "db"
        image.copy(path)
        damage(path / target.relative_to(image.path))
        _judge(tally, f"{kind.name} {where}", image, path)
        shutil.rmtree(folder)
        folder.mkdir()
    return tally


def _judge(tally: Tally, name: str, image: Image, path: Path) -> None:
    tally.positions += 1
    is_refused = False
    try:
        if read_as_a_node_does(path) == image.rows:
            tally.harmless += 1
            tally.served_again += 1
            return
        tally.silent += 1
        tally.examples.append(f"{name}: other content, and no error")
    except BlamedError as error:
        tally.detected += 1
        is_refused = isinstance(error, WrongNetwork | FormatTooNew)
    if serve_again(path, image, is_refused=is_refused):
        tally.served_again += 1
    else:
        tally.wrong += 1
        tally.examples.append(f"{name}: not in service with the same state")
