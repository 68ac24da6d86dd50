"""Reputation: the worked examples of gains, losses and idleness."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.reputation import (
    PENALTY_POINTS,
    Violation,
    apply_deltas,
    compute_idle_reputation,
    compute_task_delta,
    compute_vote_delta,
    judge_score,
)

reputations = st.integers(0, 10_000)


@pytest.mark.parametrize(("reputation", "gain"), [(0, 50), (5_000, 47), (10_000, 45)])
def test_a_gain_shrinks_as_the_score_grows(reputation: int, gain: int) -> None:
    assert compute_task_delta(95, reputation) == gain


@pytest.mark.parametrize(
    ("score", "points"),
    [
        (100, 50),
        (90, 50),
        (89, 30),
        (80, 30),
        (79, 20),
        (70, 20),
        (69, 10),
        (60, 10),
        (59, 5),
        (50, 5),
        (49, -10),
        (0, -10),
    ],
)
def test_an_answer_earns_by_its_score(score: int, points: int) -> None:
    assert compute_task_delta(score, 0) == points


def test_171_good_answers_lead_from_the_start_to_nine_thousand() -> None:
    reputation = 1_000
    tasks = 0
    while reputation < 9_000:
        reputation = apply_deltas(reputation, [compute_task_delta(92, reputation)])
        tasks += 1
    assert tasks == 171


@pytest.mark.parametrize(("days", "left"), [(0, 10_000), (7, 9_316), (30, 7_382), (69, 5_000)])
def test_idle_days_cost_a_hundredth_each(days: int, left: int) -> None:
    assert compute_idle_reputation(10_000, days * 8_640, 8_640) == left


def test_a_day_counts_once_it_is_over() -> None:
    assert compute_idle_reputation(10_000, 8_639, 8_640) == 10_000
    assert compute_idle_reputation(10_000, 8_640, 8_640) == 9_900


def test_idleness_takes_half_and_no_more_from_day_69_on() -> None:
    assert compute_idle_reputation(10_000, 68, 1) > 5_000
    assert compute_idle_reputation(10_000, 69, 1) == 5_000
    assert compute_idle_reputation(8_000, 1 << 31, 1) == 4_000


@given(reputations, st.integers(0, 200))
def test_idleness_never_raises_a_score(reputation: int, days: int) -> None:
    today = compute_idle_reputation(reputation, days, 1)
    tomorrow = compute_idle_reputation(reputation, days + 1, 1)
    assert reputation // 2 <= tomorrow <= today <= reputation


@pytest.mark.parametrize(
    ("deviation", "points"), [(0, 10), (15, 10), (16, 0), (30, 0), (31, -20), (100, -20)]
)
def test_a_vote_earns_by_its_nearness_to_the_consensus(deviation: int, points: int) -> None:
    assert compute_vote_delta(deviation, 15, 0) == points


def test_a_gain_is_never_damped_away() -> None:
    assert compute_task_delta(50, 10_000) == 4
    assert compute_vote_delta(0, 15, 10_000) == 9
    assert compute_task_delta(50, 99_999) == 1


def test_every_violation_costs_points() -> None:
    assert sorted(PENALTY_POINTS) == sorted(Violation)
    assert PENALTY_POINTS[Violation.COLLUSION] == 3_000
    assert min(PENALTY_POINTS.values()) > 0


@pytest.mark.parametrize(
    ("score", "violation"),
    [
        (29, Violation.INCORRECT_ANSWER),
        (30, Violation.POOR_QUALITY),
        (49, Violation.POOR_QUALITY),
        (50, None),
        (100, None),
    ],
)
def test_only_an_answer_far_below_what_was_asked_is_punished(
    score: int, violation: Violation | None
) -> None:
    assert judge_score(score, 70) is violation


@given(reputations, st.lists(st.integers(-3_000, 50), max_size=20), st.randoms())
def test_a_score_stays_in_bounds_and_the_order_of_changes_means_nothing(
    reputation: int, deltas: list[int], dice: random.Random
) -> None:
    after = apply_deltas(reputation, deltas)
    assert 0 <= after <= 10_000
    dice.shuffle(deltas)
    assert apply_deltas(reputation, deltas) == after
