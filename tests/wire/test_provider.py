"""Real processes keep the contract of providers, and every shipped manifest plays well on them."""

from pathlib import Path

import pytest

from devnet.cluster import ProcessCluster
from devnet.founding import found
from devnet.manifests.reader import list_shipped
from devnet.ports import is_free
from devnet.processes import is_alive
from node.cli import run_command
from tests.support.provider_contract import CONTRACT, Promise, make_three

pytestmark = [pytest.mark.wire, pytest.mark.timeout(300)]


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
async def test_a_devnet_of_processes_keeps_the_contract(tmp_path: Path, promise: Promise) -> None:
    cluster = ProcessCluster(found(tmp_path / "net", make_three("process")), guarded=True)
    try:
        await cluster.start()
        await promise(cluster)
        refs = list(cluster.find_running().values())
        assert await cluster.stop() == 0, "a peer had to be killed"
        assert not any(map(is_alive, refs))
        assert all(is_free(peer.p2p_port) for peer in cluster.devnet.roster.peers)
    finally:
        cluster.end_now()


@pytest.mark.parametrize("name", list_shipped())
def test_a_shipped_manifest_plays_well_on_processes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    where = ["--dir", str(tmp_path / "net")]
    code = run_command(["devnet", "run", name, "--seed", "7", *where])
    try:
        shown = capfd.readouterr().out
        assert code == 0, shown
        assert "FAIL" not in shown
    finally:
        run_command(["devnet", "down", *where])


MIXED = """
[devnet]
name = "mixed"
seed = 7

[node.n1]
role = "validator"

[node.n2]
role = "validator"

[node.late]
start_when = "epoch >= 5"

[[check]]
name = "soon"
expr = "epoch >= 1"
"""


def test_the_commands_do_what_a_manifest_can_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mixed.toml"
    file.write_text(MIXED)
    where = ["--dir", str(tmp_path / "net")]

    def run(*words: str) -> int:
        return run_command(["devnet", *words, *where])

    assert run("up", str(file)) == 0
    try:
        assert run("wait", "epoch >= 2 and peers == 1 on n1", "--timeout", "60s") == 0
        assert run("wait", "epoch >= 1000", "--timeout", "300ms") == 1
        assert run("check", "soon", "equal seal_hash or epoch >= 2") == 0
        assert run("check", "epoch >= 1000") == 1
        assert run("start", "late") == 0
        assert run("add", "n9", "--role", "validator", "--set", "sync.sessions_max=2") == 0
        assert run("wait", "peers == 3 on n9 and converged") == 0
        assert run("link", "n1", "n9", "--latency", "20ms", "--one-way") == 0
        assert run("clock", "n2", "--offset=-1h") == 0
        assert run("pause", "late", "--for", "300ms") == 0
        assert run("kill", "n9", "--for", "300ms") == 0
        assert run("partition", "n9,late|n1,n2", "--for", "500ms", "--one-way") == 0
        assert run("restart", "n2", "--set", "log.level=debug") == 0
        assert run("wait", "ready and converged and nothing_lost") == 0
        assert run("rm", "n9") == 0
        assert run("status", "--json") == 0
        assert run("env", "n1") == 0
    finally:
        assert run("down", "--purge") == 0
    shown = capfd.readouterr().out
    assert "late comes later" in shown
    assert f"export MINESYNC_DATA_DIR={tmp_path}/net/n1" in shown


def test_a_play_that_fails_leaves_the_processes_to_be_looked_at(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "never.toml"
    file.write_text('[node.n1]\n[[check]]\nexpr = "epoch >= 1000"\nwithin = "300ms"\n')
    where = ["--dir", str(tmp_path / "net")]
    assert run_command(["devnet", "run", str(file), *where]) == 1
    try:
        shown = capfd.readouterr().out
        for word in ("status", "logs", "down"):
            assert f"  minesync devnet {word} --dir {tmp_path}/net" in shown
        assert run_command(["devnet", "wait", "epoch >= 1", *where]) == 0
    finally:
        assert run_command(["devnet", "down", "--purge", *where]) == 0
