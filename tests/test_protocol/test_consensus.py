"""Consensus: the worked examples, and what a minority cannot do."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.consensus import Decision, Vote, cap_weights, compute_weight, decide
from protocol.errors import InvariantBroken

weights = st.integers(1, 15_000)
scores = st.integers(0, 100)


def vote(number: int, score: int | None, weight: int = 5_000) -> Vote:
    return Vote(number.to_bytes(32, "big"), score, weight)


def decide_scores(*given_scores: int | None, required: int = 3) -> Decision:
    votes = [vote(i, score) for i, score in enumerate(given_scores)]
    return decide_votes(votes, required)


def decide_votes(votes: list[Vote], required: int = 3) -> Decision:
    return decide(
        votes,
        required_reviewers=required,
        consensus_threshold=7_500,
        quality_threshold=70,
        tolerance=15,
    )


def cap_by_iteration(raw: list[int]) -> tuple[int, ...]:
    """Lower each weight that exceeds half of the others, until none does."""
    capped = list(raw)
    while True:
        before = list(capped)
        for i, weight in enumerate(capped):
            capped[i] = min(weight, (sum(capped) - weight) // 2)
        if capped == before:
            return tuple(capped)


def test_one_outlier_of_four_does_not_stop_a_decision() -> None:
    decision = decide_scores(80, 82, 78, 0)
    assert decision == Decision(True, True, 80, 7_500, 3_000, 4)


def test_one_outlier_of_three_does() -> None:
    decision = decide_scores(80, 82, 0)
    assert (decision.decided, decision.approved) == (False, False)
    assert (decision.score, decision.agreement) == (80, 6_666)


def test_two_reviewers_decide_nothing_however_unequal_they_are() -> None:
    decision = decide_votes([vote(1, 0, 5_000), vote(2, 100, 1_000)], required=1)
    assert (decision.decided, decision.score, decision.agreement) == (False, 0, 8_333)


def test_unanimity_is_full_agreement() -> None:
    decision = decide_scores(*[64] * 10)
    assert decision == Decision(True, False, 64, 10_000, 10_000, 10)


def test_fewer_votes_than_required_decide_nothing() -> None:
    assert not decide_scores(90, 90, 90, required=4).decided
    assert decide_scores(90, 90, 90, 90, required=4).approved


def test_an_abstention_is_not_a_vote() -> None:
    assert decide_scores(90, 90, None).voters == 2
    assert decide_scores(None, None) == Decision(False, False, None, 0, 0, 0)
    assert decide_scores() == Decision(False, False, None, 0, 0, 0)


def test_a_score_at_the_tolerance_agrees_and_one_beyond_does_not() -> None:
    assert decide_scores(50, 50, 65, 35).agreement == 10_000
    assert decide_scores(50, 50, 66, 50).agreement == 7_500
    assert decide_scores(50, 50, 34, 50).agreement == 7_500


def test_a_validator_cannot_vote_twice() -> None:
    with pytest.raises(InvariantBroken):
        decide_votes([vote(1, 80), vote(1, 80), vote(2, 80)])


def test_a_vote_without_weight_is_our_own_fault() -> None:
    with pytest.raises(InvariantBroken):
        decide_votes([vote(1, 80), vote(2, 80, 0), vote(3, 80)])


def test_of_three_voters_none_weighs_more_than_another() -> None:
    assert cap_weights([10_000, 1_000, 1_000]) == (1_000, 1_000, 1_000)
    assert cap_weights([3, 9_000, 10_000]) == (3, 3, 3)


def test_a_heavy_vote_of_four_is_cut_to_half_of_the_others() -> None:
    assert cap_weights([1_000, 10_000, 1_000, 1_000]) == (1_000, 1_500, 1_000, 1_000)
    assert cap_weights([9_000, 10_000, 1_000, 1_000]) == (2_000, 2_000, 1_000, 1_000)


def test_two_weights_are_left_alone() -> None:
    assert cap_weights([5_000, 1]) == (5_000, 1)
    assert cap_weights([]) == ()


@given(st.lists(weights, min_size=3, max_size=12))
def test_capping_in_one_step_is_what_iterating_ends_in(raw: list[int]) -> None:
    assert cap_weights(raw) == cap_by_iteration(raw)


@given(st.lists(weights, min_size=3, max_size=12))
def test_no_capped_weight_exceeds_half_of_the_others(raw: list[int]) -> None:
    capped = cap_weights(raw)
    assert all(2 * weight <= sum(capped) - weight for weight in capped)
    assert all(1 <= new <= old for new, old in zip(capped, raw, strict=True))


@given(
    st.lists(st.tuples(scores, weights), min_size=1, max_size=12),
    st.lists(st.tuples(scores, weights), max_size=12),
)
def test_a_minority_of_the_weight_cannot_move_the_score_outside_the_honest_range(
    honest: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    ballots = honest + others
    capped = cap_weights([weight for _, weight in ballots])
    if 2 * sum(capped[len(honest) :]) >= sum(capped):
        return
    decision = decide_votes([vote(i, score, w) for i, (score, w) in enumerate(ballots)])
    given_honestly = [score for score, _ in honest]
    assert decision.score is not None
    assert min(given_honestly) <= decision.score <= max(given_honestly)


def test_thousands_of_minorities_cannot_move_the_score_either() -> None:
    dice = random.Random(20_000)
    tried = 0
    for _ in range(4_000):
        honest = [(dice.randint(60, 90), dice.randint(500, 10_000)) for _ in range(7)]
        liars = [(dice.choice((0, 100)), dice.randint(500, 15_000)) for _ in range(5)]
        capped = cap_weights([weight for _, weight in honest + liars])
        if 2 * sum(capped[7:]) < sum(capped):
            votes = [vote(i, score, w) for i, (score, w) in enumerate(honest + liars)]
            score = decide_votes(votes).score
            assert score is not None
            assert min(honest)[0] <= score <= max(honest)[0]
            tried += 1
    assert tried > 1_000


@given(st.lists(st.tuples(st.none() | scores, weights), max_size=12), st.randoms())
def test_the_order_of_votes_means_nothing(
    ballots: list[tuple[int | None, int]], dice: random.Random
) -> None:
    votes = [vote(i, score, weight) for i, (score, weight) in enumerate(ballots)]
    shuffled = list(votes)
    dice.shuffle(shuffled)
    assert decide_votes(votes) == decide_votes(shuffled)


@given(st.lists(st.tuples(scores, weights), min_size=1, max_size=40))
def test_a_decision_stays_within_its_bounds(ballots: list[tuple[int, int]]) -> None:
    decision = decide_votes([vote(i, score, w) for i, (score, w) in enumerate(ballots)])
    assert decision.score in [score for score, _ in ballots]
    assert 0 < decision.agreement <= 10_000
    assert 0 <= decision.confidence <= decision.agreement
    assert decision.decided or not decision.approved


def test_a_weight_is_the_reputation_after_idle_days() -> None:
    assert compute_weight(10_000, 0, 100) == 10_000
    assert compute_weight(10_000, 7 * 100 + 99, 100) == 9_316
    assert compute_weight(5_000, 10**9, 100) == 2_500


def test_an_expert_weighs_half_as_much_again() -> None:
    assert compute_weight(4_000, 0, 100, expert=True) == 6_000


def test_a_lost_reputation_still_leaves_a_weight() -> None:
    assert compute_weight(0, 0, 100) == 1
