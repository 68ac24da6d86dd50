"""`minesync worker test` on good and bad programs, and the program of the README among them."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.workers.messages import SCORER, SOLVER, Assignment
from node.workers.process import WorkerTimes
from node.workers.program import WorkerSpec, parse_command
from node.workers.selftest import Check, run_selftest

pytestmark = pytest.mark.wire

ROOT = Path(__file__).parents[2]
PUPPET = ROOT / "tests" / "support" / "puppet_worker.py"
NETWORK = "0123456789abcdef"
ALL = ["hello", "goodbye", "answer", "determinism", "deadline", "cancel"]
TIMES = WorkerTimes(hello_s=20, pong_s=20, cancel_s=20, exit_s=20, term_s=20, drain_s=5)


def puppet(*words: str) -> WorkerSpec:
    return WorkerSpec((sys.executable, "-IS", str(PUPPET), *words), SOLVER, NETWORK)


def get_failed(checks: list[Check]) -> list[str]:
    return [one.check for one in checks if not one.ok]


@pytest.mark.parametrize("role", [SOLVER, SCORER])
async def test_the_examples_pass(role: str) -> None:
    command = parse_command(f"{sys.executable} -m node.workers.{role}")
    checks = await run_selftest(WorkerSpec(command, role, NETWORK, folder=str(ROOT)))
    assert [one.check for one in checks] == ALL
    assert get_failed(checks) == []


async def test_the_examples_run_as_plain_files_too() -> None:
    file = ROOT / "node" / "workers" / "solver.py"
    spec = WorkerSpec(
        (sys.executable, str(file)), SOLVER, NETWORK, environment={"PYTHONPATH": str(ROOT)}
    )
    assert get_failed(await run_selftest(spec)) == []


async def test_the_worker_of_the_readme_passes(tmp_path: Path) -> None:
    text = (ROOT / "node" / "workers" / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    assert len([line for line in code[1].splitlines() if line]) <= 15
    file = tmp_path / "solve.py"
    file.write_text(code[1], encoding="utf-8")
    checks = await run_selftest(WorkerSpec((sys.executable, "-I", str(file)), SOLVER, NETWORK))
    assert get_failed(checks) == []


async def test_a_solver_is_no_scorer() -> None:
    command = (sys.executable, "-m", "node.workers.solver")
    checks = await run_selftest(WorkerSpec(command, SCORER, NETWORK, folder=str(ROOT)))
    assert get_failed(checks) == ["hello"]
    assert "hello_role" in checks[0].detail


@pytest.mark.parametrize(
    ("trick", "failed"),
    [
        ("echo", []),
        ("draw", ["determinism"]),
        ("die", ["answer", "deadline", "cancel"]),
        ("fail", ["answer"]),
    ],
)
async def test_what_a_program_does_wrong_is_found(trick: str, failed: list[str]) -> None:
    sample = Assignment(kind="general_task", input=trick)
    checks = await run_selftest(puppet(), [sample], times=TIMES)
    assert get_failed(checks) == failed


async def test_a_program_that_hangs_ignores_deadline_and_cancel() -> None:
    sample = Assignment(kind="general_task", input="hang")
    times = replace(TIMES, cancel_s=0.1)
    checks = await run_selftest(puppet(), [sample], times=times, task_ms=200)
    assert get_failed(checks) == ["answer", "deadline", "cancel"]
    assert "worker_ignored_cancel" in checks[-1].detail


async def test_a_program_that_stays_after_goodbye_is_told_of() -> None:
    sample = Assignment(kind="general_task", input="echo")
    times = WorkerTimes(exit_s=0.05, term_s=0.05)
    checks = await run_selftest(puppet("stubborn"), [sample], times=times)
    assert get_failed(checks) == ["goodbye"]
    assert checks[1].detail == "killed by SIGKILL"
