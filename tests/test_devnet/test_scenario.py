"""Manifests played in virtual time: what happens, in which order, and what a failure looks like."""

import json
from pathlib import Path
from typing import Any

import pytest

from devnet.checks import Verdict
from devnet.commands.common import with_devnet
from devnet.founding import found
from devnet.layout import Devnet
from devnet.manifests.reader import ManifestError, read_manifest
from devnet.manifests.relations import check_relations
from devnet.manifests.tables import SIM
from devnet.perturb import BETWEEN_S
from devnet.scenario import Play, play_all
from devnet.virtual.cluster import VirtualCluster, run_virtual
from node.cli import run_command
from node.exits import Exit

THREE = """
[group.n]
count = 3
role = "validator"
"""


def play(root: Path, text: str, seed: int = 7) -> tuple[list[Verdict], Devnet]:
    manifest = with_devnet(read_manifest(text, "net.toml"), provider=SIM, seed=seed)
    check_relations(manifest)
    devnet = found(root, manifest)

    async def work(cluster: VirtualCluster) -> list[Verdict]:
        verdicts = await play_all(Play(cluster, lambda line: None))
        await cluster.stop()
        return verdicts

    return run_virtual(devnet, work), devnet


def read_events(devnet: Devnet) -> list[dict[str, Any]]:
    return [json.loads(line) for line in devnet.events_path.read_text().splitlines()]


def list_deeds(devnet: Devnet) -> list[tuple[str, str, str]]:
    """Return second, event and peer of each event but those of the beginning and the end."""
    return [
        (event["at"][17:23], event["event"], event.get("peer", ""))
        for event in read_events(devnet)
        if event["event"] != "check" and event["at"][17:23] != "00.000"
    ]


DAY = (
    THREE
    + """
[node.late]
start_at = "2500ms"

[[event]]
do = "kill"
at = "1s"
target = ["n2"]
for = "1s"

[[event]]
do = "partition"
at = "3s"
groups = "n3|n1,n2"
for = "2s"

[[event]]
do = "pause"
when = "epoch >= 6 on n1"
target = ["late"]
for = "1s"

[[event]]
do = "clock"
at = "7s"
target = ["n1"]
offset = "+1h"

[[event]]
do = "link"
at = "8s"
target = ["n1", "n2"]
latency = "80ms"
for = "1s"

[[event]]
do = "restart"
at = "10s"
target = ["n"]

[[check]]
expr = "converged and epoch >= 12 and peers == 3"
"""
)


def test_one_seed_is_one_run_byte_for_byte(tmp_path: Path) -> None:
    logs = []
    for place, seed in enumerate((7, 7, 8)):
        verdicts, devnet = play(tmp_path / str(place), DAY, seed)
        assert [verdict.ok for verdict in verdicts] == [True], verdicts
        logs.append(devnet.events_path.read_bytes())
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


def test_events_happen_when_they_are_due_and_are_taken_back(tmp_path: Path) -> None:
    _, devnet = play(tmp_path / "net", DAY)
    deeds = list_deeds(devnet)
    assert [deed for deed in deeds if deed[1] not in ("pause", "resume")] == [
        ("01.000", "kill", "n2"),
        ("02.000", "start", "n2"),
        ("02.500", "start", "late"),
        ("03.000", "partition", ""),
        ("05.000", "heal", ""),
        ("07.000", "clock", "n1"),
        ("08.000", "link", ""),
        ("09.000", "link", ""),
        ("10.000", "restart", "n1"),
        ("10.000", "start", "n1"),
        ("10.000", "restart", "n2"),
        ("10.000", "start", "n2"),
        ("10.000", "restart", "n3"),
        ("10.000", "start", "n3"),
    ]
    frozen, thawed = (deed for deed in deeds if deed[1] in ("pause", "resume"))
    assert (frozen[1:], thawed[1:]) == (("pause", "late"), ("resume", "late"))
    assert float(thawed[0]) == float(frozen[0]) + 1


def test_a_check_that_does_not_hold_says_what_was_found(tmp_path: Path) -> None:
    check = '[[check]]\nname = "far"\nexpr = "epoch >= 99"\nwithin = "2s"\n'
    verdicts, _ = play(tmp_path / "net", THREE + check)
    ((name, ok, detail),) = [(one.name, one.ok, one.detail) for one in verdicts]
    assert (name, ok) == ("far", False)
    assert detail.startswith("epoch n1 ")


