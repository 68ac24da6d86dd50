"""A process is killed before each write of its store: it leaves before or after, never between."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.store import Store
from tests.support.acceptance_storage import live_an_hour
from tests.support.builders import a_genesis
from tests.support.golden import read_rows
from tests.support.twin_stores import check_whole

OPENING_WRITES = 3
"""Of a new store: the genesis, and twice how far opinions are."""
PROGRAM = """
import os, signal, sys
from pathlib import Path
from storage.rocks import RocksEngine
from storage.store import Store
from tests.support.acceptance_storage import live_an_hour
from tests.support.builders import a_genesis

class Doomed(RocksEngine):
    writes_left = int(sys.argv[2])

    def write(self, batch, *, sync):
        if self.writes_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.writes_left -= 1
        super().write(batch, sync=sync)

genesis = a_genesis()
for _ in live_an_hour(Store(Doomed(Path(sys.argv[1]), network=genesis.network), genesis)):
    pass
"""


@pytest.mark.wire
def test_kill_9_before_any_write_leaves_the_store_of_a_whole_change(tmp_path: Path) -> None:
    store = Store.in_memory(a_genesis())
    moments = []
    for _ in live_an_hour(store):
        moments.append(read_rows(store.engine))
    for writes in range(OPENING_WRITES + len(moments) - 1):
        path = tmp_path / str(writes)
        command = [sys.executable, "-c", PROGRAM, str(path), str(writes)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        survivor = Store.open(path, a_genesis())
        if writes >= OPENING_WRITES:
            # What is not synced may be gone with a machine, but not with a process.
            assert read_rows(survivor.engine) == moments[writes - OPENING_WRITES]
        check_whole(survivor)
        survivor.close()
