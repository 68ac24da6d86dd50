"""The commands where nothing runs: what they refuse, and with which line."""

import json
from pathlib import Path

import pytest

from devnet.cli import _read_params as read_params
from devnet.errors import DevnetError
from devnet.founding import DEMO_NAME, found_devnet
from devnet.layout import Devnet
from node.cli import run_command
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


@pytest.mark.parametrize("word", ["down", "status", "check", "logs", "heal"])
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
