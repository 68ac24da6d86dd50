"""All that two publishers, two miners and three validators can do about one task, bounded.

What a bound leaves out is in its name. What is taken for one state is said in
`tests.support.small_keys`, and of votes that nobody has shown yet in `tests.support.small_secrets`.
"""

import sys
from dataclasses import replace
from time import perf_counter

import pytest

from protocol.phases import TaskStatus
from tests.support.explorer import Explorer, Tally
from tests.support.small_moves import Bound

SCORES = (90, 20, None)
PARTIES = ("publisher", "miner", "validator")
DISPUTABLE = (TaskStatus.ANSWERS_SUBMITTED, TaskStatus.UNDER_VALIDATION, TaskStatus.COMPLETED)

ANSWERS = Bound((2, 1), SCORES, (), (), 0, as_one=True)
"""Both miners answer, and every validator says anything of each answer."""
SCORED = Bound((1,), SCORES, (), (), 0)
"""One answer, and a second panel that says anything too."""
COURT = Bound((1,), SCORES, PARTIES, DISPUTABLE, 1)
"""Whoever has a right to objects, at any time, to what becomes of one answer."""
SMALLEST = Bound((1,), (90,), (), (), 0)
FORESEEN = Bound((1,), (90, None), ("publisher",), (TaskStatus.UNDER_VALIDATION,), 1)
"""A dispute begins while some votes are hidden and others are shown."""


@pytest.mark.swarm
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("bound", [ANSWERS, SCORED, COURT], ids=str)
def test_no_interleaving_breaks_a_rule_or_leaves_a_task_open(
    bound: Bound, capsys: pytest.CaptureFixture[str]
) -> None:
    started = perf_counter()

    def tell(tally: Tally, waiting: int) -> None:
        spent_s = perf_counter() - started
        with capsys.disabled():
            print(
                f"{spent_s:.0f} s: {tally.states} states, {tally.edges} edges, {waiting} wait",
                file=sys.stderr,
            )

    explorer = Explorer(bound, tell)
    tally = explorer.tally
    try:
        explorer.run()
    finally:
        spent_s = perf_counter() - started
        with capsys.disabled():
            print(
                f"\nEXPLORE publishers=2 miners=2 validators=3 bound={bound}"
                f" states={tally.states} edges={tally.edges} terminal={tally.terminal}"
                f" stuck={tally.stuck} broken={tally.broken} wall={spent_s:.0f}s"
            )
    # What is nowhere within the bound was not looked at.
    assert {"EXPIRED", "CANCELLED", "SETTLED"} <= tally.statuses.keys()
    assert ("DISPUTED" in tally.statuses) == bool(bound.disputes)


@pytest.mark.swarm
@pytest.mark.timeout(3_600)
def test_what_is_left_out_of_a_state_hides_no_ending() -> None:
    brief, whole = Explorer(SMALLEST), Explorer(SMALLEST, short_cuts=False)
    assert brief.run().states < whole.run().states
    assert brief.endings == whole.endings


@pytest.mark.swarm
@pytest.mark.timeout(3_600)
def test_votes_chosen_late_lead_to_the_same_states_around_a_dispute() -> None:
    late, early = Explorer(FORESEEN), Explorer(replace(FORESEEN, foreseen=True))
    assert late.run().states < early.run().states
    assert late.outlines == early.outlines
    assert late.endings == early.endings
