"""How verdicts move a miner's reputation, and what it is worth after idle days. Integers only.

Rules:
1. A score is 0 to 10,000. Every change of one seal is computed from the score of the seal before
   and then added up, so the order in which a miner's tasks are looked at means nothing.
2. Gains shrink as the score grows; losses do not.
3. Idleness costs nothing that is stored. It is computed when the score is read for a weight, from
   epoch numbers, so no clock writes state. One idle day multiplies by 99/100 and floors, starting
   from 10,000; the floor is one half, met on day 69. Day 7 is 9,316 and day 30 is 7,382.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType

from protocol.params import SCALE

REPUTATION_MAX = SCALE

_TASK_GAINS = ((90, 50), (80, 30), (70, 20), (60, 10), (50, 5))
"""(least score, points), highest first: the first row that fits counts."""
_TASK_LOSS = -10

_DAMPING_WHOLE = 10 * SCALE
"""Points gained at a score r are base * (whole - r) / whole: a tenth less at the top."""

_VOTE_GAIN = 10
_VOTE_LOSS = -20

_AGE_FLOOR = SCALE // 2

_WRONG_BELOW = 30
_POOR_MARGIN = 20


class Violation(IntEnum):
    """What costs reputation, and for some a share of the stake (`protocol.fees`)."""

    LATE_SUBMISSION = 0
    NOT_REVEALED = 1
    POOR_QUALITY = 2
    INCORRECT_ANSWER = 3
    FALSE_VALIDATION = 4
    FRIVOLOUS_DISPUTE = 5
    PLAGIARISM = 6
    MALICIOUS_BEHAVIOR = 7
    COLLUSION = 8
    EQUIVOCATION = 9


PENALTY_POINTS: Mapping[Violation, int] = MappingProxyType(
    {
        Violation.LATE_SUBMISSION: 50,
        Violation.NOT_REVEALED: 50,
        Violation.POOR_QUALITY: 20,
        Violation.INCORRECT_ANSWER: 30,
        Violation.FALSE_VALIDATION: 200,
        Violation.FRIVOLOUS_DISPUTE: 100,
        Violation.PLAGIARISM: 1_000,
        Violation.MALICIOUS_BEHAVIOR: 2_000,
        Violation.COLLUSION: 3_000,
        Violation.EQUIVOCATION: 1_000,
    }
)
"""Points lost by a violation that the rules establish or a dispute's verdict confirms."""


def compute_task_delta(score: int, reputation: int) -> int:
    """Return the points an answer with consensus `score` (0..100) brings its miner.

    Args:
        score: the consensus score.
        reputation: the miner's score at the last seal.
    """
    for least, gain in _TASK_GAINS:
        if score >= least:
            return _damp(gain, reputation)
    return _TASK_LOSS


def compute_vote_delta(deviation: int, tolerance: int, reputation: int) -> int:
    """Return the points a vote brings its validator.

    Args:
        deviation: distance of his score from the consensus.
        tolerance: distance that still counts as agreement; beyond twice that he loses points.
        reputation: the validator's score at the last seal.
    """
    if deviation <= tolerance:
        return _damp(_VOTE_GAIN, reputation)
    return _VOTE_LOSS if deviation > 2 * tolerance else 0


def apply_deltas(reputation: int, deltas: Iterable[int]) -> int:
    """Return the score after all changes of one seal, held within 0..10,000."""
    return max(0, min(REPUTATION_MAX, reputation + sum(deltas)))


def compute_idle_reputation(reputation: int, idle_epochs: int, epochs_per_day: int) -> int:
    """Return what a score counts for after `idle_epochs` without an action; at least half."""
    days = min(idle_epochs // epochs_per_day, len(_AGE_FACTORS) - 1)
    return reputation * _AGE_FACTORS[days] // SCALE


def judge_score(score: int, quality_threshold: int) -> Violation | None:
    """Return the violation that a consensus score amounts to, None if the answer is honest work.

    Only an answer far below what was asked for is punished: under 30 it is wrong, and more than 20
    under the publisher's threshold it is poor.
    """
    if score < _WRONG_BELOW:
        return Violation.INCORRECT_ANSWER
    if score < quality_threshold - _POOR_MARGIN:
        return Violation.POOR_QUALITY
    return None


def _damp(gain: int, reputation: int) -> int:
    return max(1, gain * (_DAMPING_WHOLE - reputation) // _DAMPING_WHOLE)


def _compute_age_factors() -> tuple[int, ...]:
    factors = [SCALE]
    while factors[-1] > _AGE_FLOOR:
        factors.append(max(_AGE_FLOOR, factors[-1] * 99 // 100))
    return tuple(factors)


_AGE_FACTORS = _compute_age_factors()
"""Share of the score that is left after 0, 1, 2, … idle days, in basis points."""
