"""One seed is one run: the same trace again, whatever Python does with its hashes."""

from pathlib import Path

import pytest

from devnet.sim.generate import make_plan
from devnet.sim.plan import CORE, NODE, read_plan
from devnet.sim.run import run_plan
from devnet.sim.scheduler import check_scheduler
from node.cli import run_command
from node.exits import Exit

COUNCIL_SEEDS = {CORE: 80, NODE: 39}
"""Of plans with several sealers, one of them a liar."""
REGRESSIONS = Path(__file__).parents[1] / "regressions"
PLANS = ("several_votes_shown_at_once",)
"""They left several traces once: what was done hung on the order of a set."""


def test_the_scheduler_of_this_trio_follows_a_seed() -> None:
    check_scheduler()


@pytest.mark.parametrize("layer", [CORE, NODE])
def test_nine_runs_under_three_hash_seeds_leave_one_trace(
    layer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = COUNCIL_SEEDS[layer]
    plan = make_plan(layer, seed)
    assert plan.sealers > 1
    assert any(plan.habits[: plan.sealers])
    check_one_trace([str(seed), "--layer", layer], f"layer={layer} seed={seed}", capsys)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_left_several_traces_once_leaves_one(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = REGRESSIONS / f"{name}.json"
    plan = read_plan(path)
    check_one_trace([str(path)], f"layer={plan.layer} seed={plan.seed}", capsys)


def check_one_trace(words: list[str], label: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["sim", "repeat", *words]) == Exit.OK
    line = capsys.readouterr().out.strip()
    assert line == f"DETERMINISM {label} runs=9 traces=1 PASS"


@pytest.mark.parametrize("layer", [CORE, NODE])
def test_another_seed_is_another_run(layer: str) -> None:
    one, other = (run_plan(make_plan(layer, seed)) for seed in (1, 2))
    assert one.failure is None
    assert other.failure is None
    assert one.trace != other.trace
