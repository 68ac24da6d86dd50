"""A run that is recorded: what the report says is what the nodes did, in virtual time."""

import json
from pathlib import Path

import pytest

from devnet.run_report import HTML_NAME, JSON_NAME
from node.cli import run_command
from node.exits import Exit

DAY = """
[group.n]
count = 3
role = "validator"

[[event]]
do = "partition"
at = "2s"
groups = "n3|n1,n2"
for = "3s"

[[event]]
do = "kill"
at = "7s"
target = ["n2"]
for = "2s"

[[check]]
expr = "converged and epoch >= 12"
"""


def run(folder: Path, text: str) -> int:
    manifest = folder / "day.toml"
    manifest.write_text(text)
    words = ["devnet", "run", str(manifest), "--provider", "sim", "--seed", "7", "--reset"]
    return run_command(
        [*words, "--dir", str(folder / "net"), "--report", str(folder / "out"), "--json"]
    )


@pytest.mark.usefixtures("capsys")
def test_the_report_of_a_run_says_what_the_nodes_did(tmp_path: Path) -> None:
    assert run(tmp_path, DAY) == Exit.OK
    report = json.loads((tmp_path / "out" / JSON_NAME).read_bytes())
    assert report["ok"]
    assert report["devnet"]["names"] == ["n1", "n2", "n3"]
    lasted = [
        (one["kind"], one["peer"], one["begin_ms"] - report["began_ms"], one["end_ms"])
        for one in report["faults"]
    ]
    assert [one[:3] for one in lasted] == [("cut", "", 2_000), ("down", "n2", 7_000)]
    assert [end_ms - report["began_ms"] for *_, end_ms in lasted] == [5_000, 9_000]
    # Whoever was cut off or down caught up, with the same roots.
    assert report["divergence"] is None
    for name in report["devnet"]["names"]:
        assert [epoch for epoch, _, _ in report["seals"][name]][:12] == list(range(1, 13))
    late = [epoch for epoch, ms in report["seal_spreads_ms"].items() if ms >= 1_000]
    assert late, "nobody was late, though n3 was cut off for three seconds"
    assert "provider" in report["manifest"]
    assert b"every check holds" in (tmp_path / "out" / HTML_NAME).read_bytes()


@pytest.mark.usefixtures("capsys")
def test_a_run_that_fails_has_a_report_that_says_so(tmp_path: Path) -> None:
    text = DAY.replace("epoch >= 12", "epoch >= 99").replace(
        "[[check]]", '[[check]]\nwithin = "1s"'
    )
    assert run(tmp_path, text) == Exit.FAILED
    report = json.loads((tmp_path / "out" / JSON_NAME).read_bytes())
    assert not report["ok"]
    assert [verdict["ok"] for verdict in report["verdicts"]] == [False]
    assert b"1 of 1 checks failed" in (tmp_path / "out" / HTML_NAME).read_bytes()


@pytest.mark.usefixtures("capsys")
def test_one_seed_is_one_report_byte_for_byte(tmp_path: Path) -> None:
    found = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        assert run(tmp_path / place, DAY) == Exit.OK
        found.append([path.read_bytes() for path in sorted((tmp_path / place / "out").iterdir())])
    assert found[0] == found[1]
