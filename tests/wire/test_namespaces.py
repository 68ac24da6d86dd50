"""Devnets in network namespaces, made by this kernel: cut, lossy, and gone without a trace."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from devnet.cluster import ProcessCluster
from devnet.conditions import parse_condition
from devnet.facts import wait_for
from devnet.faults import heal, partition, set_links
from devnet.founding import found
from devnet.layout import Devnet
from devnet.manifests.lineup import PLAIN, LinkPlan
from devnet.manifests.tables import NAMESPACES, PROCESS
from devnet.namespaces.names import name_switch
from devnet.namespaces.runner import SystemRunner
from devnet.processes import is_alive
from node.cli import run_command
from node.transport.fault_rules import LinkRule
from tests.support.provider_contract import CONTRACT, SEED, Promise, make_three
from tests.support.runner_contract import CONTRACT as RUNNER_CONTRACT
from tests.support.runner_contract import Promise as RunnerPromise
from tests.support.runner_contract import add_namespaces, list_namespaces
from tests.support.spaces import (
    can_connect,
    list_own,
    list_there,
    needs_namespaces,
    nothing_left,
    read_drops,
    send_packets,
)
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.wire, pytest.mark.timeout(300), needs_namespaces]

STEP_S = 60.0
PACKETS = 4_000
BOTH = [("n1", "n2"), ("n2", "n1")]


@pytest.mark.parametrize("promise", RUNNER_CONTRACT, ids=lambda promise: promise.__name__)
def test_this_kernel_keeps_the_contract_of_runners(tmp_path: Path, promise: RunnerPromise) -> None:
    runner, switch = SystemRunner(), name_switch(tmp_path, SEED)
    with nothing_left(switch):
        try:
            promise(runner, switch)
        finally:
            own = {switch, f"{switch}-n1", f"{switch}-n2"}
            for name in own & list_namespaces(runner):
                runner.run(["ip", "netns", "del", name])


@asynccontextmanager
async def run_three(root: Path) -> AsyncIterator[ProcessCluster]:
    """Run three validators for the time of the block; the test fails if anything is left."""
    with nothing_left(name_switch(root, SEED)):
        cluster = ProcessCluster(found(root, make_three(PROCESS, NAMESPACES)), guarded=True)
        try:
            await cluster.start()
            refs = list(cluster.find_running().values())
            yield cluster
            assert await cluster.stop() == 0, "a peer had to be killed"
            assert not any(map(is_alive, refs))
        finally:
            cluster.end_now()


async def expect(cluster: ProcessCluster, text: str) -> None:
    finding = await wait_for(cluster, parse_condition(text), STEP_S)
    assert finding.ok, f"{text}: {finding.detail}"


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
async def test_a_devnet_in_namespaces_keeps_the_contract(tmp_path: Path, promise: Promise) -> None:
    async with run_three(tmp_path / "net") as cluster:
        await promise(cluster)


async def test_who_is_cut_off_stands_still_until_the_kernel_lets_it_hear(tmp_path: Path) -> None:
    async with run_three(tmp_path / "net") as cluster:
        peers = cluster.devnet.roster.peers
        switch, last = cluster.devnet.roster.switch, peers[2]
        assert can_connect(peers[0].namespace, last.host, last.p2p_port)
        await partition(cluster, [["n1", "n2"], ["n3"]])
        assert not can_connect(peers[0].namespace, last.host, last.p2p_port)
        assert can_connect(peers[0].namespace, peers[1].host, peers[1].p2p_port)
        before = int((await cluster.remote("n3").call("node_status"))["epoch"])
        await expect(cluster, f"epoch >= {before + 4} on n1, n2")
        assert not (await wait_for(cluster, parse_condition("equal seal_hash"), 0.5)).ok
        assert int((await cluster.remote("n3").call("node_status"))["epoch"]) <= before + 1
        assert read_drops(switch)["forward"] > 0
        # The nodes know nothing of it: what is seen is what the switch says.
        assert (await cluster.remote("n3").call("dev_look"))["cut"] == []
        kept = await cluster.links.read_kept()
        assert kept.cut == {("n1", "n3"), ("n3", "n1"), ("n2", "n3"), ("n3", "n2")}
        await heal(cluster)
        assert can_connect(peers[0].namespace, last.host, last.p2p_port)
        await expect(cluster, f"epoch >= {before + 4} and peers == 2 and converged")


async def test_with_a_fifth_of_all_packets_lost_nodes_still_agree(tmp_path: Path) -> None:
    async with run_three(tmp_path / "net") as cluster:
        first, second, _ = cluster.devnet.roster.peers
        switch = cluster.devnet.roster.switch
        await set_links(cluster, BOTH, LinkPlan(LinkRule(bandwidth=25_000), loss=200))
        last = int((await cluster.remote("n1").call("node_status"))["epoch"])
        await expect(cluster, f"epoch >= {last + 5} and converged")
        drops = read_drops(switch)
        assert drops["way_1_2"] + drops["way_2_1"] > 0
        # Clear of the rate, so that the queue is not what loses them.
        await set_links(cluster, BOTH, LinkPlan(loss=200))
        before = read_drops(switch)["way_1_2"]
        send_packets(first.namespace, second.host, PACKETS)
        lost = (read_drops(switch)["way_1_2"] - before) / PACKETS
        # Eight standard deviations to either side.
        assert 0.15 < lost < 0.25
        await set_links(cluster, BOTH, PLAIN)
        assert "way_1_2" not in read_drops(switch)
        await expect(cluster, "peers == 2 and converged")


def test_the_commands_drive_the_kernel_and_leave_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    where = ["--dir", str(tmp_path / "net")]

    def run(*words: str) -> int:
        return run_command(["devnet", *words, *where])

    with nothing_left(name_switch(tmp_path / "net", SEED)):
        assert run("up", "-n", "3", "--network", "namespaces", "--seed", str(SEED)) == 0
        try:
            document = json.loads((tmp_path / "net" / "devnet.json").read_text())
            own = {document["switch"], *(one["namespace"] for one in document["peers"].values())}
            assert len(own) == 4
            assert own <= list_there()
            assert run("link", "n1", "n2", "--loss", "10%", "--bandwidth", "1MB") == 0
            assert run("partition", "n3|n1,n2", "--one-way") == 0
            assert run("top", "--once") == 0
            assert run("kill", "n2", "--for", "300ms") == 0
            assert run("heal") == 0
            assert run("add", "n9") == 0
            assert run("wait", "converged and peers == 3") == 0
            assert run("rm", "n9") == 0
            assert own <= list_there()
            assert f"{document['switch']}-n9" not in list_there()
            assert run("up", "-n", "3", "--network", "loopback") != 0
        finally:
            assert run("down") == 0
        assert not own & list_there()
    shown = capfd.readouterr()
    for part in ("n1 hears nothing of n3", "n2 hears nothing of n3", "slow n1 - n2"):
        assert part in shown.out
    assert "3 peers, 1 of them sealers, on namespaces" in shown.err


FOREVER = """
[devnet]
network = "namespaces"
seed = 7
keep = "never"
[node.n1]
role = "validator"
[node.n2]
role = "validator"
[[check]]
expr = "epoch >= 1000000"
within = "1h"
"""


@pytest.mark.parametrize("word", ["run", "up"])
def test_after_a_launcher_that_was_killed_up_works_at_once(tmp_path: Path, word: str) -> None:
    root, file = tmp_path / "net", tmp_path / "forever.toml"
    file.write_text(FOREVER)
    where = ["--dir", str(root)]
    command = [sys.executable, "-P", "-m", "node", "devnet", word, str(file), *where]
    switch = name_switch(root, SEED)
    with nothing_left(switch):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as launcher:
            try:
                trio.run(wait_for_it, lambda: is_begun(root))
            finally:
                launcher.kill()
        cluster = ProcessCluster(Devnet.load(root))
        trio.run(wait_for_it, lambda: not cluster.find_running() and not list_own(switch))
        # As if whoever cleans up had been killed, too, or whoever builds, half way.
        add_namespaces(SystemRunner(), switch, f"{switch}-n1")
        try:
            assert run_command(["devnet", "up", str(file), *where]) == 0
            assert run_command(["devnet", "wait", "epoch >= 1 and peers == 1", *where]) == 0
        finally:
            assert run_command(["devnet", "down", "--purge", *where]) == 0


async def wait_for_it(condition: Callable[[], bool]) -> None:
    await wait_until(condition, patience_s=STEP_S)


def is_begun(root: Path) -> bool:
    """Tell whether both nodes of a devnet have been started."""
    try:
        lines = (root / "events.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len([line for line in lines if json.loads(line)["event"] == "start"]) == 2
