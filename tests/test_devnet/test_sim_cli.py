"""`minesync sim` at the prompt."""

import json
from pathlib import Path

import pytest

from devnet.sim.generate import make_plan
from devnet.sim.plan import CORE, Plan, write_plan
from node.cli import run_command
from node.exits import Exit


def test_seeds_in_bulk_end_with_the_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["sim", "run", "--seeds", "3", "--processes", "1"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("SIM layer=L1 commit=")
    assert " seeds=0..2 fail=0 " in lines[-1]


def test_programs_get_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sim", "run", "--seeds", "2", "--processes", "1", "--json"]
    assert run_command(words) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["seeds"], told["failed"], told["failures"]) == (2, 0, [])


def test_a_seed_and_its_plan_in_a_file_leave_the_same_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(write_plan(make_plan(CORE, 5)))
    traces = []
    for what in ("5", str(path)):
        assert run_command(["sim", "replay", what]) == Exit.OK
        out = capsys.readouterr().out
        traces.append(out[out.index("trace ") :])
    assert traces[0] == traces[1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["replay", "no_such_file.json"], "plan_unreadable"),
        (["replay", "1", "--layer", "moon"], "bad_layer"),
        (["run", "--seeds", "0"], "bad_count"),
        (["zoo", "--bug", "unicorn"], "unknown_bug"),
        (["shrink", "1"], "nothing_to_shrink"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["sim", *words]) != Exit.OK
    line = capsys.readouterr().err
    assert line.startswith(f"minesync: {code}")
    assert line.count("\n") == 1


def test_a_visit_to_the_zoo_counts_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sim", "zoo", "--bug", "never_synced", "--bug", "buried_alive", "--seeds", "30"]
    assert run_command(words) == Exit.OK
    assert "ZOO 2/2 found" in capsys.readouterr().out


def test_a_plan_that_fails_is_made_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody can converge in no time.
    path, out = tmp_path / "plan.json", tmp_path / "small.json"
    path.write_text(write_plan(Plan(calm_ms=5_000, end_ms=5_050)))
    assert run_command(["sim", "replay", str(path)]) == Exit.FAILED
    assert "P14 not_converged" in capsys.readouterr().out
    assert run_command(["sim", "shrink", str(path), "--out", str(out)]) == Exit.OK
    assert "P14 not_converged" in capsys.readouterr().out
    assert run_command(["sim", "replay", str(out)]) == Exit.FAILED
