"""A real node is backed up while it works, destroyed, restored, and catches up with its peer."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from node.exits import Exit
from storage.restore import verify_backup
from tests.support.builders import VALIDATORS, a_registration
from tests.support.processes import LightAccount, NodeProcess, a_quick_genesis

pytestmark = pytest.mark.wire


@pytest.fixture
def nodes() -> Iterator[list[NodeProcess]]:
    started: list[NodeProcess] = []
    yield started
    for one in started:
        one.kill()


async def run_db(peer: NodeProcess, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "node", "db", *words]
    command += ["--data-dir", str(peer.paths.root), "--json"]
    return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)


async def read_db(peer: NodeProcess, *words: str) -> Any:
    outcome = await run_db(peer, *words)
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout)


async def test_a_node_backed_up_at_work_is_destroyed_restored_and_catches_up(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    genesis = a_quick_genesis()
    alice = NodeProcess(tmp_path / "alice", genesis, "alice")
    bob = NodeProcess(tmp_path / "bob", genesis, "bob")
    nodes += [alice, bob]
    alice.start("--sealer.enabled")
    await alice.wait_up()
    bob.start("--p2p.bootstrap", alice.address)
    await bob.wait_up()
    for name in VALIDATORS[:2]:
        LightAccount(name, bob, genesis).register(a_registration())
    await bob.wait(lambda: bob.call("node_status")["sealed"] == 2)

    made = await read_db(bob, "backup")
    assert made["transactions"] == 2
    assert (await read_db(bob, "info"))["epoch"] >= made["epoch"]
    refused = await run_db(bob, "verify")
    assert refused.returncode == Exit.DATA_DIR_IN_USE
    verify_backup(Path(made["path"]), genesis, tmp_path / "work")

    assert await bob.end(signal.SIGKILL) == -signal.SIGKILL
    shutil.rmtree(bob.paths.database)
    restored = await read_db(bob, "restore", str(made["number"]))
    info = await read_db(bob, "info")
    assert (info["epoch"], info["state_root"]) == (made["epoch"], made["state_root"])
    assert restored["state_root"] == made["state_root"]
    bob.start("--p2p.bootstrap", alice.address)
    await bob.wait_up()
    await bob.wait(lambda: bob.call("sync_status")["peers_equal"] == 1)
    status = bob.call("node_status")
    assert (status["sealed"], status["alarm"]) == (2, None)
    assert status["epoch"] > made["epoch"]
