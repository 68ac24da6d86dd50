"""The n-th write fails, for every n: it is told, memory says what is on disk, and life goes on.

`python -m tests.damage` tries every error and every fate of every write; here each has one.
"""

from itertools import count
from pathlib import Path

import pytest
import trio

from storage.rebuild import find_missing_keys, find_stale_keys
from storage.scrub import scrub
from tests.damage.writes import (
    attempt,
    check_memory,
    list_writes,
    survive_failing_read,
    survive_full_disk,
    survive_io_error,
)
from tests.support.faulty import Fate, FaultyEngine, a_full_disk
from tests.support.life import Life, Script, an_engine, read_rows, write_script

EPOCHS = 31
SEED = 4
WRITES_MIN = 200
FATES = tuple(Fate)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Script:
    """One life, rich enough."""
    script = trio.run(write_script, tmp_path_factory.mktemp("script"), EPOCHS, SEED)
    assert sum(script.writes) >= WRITES_MIN
    return script


async def test_no_failing_write_is_silent_or_wrong_and_each_ends_in_service(
    script: Script, tmp_path: Path
) -> None:
    for case, (place, number) in enumerate(list_writes(script)):
        survive = (survive_full_disk, survive_io_error)[case % 2]
        fate = FATES[case // 2 % len(FATES)]
        await survive(script, place, number, fate, tmp_path / str(case))


@pytest.mark.parametrize("every", [9, 13])
async def test_a_life_full_of_full_disks_ends_like_any_other(
    script: Script, tmp_path: Path, every: int
) -> None:
    disk = FaultyEngine(an_engine(script.rows[0]))
    life = Life(disk, tmp_path)
    failures = count(1)
    failed = 0
    disk.fail_write(every, a_full_disk())
    for step in script.steps:
        await attempt(life, step)
        while disk.has_failed:
            failed = next(failures)
            life.disk.look()
            check_memory(life, disk)
            disk.fail_write(every, a_full_disk(), FATES[failed % len(FATES)])
            await attempt(life, step)
    assert failed >= WRITES_MIN // every
    assert life.state.state_root == script.root
    assert read_rows(disk) == script.rows[-1]
    assert [line for line in scrub(life.store) if line] == []
    assert list(find_missing_keys(life.store.engine)) == []
    assert list(find_stale_keys(life.store.engine)) == []
    # No peer was told of two seals of one epoch, nor of one that is not on disk.
    assert len({seal.content.epoch for seal in life.told}) == len(life.told)
    for seal in life.told:
        assert life.store.journal.seal(seal.content.epoch) == seal.to_bytes()
    life.close()


async def test_a_read_that_fails_is_told_and_changes_nothing(
    script: Script, tmp_path: Path
) -> None:
    numbers = (1, 2, 3, 5, 9, 17, 33, 65, 129)
    outcomes = [
        await survive_failing_read(script, place, number, tmp_path / f"{place}.{number}")
        for case, place in enumerate(range(0, len(script.steps), 10))
        for number in numbers[case % 2 :: 2]
    ]
    assert outcomes.count("told") > len(outcomes) // 4
