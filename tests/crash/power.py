"""Power cuts: what a database looks like when all that had not reached the disk is gone.

The database lies on an ext4 of its own in an image file, which lies on a second ext4 in a second
image. For a cut the writer is halted and the outer file system is frozen: from then on nothing
reaches the inner image, and nothing of the inner file system was flushed for it. The inner image is
copied, which is the disk at that moment; the copy is mounted, its journal replayed, and opened.

What reaches the device counts as on disk: the losses are those of the page cache. A disk that lies
about its own cache would lose more, whatever a database does.

Needed: the right to mount, loop devices, mkfs.ext4. Where one is missing the report says which.
"""

import fcntl
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from storage.rocks import RocksSettings
from tests.crash.database import Database, draw_settings
from tests.crash.failpoints import MOMENTS, Failpoint
from tests.crash.kills import note_finding
from tests.crash.report import Tally, show_progress
from tests.crash.writer import Plan

MIB = 1 << 20
INNER_BYTES, OUTER_BYTES = 256 * MIB, 320 * MIB
COMMIT_S = 5
"""How often ext4 writes its journal by itself."""
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
DELAY_S_MAX = 0.3
CUTS_PER_DATABASE = 4
SEED_BITS = 32
PROMISES = {"transactions": 12, "evidence": 2, "blob": 4, "epoch": 12}
"""By site, after which call of a life the power may go: the rare ones come late enough."""
STEPS, STEP_CALLS_MAX = ("write", "floor", "fsync", "rename"), 16
"""What every life passes again and again on its way to the disk."""
TOOLS = ("mkfs.ext4", "mount", "umount", "cp")


class CannotCut(Exception):
    """This machine lacks something; the text says what."""


class CutDisk:
    """A mounted folder whose disk can be copied as it is at any moment."""

    def __init__(self, folder: Path, mounted: Path, outer: Path, image: Path) -> None:
        self._folder = folder
        self.mounted = mounted
        self._outer = outer
        self._image = image

    @contextmanager
    def cut(self) -> Iterator[Path]:
        """Copy the disk as it is and give what is on the copy; writers are halted by the caller."""
        copy = self._folder / "copy.img"
        handle = os.open(self._outer, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, FIFREEZE, 0)
            try:
                _run("cp", "--sparse=always", str(self._image), str(copy))
            finally:
                fcntl.ioctl(handle, FITHAW, 0)
        finally:
            os.close(handle)
        with _mounted(copy, self._folder / "copy"):
            yield self._folder / "copy"
        copy.unlink()


@contextmanager
def cut_disk(folder: Path) -> Iterator[CutDisk]:
    """Make both file systems in `folder` and mount them.

    Raises:
        CannotCut: this machine cannot.
    """
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        raise CannotCut(f"{', '.join(lacking)} (Debian: e2fsprogs, mount)")
    if os.geteuid() != 0:
        raise CannotCut("root, to mount")
    folder.mkdir(parents=True)
    outer_image, outer, inner = folder / "outer.img", folder / "outer", folder / "inner"
    image = outer / "inner.img"
    with ExitStack() as stack:
        _make_file_system(outer_image, OUTER_BYTES)
        stack.enter_context(_mounted(outer_image, outer))
        _make_file_system(image, INNER_BYTES)
        stack.enter_context(_mounted(image, inner))
        yield CutDisk(folder, inner, outer, image)


def cut_power(folder: Path, seed: int, cuts: int, *, is_synced: bool) -> Tally:
    """Cut the power under writers; without `is_synced` it is the control that must lose."""
    name = "cut=sync" if is_synced else "cut=nosync(control)"
    tally = Tally(name, seed, must_lose=not is_synced)
    tally.figures |= {"cuts": 0, "databases": 0, "random": 0, "promise": 0, "step": 0}
    try:
        with cut_disk(folder) as disk:
            _cut_often(disk, tally, random.Random(seed), cuts, is_synced=is_synced)
    except CannotCut as error:
        tally.missing = str(error)
    return tally


def _cut_often(
    disk: CutDisk, tally: Tally, chance: random.Random, cuts: int, *, is_synced: bool
) -> None:
    database: Database | None = None
    for number in range(1, cuts + 1):
        # What a control acknowledged is not on its disk, so the next one cannot go on from it.
        if database is None or not is_synced or number % CUTS_PER_DATABASE == 1:
            if database is not None:
                database.remove()
            database = Database(disk.mounted / f"{number:06d}")
            tally.count("databases")
        point = _draw_failpoint(chance) if is_synced else None
        plan = Plan(
            chance.getrandbits(SEED_BITS),
            # The control keeps all in memory: a flush for want of room would save it.
            draw_settings(chance) if is_synced else RocksSettings(),
            point,
            is_halting=True,
            is_unsynced=not is_synced,
        )
        tally.count(_name_moment(point))
        life = database.begin(plan)
        if point is None:
            # A cut before anything was promised would show nothing.
            life.listen_until(lambda heard: heard.items > 0)
            life.listen(chance.uniform(0, DELAY_S_MAX))
            life.child.stop()
        else:
            life.child.listen_until_halted(life.hearing.hear)
        life.child.drain(life.hearing.hear)
        database.note(life.hearing)
        tally.count("cuts")
        tally.acknowledged += database.count_promised()
        try:
            with disk.cut() as copied:
                path = copied / database.path.relative_to(disk.mounted)
                finding = database.check(path, settings=draw_settings(chance), is_full=True)
        finally:
            life.child.kill()
            life.child.wait()
        note_finding(tally, finding, f"cut {number}")
        database = _go_on(database, tally, chance, number) if is_synced else database
        show_progress(tally, number, cuts)
    if database is not None:
        database.remove()


def _draw_failpoint(chance: random.Random) -> Failpoint | None:
    """Return where the power goes: half of the time after a promise, else at a step or at random.

    A write that is promised and not synced is saved by the next one that is, milliseconds later.
    """
    match chance.randrange(4):
        case 0 | 1:
            site = chance.choice(sorted(PROMISES))
            return Failpoint(site, "after", chance.randint(1, PROMISES[site]))
        case 2:
            site = chance.choice(STEPS)
            return Failpoint(site, chance.choice(MOMENTS), chance.randint(1, STEP_CALLS_MAX))
        case _:
            return None


def _name_moment(point: Failpoint | None) -> str:
    if point is None:
        return "random"
    return "promise" if point.site in PROMISES else "step"


def _go_on(database: Database, tally: Tally, chance: random.Random, number: int) -> Database | None:
    """Look at what the killed writer left, power on; return the database if it can go on."""
    finding = database.check(settings=draw_settings(chance), is_full=False)
    note_finding(tally, finding, f"after cut {number}")
    if finding.point is None:
        return None
    database.settle(finding.point)
    return database


def _make_file_system(image: Path, size_bytes: int) -> None:
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    _run("mount", "-o", f"loop,commit={COMMIT_S}", str(image), str(folder))
    try:
        yield
    finally:
        _run("umount", str(folder))


def _run(*words: str) -> None:
    """Run a tool.

    Raises:
        CannotCut: it failed; the text is what it said.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())[:200]
        raise CannotCut(f"{words[0]} that works here, it says: {said}")
