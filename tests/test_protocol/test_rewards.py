"""Rewards: the worked example, every rule about empty pools, and that nothing is lost."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.consensus import Vote
from protocol.errors import InvariantBroken
from protocol.params import AMOUNT_MAX, NANO_PER_COIN
from protocol.records import RewardRole
from protocol.rewards import (
    Answer,
    Payout,
    PoolShares,
    compute_payout,
    compute_winners_max,
    get_pool_shares,
    rank_answers,
    split_amount,
)
from protocol.task_types import (
    AlgorithmOptimization,
    CodeAnalysis,
    Complexity,
    Difficulty,
    GeneralTask,
    SecurityAudit,
    TaskType,
)

COIN = NANO_PER_COIN
SHARES = PoolShares(6_500, 1_500, 1_500, 500)
AUDIT = SecurityAudit("smart-contract", ("owasp",))
GENERAL = GeneralTask("misc", None)


def name(text: str) -> bytes:
    return text.encode().ljust(32, b"\0")


def answer(miner: str, score: int, *votes: Vote, committed_at: int = 7) -> Answer:
    return Answer(name(f"by {miner}"), name(miner), score, committed_at, votes)


def vote(validator: str, score: int | None, weight: int = 5_000) -> Vote:
    return Vote(name(validator), score, weight)


def code(complexity: Complexity) -> CodeAnalysis:
    return CodeAnalysis("python", complexity)


def pay(answers: list[Answer], winners_max: int = 2, reward: int = 100 * COIN) -> Payout:
    return compute_payout(
        reward,
        answers,
        shares=SHARES,
        winners_max=winners_max,
        quality_threshold=70,
        tolerance=15,
    )


def amounts(payout: Payout, role: RewardRole) -> dict[str, int]:
    return {
        share.recipient.rstrip(b"\0").decode(): share.amount
        for share in payout.shares
        if share.role is role
    }


def total(payout: Payout) -> int:
    return sum(share.amount for share in payout.shares) + payout.network_fee + payout.refund


def test_the_worked_example_of_a_hundred_coins() -> None:
    votes = (vote("vic", 92), vote("wim", 88), vote("xia", 51))
    payout = pay([answer("ann", 91, *votes), answer("bob", 85), answer("cyd", 60)])
    assert amounts(payout, RewardRole.WINNER) == {"ann": 40_625_000_000, "bob": 24_375_000_000}
    assert amounts(payout, RewardRole.PARTICIPANT) == {"cyd": 15 * COIN}
    # Off by 1, 3 and 40 from 91: 15 and 13 parts of 28, and none.
    assert amounts(payout, RewardRole.VALIDATOR) == {"vic": 8_035_714_286, "wim": 6_964_285_714}
    assert (payout.network_fee, payout.refund) == (5 * COIN, 0)
    assert payout.winner == name("by ann")
    assert total(payout) == 100 * COIN


def test_the_entries_name_what_they_pay_for() -> None:
    payout = pay([answer("ann", 91, vote("vic", 91)), answer("bob", 60)])
    assert [(s.role, s.submission_id, s.rank, s.score) for s in payout.shares] == [
        (RewardRole.WINNER, name("by ann"), 1, 91),
        (RewardRole.PARTICIPANT, name("by bob"), 0, 60),
        (RewardRole.VALIDATOR, None, 0, 0),
    ]


def test_without_a_participant_his_pool_is_shared_equally_by_the_winners() -> None:
    payout = pay([answer("ann", 91), answer("bob", 85)])
    assert amounts(payout, RewardRole.WINNER) == {
        "ann": 40_625_000_000 + 7_500_000_000,
        "bob": 24_375_000_000 + 7_500_000_000,
    }
    assert amounts(payout, RewardRole.PARTICIPANT) == {}


def test_without_a_winner_the_publisher_gets_the_winners_pool_back() -> None:
    payout = pay([answer("cyd", 60, vote("vic", 60))])
    assert payout.winner is None
    assert payout.refund == 65 * COIN
    assert amounts(payout, RewardRole.PARTICIPANT) == {"cyd": 15 * COIN}
    assert amounts(payout, RewardRole.VALIDATOR) == {"vic": 15 * COIN}


def test_without_any_answer_all_but_the_fee_goes_back() -> None:
    payout = pay([])
    assert (payout.shares, payout.refund, payout.network_fee) == ((), 95 * COIN, 5 * COIN)


def test_without_a_validator_near_the_consensus_his_pool_goes_back() -> None:
    payout = pay([answer("ann", 91, vote("vic", 75), vote("wim", None))])
    assert amounts(payout, RewardRole.VALIDATOR) == {}
    assert payout.refund == 15 * COIN


def test_a_validator_is_paid_once_for_all_his_votes_by_weight() -> None:
    payout = pay(
        [
            answer("ann", 91, vote("vic", 91), vote("wim", 91, 15_000)),
            answer("bob", 85, vote("vic", 85), vote("wim", 70, 15_000)),
        ]
    )
    # 16 + 16 parts at weight 1 against 16 + 1 at weight 3.
    whole = 32 + 51
    paid = amounts(payout, RewardRole.VALIDATOR)
    assert paid == {"vic": round(15 * COIN * 32 / whole), "wim": round(15 * COIN * 51 / whole)}


def test_no_reputation_earns_more_than_the_weight_its_vote_had() -> None:
    others = [vote("vic", 91, 1_000), vote("wim", 91, 1_000)]
    payout = pay([answer("ann", 91, *others, vote("xia", 91, 10_000))])
    paid = amounts(payout, RewardRole.VALIDATOR)
    assert paid == {"vic": 5 * COIN, "wim": 5 * COIN, "xia": 5 * COIN}


def test_who_abstains_caps_nobody_elses_pay() -> None:
    heavy = vote("vic", 91, 10_000)
    payout = pay([answer("ann", 91, heavy, vote("wim", 91, 1_000), vote("xia", None, 1_000))])
    paid = amounts(payout, RewardRole.VALIDATOR)
    assert paid["vic"] == pytest.approx(10 * paid["wim"], abs=10)


def test_generosity_earns_a_validator_nothing() -> None:
    payout = pay([answer("ann", 40, vote("vic", 40), vote("wim", 100))])
    assert amounts(payout, RewardRole.VALIDATOR) == {"vic": 15 * COIN}


def test_a_participant_is_paid_by_score_but_never_by_less_than_ten() -> None:
    payout = pay([answer("ann", 90), answer("bob", 60), answer("cyd", 0)], winners_max=1)
    paid = amounts(payout, RewardRole.PARTICIPANT)
    assert paid["bob"] == pytest.approx(6 * paid["cyd"], abs=6)


def test_a_good_answer_beyond_the_last_place_is_a_participant() -> None:
    payout = pay([answer("ann", 90), answer("bob", 80)], winners_max=1)
    assert amounts(payout, RewardRole.WINNER) == {"ann": 65 * COIN}
    assert amounts(payout, RewardRole.PARTICIPANT) == {"bob": 15 * COIN}


def test_a_fifth_winner_has_the_part_of_a_fourth() -> None:
    payout = pay([answer(miner, 90) for miner in "abcde"], winners_max=5, reward=10_000)
    # 10, 6, 4, 2 and 2 parts of 6,500, and a fifth of 1,500 each.
    assert [share.amount for share in payout.shares] == [3_008, 1_925, 1_383, 842, 842]


def test_the_earlier_commitment_wins_a_tie_and_then_the_lesser_id() -> None:
    late = answer("ann", 90, committed_at=9)
    early = answer("cyd", 90, committed_at=8)
    other = answer("bob", 90, committed_at=8)
    best = answer("dan", 91, committed_at=10)
    assert rank_answers([late, early, other, best]) == (best, other, early, late)


def test_a_share_of_nothing_is_no_entry() -> None:
    payout = pay([answer("ann", 90, vote("vic", 90)), answer("bob", 60)], reward=1)
    assert [(share.role, share.amount) for share in payout.shares] == [(RewardRole.WINNER, 1)]


@pytest.mark.parametrize(
    ("task_type", "difficulty", "winners", "participants"),
    [
        (AUDIT, Difficulty.EXPERT, 7_000, 1_000),
        (AUDIT, Difficulty.ADVANCED, 6_500, 1_500),
        (code(Complexity.SIMPLE), Difficulty.BEGINNER, 6_000, 2_000),
        (code(Complexity.SIMPLE), Difficulty.EXPERT, 6_500, 1_500),
        (GENERAL, Difficulty.BEGINNER, 6_500, 1_500),
    ],
)
def test_the_pools_depend_on_type_and_difficulty(
    task_type: TaskType, difficulty: Difficulty, winners: int, participants: int
) -> None:
    shares = get_pool_shares(task_type, difficulty)
    assert shares == PoolShares(winners, participants, 1_500, 500)
    assert shares.winners + shares.participants + shares.validators + shares.fee == 10_000


@pytest.mark.parametrize(
    ("task_type", "winners_by_answers"),
    [
        (code(Complexity.SIMPLE), {0: 1, 5: 1, 6: 2, 9: 3, 255: 3}),
        (code(Complexity.MEDIUM), {7: 1, 8: 2, 255: 2}),
        (code(Complexity.COMPLEX), {9: 1, 10: 2, 255: 2}),
        (code(Complexity.ENTERPRISE), {1: 1, 255: 1}),
        (AUDIT, {1: 1, 255: 1}),
        (AlgorithmOptimization("routing", ()), {5: 1, 6: 2, 9: 3, 255: 3}),
        (GENERAL, {7: 1, 8: 2, 255: 2}),
    ],
)
def test_the_number_of_winners_depends_on_type_and_answers(
    task_type: TaskType, winners_by_answers: dict[int, int]
) -> None:
    for answers, winners in winners_by_answers.items():
        assert compute_winners_max(task_type, answers) == winners


def test_the_largest_remainder_is_served_first_and_a_tie_by_place() -> None:
    assert split_amount(10, [1, 1, 1]) == (4, 3, 3)
    assert split_amount(10, [1, 2, 3]) == (2, 3, 5)
    assert split_amount(1, [1, 1_000]) == (0, 1)
    assert split_amount(0, [1, 1]) == (0, 0)


@pytest.mark.parametrize("weights", [[], [0, 0], [2, -1]])
def test_nothing_can_be_split_by_no_weight(weights: list[int]) -> None:
    with pytest.raises(InvariantBroken):
        split_amount(10, weights)


@given(
    st.integers(0, AMOUNT_MAX),
    st.lists(st.integers(0, 1 << 20), min_size=1, max_size=40).filter(any),
)
def test_the_parts_of_a_split_add_up_and_are_fair_to_one_unit(
    amount: int, weights: list[int]
) -> None:
    parts = split_amount(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert 0 <= part - amount * weight // sum(weights) <= 1
        assert weight or not part


votes = st.lists(
    st.builds(
        Vote,
        st.integers(0, 9).map(lambda number: bytes([number]) * 32),
        st.none() | st.integers(0, 100),
        st.integers(1, 15_000),
    ),
    max_size=6,
).map(tuple)
answers = st.lists(
    st.builds(
        Answer,
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=32, max_size=32),
        st.integers(0, 100),
        st.integers(0, 3),
        votes,
    ),
    max_size=12,
    unique_by=lambda a: a.submission_id,
)


@given(st.integers(0, AMOUNT_MAX), answers, st.integers(1, 6))
def test_entries_fee_and_refund_are_the_reward(
    reward: int, given_answers: list[Answer], winners_max: int
) -> None:
    payout = pay(given_answers, winners_max, reward)
    assert total(payout) == reward
    assert min([payout.refund, payout.network_fee, *(s.amount - 1 for s in payout.shares)]) >= 0


def test_entries_fee_and_refund_are_the_reward_in_thousands_of_cases() -> None:
    dice = random.Random(30_000)
    for _ in range(3_000):
        drawn = [
            answer(
                f"miner {i}",
                dice.randint(0, 100),
                *[vote(f"v{v}", dice.randint(0, 100), dice.randint(1, 15_000)) for v in range(3)],
                committed_at=dice.randint(1, 3),
            )
            for i in range(dice.randint(0, 8))
        ]
        reward = dice.randint(0, 500 * COIN)
        kinds: list[TaskType] = [GENERAL, AUDIT, code(dice.choice(list(Complexity)))]
        task_type = dice.choice(kinds)
        payout = compute_payout(
            reward,
            drawn,
            shares=get_pool_shares(task_type, dice.choice(list(Difficulty))),
            winners_max=compute_winners_max(task_type, len(drawn)),
            quality_threshold=dice.randint(0, 100),
            tolerance=15,
        )
        assert total(payout) == reward


@given(answers, st.randoms())
def test_the_order_of_answers_and_votes_means_nothing(
    given_answers: list[Answer], dice: random.Random
) -> None:
    shuffled = []
    for one in given_answers:
        mixed = list(one.votes)
        dice.shuffle(mixed)
        shuffled.append(
            Answer(one.submission_id, one.miner, one.score, one.committed_at, tuple(mixed))
        )
    dice.shuffle(shuffled)
    assert pay(given_answers) == pay(shuffled)
