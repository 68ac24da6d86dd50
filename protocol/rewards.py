"""Who gets what of a task's reward. Integers only; nothing is created and nothing is lost.

Rules:
1. entries + network fee + refund = reward, always.
2. Whatever is split is split by largest remainder, ties in a fixed order, so the parts add up.
3. Validators are paid for being near the consensus, not for being generous.
4. The outcome is a function of the set of answers; their order means nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from protocol.consensus import Vote, cap_weights
from protocol.errors import InvariantBroken
from protocol.records import RewardRole
from protocol.task_types import (
    AlgorithmOptimization,
    CodeAnalysis,
    Complexity,
    Difficulty,
    SecurityAudit,
    TaskType,
)

_RANK_WEIGHTS = (10, 6, 4, 2)
"""Parts of the winners' pool by rank; every later rank has the last."""

_PARTICIPANT_SCORE_MIN = 10
"""A participant's part is by score, but never by less than this."""


@dataclass(frozen=True, slots=True)
class PoolShares:
    """How a reward divides into pools, in basis points; they add up to one whole."""

    winners: int
    participants: int
    validators: int
    fee: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that was revealed and decided.

    Attributes:
        submission_id: 32 bytes.
        miner: address.
        score: the consensus score.
        committed_at: epoch in which the commitment was sealed.
        votes: the votes of the deciding round.
    """

    submission_id: bytes
    miner: bytes
    score: int
    committed_at: int
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """One part of the reward.

    Attributes:
        recipient: address.
        amount: nano-units, more than 0.
        role: for what.
        submission_id: the answer it pays; None for a validator, who is paid once for all his votes.
        rank: 1 for the best answer; 0 for whoever did not win.
        score: the consensus score of the answer; 0 for a validator.
    """

    recipient: bytes
    amount: int
    role: RewardRole
    submission_id: bytes | None
    rank: int
    score: int


@dataclass(frozen=True, slots=True)
class Payout:
    """The whole reward, divided.

    Attributes:
        shares: winners by rank, then participants in the same order, then validators by address.
        network_fee: nano-units for the network.
        refund: nano-units back to the publisher.
        winner: the best answer, None if none was good enough.
    """

    shares: tuple[Share, ...]
    network_fee: int
    refund: int
    winner: bytes | None


_SHARES_DEFAULT = PoolShares(6_500, 1_500, 1_500, 500)
_SHARES: Mapping[tuple[type, Difficulty], PoolShares] = MappingProxyType(
    {
        (SecurityAudit, Difficulty.EXPERT): PoolShares(7_000, 1_000, 1_500, 500),
        (CodeAnalysis, Difficulty.BEGINNER): PoolShares(6_000, 2_000, 1_500, 500),
    }
)

_WINNERS_DEFAULT = (4, 2)
_WINNERS: Mapping[type, tuple[int, int]] = MappingProxyType(
    {SecurityAudit: (1, 1), AlgorithmOptimization: (3, 3)}
)
"""(one winner for so many answers, but at most so many winners), by type of task."""
_WINNERS_OF_CODE: Mapping[Complexity, tuple[int, int]] = MappingProxyType(
    {
        Complexity.SIMPLE: (3, 3),
        Complexity.MEDIUM: (4, 2),
        Complexity.COMPLEX: (5, 2),
        Complexity.ENTERPRISE: (1, 1),
    }
)


def get_pool_shares(task_type: TaskType, difficulty: Difficulty) -> PoolShares:
    """Return how the reward of such a task divides into pools."""
    return _SHARES.get((type(task_type), difficulty), _SHARES_DEFAULT)


def compute_winners_max(task_type: TaskType, answers: int) -> int:
    """Return how many of `answers` decided answers can win; at least 1."""
    if isinstance(task_type, CodeAnalysis):
        answers_per_winner, most = _WINNERS_OF_CODE[task_type.complexity]
    else:
        answers_per_winner, most = _WINNERS.get(type(task_type), _WINNERS_DEFAULT)
    return max(1, min(most, answers // answers_per_winner))


def split_amount(amount: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Return `amount` in parts proportional to `weights`, by largest remainder.

    The parts add up to `amount`. Among equal remainders the earlier place is served first.

    Raises:
        InvariantBroken: all weights are 0, or one is negative.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise InvariantBroken(f"{amount} split by weights that add up to {whole}")
    parts = [amount * weight // whole for weight in weights]
    places = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % whole), i))
    for place in places[: amount - sum(parts)]:
        parts[place] += 1
    return tuple(parts)


def rank_answers(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Return answers from best to last: by score, then earlier commitment, then id."""
    return tuple(sorted(answers, key=lambda a: (-a.score, a.committed_at, a.submission_id)))


