"""Every number a network agrees on, in one frozen record with its relations asserted.

MAINNET holds the figures of the rules; MINIMAL makes every window a few epochs long, so that tests
and devnets meet every edge in seconds. All windows count epochs, all amounts are nano-units.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from protocol.errors import Rejected
from protocol.schema import Between

NANO_PER_COIN = 1_000_000_000
SCALE = 10_000
"""One whole, in basis points."""
AMOUNT_MAX = (1 << 63) - 1
EPOCH_MAX = (1 << 31) - 1
"""Ordering keys stay below 2^31: some implementations of the reconciliation read 32 bits only."""

Amount = Annotated[int, Between(0, AMOUNT_MAX)]
Epochs = Annotated[int, Between(0, EPOCH_MAX)]
Bps = Annotated[int, Between(0, SCALE)]
Small = Annotated[int, Between(0, 255)]


@dataclass(frozen=True, slots=True)
class Params:
    """The numbers of one network. They are part of its genesis and so of its identity."""

    epoch_ms: Annotated[int, Between(10, 86_400_000)]
    late_epochs: Annotated[int, Between(0, 10_000)]
    """A transaction of epoch e may still be sealed up to e + late_epochs."""

    submission_epochs_min: Epochs
    submission_epochs_max: Epochs
    reveal_epochs_min: Epochs
    reveal_share: Bps
    """The reveal window as a share of the submission window, if that is longer than the least."""
    validation_epochs: Epochs
    finalize_epochs: Epochs
    dispute_epochs: Epochs
    resolution_epochs: Epochs
    epochs_per_day: Epochs

    panel_spares: Small
    """Validators drawn beyond the required reviewers, so that one silent peer blocks nothing."""
    reviewers_min: Small
    consensus_threshold_min: Bps
    score_tolerance: Small

    registration_fee: Amount
    miner_stake_min: Amount
    reward_min: tuple[Amount, ...]
    """Least reward by difficulty: Beginner, Intermediate, Advanced, Expert."""
    reward_max: tuple[Amount, ...]
    stake_min: tuple[Amount, ...]
    publish_fee: Amount
    publish_fee_per_kib: Amount
    publish_fee_share: Bps
    submit_fee: Amount
    submit_fee_per_kib: Amount
    validate_fee: Amount
    claim_fee: Amount
    burned_share: Bps
    """Share of fees and of forfeited stakes that is burned; the rest goes to the treasury."""
    reputation_start: Bps

    def __post_init__(self) -> None:
        """Check the relations between the numbers.

        Raises:
            Rejected: `params_relation`.
        """
        relations = (
            ("submission_epochs_min >= 1", self.submission_epochs_min >= 1),
            (
                "submission_epochs_min <= submission_epochs_max",
                self.submission_epochs_min <= self.submission_epochs_max,
            ),
            ("reveal_epochs_min >= 1", self.reveal_epochs_min >= 1),
            ("validation_epochs >= 1", self.validation_epochs >= 1),
            ("finalize_epochs >= 1", self.finalize_epochs >= 1),
            ("dispute_epochs >= 1", self.dispute_epochs >= 1),
            ("resolution_epochs > dispute_epochs", self.resolution_epochs > self.dispute_epochs),
            ("reviewers_min >= 3", self.reviewers_min >= 3),
            # With the most reviewers a task can ask for, a panel still fits its row.
            ("panel_spares <= 32", self.panel_spares <= 32),
            ("consensus_threshold_min > half", self.consensus_threshold_min > SCALE // 2),
            ("epochs_per_day >= 1", self.epochs_per_day >= 1),
            (
                "reward_min <= reward_max",
                all(a <= b for a, b in zip(self.reward_min, self.reward_max, strict=True)),
            ),
            (
                "four amounts by difficulty",
                len(self.reward_min) == len(self.reward_max) == len(self.stake_min) == 4,
            ),
        )
        for relation, holds in relations:
            if not holds:
                raise Rejected("params_relation", f"params against {relation}", relation)

    def compute_reveal_epochs(self, submission_epochs: int) -> int:
        """Return the length of the reveal window after a submission window."""
        return max(self.reveal_epochs_min, submission_epochs * self.reveal_share // SCALE)


def _coins(*amounts: int) -> tuple[int, ...]:
    return tuple(amount * NANO_PER_COIN for amount in amounts)


MAINNET = Params(
    epoch_ms=10_000,
    late_epochs=2,
    submission_epochs_min=60,
    submission_epochs_max=30 * 8_640,
    reveal_epochs_min=360,
    reveal_share=2_857,
    validation_epochs=8_640,
    finalize_epochs=8_640,
    dispute_epochs=8_640,
    resolution_epochs=7 * 8_640,
    epochs_per_day=8_640,
    panel_spares=2,
    reviewers_min=3,
    consensus_threshold_min=5_001,
    score_tolerance=15,
    registration_fee=NANO_PER_COIN,
    miner_stake_min=100 * NANO_PER_COIN,
    reward_min=_coins(5, 15, 50, 200),
    reward_max=_coins(15, 50, 200, 500),
    stake_min=_coins(1, 3, 10, 30),
    publish_fee=1_000_000,
    publish_fee_per_kib=100_000,
    publish_fee_share=10,
    submit_fee=500_000,
    submit_fee_per_kib=50_000,
    validate_fee=250_000,
    claim_fee=100_000,
    burned_share=2_000,
    reputation_start=1_000,
)

MINIMAL = replace(
    MAINNET,
    epoch_ms=1_000,
    submission_epochs_min=4,
    submission_epochs_max=1_000,
    reveal_epochs_min=3,
    validation_epochs=4,
    finalize_epochs=4,
    dispute_epochs=3,
    resolution_epochs=6,
    epochs_per_day=100,
    miner_stake_min=10 * NANO_PER_COIN,
)
PRESETS = {"mainnet": MAINNET, "minimal": MINIMAL}
