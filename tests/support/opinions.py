"""Opinions to store: an analysis of a wanted risk, a behaviour, a performance, some figures."""

from dataclasses import replace

from node.opinions.metrics import NOTHING
from node.opinions.risk import assess
from storage.local_records import (
    Analyser,
    BehavioralPattern,
    FraudAnalysis,
    Indicator,
    IndicatorType,
    NetworkMetrics,
    PerformanceAnalytics,
    Severity,
)
from tests.support.builders import a_hash, an_address


def an_analysis(name: str, risk: int) -> FraudAnalysis:
    """Return an analysis of the answer `name` with this overall risk."""
    found = Indicator(
        Analyser.TIME,
        IndicatorType.SUSPICIOUS_TIMING,
        Severity.CRITICAL,
        risk,
        10_000,
        "for a test",
        (),
    )
    return assess(a_hash(name), an_address("bob"), a_hash("task"), [found])


def a_pattern(who: str, sampled_at: int = 9) -> BehavioralPattern:
    """Return how somebody behaves."""
    return BehavioralPattern(
        miner=an_address(who),
        sampled_at=sampled_at,
        sample_count=2,
        intervals=(3,),
        interval_mean=3,
        interval_deviation=0,
        hours=(0,) * 24,
        task_types=(),
        qualities=(90,),
        consistency=10_000,
        frequency=50,
    )


def a_performance(who: str, settled_at: int = 9) -> PerformanceAnalytics:
    """Return how somebody did."""
    return PerformanceAnalytics(
        miner=an_address(who),
        settled_at=settled_at,
        sample_count=1,
        approved=1,
        rejected=0,
        earned=5,
        forfeited=0,
        completion_mean=2,
        completion_least=2,
        days=(),
        types=(),
    )


def some_metrics(epoch: int, tasks: int = 0) -> NetworkMetrics:
    """Return the figures of an epoch."""
    return replace(NOTHING, epoch=epoch, tasks=tasks)
