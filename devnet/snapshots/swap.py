"""One state of a devnet in the place of another: all of it or nothing, wherever a kill falls.

    .swap/new/    the new state, whole and on disk before anything is decided
    swap.json     the decision, and what it says; from then on only renames are left to do
    .swap/old/    what had to go

Without `swap.json` what lies in `.swap` is thrown away: the old state stands. With it the renames
that are still to be done are done: each of them can be told by looking, so it does not matter how
often they are begun again.
"""

import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devnet.errors import DevnetError
from devnet.layout import OWN_FOLDERS, SWAP, Devnet
from devnet.manifests.fields import NAME_PATTERN
from devnet.records import read_record, write_record
from node.private_files import make_private_folder, read_private, replace_private, sync_folder
from node.text import clean_text

FORMAT = "minesync-swap/1"
LOADED = "snapshot_load"
"""The event of a state that was brought back."""
DECISION_BYTES_MAX = 1 << 16
_WORK = ".swap"
_NEW = "new"
_OLD = "old"
_LOCK = "snapshots.lock"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done.

    Attributes:
        snapshot: whose state takes the place.
        parts: names in `.swap/new` that go to the root.
        drops: names in the root that go, with nothing in their place.
    """

    snapshot: str
    parts: tuple[str, ...]
    drops: tuple[str, ...]


@contextmanager
def hold_snapshots(root: Path) -> Iterator[None]:
    """Let nobody else save or load a snapshot during the block.

    Raises:
        DevnetError: `snapshots_busy`.
    """
    with (root / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            found = f"a snapshot of {root} is saved or loaded"
            raise DevnetError("snapshots_busy", found, "one at a time") from error
        yield


def prepare_new(root: Path) -> Path:
    """Return an empty folder for the new state; `hold_snapshots` holds."""
    shutil.rmtree(root / _WORK, ignore_errors=True)
    make_private_folder(root / _WORK)
    new = root / _WORK / _NEW
    make_private_folder(new)
    return new


def swap(root: Path, decision: Decision) -> None:
    """Decide, and put the new state in place; it is on disk, and no peer runs."""
    for name in (*decision.parts, *decision.drops):
        _check_part(name)
    draft = root / _WORK / SWAP
    replace_private(draft, write_record(decision, FORMAT))
    draft.rename(root / SWAP)
    sync_folder(root)
    _move(root, decision)


def discard(root: Path) -> None:
    """Throw away a new state of which nothing was decided, or what had to go."""
    shutil.rmtree(root / _WORK, ignore_errors=True)


def recover(root: Path) -> str:
    """Finish or undo a load that was interrupted; return what was done, empty if there was none.

    Raises:
        DevnetError: `snapshots_busy` while a load goes on.
        BadRecord: the decision is not one of ours.
    """
    if not (root / SWAP).exists() and not (root / _WORK).exists():
        return ""
    with hold_snapshots(root):
        if (root / SWAP).exists():
            data = read_private(root / SWAP, DECISION_BYTES_MAX, "what was to be loaded")
            decision = read_record(Decision, data, FORMAT, SWAP)
            for name in (*decision.parts, *decision.drops):
                _check_part(name)
            _move(root, decision)
            return f"loading snapshot {decision.snapshot} was interrupted; now its state stands"
        is_undecided = (root / _WORK / _NEW).exists()
        discard(root)
        return "loading a snapshot was interrupted; the old state stands" if is_undecided else ""


def _move(root: Path, decision: Decision) -> None:
    new, old = root / _WORK / _NEW, root / _WORK / _OLD
    make_private_folder(old)
    for name in decision.parts:
        # While it is still to be moved, what stands in its place is the old one.
        if (new / name).exists():
            if (root / name).is_dir():
                (root / name).rename(old / name)
            (new / name).replace(root / name)
    for name in decision.drops:
        if (root / name).exists():
            (root / name).rename(old / name)
    sync_folder(root)
    Devnet(root, Devnet.read_roster(root)).note_event(LOADED, snapshot=decision.snapshot)
    # First, and then the decision: what is left without it is an undecided state no more.
    shutil.rmtree(new, ignore_errors=True)
    (root / SWAP).unlink()
    sync_folder(root)
    discard(root)


def _check_part(name: str) -> None:
    if re.fullmatch(rf"{NAME_PATTERN}(\.[a-z]{{1,8}})?", name) is None or name in OWN_FOLDERS:
        raise DevnetError("bad_record", f"{SWAP}: {clean_text(name, 64)!r}", "a part of a devnet")
