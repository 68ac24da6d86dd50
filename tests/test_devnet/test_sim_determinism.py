"""One seed is one run: the same trace again, whatever Python does with its hashes."""

import subprocess
import sys

import pytest

from devnet.sim.generate import make_plan
from devnet.sim.plan import CORE, NODE
from devnet.sim.run import run_plan
from devnet.sim.scheduler import check_scheduler
from tests.tidy.tree import ROOT

SCRIPT = """
from devnet.sim.generate import make_plan
from devnet.sim.run import run_plan
traces = {run_plan(make_plan("core", 10)).trace + run_plan(make_plan("node", 10)).trace
          for _ in range(3)}
print(*traces)
"""


def test_the_scheduler_of_this_trio_follows_a_seed() -> None:
    check_scheduler()


def test_nine_runs_under_three_hash_seeds_leave_one_trace() -> None:
    traces: set[str] = set()
    for hash_seed in ("0", "1", "random"):
        ran = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        traces.update(ran.stdout.split())
    assert len(traces) == 1
    assert len(traces.pop()) == 128


@pytest.mark.parametrize("layer", [CORE, NODE])
def test_another_seed_is_another_run(layer: str) -> None:
    one, other = (run_plan(make_plan(layer, seed)) for seed in (1, 2))
    assert one.failure is None
    assert other.failure is None
    assert one.trace != other.trace