def test_what_must_always_hold_is_looked_at_all_the_time(tmp_path: Path) -> None:
    text = THREE + '[[event]]\ndo = "stop"\nat = "3s"\ntarget = ["n3"]\nfor = "3s"\n'
    text += '[[check]]\nname = "linked"\nexpr = "peers == 2"\nalways = true\n'
    text += '[[check]]\nname = "run"\nexpr = "epoch >= 0"\nalways = true\n'
    text += '[[check]]\nname = "again"\nexpr = "peers == 2"\n'
    verdicts, devnet = play(tmp_path / "net", text)
    assert {one.name: one.ok for one in verdicts} == {"linked": False, "run": True, "again": True}
    broken = [event for event in read_events(devnet) if event["event"] == "broken"]
    assert [event["name"] for event in broken] == ["linked"]


def test_an_event_that_cannot_be_done_fails_the_play(tmp_path: Path) -> None:
    text = THREE + '[[event]]\ndo = "kill"\nat = "1s"\ntarget = ["n2"]\n'
    text += '[[event]]\ndo = "pause"\nat = "2s"\ntarget = ["n2"]\n'
    verdicts, _ = play(tmp_path / "net", text)
    assert [(one.name, one.ok) for one in verdicts] == [("events", False)]
    assert "not_running" in verdicts[0].detail


def test_a_play_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    text = '[devnet]\ntimeout = "4s"\n' + THREE
    text += '[[event]]\ndo = "heal"\nwhen = "epoch >= 99"\n'
    verdicts, _ = play(tmp_path / "net", text)
    assert verdicts == [Verdict("timeout", False, "not over after 4 s")]


WORK = (
    THREE
    + """
[group.m]
count = 2
role = "miner"

[load]
tasks = 1

[[event]]
do = "load"
when = "tasks.completed >= 1"
tasks = 1

[[check]]
expr = "tasks.completed == 2 and settled and one_claim and nothing_lost"
within = "2m"
"""
)


def test_tasks_are_published_answered_judged_and_paid(tmp_path: Path) -> None:
    verdicts, devnet = play(tmp_path / "net", WORK)
    assert [one.ok for one in verdicts] == [True], verdicts
    published = devnet.published_path.read_text().splitlines()
    assert [json.loads(line)["publisher"] for line in published] == ["m1", "m1"]


def test_liars_are_found_out_and_convince_nobody(tmp_path: Path) -> None:
    text = THREE + '[node.eve]\nbyzantine = ["equivocate", "flood"]\n'
    text += '[[check]]\nexpr = "evidence >= 1 and converged and money and invariants"\n'
    verdicts, _ = play(tmp_path / "net", text)
    assert [one.ok for one in verdicts] == [True], verdicts


def test_the_command_plays_a_manifest_and_says_how_to_do_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(THREE + '[[check]]\nname = "soon"\nexpr = "epoch >= 2"\n')
    bad.write_text(THREE + '[[check]]\nexpr = "epoch >= 99"\nwithin = "1s"\n')
    where = ["--provider", "sim", "--seed", "7", "--dir", str(tmp_path / "net")]
    assert run_command(["devnet", "run", str(good), *where]) == Exit.OK
    assert "PASS  soon" in capsys.readouterr().out
    assert run_command(["devnet", "run", str(bad), *where]) == Exit.FAILED
    assert "devnet_exists" in capsys.readouterr().err
    assert run_command(["devnet", "run", str(bad), "--reset", *where]) == Exit.FAILED
    shown = capsys.readouterr().out
    assert "FAIL  epoch >= 99" in shown
    assert f"minesync devnet run {bad} --seed 7 --provider sim --reset" in shown
    assert run_command(["devnet", "status", "--dir", str(tmp_path / "net")]) == Exit.FAILED
    assert "simulation_over" in capsys.readouterr().err


def test_a_simulation_is_run_and_not_left_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sim.toml"
    file.write_text('[devnet]\nprovider = "sim"\n' + THREE)
    assert run_command(["devnet", "up", str(file), "--dir", str(tmp_path / "net")]) == Exit.FAILED
    assert "simulation_only" in capsys.readouterr().err


