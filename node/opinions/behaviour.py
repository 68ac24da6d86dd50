"""How a miner behaves: a pure function of his latest answers."""

from collections import Counter
from collections.abc import Sequence

from node.opinions.facts import PastAnswer, compute_intervals
from node.opinions.statistics import compute_deviation, compute_mean
from protocol.params import SCALE
from protocol.task_types import get_type_slug
from storage.local_records import HOURS, WINDOW_MAX, BehavioralPattern, TypeCount

_DEVIATION_MAX = 50
"""The greatest that scores of 0 to 100 can have."""


def describe_behavior(
    miner: bytes, answers: Sequence[PastAnswer], epochs_per_day: int
) -> BehavioralPattern:
    """Return a miner's pattern.

    Args:
        miner: whose.
        answers: his latest ones, the oldest first; at least one, at most `WINDOW_MAX`.
        epochs_per_day: of the network.
    """
    answers = answers[-WINDOW_MAX:]
    epochs = [one.submission.committed_at for one in answers]
    intervals = compute_intervals(epochs)
    scores = tuple(
        one.submission.score
        for one in answers
        if one.is_settled and one.submission.score is not None
    )
    hours = Counter(epoch % epochs_per_day * HOURS // epochs_per_day for epoch in epochs)
    types = Counter(get_type_slug(one.task.terms.task_type) for one in answers)
    span = epochs[-1] - epochs[0] + 1
    return BehavioralPattern(
        miner=miner,
        sampled_at=epochs[-1],
        sample_count=len(answers),
        intervals=intervals,
        interval_mean=compute_mean(intervals),
        interval_deviation=compute_deviation(intervals),
        hours=tuple(hours[hour] for hour in range(HOURS)),
        task_types=tuple(TypeCount(slug, types[slug]) for slug in sorted(types)),
        qualities=scores,
        consistency=SCALE - compute_deviation(scores) * SCALE // _DEVIATION_MAX,
        frequency=len(answers) * 100 * epochs_per_day // span,
    )
