"""Snapshots of real processes: back in time and on again, and a kill in the middle of a load."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from devnet.cluster import ProcessCluster
from devnet.conditions import parse_condition
from devnet.errors import DevnetError
from devnet.facts import wait_for
from devnet.faults import add
from devnet.founding import found_devnet
from devnet.layout import SWAP, Devnet
from devnet.load import Acknowledged, Publication, Workload, publish_all
from devnet.manifests.lineup import NodePlan
from devnet.manifests.tables import NodeTable
from devnet.snapshots.keeper import load_snapshot, save_snapshot
from devnet.snapshots.swap import recover
from node.cli import run_command
from node.network import read_genesis
from node.rpc.client import RpcError

pytestmark = [pytest.mark.wire, pytest.mark.timeout(240)]

SEED = 7
WORK_S = 90.0
SUBMISSION_EPOCHS = 20
"""A machine that does something else answers late."""
SOUND = "converged and nothing_lost and invariants and money and one_claim"


async def expect(cluster: ProcessCluster, condition: str) -> None:
    finding = await wait_for(cluster, parse_condition(condition), WORK_S)
    assert finding.ok, finding.detail


def expect_acknowledged(
    _publication: Publication, result: Acknowledged | RpcError | DevnetError
) -> None:
    assert isinstance(result, Acknowledged), result


async def work(cluster: ProcessCluster, seed: int) -> None:
    devnet = cluster.devnet
    params = read_genesis(devnet.genesis_path).params
    workload = Workload.of_devnet(devnet, seed, params, SUBMISSION_EPOCHS)
    await publish_all(cluster, workload.iterate(1), expect_acknowledged)


async def test_a_network_goes_back_signs_the_same_numbers_again_and_nobody_remembers(
    tmp_path: Path,
) -> None:
    cluster = ProcessCluster(found_devnet(tmp_path / "net", 5, SEED), guarded=True)
    try:
        await cluster.start()
        await work(cluster, 1)
        await expect(cluster, "tasks.completed >= 1 and settled")
        await save_snapshot(cluster, "base")
        seqs = {name: await read_next_seq(cluster, name) for name in cluster.devnet.names}
        # What is done now, by all of them and by one more, will not have been.
        plan = NodePlan("n6", NodeTable(), group="", seals=False, dials=cluster.devnet.names)
        await add(cluster, plan)
        await work(cluster, 2)
        await expect(cluster, "tasks.completed >= 2 and settled")
        cluster = await load_snapshot(cluster, "base")
        assert cluster.devnet.names == ("n1", "n2", "n3", "n4", "n5")
        assert {name: await read_next_seq(cluster, name) for name in seqs} == seqs
        await expect(cluster, "tasks == 1")
        # Another task: the numbers of the first one after the snapshot are signed once more.
        await work(cluster, 3)
        await expect(cluster, "tasks.completed >= 2 and settled")
        await expect(cluster, f"evidence == 0 and {SOUND}")
    finally:
        await cluster.stop()
        cluster.end_now()


async def read_next_seq(cluster: ProcessCluster, name: str) -> int:
    account = cluster.devnet.peer(name).account
    return int((await cluster.remote(name).call("account_get", address=account))["next_seq"])


KILLED = """
import os, signal, sys
from pathlib import Path
import trio
from devnet.cluster import ProcessCluster
from devnet.layout import Devnet
from devnet.snapshots.keeper import load_snapshot
real, left = os.rename, [int(sys.argv[2])]
def rename(*words, **more):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(*words, **more)
os.rename = rename
trio.run(load_snapshot, ProcessCluster(Devnet.load(Path(sys.argv[1]))), "base")
"""


@pytest.mark.parametrize(
    ("renames", "says"), [(0, "the old state stands"), (3, "now its state stands")]
)
def test_a_load_that_is_killed_leaves_one_of_the_two_states(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], renames: int, says: str
) -> None:
    devnet = found_devnet(tmp_path / "net", 3, SEED)
    trio.run(save_snapshot, ProcessCluster(devnet), "base")
    for name in devnet.names:
        (devnet.root / name / "later").touch()
    command = [sys.executable, "-c", KILLED, str(devnet.root), str(renames)]
    ended = subprocess.run(command, env=os.environ, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (devnet.root / SWAP).exists() == bool(renames)
    assert run_command(["devnet", "snapshot", "list", "--dir", str(devnet.root)]) == 0
    assert says in capsys.readouterr().err
    is_old = "old" in says
    assert [(devnet.root / name / "later").exists() for name in devnet.names] == [is_old] * 3
    assert recover(devnet.root) == ""
    assert Devnet.load(devnet.root).names == devnet.names
