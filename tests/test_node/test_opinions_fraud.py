"""The seven analysers, each at the numbers where it begins to speak."""

from dataclasses import replace
from typing import Any

import pytest

from node.opinions.facts import AnswerFacts, Given, PastAnswer, Sketch, build_sketch
from node.opinions.fraud import analyse
from node.opinions.statistics import compute_deviation, is_outlier, is_regular
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import Lifecycle, Participant, RewardPool, Submission, Task
from storage.local_records import FraudAnalysis, Indicator, IndicatorType, Severity
from tests.support.builders import a_hash, a_task, an_address

DAY = 2_400
"""Epochs a day: an hour has a hundred."""
LONG = b"word by word " * 20


def some_task(name: str = "task", published_at: int = 10_000, **changes: Any) -> Task:
    times = Lifecycle(
        published_at, published_at + 1, published_at + 2, published_at + 3, published_at + 4,
        None, None, 0, (),
    )  # fmt: skip
    task = Task(
        task_id=a_hash(name),
        publisher=an_address("alice"),
        publish_tx=a_hash("tx"),
        terms=a_task(),
        status=TaskStatus.UNDER_VALIDATION,
        lifecycle=times,
        participants=(),
        panel=(),
        pool=RewardPool(0, 0, 0, 0),
        winner=None,
        settled=False,
    )
    return replace(task, **changes)


def an_answer(who: str = "bob", committed_at: int = 10_080, **changes: Any) -> Submission:
    key = f"{who} {committed_at}"
    answer = Submission(
        submission_id=a_hash(key),
        task_id=a_hash("task"),
        miner=an_address(who),
        commit_tx=a_hash("tx"),
        reveal_tx=None,
        commitment=a_hash(f"commitment of {key}"),
        content_hash=a_hash(f"content of {key}"),
        committed_at=committed_at,
        revealed_at=None,
        estimated_quality=80,
        stake=0,
        forfeited=0,
        status=SubmissionStatus.UNDER_REVIEW,
        votes=(),
        score=None,
        agreement=None,
        confidence=None,
    )
    return replace(answer, **changes)


def think(
    *answers: Submission,
    past: tuple[PastAnswer, ...] = (),
    sketches: dict[int, Sketch] | None = None,
    **changes: Any,
) -> FraudAnalysis:
    """Analyse the last of some answers."""
    given = tuple(Given(one, (sketches or {}).get(at)) for at, one in enumerate(answers))
    facts = AnswerFacts(
        task=some_task(),
        given=given,
        place=len(given) - 1,
        past=past,
        deviations=(),
        is_equivocator=False,
        epochs_per_day=DAY,
    )
    return analyse(replace(facts, **changes))


def some_past(epochs: list[int], taken: int = 80, **changes: Any) -> tuple[PastAnswer, ...]:
    """Settled answers of bob, the latest first, each to a task of its own."""
    past = []
    for epoch in epochs:
        task = some_task(f"task {epoch}", epoch - taken)
        answer = an_answer("bob", epoch, task_id=task.task_id, **changes)
        past.append(PastAnswer(answer, task, is_settled=True))
    return tuple(past)


def find(analysis: FraudAnalysis, kind: IndicatorType) -> Indicator | None:
    return next((one for one in analysis.indicators if one.kind is kind), None)


@pytest.mark.parametrize(
    ("taken", "severity"),
    [(30, None), (29, Severity.HIGH), (20, Severity.HIGH), (19, Severity.CRITICAL)],
)
def test_under_a_third_of_the_expected_time_is_too_fast(
    taken: int, severity: Severity | None
) -> None:
    found = find(think(an_answer("bob", 10_000 + taken)), IndicatorType.TOO_FAST_COMPLETION)
    assert (None if found is None else found.severity) == severity


def test_where_everybody_is_fast_the_task_is_easy() -> None:
    alone = think(an_answer("carol", 10_080), an_answer("bob", 10_001))
    among = think(an_answer("carol", 10_002), an_answer("bob", 10_001))
    assert alone.overall_risk > among.overall_risk
    assert not alone.flagged


@pytest.mark.parametrize(("samples", "is_found"), [(3, True), (2, False)])
def test_time_far_off_the_own_needs_three_samples(samples: int, is_found: bool) -> None:
    past = some_past([9_000, 8_300, 7_900][:samples])
    found = find(think(an_answer("bob", 10_500), past=past), IndicatorType.TIME_PATTERN_ANOMALY)
    assert (found is not None) is is_found


@pytest.mark.parametrize(("jitter", "is_found"), [(0, True), (5, True), (30, False)])
def test_commitments_like_clockwork_are_seen(jitter: int, is_found: bool) -> None:
    epochs = [10_080 - 100 * number + jitter * (number % 2) for number in range(1, 9)]
    analysis = think(an_answer(), past=some_past(epochs))
    found = find(analysis, IndicatorType.REGULAR_SUBMISSION_PATTERN)
    assert (found is not None) is is_found


def test_an_answer_used_before_is_seen() -> None:
    used = some_past([9_000], content_hash=a_hash("used"))
    analysis = think(an_answer(content_hash=a_hash("used")), past=used)
    assert find(analysis, IndicatorType.SUSPICIOUS_PATTERN) is not None
    assert not analysis.flagged


