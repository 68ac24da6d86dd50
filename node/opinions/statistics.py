"""Means, deviations and outliers in integers: compared exactly, with no float."""

from collections.abc import Sequence
from math import isqrt

from protocol.params import SCALE


def compute_mean(samples: Sequence[int]) -> int:
    """Return the mean, rounded down; 0 of nothing."""
    return sum(samples) // len(samples) if samples else 0


def compute_deviation(samples: Sequence[int]) -> int:
    """Return the standard deviation, rounded down; 0 of nothing."""
    count = len(samples)
    return isqrt(_compute_spread(samples)) // count if count else 0


def is_outlier(value: int, samples: Sequence[int], times: int, least_deviation: int) -> bool:
    """Tell whether a value is more than `times` standard deviations off the mean of samples.

    Args:
        value: not one of the samples.
        samples: at least one.
        times: of the deviation.
        least_deviation: equal samples must not make every other value an outlier.
    """
    count = len(samples)
    spread = max(_compute_spread(samples), (count * least_deviation) ** 2)
    distance = count * value - sum(samples)
    return distance * distance > times * times * spread


def is_regular(samples: Sequence[int], share_bps: int) -> bool:
    """Tell whether deviation / mean lies below a share."""
    total = sum(samples)
    return _compute_spread(samples) * SCALE * SCALE < (total * share_bps) ** 2


def _compute_spread(samples: Sequence[int]) -> int:
    """Return the variance times the square of the number of samples: an integer."""
    return len(samples) * sum(one * one for one in samples) - sum(samples) ** 2
