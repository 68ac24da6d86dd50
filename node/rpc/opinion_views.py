"""Opinions as JSON: shares in basis points, amounts as decimal text, words for what has a name."""

from typing import Any

from protocol.phases import TaskStatus, get_label
from protocol.records import FraudReport
from storage.local_records import (
    BehavioralPattern,
    FraudAnalysis,
    NetworkMetrics,
    PerformanceAnalytics,
)


def show_analysis_briefly(analysis: FraudAnalysis) -> dict[str, Any]:
    """Return an analysis as lists show it."""
    return {
        "submission_id": analysis.submission_id.hex(),
        "task_id": analysis.task_id.hex(),
        "miner": analysis.miner.hex(),
        "overall_risk": analysis.overall_risk,
        "flagged": analysis.flagged,
        "confidence": analysis.confidence,
        "recommendation": get_label(analysis.recommendation),
        "found": [get_label(one.kind) for one in analysis.indicators],
        "ruleset": analysis.ruleset,
    }


def show_analysis(analysis: FraudAnalysis) -> dict[str, Any]:
    """Return an analysis with all its indicators."""
    shown = show_analysis_briefly(analysis)
    shown["parts"] = {
        get_label(part.analyser): {
            "value": part.value,
            "confidence": part.confidence,
            "found": part.found,
        }
        for part in analysis.parts
    }
    shown["indicators"] = [
        {
            "analyser": get_label(one.analyser),
            "type": get_label(one.kind),
            "severity": get_label(one.severity),
            "risk": one.risk,
            "confidence": one.confidence,
            "description": one.description,
            "evidence": list(one.evidence),
        }
        for one in analysis.indicators
    ]
    return shown


def show_behavior(pattern: BehavioralPattern) -> dict[str, Any]:
    """Return a behavioural pattern."""
    return {
        "miner": pattern.miner.hex(),
        "sampled_at": pattern.sampled_at,
        "sample_count": pattern.sample_count,
        "intervals": list(pattern.intervals),
        "interval_mean": pattern.interval_mean,
        "interval_deviation": pattern.interval_deviation,
        "hours": list(pattern.hours),
        "task_types": {one.slug: one.count for one in pattern.task_types},
        "qualities": list(pattern.qualities),
        "consistency": pattern.consistency,
        "frequency": pattern.frequency,
    }


def show_metrics(metrics: NetworkMetrics) -> dict[str, Any]:
    """Return network metrics, with the means that follow from the sums."""
    return {
        "epoch": metrics.epoch,
        "state_root": metrics.state_root.hex(),
        "transactions": metrics.transactions,
        "tasks": metrics.tasks,
        "statuses": {get_label(status): metrics.statuses[status] for status in TaskStatus},
        "completions": metrics.completions,
        "settled": metrics.settled,
        "submissions": metrics.submissions,
        "scored": metrics.scored,
        "approved": metrics.approved,
        "rewards": str(metrics.rewards),
        "registrations": metrics.registrations,
        "staked": str(metrics.staked),
        "escrowed": str(metrics.escrowed),
        "flagged": metrics.flagged,
        "completion_epochs_mean": _divide(metrics.completion_epochs, metrics.completions),
        "participants_mean_x100": _divide(100 * metrics.participants, metrics.settled),
        "quality_mean_x100": _divide(100 * metrics.quality_sum, metrics.scored),
        "success_bps": _divide(10_000 * metrics.approved, metrics.scored),
    }


def show_analytics(analytics: PerformanceAnalytics) -> dict[str, Any]:
    """Return a miner's analytics."""
    return {
        "miner": analytics.miner.hex(),
        "settled_at": analytics.settled_at,
        "sample_count": analytics.sample_count,
        "approved": analytics.approved,
        "rejected": analytics.rejected,
        "earned": str(analytics.earned),
        "forfeited": str(analytics.forfeited),
        "completion_mean": analytics.completion_mean,
        "completion_least": analytics.completion_least,
        "days": [
            {
                "day": one.day,
                "settled": one.settled,
                "success_bps": _divide(10_000 * one.approved, one.settled),
                "quality_mean_x100": _divide(100 * one.quality_sum, one.settled),
                "earned": str(one.earned),
            }
            for one in analytics.days
        ],
        "types": {
            one.slug: {
                "tasks": one.tasks,
                "success_bps": _divide(10_000 * one.approved, one.tasks),
                "quality_mean_x100": _divide(100 * one.quality_sum, one.tasks),
                "earned": str(one.earned),
            }
            for one in analytics.types
        },
    }


def _divide(total: int, count: int) -> int | None:
    """Return a mean, rounded down; None of nothing."""
    return total // count if count else None


def show_report(report: FraudReport, sealed: FraudReport | None) -> dict[str, Any]:
    """Return what somebody published of an answer as the next seal would leave it."""
    return {
        "report_id": report.report_id.hex(),
        "task_id": report.task_id.hex(),
        "submission_id": report.submission_id.hex(),
        "reporter": report.reporter.hex(),
        "risk": report.risk,
        "ruleset": report.ruleset,
        "analysis_hash": report.analysis_hash.hex(),
        "reported_at": report.reported_at,
        "provisional": report != sealed,
    }