def compute_payout(
    reward: int,
    answers: Sequence[Answer],
    *,
    shares: PoolShares,
    winners_max: int,
    quality_threshold: int,
    tolerance: int,
) -> Payout:
    """Return the reward of a task, divided.

    Without a winner the winners' pool goes back to the publisher, and so does the participants'
    if there is none; without a participant that pool is split equally among the winners; without
    a validator near the consensus the validators' pool goes back.

    Args:
        reward: nano-units in escrow.
        answers: all that were revealed and decided, without any that a verdict struck out.
        shares: from `get_pool_shares`.
        winners_max: from `compute_winners_max`.
        quality_threshold: least score that can win.
        tolerance: a vote earns from 1 at this distance from the consensus up to tolerance + 1.
    """
    winner_pool, participant_pool, validator_pool, fee = split_amount(
        reward, (shares.winners, shares.participants, shares.validators, shares.fee)
    )
    ranked = rank_answers(answers)
    # The ranking is by score, so those good enough to win come first.
    able = sum(answer.score >= quality_threshold for answer in ranked)
    winners, participants = ranked[: min(able, winners_max)], ranked[min(able, winners_max) :]
    entries = [
        *_pay_winners(winners, winner_pool, 0 if participants else participant_pool),
        *_pay_participants(participants, participant_pool),
        *_pay_validators(ranked, validator_pool, tolerance),
    ]
    return Payout(
        shares=tuple(entry for entry in entries if entry.amount),
        network_fee=fee,
        refund=reward - fee - sum(entry.amount for entry in entries),
        winner=winners[0].submission_id if winners else None,
    )


def _pay_winners(winners: Sequence[Answer], pool: int, equal_pool: int) -> list[Share]:
    if not winners:
        return []
    last = len(_RANK_WEIGHTS) - 1
    by_rank = split_amount(pool, [_RANK_WEIGHTS[min(i, last)] for i in range(len(winners))])
    equal = split_amount(equal_pool, [1] * len(winners))
    return [
        Share(
            answer.miner,
            by_rank[i] + equal[i],
            RewardRole.WINNER,
            answer.submission_id,
            i + 1,
            answer.score,
        )
        for i, answer in enumerate(winners)
    ]


def _pay_participants(participants: Sequence[Answer], pool: int) -> list[Share]:
    if not participants:
        return []
    weights = [max(answer.score, _PARTICIPANT_SCORE_MIN) for answer in participants]
    return [
        Share(answer.miner, amount, RewardRole.PARTICIPANT, answer.submission_id, 0, answer.score)
        for answer, amount in zip(participants, split_amount(pool, weights), strict=True)
    ]


def _pay_validators(answers: Sequence[Answer], pool: int, tolerance: int) -> list[Share]:
    merits: dict[bytes, int] = {}
    for answer in answers:
        counted = [(vote, vote.score) for vote in answer.votes if vote.score is not None]
        # The weights that the votes had when they decided: no reputation is worth more than that.
        weights = cap_weights([vote.weight for vote, _ in counted])
        for (vote, score), weight in zip(counted, weights, strict=True):
            near = max(0, tolerance + 1 - abs(score - answer.score))
            merits[vote.validator] = merits.get(vote.validator, 0) + near * weight
    validators = sorted(merits)
    if not any(merits.values()):
        return []
    amounts = split_amount(pool, [merits[validator] for validator in validators])
    return [
        Share(validator, amount, RewardRole.VALIDATOR, None, 0, 0)
        for validator, amount in zip(validators, amounts, strict=True)
    ]
