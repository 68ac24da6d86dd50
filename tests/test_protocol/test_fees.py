"""Fees, stakes and forfeits: the published figures, and that every split adds up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.fees import (
    STAKE_SHARE_LOST,
    compute_publish_fee,
    compute_stake_loss,
    compute_submit_fee,
    is_reward_in_range,
    split_fee,
    split_forfeit,
)
from protocol.params import AMOUNT_MAX, MAINNET, MINIMAL, NANO_PER_COIN
from protocol.reputation import PENALTY_POINTS, Violation, judge_score
from protocol.task_types import Difficulty

COIN = NANO_PER_COIN
amounts = st.integers(0, AMOUNT_MAX)


@pytest.mark.parametrize(
    ("difficulty", "base"),
    [
        (Difficulty.BEGINNER, 1_000_000),
        (Difficulty.INTERMEDIATE, 2_000_000),
        (Difficulty.ADVANCED, 4_000_000),
        (Difficulty.EXPERT, 8_000_000),
    ],
)
def test_publishing_costs_by_difficulty_size_and_reward(difficulty: Difficulty, base: int) -> None:
    assert compute_publish_fee(MAINNET, difficulty, 0, 0) == base
    fee = compute_publish_fee(MAINNET, difficulty, 3 * 1_024, 100 * COIN)
    assert fee == base + 300_000 + COIN // 10


def test_an_answer_costs_by_its_size() -> None:
    assert compute_submit_fee(MAINNET, 0) == 500_000
    assert compute_submit_fee(MAINNET, 512) == 525_000
    assert compute_submit_fee(MAINNET, 4 * 1_024) == 700_000


def test_a_fifth_of_a_fee_is_burned() -> None:
    assert split_fee(250_000, MAINNET) == (200_000, 50_000)
    assert split_fee(4, MAINNET) == (4, 0)


@given(amounts, st.integers(0, 10_000))
def test_a_split_fee_adds_up(amount: int, burned_share: int) -> None:
    treasury, burned = split_fee(amount, replace(MINIMAL, burned_share=burned_share))
    assert treasury + burned == amount
    assert treasury >= 0
    assert burned >= 0


@given(amounts)
def test_a_forfeited_stake_adds_up_and_half_of_it_heals(amount: int) -> None:
    harmed, treasury, burned = split_forfeit(amount, MAINNET)
    assert harmed + treasury + burned == amount
    assert harmed == amount // 2
    assert min(treasury, burned) >= 0


@pytest.mark.parametrize(
    ("coins", "difficulty"),
    [
        (5, Difficulty.BEGINNER),
        (14, Difficulty.BEGINNER),
        (15, Difficulty.INTERMEDIATE),
        (49, Difficulty.INTERMEDIATE),
        (50, Difficulty.ADVANCED),
        (199, Difficulty.ADVANCED),
        (200, Difficulty.EXPERT),
        (500, Difficulty.EXPERT),
    ],
)
def test_a_reward_belongs_to_one_difficulty_only(coins: int, difficulty: Difficulty) -> None:
    fitting = [level for level in Difficulty if is_reward_in_range(MAINNET, level, coins * COIN)]
    assert fitting == [difficulty]


@pytest.mark.parametrize("reward", [0, 5 * COIN - 1, 500 * COIN + 1])
def test_a_reward_below_the_least_or_above_the_most_belongs_to_none(reward: int) -> None:
    assert not any(is_reward_in_range(MAINNET, level, reward) for level in Difficulty)


@pytest.mark.parametrize(
    ("violation", "percent"),
    [
        (Violation.INCORRECT_ANSWER, 30),
        (Violation.LATE_SUBMISSION, 15),
        (Violation.NOT_REVEALED, 30),
        (Violation.POOR_QUALITY, 10),
        (Violation.MALICIOUS_BEHAVIOR, 80),
        (Violation.COLLUSION, 100),
        (Violation.PLAGIARISM, 90),
        (Violation.FRIVOLOUS_DISPUTE, 0),
    ],
)
def test_a_violation_takes_its_share_of_the_stake(violation: Violation, percent: int) -> None:
    assert compute_stake_loss(10 * COIN, violation) == percent * COIN // 10


@pytest.mark.parametrize("score", range(101))
def test_no_score_costs_more_than_not_to_show_the_answer(score: int) -> None:
    violation = judge_score(score, quality_threshold=100)
    hidden = Violation.NOT_REVEALED
    if violation is not None:
        assert compute_stake_loss(COIN, violation) <= compute_stake_loss(COIN, hidden)
        assert PENALTY_POINTS[violation] <= PENALTY_POINTS[hidden]


@given(amounts, st.sampled_from(list(Violation)))
def test_a_stake_is_never_lost_twice_over(stake: int, violation: Violation) -> None:
    assert 0 <= compute_stake_loss(stake, violation) <= stake
    assert max(STAKE_SHARE_LOST.values()) <= 10_000
