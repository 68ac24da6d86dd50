"""Fees, reward ranges, stakes and what a violation takes from a stake. Nano-units, integers only.

The founding rules give 10 % of each fee to validators, 40 % to development, 30 % to a treasury and
burn 20 %. This network has no development account, and validators are paid from the reward pools of
the tasks they judge; so what is not burned goes to the treasury.
"""

from collections.abc import Mapping
from types import MappingProxyType

from protocol.dispute_records import BOND_SHARE
from protocol.params import SCALE, Params
from protocol.reputation import Violation
from protocol.task_types import Difficulty

_KIB = 1024

_PUBLISH_FACTORS: Mapping[Difficulty, int] = MappingProxyType(
    {
        Difficulty.BEGINNER: 1,
        Difficulty.INTERMEDIATE: 2,
        Difficulty.ADVANCED: 4,
        Difficulty.EXPERT: 8,
    }
)

STAKE_SHARE_LOST: Mapping[Violation, int] = MappingProxyType(
    {
        Violation.INCORRECT_ANSWER: 3_000,
        Violation.LATE_SUBMISSION: 1_500,
        Violation.NOT_REVEALED: 3_000,
        Violation.POOR_QUALITY: 1_000,
        Violation.MALICIOUS_BEHAVIOR: 8_000,
        Violation.COLLUSION: 10_000,
        Violation.FALSE_VALIDATION: 3_000,
        Violation.PLAGIARISM: 9_000,
    }
)
"""Share of the locked stake a violation takes, in basis points; those not named take nothing.

Plagiarism, malice, collusion and false votes are established by the verdict of a dispute and by
nothing else. The founding rules name no share for a false vote; it costs what a wrong answer costs.
Not to show an answer costs as much as a wrong one, not half of it as in the founding rules: else
whoever knows that his answer is wrong would hide it.
"""


def compute_publish_fee(
    params: Params, difficulty: Difficulty, size_bytes: int, reward: int
) -> int:
    """Return the fee of publishing a task: by difficulty, by size and by reward.

    Args:
        params: of the network.
        difficulty: doubles the base fee by each level.
        size_bytes: of the transaction and of the input it announces.
        reward: nano-units put in escrow.
    """
    return (
        params.publish_fee * _PUBLISH_FACTORS[difficulty]
        + params.publish_fee_per_kib * size_bytes // _KIB
        + params.publish_fee_share * reward // SCALE
    )


def compute_submit_fee(params: Params, size_bytes: int) -> int:
    """Return the fee of an answer of `size_bytes`."""
    return params.submit_fee + params.submit_fee_per_kib * size_bytes // _KIB


def split_fee(amount: int, params: Params) -> tuple[int, int]:
    """Return (to the treasury, burned); the two add up to `amount`."""
    burned = amount * params.burned_share // SCALE
    return amount - burned, burned


def is_reward_in_range(params: Params, difficulty: Difficulty, reward: int) -> bool:
    """Tell whether a reward belongs to a difficulty.

    A reward on the border of two levels belongs to the upper one only; the top level includes its
    upper end.
    """
    least, most = params.reward_min[difficulty], params.reward_max[difficulty]
    if difficulty is max(Difficulty):
        return least <= reward <= most
    return least <= reward < most


def compute_stake_loss(stake: int, violation: Violation) -> int:
    """Return the nano-units that a violation takes from a locked stake; never more than it."""
    return stake * STAKE_SHARE_LOST.get(violation, 0) // SCALE


def compute_bond_min(reward: int) -> int:
    """Return the least bond of a dispute about a task with this reward, and of an appeal."""
    return -(-reward * BOND_SHARE // SCALE)


def split_forfeit(amount: int, params: Params) -> tuple[int, int, int]:
    """Return (to the harmed party, to the treasury, burned); the three add up to `amount`.

    Half goes to the publisher, or to whom a verdict names; the rest is shared like a fee, so that
    no two parties gain by staging a violation.
    """
    harmed = amount // 2
    treasury, burned = split_fee(amount - harmed, params)
    return harmed, treasury, burned
