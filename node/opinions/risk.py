"""How indicators become one risk: a noisy-or in integers, and what to do about it.

Each indicator is worth risk × confidence × severity. Of each analyser only the largest value
counts, and the parts combine as chances that are independent: 1 - Π(1 - v). The product is exact
and rounded once, so the result does not depend on the order, and more evidence never lowers it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from protocol.params import SCALE
from storage.local_records import (
    EVIDENCE_MAX,
    INDICATORS_MAX,
    RISK_FLAGGED_ABOVE,
    Analyser,
    AnalyserPart,
    FraudAnalysis,
    Indicator,
    Recommendation,
    Severity,
)

RULESET = 1
"""Raised whenever an analyser changes: opinions by other rules are dropped and formed anew."""

SEVERITY_WEIGHTS = {
    Severity.CRITICAL: SCALE,
    Severity.HIGH: 8_000,
    Severity.MEDIUM: 6_000,
    Severity.LOW: 4_000,
}
_ADVICE = (
    (9_000, Recommendation.REJECT),
    (7_000, Recommendation.MANUAL_REVIEW),
    (5_000, Recommendation.ENHANCED_VALIDATION),
    (3_000, Recommendation.MONITOR),
)


def compute_value(indicator: Indicator) -> int:
    """Return what an indicator is worth, in basis points."""
    weight = SEVERITY_WEIGHTS[indicator.severity]
    return indicator.risk * indicator.confidence * weight // (SCALE * SCALE)


def combine(values: Iterable[int]) -> int:
    """Return 1 - Π(1 - v) over values in basis points."""
    left, whole = SCALE, 1
    for value in values:
        left *= SCALE - value
        whole *= SCALE
    return SCALE - left // whole


def assess(
    submission_id: bytes, miner: bytes, task_id: bytes, found: Sequence[Indicator]
) -> FraudAnalysis:
    """Return the analysis that some indicators amount to, in whatever order they come."""
    # Heaviest first, so that what is beyond the bound is what matters least.
    indicators = sorted(found, key=_sort_key)
    parts = tuple(_build_part(analyser, indicators) for analyser in Analyser)
    overall = combine(part.value for part in parts)
    kept = indicators[:INDICATORS_MAX]
    confidence = SCALE
    if kept:
        confidence = sum(one.confidence for one in kept) // len(kept)
    return FraudAnalysis(
        submission_id=submission_id,
        miner=miner,
        task_id=task_id,
        ruleset=RULESET,
        indicators=tuple(replace(one, evidence=one.evidence[:EVIDENCE_MAX]) for one in kept),
        overall_risk=overall,
        flagged=overall > RISK_FLAGGED_ABOVE,
        confidence=confidence,
        recommendation=recommend(overall),
        parts=parts,
    )


def recommend(overall_risk: int) -> Recommendation:
    """Return what an operator might do about a risk."""
    for least, advice in _ADVICE:
        if overall_risk >= least:
            return advice
    return Recommendation.PROCEED


def _sort_key(one: Indicator) -> tuple[Any, ...]:
    return (
        -compute_value(one),
        one.analyser,
        one.kind,
        one.severity,
        one.risk,
        one.confidence,
        one.description,
        one.evidence,
    )


def _build_part(analyser: Analyser, indicators: Sequence[Indicator]) -> AnalyserPart:
    own = [one for one in indicators if one.analyser is analyser]
    if not own:
        return AnalyserPart(analyser, 0, SCALE, 0)
    return AnalyserPart(analyser, compute_value(own[0]), own[0].confidence, min(len(own), 255))
