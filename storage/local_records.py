"""The rows of local opinions: what this node thinks of answers, miners and the network.

Opinions follow from the sealed state by rules of this release. They enter no hash that peers
compare and decide no validity. Shares, risks and confidences are in basis points, times in epochs.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from protocol.params import Amount, Bps, Epochs, Small
from protocol.schema import AtMost, Between
from protocol.task_types import Address, Id, Score, Slug

INDICATORS_MAX = 64
EVIDENCE_MAX = 16
WINDOW_MAX = 100
"""Samples of a miner's window: the latest ones."""
DAYS_MAX = 90
"""Points of a trend, one for each day on which something was settled."""
TYPES_MAX = 16
"""Kinds of task that a window can tell apart; there are six."""
HOURS = 24
RISK_FLAGGED_ABOVE = 7_000

Count = Annotated[int, Between(0, (1 << 63) - 1)]


class Analyser(IntEnum):
    """Which part of the analysis found something."""

    TIME = 0
    PATTERN = 1
    QUALITY = 2
    COLLUSION = 3
    PLAGIARISM = 4
    BEHAVIOURAL = 5
    ANOMALY = 6


class IndicatorType(IntEnum):
    """What was found."""

    SUSPICIOUS_TIMING = 0
    TOO_FAST_COMPLETION = 1
    TIME_PATTERN_ANOMALY = 2
    SUSPICIOUS_PATTERN = 3
    REGULAR_SUBMISSION_PATTERN = 4
    HIGH_SOLUTION_SIMILARITY = 5
    COLLUSION_SUSPECTED = 6
    TEMPORAL_COLLUSION = 7
    PLAGIARISM_DETECTED = 8
    QUALITY_INCONSISTENCY = 9
    BEHAVIOURAL_ANOMALY = 10
    STATISTICAL_ANOMALY = 11
    EQUIVOCATION = 12
    COPIED_COMMITMENT = 13
    VALIDATOR_DEVIATION = 14


class Severity(IntEnum):
    """How much an indicator weighs; the order is from the heaviest."""

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


class Recommendation(IntEnum):
    """What an operator might do; nothing is done by itself."""

    PROCEED = 0
    MONITOR = 1
    ENHANCED_VALIDATION = 2
    MANUAL_REVIEW = 3
    REJECT = 4


@dataclass(frozen=True, slots=True)
class Indicator:
    """One finding about an answer.

    Attributes:
        evidence: what it rests on, a line each: ids and numbers.
    """

    analyser: Analyser
    kind: IndicatorType
    severity: Severity
    risk: Bps
    confidence: Bps
    description: Annotated[str, AtMost(512)]
    evidence: Annotated[
        tuple[Annotated[str, AtMost(256)], ...],
        AtMost(EVIDENCE_MAX),
    ]


@dataclass(frozen=True, slots=True)
class AnalyserPart:
    """What one analyser adds: its largest value, and the confidence of that finding."""

    analyser: Analyser
    value: Bps
    confidence: Bps
    found: Small


@dataclass(frozen=True, slots=True)
class FraudAnalysis:
    """What this node thinks of one answer.

    Attributes:
        ruleset: analyses of different rules are not comparable.
        confidence: 10,000 when nothing was found.
        parts: one for each analyser, in order.
    """

    submission_id: Id
    miner: Address
    task_id: Id
    ruleset: Annotated[int, Between(1, 65_535)]
    indicators: Annotated[tuple[Indicator, ...], AtMost(INDICATORS_MAX)]
    overall_risk: Bps
    flagged: bool
    confidence: Bps
    recommendation: Recommendation
    parts: Annotated[tuple[AnalyserPart, ...], AtMost(len(Analyser))]


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How often a miner answered tasks of one type."""

    slug: Slug
    count: Count


@dataclass(frozen=True, slots=True)
class BehavioralPattern:
    """How a miner behaves, by his latest answers; the oldest sample comes first.

    Attributes:
        sampled_at: the epoch of his latest answer.
        intervals: epochs between one commitment and the next.
        hours: commitments by hour of the network's day, counted from its first epoch.
        qualities: scores of settled answers.
        consistency: 10,000 when all these scores are the same.
        frequency: answers a day, times 100.
    """

    miner: Address
    sampled_at: Epochs
    sample_count: Annotated[int, Between(0, WINDOW_MAX)]
    intervals: Annotated[tuple[Epochs, ...], AtMost(WINDOW_MAX)]
    interval_mean: Epochs
    interval_deviation: Epochs
    hours: Annotated[tuple[Count, ...], AtMost(HOURS)]
    task_types: Annotated[tuple[TypeCount, ...], AtMost(TYPES_MAX)]
    qualities: Annotated[tuple[Score, ...], AtMost(WINDOW_MAX)]
    consistency: Bps
    frequency: Count


@dataclass(frozen=True, slots=True)
class NetworkMetrics:
    """The network after one epoch. Counts are of all time, by what seals made of it.

    Attributes:
        statuses: tasks by `TaskStatus`, in the order of its values.
        quality_sum: of the scores of settled answers; `scored` is how many these are.
        completion_epochs: from publication to completion, added up over completed tasks.
        rewards: owed by settled tasks to miners and validators.
        flagged: answers that this node flags now.
    """

    epoch: Epochs
    state_root: Id
    transactions: Count
    tasks: Count
    statuses: Annotated[tuple[Count, ...], AtMost(16)]
    completions: Count
    completion_epochs: Count
    settled: Count
    participants: Count
    submissions: Count
    scored: Count
    approved: Count
    quality_sum: Count
    rewards: Amount
    registrations: Count
    staked: Amount
    escrowed: Amount
    flagged: Count


@dataclass(frozen=True, slots=True)
class DayPoint:
    """What a miner did on one day of the network."""

    day: Epochs
    settled: Count
    approved: Count
    quality_sum: Count
    earned: Amount


@dataclass(frozen=True, slots=True)
class TypePerformance:
    """How a miner did at tasks of one type."""

    slug: Slug
    tasks: Count
    approved: Count
    quality_sum: Count
    earned: Amount


@dataclass(frozen=True, slots=True)
class PerformanceAnalytics:
    """How a miner did, by his latest settled answers.

    Attributes:
        settled_at: when the latest of them was settled.
        earned: what these answers are owed, collected or not.
        forfeited: of their stakes.
        completion_mean: epochs from a task's publication to his commitment.
        completion_least: the fewest.
        days: the trend, the oldest day first.
    """

    miner: Address
    settled_at: Epochs
    sample_count: Annotated[int, Between(0, WINDOW_MAX)]
    approved: Count
    rejected: Count
    earned: Amount
    forfeited: Amount
    completion_mean: Epochs
    completion_least: Epochs
    days: Annotated[tuple[DayPoint, ...], AtMost(DAYS_MAX)]
    types: Annotated[tuple[TypePerformance, ...], AtMost(TYPES_MAX)]
