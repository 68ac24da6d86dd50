"""One failing write or read in a life, and everything that must hold afterwards.

A batch whose write raised is lost, or on disk, or on disk and not yet seen: nobody can know. After
a full disk the node resumes in place; after any other error it is started again. Either way it ends
with every byte that an undisturbed node has.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from protocol.schema import encode_record
from storage.engine import Engine
from storage.errors import Full, StorageError
from storage.local import PROGRESS
from storage.meta import META
from storage.store import Store
from tests.support.faulty import Fate, FaultyEngine, a_full_disk, an_io_error
from tests.support.life import GENESIS, Life, Script, Step, an_engine, read_rows

PUT_NOTE = partial(Life.put_note, text=b"one more")


def list_writes(script: Script) -> Iterator[tuple[int, int]]:
    """Yield each write of a life as (step, number within it)."""
    for place, writes in enumerate(script.writes):
        for number in range(1, writes + 1):
            yield place, number


async def attempt(life: Life, step: Step) -> StorageError | None:
    """Take a step; return what of storage came out of it, alone or out of a group of tasks."""
    found: list[StorageError] = []
    try:
        await step(life)
    except* StorageError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, StorageError)
        found.append(error)
    return found[0] if found else None


def check_memory(life: Life, disk: Engine) -> None:
    """Check that what a node says from memory is what a restart would read from its disk."""
    rows = read_rows(disk)
    ours, theirs = life.store, Store(an_engine(rows), GENESIS)
    assert ours.head.seal_hash == theirs.head.seal_hash
    assert ours.head.state_root == theirs.head.state_root
    assert ours.totals == theirs.totals
    # Not that of the other store: its open ends a clearing that was cut short.
    assert disk.get(META, PROGRESS) == encode_record(ours.local.progress)
    view, other = ours.range_view(), theirs.range_view()
    assert view.size() == other.size()
    assert view.fingerprint(0, view.size()) == other.fingerprint(0, other.size())
    again = Life(an_engine(rows), life.folder)
    assert life.state.status() == again.state.status()
    assert sorted(life.state.open.effective) == sorted(again.state.open.effective)
    for tx in life.state.open.transactions.values():
        author = tx.header.author
        assert life.state.next_link(author) == again.state.next_link(author)
    assert life.state.next_link(life.author.address) == again.state.next_link(life.author.address)
    again.close()


async def survive_full_disk(
    script: Script, place: int, number: int, fate: Fate, folder: Path
) -> None:
    """Fill the disk at the n-th write of a step; the node must resume by itself, and be equal."""
    disk = FaultyEngine(an_engine(script.rows[place]))
    life, step = Life(disk, folder), script.steps[place]
    disk.fail_write(number, a_full_disk(), fate)
    error = await attempt(life, step)
    assert disk.has_failed
    assert isinstance(life.store.gate.fault, Full)
    # A sealer has nobody to tell, and goes on by itself.
    assert isinstance(error, Full) or getattr(step, "func", step) is Life.end_epoch
    assert life.told == []
    assert life.published == []
    if fate is Fate.LOST:
        check_memory(life, disk)
    assert isinstance(await attempt(life, PUT_NOTE), Full)
    life.disk.look()
    assert life.store.gate.fault is None
    check_memory(life, disk)
    assert await attempt(life, step) is None
    assert read_rows(disk) == script.rows[place + 1]
    life.close()


async def survive_io_error(
    script: Script, place: int, number: int, fate: Fate, folder: Path
) -> None:
    """Fail the n-th write of a step for good; a node started again must go on, and be equal."""
    disk = FaultyEngine(an_engine(script.rows[place]))
    life, step = Life(disk, folder), script.steps[place]
    disk.fail_write(number, an_io_error(), fate)
    error = await attempt(life, step)
    assert error is not None
    assert error.code == "storage_failed"
    if fate is Fate.LOST:
        check_memory(life, disk)
    fault = life.store.gate.fault
    assert fault is not None
    assert not isinstance(fault, Full)
    life.close()
    disk.reopen()
    again = Life(disk, folder)
    assert await attempt(again, step) is None
    check_memory(again, disk)
    assert read_rows(disk) == script.rows[place + 1]
    again.close()


async def survive_failing_read(script: Script, place: int, number: int, folder: Path) -> str:
    """Fail the n-th read of a step; return `told`, or `absent` if the step has no such read."""
    disk = FaultyEngine(an_engine(script.rows[place]))
    life, step = Life(disk, folder), script.steps[place]
    before = disk.reads
    disk.fail_read(number, an_io_error())
    error = await attempt(life, step)
    life.close()
    if disk.reads < before + number:
        assert error is None
        return "absent"
    assert error is not None
    again = Life(disk, folder)
    assert await attempt(again, step) is None
    assert read_rows(disk) == script.rows[place + 1]
    again.close()
    return "told"
