"""How validators' scores of one answer become one decision. Integers only.

Rules:
1. The score is a weighted median, so whoever has less than half of the weight cannot move it
   outside the range of the others' scores.
2. No vote weighs more than half of what all others weigh together (a third of the whole). With
   three voters that makes all three equal.
3. Nothing is decided by fewer than three, whatever their agreement: of two, one is the result.
4. The outcome is a function of the set of votes; their order means nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from protocol.errors import InvariantBroken
from protocol.params import SCALE
from protocol.reputation import compute_idle_reputation

VOTERS_MIN = 3
_EXPERT_FACTOR = 15_000
_SURE_VOTERS = 10
"""From so many voters on, confidence equals agreement."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One validator's opinion of one answer.

    Attributes:
        validator: address.
        score: 0 to 100, a rejection counts as 0; None abstains and is not counted.
        weight: from `compute_weight`, frozen when the vote was taken in, so that later changes of
            a reputation do not judge old votes again.
    """

    validator: bytes
    score: int | None
    weight: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What the votes on one answer amount to.

    Attributes:
        decided: enough voters agree.
        approved: decided, and the score reaches the publisher's threshold.
        score: the weighted median, None if nobody voted.
        agreement: share of the weight near the score, in basis points.
        confidence: the agreement, reduced while there are fewer than ten voters.
        voters: how many votes counted.
    """

    decided: bool
    approved: bool
    score: int | None
    agreement: int
    confidence: int
    voters: int


def compute_weight(
    reputation: int, idle_epochs: int, epochs_per_day: int, *, expert: bool = False
) -> int:
    """Return the weight of a validator's vote; at least 1.

    A weight of 0 would, by rule 2, take away the weight of two others.

    Args:
        reputation: 0..10,000 at the last seal; a newcomer votes with what he starts with, since
            any more would make a fresh identity outweigh a known one.
        idle_epochs: epochs since the validator last did anything.
        epochs_per_day: of the network.
        expert: the validator is certified as one.
    """
    weight = compute_idle_reputation(reputation, idle_epochs, epochs_per_day)
    if expert:
        weight = weight * _EXPERT_FACTOR // SCALE
    return max(1, weight)


def cap_weights(weights: Sequence[int]) -> tuple[int, ...]:
    """Return the largest weights of which none exceeds half the sum of the others.

    The places are kept. Only the two heaviest can ever exceed it: where three weigh the same, each
    is at most half of the other two. So there is nothing to iterate. With fewer than three weights
    nothing but zeros would do; they are returned as they are, and decide nothing.
    """
    if len(weights) < VOTERS_MIN:
        return tuple(weights)
    heaviest, second, *others = sorted(weights, reverse=True)
    rest = sum(others)
    second_cap = min(second, rest)
    heaviest_cap = min(heaviest, (second_cap + rest) // 2)
    # The second bound applies to all others as well and changes none of them.
    return tuple(
        heaviest_cap if weight == heaviest else min(weight, second_cap) for weight in weights
    )


def decide(
    votes: Sequence[Vote],
    *,
    required_reviewers: int,
    consensus_threshold: int,
    quality_threshold: int,
    tolerance: int,
) -> Decision:
    """Return what the votes of one round on one answer amount to.

    Args:
        votes: at most one by validator.
        required_reviewers: votes needed; never fewer than three are enough.
        consensus_threshold: agreement needed, in basis points.
        quality_threshold: least score of an approved answer.
        tolerance: distance from the score that counts as agreement.

    Raises:
        InvariantBroken: a validator voted twice, or a vote has no weight.
    """
    if len({vote.validator for vote in votes}) != len(votes):
        raise InvariantBroken("a validator has two votes on one answer in one round")
    if any(vote.weight < 1 for vote in votes):
        raise InvariantBroken("a vote without weight")
    counted = [(vote.score, vote.weight) for vote in votes if vote.score is not None]
    if not counted:
        return Decision(False, False, None, 0, 0, 0)
    voters = len(counted)
    weights = cap_weights([weight for _, weight in counted])
    ballots = [(score, weight) for (score, _), weight in zip(counted, weights, strict=True)]
    score = _compute_median(ballots)
    near = sum(weight for given, weight in ballots if abs(given - score) <= tolerance)
    agreement = SCALE * near // sum(weights)
    decided = voters >= max(required_reviewers, VOTERS_MIN) and agreement >= consensus_threshold
    return Decision(
        decided=decided,
        approved=decided and score >= quality_threshold,
        score=score,
        agreement=agreement,
        confidence=agreement * min(voters, _SURE_VOTERS) // _SURE_VOTERS,
        voters=voters,
    )


def _compute_median(ballots: Sequence[tuple[int, int]]) -> int:
    """Return the largest score that at least half of the weight reaches."""
    ranked = sorted(ballots, reverse=True)
    reached = accumulate(weight for _, weight in ranked)
    whole = sum(weight for _, weight in ranked)
    return next(
        score for (score, _), weight in zip(ranked, reached, strict=True) if 2 * weight >= whole
    )
