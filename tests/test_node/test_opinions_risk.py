"""How indicators become a risk: the worked examples, and the laws of the noisy-or."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.opinions.risk import assess, combine, recommend
from storage.local_records import (
    EVIDENCE_MAX,
    INDICATORS_MAX,
    Analyser,
    FraudAnalysis,
    Indicator,
    IndicatorType,
    Recommendation,
    Severity,
)
from tests.support.builders import a_hash


def an_indicator(
    severity: Severity, risk: int, confidence: int = 10_000, analyser: Analyser = Analyser.TIME
) -> Indicator:
    kind = IndicatorType.SUSPICIOUS_TIMING
    return Indicator(analyser, kind, severity, risk, confidence, "for a test", ())


def think(*found: Indicator) -> FraudAnalysis:
    return assess(a_hash("answer"), a_hash("miner"), a_hash("task"), found)


bps = st.integers(0, 10_000)
indicators = st.builds(an_indicator, st.sampled_from(Severity), bps, bps, st.sampled_from(Analyser))


@pytest.mark.parametrize(
    ("severities", "risk", "confidence", "overall", "flagged"),
    [
        ((Severity.HIGH,), 9_000, 10_000, 7_200, True),
        ((Severity.MEDIUM,) * 2, 9_000, 9_000, 7_359, True),
        ((Severity.MEDIUM,) * 3, 5_000, 7_000, 5_070, False),
        ((Severity.CRITICAL, Severity.LOW), 10_000, 10_000, 10_000, True),
        ((Severity.CRITICAL,), 7_000, 10_000, 7_000, False),
        ((Severity.CRITICAL,), 7_001, 10_000, 7_001, True),
        ((), 0, 0, 0, False),
    ],
)
def test_the_worked_examples(
    severities: tuple[Severity, ...], risk: int, confidence: int, overall: int, flagged: bool
) -> None:
    found = [
        an_indicator(severity, risk, confidence, Analyser(place))
        for place, severity in enumerate(severities)
    ]
    analysis = think(*found)
    assert (analysis.overall_risk, analysis.flagged) == (overall, flagged)


def test_a_clean_answer_is_surely_clean() -> None:
    analysis = think()
    assert (analysis.confidence, analysis.overall_risk) == (10_000, 0)
    assert analysis.recommendation is Recommendation.PROCEED
    assert [part.analyser for part in analysis.parts] == list(Analyser)


@given(st.lists(indicators, max_size=12), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_the_order_of_the_evidence_changes_nothing(found: list[Indicator], chance: object) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert think(*shuffled) == think(*found)


@given(st.lists(indicators, max_size=80), indicators)
@settings(deadline=None, max_examples=60)
def test_more_evidence_never_dilutes(found: list[Indicator], more: Indicator) -> None:
    before, after = think(*found), think(*found, more)
    assert after.overall_risk >= before.overall_risk
    assert 0 <= after.overall_risk <= 10_000
    assert after.overall_risk >= max(part.value for part in after.parts)
    assert len(after.indicators) <= INDICATORS_MAX


@given(st.lists(bps, max_size=7))
@settings(deadline=None, max_examples=60)
def test_parts_combine_to_a_share(values: list[int]) -> None:
    assert max(values, default=0) <= combine(values) <= 10_000


def test_one_analyser_counts_once() -> None:
    strong = an_indicator(Severity.MEDIUM, 9_000)
    assert think(strong, strong, strong).overall_risk == 5_400
    assert think(strong, strong, strong).parts[0].found == 3


def test_evidence_is_cut_at_its_bound() -> None:
    many = Indicator(
        Analyser.TIME,
        IndicatorType.SUSPICIOUS_TIMING,
        Severity.LOW,
        1,
        1,
        "for a test",
        tuple(str(number) for number in range(50)),
    )
    assert len(think(many).indicators[0].evidence) == EVIDENCE_MAX


def test_the_advice_follows_the_risk() -> None:
    assert [recommend(risk) for risk in (2_999, 3_000, 5_000, 7_000, 9_000)] == [
        Recommendation.PROCEED,
        Recommendation.MONITOR,
        Recommendation.ENHANCED_VALIDATION,
        Recommendation.MANUAL_REVIEW,
        Recommendation.REJECT,
    ]
