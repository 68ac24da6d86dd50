"""`minesync devnet run` on processes: what nodes bear, a start that fails, a bundle of each."""

import json
import sys
from pathlib import Path

import pytest

from devnet.bundles.bundle import read_bundle
from node.cli import run_command
from node.exits import Exit

pytestmark = [pytest.mark.wire, pytest.mark.timeout(180)]

PERTURBED = """
[devnet]
seed = 7
keep = "never"

[node.a]
role = "validator"

[node.b]
perturb = ["kill", "pause", "disconnect", "restart"]

[[check]]
expr = "converged and ready"
within = "1m"
"""

BROKEN = """
[devnet]
seed = 7

[node.a]

[node.b]
exe = "/bin/false"
"""


HARD = f"""
[devnet]
seed = 7

[group.n]
count = 3
role = "validator"

[[event]]
do = "corrupt"
when = "epoch >= 4"
target = ["n2"]

[[event]]
do = "upgrade"
when = "epoch >= 4"
target = ["n3"]
exe = "{sys.executable}"
env = {{ RELEASE = "another" }}

[[check]]
expr = "converged and ready and peers == 2 and invariants and money"
within = "1m"
"""


def read_deeds(root: Path) -> list[str]:
    events = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    return [event["event"] for event in events if event["event"] != "check"]


def test_a_node_bears_one_thing_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(PERTURBED)
    where = ["--dir", str(tmp_path / "net")]
    assert run_command(["devnet", "run", str(tmp_path / "net.toml"), *where]) == Exit.OK
    deeds = read_deeds(tmp_path / "net")
    done = ["kill", "start", "pause", "resume", "disconnect", "reconnect", "restart", "start"]
    assert deeds == ["start", "start", *done]
    path = tmp_path / "b.tar.gz"
    assert run_command(["devnet", "bundle", str(path), *where]) == Exit.OK
    bundle = read_bundle(path)
    assert [verdict.ok for verdict in bundle.outcome.verdicts] == [True]
    # It was written down while the nodes ran; they do not any more.
    assert any(by_root for by_root in bundle.outcome.roots.values())
    assert {"logs/a.log", "configs/b.toml"} <= bundle.sizes.keys()


def test_a_start_that_fails_has_its_report_and_leaves_nothing_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.toml").write_text(BROKEN)
    words = ["run", str(tmp_path / "net.toml"), "--report", str(tmp_path / "out")]
    assert run_command(["devnet", *words, "--dir", str(tmp_path / "net")]) == Exit.FAILED
    assert "minesync: peer_died: found b: ended while starting" in capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    verdicts = {one["name"]: one for one in report["verdicts"]}
    assert verdicts["start"]["ok"] is False
    assert verdicts["b is ready"] == {
        "name": "b is ready",
        "ok": False,
        "detail": "it wrote: nothing",
    }
    peers = json.loads((tmp_path / "net" / "devnet.json").read_text())["peers"]
    for peer in peers.values():
        assert not Path(f"/proc/{peer['pid']}").exists()


def test_a_damaged_node_refuses_and_refills_and_another_is_upgraded(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(HARD)
    where = ["--dir", str(tmp_path / "net")]
    assert run_command(["devnet", "run", str(tmp_path / "net.toml"), *where]) == Exit.OK
    lines = (tmp_path / "net" / "events.jsonl").read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event["event"] != "check"]
    damaged = [event for event in events[3:] if event["peer"] == "n2"]
    names = [event["event"] for event in damaged]
    # The process that refuses has begun, too.
    assert names == ["kill", "corrupt", "start", "refused", "repair", "start"]
    assert len(damaged[1]["places"]) == 8
    assert "minesync db repair" in damaged[3]["reason"]
    assert damaged[4]["damage"] != "none"
    assert any((tmp_path / "net" / "n2").rglob("*.damaged-*"))
    upgraded = [event for event in events[3:] if event["peer"] == "n3"]
    assert [event["event"] for event in upgraded] == ["upgrade", "restart", "start"]
    assert upgraded[0]["env"] == {"RELEASE": "another"}
    roster = json.loads((tmp_path / "net" / "devnet.json").read_text())["peers"]["n3"]
    assert (roster["exe"], roster["env"]) == (sys.executable, {"RELEASE": "another"})
