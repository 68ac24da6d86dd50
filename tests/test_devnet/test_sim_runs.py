"""Runs: kept plans stay good, what is planted is found, what fails becomes small."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from devnet.sim.generate import make_plan
from devnet.sim.plan import CORE, Event, Plan, read_plan
from devnet.sim.run import Failure, run_plan
from devnet.sim.shrink import shrink_plan
from devnet.sim.zoo import Bug, hunt, planted
from devnet.sim.zoo_all import ALL_BUGS
from tests.tidy.tree import ROOT

FOLDER = ROOT / "tests" / "regressions"
KEPT = sorted(FOLDER.glob("*.json"))
BUGS = {bug.name: bug for bug in ALL_BUGS}
FOUND = {name: path for name in BUGS if (path := FOLDER / f"zoo_{name}.json") in KEPT}
"""The smallest plan that shows each bug; those without one fall only to a long hunt."""


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_plan_holds(path: Path) -> None:
    assert run_plan(read_plan(path)).failure is None


@cache
def run_with_bug(name: str) -> Failure | None:
    with planted(BUGS[name]):
        return run_plan(read_plan(FOUND[name])).failure


@pytest.mark.parametrize("name", FOUND)
def test_a_planted_bug_is_found_by_its_smallest_plan(name: str) -> None:
    assert run_with_bug(name) is not None


def test_every_property_is_seen_to_fail() -> None:
    """A property that no planted bug breaks may be one that nothing can break."""
    failures = [run_with_bug(name) for name in FOUND]
    broken = {failure.prop for failure in failures if failure is not None}
    assert broken == {f"P{number}" for number in range(1, 17)}


def test_a_planted_bug_is_gone_afterwards() -> None:
    def find_values(bug: Bug) -> list[object]:
        return [vars(patch.owner)[patch.name] for patch in bug.patch()]

    for bug in ALL_BUGS:
        before = find_values(bug)
        with planted(bug):
            assert find_values(bug) != before
        assert find_values(bug) == before


def test_a_hunt_that_finds_nothing_says_so() -> None:
    nothing = Bug("nothing", "no bug at all", CORE, list)
    done = hunt(nothing, seeds_max=2)
    assert (done.seeds, done.seed, done.failure) == (2, None, None)


def test_shrinking_keeps_the_failure_and_drops_what_it_does_not_need() -> None:
    with planted(BUGS["never_synced"]):
        done = hunt(BUGS["never_synced"])
        assert done.seed is not None
        assert done.failure is not None
        plan = make_plan(CORE, done.seed)
        shrunk = shrink_plan(plan, done.failure.class_)
        failure = run_plan(shrunk.plan).failure
    assert failure is not None
    assert failure.class_ == done.failure.class_
    assert len(shrunk.plan.events) <= 4 < len(plan.events)
    assert shrunk.plan.peers <= plan.peers


def test_an_event_that_is_left_out_changes_the_fate_of_no_other_message() -> None:
    events = (Event(1_500, "publish", 1, (3,)), Event(2_500, "backup", 1))
    plan = Plan(peers=3, calm_ms=4_000, end_ms=20_000, events=events)
    one, other = run_plan(plan), run_plan(replace(plan, events=events[:1]))
    assert one.counts["messages"] == other.counts["messages"]


def test_kept_plans_are_small() -> None:
    sizes = {path.stem: len(json.loads(path.read_text())["events"]) for path in KEPT}
    assert {name: size for name, size in sizes.items() if size > 40} == {}
