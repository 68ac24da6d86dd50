"""Five thousand lives of a store, in memory and on RocksDB side by side."""

import os
from pathlib import Path
from time import perf_counter

import pytest

from tests.support.store_program import live_through

FIRST = int(os.environ.get("MINESYNC_FIRST_SEED", "0"))
"""Another one searches where nobody has looked yet."""
LIVES = 5_000


@pytest.mark.swarm
@pytest.mark.timeout(3_600)
def test_five_thousand_lives_leave_nothing_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = range(FIRST, FIRST + LIVES)
    started = perf_counter()
    live_through(seeds, tmp_path)
    spent_s = perf_counter() - started
    with capsys.disabled():
        print(f"\n{LIVES} lives of a store, seeds {seeds[0]}..{seeds[-1]}, {spent_s:.0f} s")
