"""The commands where nothing runs: what they refuse, and with which line."""

import json
import socket
from pathlib import Path

import pytest

from devnet.cluster import ProcessCluster
from devnet.commands.lifecycle import read_params
from devnet.errors import DevnetError
from devnet.founding import DEMO_NAME, found_devnet
from devnet.layout import Devnet
from devnet.manifests.lineup import NodePlan
from devnet.manifests.tables import NodeTable
from node.cli import run_command
from node.config_load import load_config
from node.exits import Exit


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return found_devnet(tmp_path / "net", 3, 7)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["up", "-n", "4"], "devnet_differs"),
        (["up", "--seed", "8"], "devnet_differs"),
        (["up", "--sealers", "2"], "devnet_differs"),
        (["up", "--param", "epoch_ms=500"], "devnet_differs"),
        (["up", "--param", "fast"], "bad_param"),
        (["demo", "--once"], "devnet_exists"),
        (["logs", "n9"], "unknown_peer"),
        (["kill", "n1"], "not_running"),
        (["pause", "n9"], "unknown_peer"),
        (["partition", "n1,n2,n3"], "bad_groups"),
        (["partition", "n1|n2"], "nobody_told"),
        (["heal"], "nobody_told"),
        (["load", "--tasks", "3"], "no_publisher"),
        (["up", "five"], "devnet_differs"),
        (["up", "five", "-n", "3"], "bad_value"),
        (["run", "solo"], "devnet_exists"),
        (["run", "solo", "--provider", "kube"], "bad_value"),
        (["run", "solo", "--network", "vlan"], "bad_value"),
        (["up", "--network", "namespace"], "bad_value"),
        (["restart", "n9"], "unknown_peer"),
        (["restart", "n1", "--set", "sync.sessions_may=2"], "bad_value"),
        (["restart", "n1", "--exe", "/no/python"], "bad_value"),
        (["rm", "n4"], "unknown_peer"),
        (["add", "n1"], "peer_exists"),
        (["add", "N1"], "bad_value"),
        (["add", "n4", "--role", "king"], "bad_value"),
        (["link", "n1", "n4"], "unknown_peer"),
        (["link", "n1", "n2"], "nobody_told"),
        (["link", "n1", "n2", "--latency", "fast"], "bad_value"),
        (["clock", "n1", "--offset", "soon"], "bad_value"),
        (["kill", "n1", "--for", "ever"], "bad_value"),
        (["partition", "n1|n2|n3", "--one-way"], "bad_groups"),
        (["wait", "epoch"], "bad_condition"),
        (["wait", "epoch > 1", "--timeout", "x"], "bad_value"),
        (["check", "epoch"], "bad_condition"),
        (["env", "n9"], "unknown_peer"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_and_changes_nothing(
    devnet: Devnet, capsys: pytest.CaptureFixture[str], words: list[str], code: str
) -> None:
    before = (devnet.root / "devnet.json").read_bytes()
    assert run_command(["devnet", *words, "--dir", str(devnet.root)]) != Exit.OK
    line = capsys.readouterr().err
    assert line.startswith(f"minesync: {code}")
    assert line.count("\n") == 1
    assert (devnet.root / "devnet.json").read_bytes() == before


@pytest.mark.parametrize("word", ["down", "status", "check", "logs", "heal", "top", "page"])
def test_without_a_devnet_there_is_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert run_command(["devnet", word, "--dir", str(tmp_path / "none")]) == Exit.FAILED
    assert "minesync devnet up" in capsys.readouterr().err


def test_a_devnet_that_is_down_can_be_looked_at(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["devnet", "status", "--json", "--dir", str(devnet.root)]) == Exit.OK
    shown = json.loads(capsys.readouterr().out)
    assert [peer["state"] for peer in shown["peers"]] == ["down"] * 3
    assert shown["tasks"] == {}


def test_top_shows_a_devnet_once_where_there_is_no_terminal(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    devnet.note_event("kill", peer="n2")
    assert run_command(["devnet", "top", "--once", "--dir", str(devnet.root)]) == Exit.OK
    shown = capsys.readouterr().out
    assert "0/3 up" in shown
    assert "in force: n1 down, n2 down, n3 down" in shown
    assert "kill n2" in shown
    assert "\x1b" not in shown


def test_the_page_does_not_take_the_port_of_another(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        words = ["devnet", "page", "--port", str(other.getsockname()[1])]
        assert run_command([*words, "--dir", str(devnet.root)]) != Exit.OK
    assert "port_in_use: found the page on 127.0.0.1" in capsys.readouterr().err


def test_a_devnet_that_is_down_fails_its_checks(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["devnet", "check", "--json", "--dir", str(devnet.root)]) == Exit.FAILED
    verdicts = json.loads(capsys.readouterr().out)["verdicts"]
    assert {"name": "answers", "ok": False, "detail": "no peer runs"} in verdicts


def test_down_can_delete_what_it_stopped(devnet: Devnet) -> None:
    assert run_command(["devnet", "down", "--dir", str(devnet.root)]) == Exit.OK
    assert devnet.root.exists()
    assert run_command(["devnet", "down", "--purge", "--dir", str(devnet.root)]) == Exit.OK
    assert not devnet.root.exists()


def test_logs_show_the_end_of_each_without_what_moves_a_terminal(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    devnet.log_path("n1").write_text("early\nlate \x1b[2J\n")
    devnet.log_path("n3").write_text("other\n")
    words = ["devnet", "logs", "--lines", "1", "--dir", str(devnet.root)]
    assert run_command(words) == Exit.OK
    assert capsys.readouterr().out.splitlines() == ["n1 | late \\x1b[2J", "n3 | other"]


@pytest.mark.parametrize("words", [["-n", "4"], ["--tasks", "0"], ["-n", "0"]])
def test_a_demonstration_that_cannot_be_leaves_the_earlier_one(
    tmp_path: Path, words: list[str]
) -> None:
    root = tmp_path / "net"
    found_devnet(root, 3, 7, name=DEMO_NAME)
    assert run_command(["devnet", "demo", *words, "--dir", str(root)]) == Exit.USAGE
    assert len(Devnet.load(root).names) == 3


def test_a_demonstration_replaces_nothing_but_a_demonstration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "net"
    found_devnet(root, 3, 7)
    assert run_command(["devnet", "demo", "--dir", str(root)]) != Exit.OK
    assert "devnet_exists" in capsys.readouterr().err
    assert len(Devnet.load(root).names) == 3


def test_parameters_are_read_from_the_command_line() -> None:
    assert read_params(["epoch_ms=500", "late_epochs=9"]) == {"epoch_ms": 500, "late_epochs": 9}
    for wrong in ("epoch_ms", "epoch_ms=", "epoch_ms=fast", "epoch_ms=-1"):
        with pytest.raises(DevnetError, match="bad_param"):
            read_params([wrong])


def test_variables_for_a_shell_name_the_devnet_and_a_node(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["devnet", "env", "n2", "--dir", str(devnet.root)]) == Exit.OK
    assert capsys.readouterr().out.splitlines() == [
        f"export MINESYNC_DEVNET_DIR={devnet.root}",
        f"export MINESYNC_DATA_DIR={devnet.root}/n2",
    ]


def test_a_devnet_that_is_down_fails_what_is_asked_of_it(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["devnet", "check", "epoch >= 0", "--json", "--dir", str(devnet.root)]
    assert run_command(words) == Exit.FAILED
    verdicts = json.loads(capsys.readouterr().out)["verdicts"]
    detail = "epoch no node that runs"
    assert verdicts == [{"name": "epoch >= 0", "ok": False, "detail": detail}]


def test_a_peer_that_was_added_can_be_struck_off(devnet: Devnet) -> None:
    cluster = ProcessCluster(devnet)
    plan = NodePlan("n9", NodeTable(role="miner"), group="", seals=False, dials=("n1", "n3"))
    spec = cluster.add(plan)
    again = Devnet.load(devnet.root)
    assert again.peer("n9") == spec
    assert spec.key == "spare1"
    assert len({peer.account for peer in again.roster.peers}) == 4
    config = load_config(again.data_paths("n9").config, {}).config
    dialed = [again.peer(name).address for name in ("n1", "n3")]
    assert (config.roles.miner, list(config.p2p.bootstrap)) == (True, dialed)
    cluster.reconfigure("n9", {"sync.sessions_max": 2})
    assert load_config(again.data_paths("n9").config, {}).config.sync.sessions_max == 2
    cluster.remove("n9")
    assert Devnet.load(devnet.root).names == ("n1", "n2", "n3")
    assert not again.data_paths("n9").root.exists()


def test_there_are_no_more_spare_accounts_than_were_asked_for(devnet: Devnet) -> None:
    cluster = ProcessCluster(devnet)
    plans = [NodePlan(f"m{n}", NodeTable(), group="", seals=False, dials=()) for n in range(5)]
    for plan in plans[:4]:
        cluster.add(plan)
    with pytest.raises(DevnetError, match="no_spare"):
        cluster.add(plans[4])
