"""Backups under `kill -9`: whatever is listed afterwards is whole."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.backup_folder import list_backups
from storage.restore import check_stream, restore
from storage.store import Store
from tests.support.builders import a_genesis
from tests.support.stored import StoredWorld, play_randomly

PATIENCE_S = 30


@pytest.mark.wire
def test_a_kill_at_any_moment_leaves_only_whole_backups(tmp_path: Path) -> None:
    """`kill -9` while backups are made without a pause: all that is listed can be restored."""
    store = Store.open(tmp_path / "db", a_genesis())
    play_randomly(StoredWorld(store), random.Random(5), 6)
    root = store.head.state_root
    store.close()
    program = (
        "import sys; from pathlib import Path\n"
        "from storage.backup import make_backup; from storage.store import Store\n"
        "from tests.support.builders import a_genesis\n"
        "store = Store.open(Path(sys.argv[1]), a_genesis())\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    make_backup(store, Path(sys.argv[2]))\n"
    )
    folder = tmp_path / "backups"
    for number in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "db"), str(folder)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        wanted = 3 * (number + 1)
        deadline = time.monotonic() + PATIENCE_S
        while len(list_backups(folder)) < wanted and time.monotonic() < deadline:
            pass
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    backups = list_backups(folder)
    assert len(backups) >= 9
    for backup in backups:
        assert backup.manifest is not None
        assert check_stream(backup.path, a_genesis()).state_root == root
    restore(backups[-1].path, tmp_path / "restored", a_genesis())
