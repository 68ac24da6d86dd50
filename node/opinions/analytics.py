"""How a miner did: a pure function of his latest settled answers and what they earned."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.opinions.facts import PastAnswer
from node.opinions.statistics import compute_mean
from protocol.closing import compute_settled_epoch
from protocol.phases import SubmissionStatus
from protocol.task_types import get_type_slug
from storage.local_records import (
    DAYS_MAX,
    WINDOW_MAX,
    DayPoint,
    PerformanceAnalytics,
    TypePerformance,
)


@dataclass(frozen=True, slots=True)
class _Result:
    settled_at: int
    slug: str
    is_approved: bool
    score: int
    earned: int
    forfeited: int
    taken: int


def describe_performance(
    miner: bytes, answers: Sequence[PastAnswer], earnings: Sequence[int], epochs_per_day: int
) -> PerformanceAnalytics | None:
    """Return a miner's analytics, None if nothing of his was settled.

    Args:
        miner: whose.
        answers: his latest ones, at most `WINDOW_MAX`.
        earnings: of each of them.
        epochs_per_day: of the network.
    """
    pairs = list(zip(answers, earnings, strict=True))[-WINDOW_MAX:]
    results = sorted(_read_results(pairs), key=lambda one: one.settled_at)
    if not results:
        return None
    taken = [one.taken for one in results]
    approved = sum(one.is_approved for one in results)
    days = sorted({one.settled_at // epochs_per_day for one in results})[-DAYS_MAX:]
    slugs = sorted({one.slug for one in results})
    return PerformanceAnalytics(
        miner=miner,
        settled_at=results[-1].settled_at,
        sample_count=len(results),
        approved=approved,
        rejected=len(results) - approved,
        earned=sum(one.earned for one in results),
        forfeited=sum(one.forfeited for one in results),
        completion_mean=compute_mean(taken),
        completion_least=min(taken),
        days=tuple(
            DayPoint(
                day, *_add_up(one for one in results if one.settled_at // epochs_per_day == day)
            )
            for day in days
        ),
        types=tuple(
            TypePerformance(slug, *_add_up(one for one in results if one.slug == slug))
            for slug in slugs
        ),
    )


def _read_results(pairs: Iterable[tuple[PastAnswer, int]]) -> Iterable[_Result]:
    for one, earned in pairs:
        answer, task = one.submission, one.task
        settled_at = compute_settled_epoch(task)
        # What never was judged says nothing of how well the miner does.
        if settled_at is None or answer.score is None:
            continue
        yield _Result(
            settled_at=settled_at,
            slug=get_type_slug(task.terms.task_type),
            is_approved=answer.status is SubmissionStatus.APPROVED,
            score=answer.score,
            earned=earned,
            forfeited=answer.forfeited,
            taken=answer.committed_at - task.lifecycle.published_at,
        )


def _add_up(results: Iterable[_Result]) -> tuple[int, int, int, int]:
    """Return how many there are, how many approved, and the sums of scores and earnings."""
    group = list(results)
    return (
        len(group),
        sum(one.is_approved for one in group),
        sum(one.score for one in group),
        sum(one.earned for one in group),
    )