LACKING = """
[group.judge]
count = 3
role = "validator"

[group.miner]
count = 2
role = "miner"

[load]
tasks = 2
submission_epochs = 20

[[event]]
do = "drop_topic"
at = "500ms"
target = ["miner"]
for = "6s"

[[event]]
do = "disconnect"
at = "7s"
target = ["judge"]

[[event]]
do = "disconnect"
at = "8s"
target = ["miner1"]
for = "2s"

[[event]]
do = "disk_full"
at = "11s"
target = ["judge2", "miner2"]
for = "4s"

[[event]]
do = "kill"
at = "12s"
target = ["judge2"]
for = "1s"

[[check]]
expr = "tasks.completed >= 2 and settled"
within = "2m"

[[check]]
expr = "converged and ready and nothing_lost and invariants and money and one_claim"

[[check]]
expr = "metric minesync_alarm == 0"
always = true
"""


def test_work_is_paid_whatever_nodes_lack_for_a_while(tmp_path: Path) -> None:
    verdicts, devnet = play(tmp_path / "net", LACKING)
    assert [verdict for verdict in verdicts if not verdict.ok] == []
    deeds = [deed for deed in list_deeds(devnet) if deed[1] not in ("load", "kill", "start")]
    judges = ("judge1", "judge2", "judge3")
    assert deeds == [
        *[("00.500", "drop_topic", name) for name in ("miner1", "miner2")],
        *[("06.500", "take_topic", name) for name in ("miner1", "miner2")],
        # Back at once: whoever wants to, dials.
        *[("07.000", "disconnect", name) for name in judges],
        *[("07.000", "reconnect", name) for name in judges],
        ("08.000", "disconnect", "miner1"),
        ("10.000", "reconnect", "miner1"),
        *[("11.000", "disk_full", name) for name in ("judge2", "miner2")],
        # The one that was killed meanwhile has forgotten it.
        *[("15.000", "disk_room", name) for name in ("judge2", "miner2")],
    ]


PERTURBED = """
[group.n]
count = 3
role = "validator"
perturb = ["restart"]

[node.w]
perturb = ["kill", "pause", "disconnect"]

[[event]]
do = "stop"
at = "2s"
target = ["n2"]
for = "1s"

[[check]]
expr = "converged and ready and epoch >= 20"
within = "1m"
"""


def test_what_nodes_are_to_bear_comes_one_by_one_after_all_events(tmp_path: Path) -> None:
    verdicts, devnet = play(tmp_path / "net", PERTURBED)
    assert [verdict for verdict in verdicts if not verdict.ok] == []
    deeds = [(event, peer) for _, event, peer in list_deeds(devnet)]
    assert deeds == [
        ("stop", "n2"),
        ("start", "n2"),
        *[("kill", "w"), ("start", "w"), ("pause", "w"), ("resume", "w")],
        *[("disconnect", "w"), ("reconnect", "w")],
        *[deed for name in ("n1", "n2", "n3") for deed in (("restart", name), ("start", name))],
    ]
    times = [float(at) for at, event, _ in list_deeds(devnet) if event in ("kill", "pause")]
    assert times[1] - times[0] >= BETWEEN_S


def test_what_no_node_can_bear_is_refused() -> None:
    for text, reason in (
        ('[node.a]\nperturb = ["disconnect"]', "disconnect, of a node that is alone"),
        ('[node.a]\nperturb = ["upgrade"]', "not_a_choice"),
    ):
        with pytest.raises(ManifestError, match=reason):
            check_relations(read_manifest(text, "net.toml"))


def test_a_node_that_is_not_ready_again_ends_it_with_a_verdict(tmp_path: Path) -> None:
    # The only one that it could meet is down for good.
    text = """
[node.a]

[node.b]
perturb = ["restart", "kill"]

[[event]]
do = "stop"
at = "1s"
target = ["a"]
"""
    verdicts, devnet = play(tmp_path / "net", text)
    assert [verdict.name for verdict in verdicts if not verdict.ok] == ["perturb"]
    assert "after restart of b: " in verdicts[0].detail
    assert "kill" not in [event for _, event, _ in list_deeds(devnet)]
