"""A devnet of five real processes: work done, a power cut, a partition, and nothing left behind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from devnet.checks import run_checks, survey_devnet
from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.faults import heal, kill, partition, pause, restart, resume
from devnet.founding import found_devnet
from devnet.layout import Devnet
from devnet.load import Acknowledged, Publication, Workload, publish_all
from devnet.observe import NetworkView, Observer, is_settled
from devnet.ports import is_free
from devnet.processes import is_alive
from devnet.provider import DOWN, PAUSED, UP
from node.cli import run_command
from node.network import read_genesis
from node.rpc.client import RpcError

pytestmark = [pytest.mark.wire, pytest.mark.timeout(180)]

SEED = 7
STEP_S = 60.0
LOOK_S = 0.2


@asynccontextmanager
async def run_devnet(root: Path, peers: int) -> AsyncIterator[ProcessCluster]:
    """Run a devnet for the time of the block; all of it is gone afterwards, or the test fails."""
    cluster = ProcessCluster(found_devnet(root, peers, SEED), guarded=True)
    try:
        await cluster.start()
        refs = list(cluster.find_running().values())
        assert len(refs) == peers
        yield cluster
        assert await cluster.stop() == 0, "a peer had to be killed"
        assert not any(map(is_alive, refs))
        for peer in cluster.devnet.roster.peers:
            assert is_free(peer.p2p_port), peer.name
            assert is_free(peer.rpc_port), peer.name
    finally:
        cluster.end_now()


async def wait_for_tasks(observer: Observer, tasks: set[str]) -> NetworkView:
    """Wait until these tasks are over and paid."""
    view = NetworkView(())
    with trio.fail_after(STEP_S):
        while True:
            view = await observer.look()
            if is_settled(view, tasks):
                return view
            await trio.sleep(LOOK_S)


async def wait_for_links(cluster: ProcessCluster, links: dict[str, int]) -> None:
    """Wait until peers have so many links."""
    observer = Observer(cluster)
    with trio.fail_after(STEP_S):
        while True:
            found = {view.name: view.peers for view in await observer.look_at_peers()}
            if found == links:
                return
            await trio.sleep(LOOK_S)


async def wait_for_epoch(cluster: ProcessCluster, name: str, epoch: int) -> None:
    """Wait until a peer has sealed an epoch."""
    with trio.fail_after(STEP_S):
        while True:
            status = await cluster.remote(name).call("node_status")
            if status["epoch"] >= epoch:
                return
            await trio.sleep(LOOK_S)


async def check_all(cluster: ProcessCluster) -> None:
    verdicts = run_checks(await survey_devnet(cluster, STEP_S))
    assert [verdict for verdict in verdicts if not verdict.ok] == []


def expect_acknowledged(
    _publication: Publication, result: Acknowledged | RpcError | DevnetError
) -> None:
    assert isinstance(result, Acknowledged), result


async def test_a_network_survives_a_power_cut_and_a_partition(tmp_path: Path) -> None:
    async with run_devnet(tmp_path / "net", 5) as cluster:
        observer = Observer(cluster)
        params = read_genesis(cluster.devnet.genesis_path).params
        workload = Workload.of_devnet(cluster.devnet, SEED, params)
        published = await publish_all(cluster, workload.iterate(2), expect_acknowledged)

        await kill(cluster, "n2")
        states = {view.name: view.state for view in await observer.look_at_peers()}
        assert states == {"n1": UP, "n2": DOWN, "n3": UP, "n4": UP, "n5": UP}
        await restart(cluster, "n2")
        tasks = {one.task_id for one in published}
        view = await wait_for_tasks(observer, tasks)
        assert view.count_tasks() == {"completed": 2}
        await check_all(cluster)

        # n5 is alone with what it publishes, until the others learn of it.
        await partition(cluster, [["n1", "n2", "n3", "n4"], ["n5"]])
        await wait_for_links(cluster, {"n1": 3, "n2": 3, "n3": 3, "n4": 3, "n5": 0})
        workload = Workload(SEED, ["n5"], 1, params)
        (late,) = await publish_all(cluster, workload.iterate(1), expect_acknowledged)
        with pytest.raises(RpcError, match="no_such_transaction"):
            await cluster.remote("n1").call("tx_get", tx_id=late.tx_id)
        await heal(cluster)
        view = await wait_for_tasks(observer, tasks | {late.task_id})
        assert view.count_tasks() == {"completed": 3}
        await check_all(cluster)


async def test_a_frozen_peer_is_seen_and_catches_up(tmp_path: Path) -> None:
    async with run_devnet(tmp_path / "net", 2) as cluster:
        observer = Observer(cluster)
        await pause(cluster, "n2")
        assert [view.state for view in await observer.look_at_peers()] == [UP, PAUSED]
        await wait_for_epoch(cluster, "n1", (await observer.look_at_peers())[0].epoch + 2)
        await resume(cluster, "n2")
        await check_all(cluster)


def test_the_commands_start_show_and_end_a_devnet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = ["--dir", str(tmp_path / "net")]
    assert run_command(["devnet", "up", "-n", "1", "--seed", "7", *where]) == 0
    try:
        assert run_command(["devnet", "up", *where]) != 0
        assert run_command(["devnet", "status", *where]) == 0
        assert run_command(["devnet", "check", *where]) == 0
        assert run_command(["devnet", "logs", "n1", *where]) == 0
        assert run_command(["devnet", "exec", "n1", *where, "--", "status", "--json"]) == 0
    finally:
        assert run_command(["devnet", "down", "--purge", *where]) == 0
    shown = capfd.readouterr()
    for part in ("n1 is ready", "validator", "PASS  converged", "rpc_listening", '"ready": true'):
        assert part in shown.out
    assert "already_running" in shown.err
    assert not (tmp_path / "net").exists()


def test_the_demonstration_ends_well_and_ends_its_peers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "net"
    words = ["devnet", "demo", "--once", "--faults", "--tasks", "4", "--seed", "7"]
    code = run_command([*words, "--dir", str(root)])
    shown = capfd.readouterr().out
    assert code == 0, shown
    assert "4 completed; 16/16 rewards claimed" in shown
    assert "FAIL" not in shown
    assert ProcessCluster(Devnet.load(root)).find_running() == {}