def test_a_score_far_off_the_own_is_seen() -> None:
    past = some_past([9_000, 8_300, 7_900], score=40)
    for score, severity in [(55, None), (56, Severity.MEDIUM), (66, Severity.HIGH)]:
        found = find(think(an_answer(score=score), past=past), IndicatorType.QUALITY_INCONSISTENCY)
        assert (None if found is None else found.severity) == severity


def test_a_score_far_off_the_others_is_seen() -> None:
    others = [an_answer(who, score=90) for who in ("carol", "dave", "eve")]
    found = find(think(*others, an_answer(score=60)), IndicatorType.STATISTICAL_ANOMALY)
    assert found is not None
    assert find(think(*others, an_answer(score=80)), IndicatorType.STATISTICAL_ANOMALY) is None


@pytest.mark.parametrize(("won", "is_found"), [(2, False), (3, True)])
def test_a_publisher_who_prefers_one_miner_is_seen(won: int, is_found: bool) -> None:
    past = tuple(
        replace(
            one, task=replace(one.task, winner=one.submission.submission_id if at < won else None)
        )
        for at, one in enumerate(some_past([9_000, 8_300, 7_900, 6_000, 5_000]))
    )
    found = find(think(an_answer(), past=past), IndicatorType.COLLUSION_SUSPECTED)
    assert (found is not None) is is_found


@pytest.mark.parametrize(("rivals", "is_found"), [(2, False), (3, True)])
def test_miners_who_always_come_together_are_seen(rivals: int, is_found: bool) -> None:
    names = ("carol", "dave", "eve")[:rivals]
    company = tuple(Participant(an_address(who), a_hash(who)) for who in names)
    past = tuple(
        replace(one, task=replace(one.task, participants=company))
        for one in some_past([9_000, 8_300, 7_900, 6_000, 5_000])
    )
    analysis = think(*(an_answer(who) for who in names), an_answer(), past=past)
    assert (find(analysis, IndicatorType.TEMPORAL_COLLUSION) is not None) is is_found


def test_of_two_equal_answers_the_later_commitment_is_the_copy() -> None:
    one, two = (an_answer(who, content_hash=a_hash("same")) for who in ("carol", "bob"))
    copy = think(one, two)
    assert find(copy, IndicatorType.PLAGIARISM_DETECTED) is not None
    assert (copy.overall_risk, copy.flagged) == (10_000, True)
    assert not think(one, two, place=0).flagged
    # What two honest solvers would both say flags nobody.
    assert not think(one, two, sketches={1: build_sketch(b"42")}).flagged


def test_a_copied_commitment_is_flagged() -> None:
    one, two = (an_answer(who, commitment=a_hash("same")) for who in ("carol", "bob"))
    assert find(think(one, two), IndicatorType.COPIED_COMMITMENT) is not None
    assert think(one, two).flagged


@pytest.mark.parametrize(
    ("shared", "severity"),
    [
        (800, None),
        (810, Severity.MEDIUM),
        (890, Severity.MEDIUM),
        (910, Severity.HIGH),
        (960, Severity.CRITICAL),
    ],
)
def test_likeness_of_wording_has_its_steps(shared: int, severity: Severity | None) -> None:
    # Both say `shared` of 1,000 runs in common.
    own = Sketch(9_000, frozenset(range(1_000)))
    other = Sketch(9_000, frozenset(range(shared)))
    analysis = think(an_answer("carol"), an_answer(), sketches={0: other, 1: own})
    found = [one for one in analysis.indicators if one.risk == shared * 10]
    assert [one.severity for one in found] == ([] if severity is None else [severity])


def test_equal_wording_has_equal_sketches() -> None:
    assert build_sketch(LONG) == build_sketch(LONG)
    assert build_sketch(b"a b c d").shingles & build_sketch(b"x b c d").shingles
    assert build_sketch(b"").shingles == frozenset()


@pytest.mark.parametrize(
    ("deviations", "is_found"),
    [((31,) * 4 + (0,) * 6, True), ((31,) * 3 + (0,) * 7, False), ((31,) * 9, False)],
)
def test_a_validator_often_far_off_is_seen(deviations: tuple[int, ...], is_found: bool) -> None:
    found = find(think(an_answer(), deviations=deviations), IndicatorType.VALIDATOR_DEVIATION)
    assert (found is not None) is is_found


def test_an_equivocator_is_flagged_and_an_honest_answer_is_clean() -> None:
    assert think(an_answer(), is_equivocator=True).overall_risk == 10_000
    clean = think(an_answer(score=85))
    assert (clean.indicators, clean.overall_risk, clean.confidence) == ((), 0, 10_000)


def test_deviations_are_exact_in_integers() -> None:
    assert compute_deviation([2, 4, 4, 4, 5, 5, 7, 9]) == 2
    assert compute_deviation([]) == 0
    # Mean 0, deviation 1: three is not more than three.
    assert not is_outlier(3, [-1, 1], 3, 0)
    assert is_outlier(4, [-1, 1], 3, 0)
    assert is_regular([100, 100, 101], 1_000)
    assert not is_regular([80, 120], 1_000)
