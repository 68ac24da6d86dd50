"""The seven analysers of an answer. Each is a pure function from facts to indicators.

What one of them finds is a reason to look, not a proof: only a copied answer, a copied commitment
and an equivocation are certain enough to flag an answer by themselves.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from node.opinions.facts import AnswerFacts, Given, compute_intervals
from node.opinions.risk import assess
from node.opinions.statistics import is_outlier, is_regular
from protocol.params import SCALE
from protocol.task_types import Difficulty
from storage.local_records import Analyser, FraudAnalysis, Indicator, IndicatorType, Severity

HOURS_PER_DAY = 24
EFFORT_HOURS = {
    Difficulty.BEGINNER: 1,
    Difficulty.INTERMEDIATE: 2,
    Difficulty.ADVANCED: 4,
    Difficulty.EXPERT: 8,
}
"""What a task of a difficulty is expected to take."""
FAST_SHARE = 3_000
SAMPLES_MIN = 3
"""Own samples that an outlier needs."""
INTERVALS_MIN = 5
REGULAR_SHARE = 1_000
REGULAR_MEAN_MIN = 10
"""Epochs: shorter intervals cannot show a variation of a tenth."""
SCORE_DEVIATION_MIN = 5
OVERRATED_BY = 30
NEARBY_MIN = 3
SHARED_MIN = 5
"""Settled tasks together before two miners' company says anything."""
COMPANY_SHARE = 8_000
PAIR_TASKS_MIN = 5
PLAGIARISM_ABOVE = 8_000
SIMILAR_FROM = 8_500
SIMILAR_HIGH = 9_000
SIMILAR_CRITICAL = 9_500
COMPARED_MAX = 64
"""Earlier answers that one answer is compared with word by word."""
SHINGLES_MIN = 16
SHORT_BYTES = 64
"""Below this, equal answers are what honest solvers give."""
DEVIATION_ABOVE = 30
DEVIATION_SHARE = 3_000
VOTES_MIN = 10

Found = Iterator[Indicator]


def analyse(facts: AnswerFacts) -> FraudAnalysis:
    """Return what is thought of one answer."""
    answer = facts.submission
    found = [one for analyser in ANALYSERS for one in analyser(facts)]
    return assess(answer.submission_id, answer.miner, answer.task_id, found)


def analyse_time(facts: AnswerFacts) -> Found:
    """Find answers that came sooner than the work takes, or not in the miner's own time."""
    answer, task = facts.submission, facts.task
    taken = _compute_taken(facts, answer.committed_at)
    wanted = EFFORT_HOURS[task.terms.difficulty] * facts.epochs_per_day
    # Both sides count in hours times epochs a day.
    spent = taken * HOURS_PER_DAY
    if spent * SCALE < wanted * FAST_SHARE:
        rivals = [one for one in facts.given if one.submission.miner != answer.miner]
        fast = sum(
            _compute_taken(facts, one.submission.committed_at) * HOURS_PER_DAY * SCALE
            < wanted * FAST_SHARE
            for one in rivals
        )
        # Where most are that fast it is the task that is easy.
        is_usual = bool(rivals) and 2 * fast >= len(rivals)
        is_critical = spent * 5 < wanted
        yield Indicator(
            Analyser.TIME,
            IndicatorType.TOO_FAST_COMPLETION,
            Severity.CRITICAL if is_critical else Severity.HIGH,
            SCALE if is_critical else 8_000,
            2_500 if is_usual else 5_000,
            "committed to sooner than the work is expected to take",
            (f"{taken} epochs", f"{wanted // HOURS_PER_DAY} expected"),
        )
    own = [one.submission.committed_at - one.task.lifecycle.published_at for one in facts.past]
    yield from _find_outlier(
        Analyser.TIME,
        IndicatorType.TIME_PATTERN_ANOMALY,
        "took far more or less time than this miner's earlier answers",
        taken,
        own,
        least_deviation=1,
    )


def analyse_pattern(facts: AnswerFacts) -> Found:
    """Find commitments as regular as clockwork, and answers used before."""
    answer = facts.submission
    epochs = [one.submission.committed_at for one in reversed(facts.past)]
    intervals = compute_intervals([*epochs, answer.committed_at])
    is_long = len(intervals) >= INTERVALS_MIN
    is_slow = is_long and sum(intervals) >= REGULAR_MEAN_MIN * len(intervals)
    if is_slow and is_regular(intervals, REGULAR_SHARE):
        yield Indicator(
            Analyser.PATTERN,
            IndicatorType.REGULAR_SUBMISSION_PATTERN,
            Severity.MEDIUM,
            8_000,
            min(9_000, 900 * len(intervals)),
            "commits in nearly equal intervals",
            (f"{len(intervals)} intervals", f"{sum(intervals) // len(intervals)} epochs each"),
        )
    used = [
        one.submission.submission_id.hex()
        for one in facts.past
        if one.is_settled
        and answer.content_hash is not None
        and one.submission.content_hash == answer.content_hash
        and one.submission.task_id != answer.task_id
    ]
    if used:
        yield Indicator(
            Analyser.PATTERN,
            IndicatorType.SUSPICIOUS_PATTERN,
            Severity.MEDIUM,
            8_000,
            2_000 if _is_short(facts.given[facts.place]) else 6_000,
            "the same content answered another task before",
            tuple(used),
        )


def analyse_quality(facts: AnswerFacts) -> Found:
    """Find scores far off the miner's own, and answers that he praised too highly."""
    answer = facts.submission
    if answer.score is None:
        return
    scores = [
        one.submission.score
        for one in facts.past
        if one.is_settled and one.submission.score is not None
    ]
    yield from _find_outlier(
        Analyser.QUALITY,
        IndicatorType.QUALITY_INCONSISTENCY,
        "scored far above or below this miner's earlier answers",
        answer.score,
        scores,
        least_deviation=SCORE_DEVIATION_MIN,
    )
    if answer.estimated_quality - answer.score > OVERRATED_BY:
        yield Indicator(
            Analyser.QUALITY,
            IndicatorType.QUALITY_INCONSISTENCY,
            Severity.LOW,
            5_000,
            8_000,
            "the miner's own estimate was far above the score",
            (f"estimated {answer.estimated_quality}", f"scored {answer.score}"),
        )


def analyse_collusion(facts: AnswerFacts) -> Found:
    """Find miners who always come together, and miners whom one publisher always prefers."""
    answer = facts.submission
    settled = [one for one in facts.past if one.is_settled]
    hour = facts.epochs_per_day // HOURS_PER_DAY
    shared = Counter(one.miner for past in settled for one in past.task.participants)
    near = [one.submission for one in facts.given]
    near = [one for one in near if abs(one.committed_at - answer.committed_at) <= hour]
    company = [
        one.miner.hex()
        for one in near
        if len(settled) >= SHARED_MIN
        and one.miner != answer.miner
        and shared[one.miner] * SCALE > COMPANY_SHARE * len(settled)
    ]
    if len(company) >= NEARBY_MIN:
        yield Indicator(
            Analyser.COLLUSION,
            IndicatorType.TEMPORAL_COLLUSION,
            Severity.MEDIUM,
            8_000,
            5_000,
            "commits within the hour of miners with whom nearly all its tasks were shared",
            tuple(company),
        )
    pair = [one for one in settled if one.task.publisher == facts.task.publisher]
    won = sum(one.task.winner == one.submission.submission_id for one in pair)
    if len(pair) >= PAIR_TASKS_MIN and 2 * won > len(pair):
        yield Indicator(
            Analyser.COLLUSION,
            IndicatorType.COLLUSION_SUSPECTED,
            Severity.MEDIUM,
            won * SCALE // len(pair),
            min(SCALE, 5_000 + 500 * len(pair)),
            "wins most of this publisher's tasks",
            (f"won {won} of {len(pair)}",),
        )


def analyse_plagiarism(facts: AnswerFacts) -> Found:
    """Find copies. Of two equal answers the later commitment is the copy."""
    answer = facts.submission
    earlier = [one for one in facts.given[: facts.place] if one.submission.miner != answer.miner]
    copied = [
        one.submission.submission_id.hex()
        for one in earlier
        if one.submission.commitment == answer.commitment
    ]
    if copied:
        yield Indicator(
            Analyser.PLAGIARISM,
            IndicatorType.COPIED_COMMITMENT,
            Severity.CRITICAL,
            SCALE,
            SCALE,
            "the commitment of an earlier answer",
            tuple(copied),
        )
    equal = [
        one.submission.submission_id.hex()
        for one in earlier
        if answer.content_hash is not None and one.submission.content_hash == answer.content_hash
    ]
    if equal:
        yield Indicator(
            Analyser.PLAGIARISM,
            IndicatorType.PLAGIARISM_DETECTED,
            Severity.CRITICAL,
            SCALE,
            3_000 if _is_short(facts.given[facts.place]) else SCALE,
            "the content of an answer that was committed to earlier",
            tuple(equal),
        )
        return
    yield from _find_similar(facts, earlier[:COMPARED_MAX])


def analyse_behaviour(facts: AnswerFacts) -> Found:
    """Find what the author did elsewhere: equivocation, votes far off what was decided."""
    if facts.is_equivocator:
        yield Indicator(
            Analyser.BEHAVIOURAL,
            IndicatorType.EQUIVOCATION,
            Severity.CRITICAL,
            SCALE,
            SCALE,
            "its author signed two transactions with one sequence number",
            (facts.submission.miner.hex(),),
        )
    votes = len(facts.deviations)
    off = sum(one > DEVIATION_ABOVE for one in facts.deviations)
    if votes >= VOTES_MIN and off * SCALE > DEVIATION_SHARE * votes:
        yield Indicator(
            Analyser.BEHAVIOURAL,
            IndicatorType.VALIDATOR_DEVIATION,
            Severity.HIGH,
            9_000,
            9_000,
            "its author's votes are often far from what was decided",
            (f"{off} of {votes} votes",),
        )


def analyse_anomaly(facts: AnswerFacts) -> Found:
    """Find scores that stand far off those of the other answers to the task."""
    answer = facts.submission
    if answer.score is None:
        return
    others = [
        one.submission.score
        for one in facts.given
        if one.submission.miner != answer.miner and one.submission.score is not None
    ]
    yield from _find_outlier(
        Analyser.ANOMALY,
        IndicatorType.STATISTICAL_ANOMALY,
        "scored far off the other answers to the task",
        answer.score,
        others,
        least_deviation=SCORE_DEVIATION_MIN,
    )


ANALYSERS: tuple[Callable[[AnswerFacts], Iterable[Indicator]], ...] = (
    analyse_time,
    analyse_pattern,
    analyse_quality,
    analyse_collusion,
    analyse_plagiarism,
    analyse_behaviour,
    analyse_anomaly,
)


def _compute_taken(facts: AnswerFacts, committed_at: int) -> int:
    return committed_at - facts.task.lifecycle.published_at


def _is_short(given: Given) -> bool:
    return given.sketch is not None and given.sketch.size_bytes < SHORT_BYTES


def _find_outlier(
    analyser: Analyser,
    kind: IndicatorType,
    description: str,
    value: int,
    samples: list[int],
    *,
    least_deviation: int,
) -> Found:
    if len(samples) < SAMPLES_MIN or not is_outlier(value, samples, 3, least_deviation):
        return
    is_far = is_outlier(value, samples, 5, least_deviation)
    yield Indicator(
        analyser,
        kind,
        Severity.HIGH if is_far else Severity.MEDIUM,
        8_000,
        min(8_000, 4_000 + 500 * (len(samples) - SAMPLES_MIN)),
        description,
        (f"{value}", f"{len(samples)} samples, mean {sum(samples) // len(samples)}"),
    )


def _find_similar(facts: AnswerFacts, earlier: list[Given]) -> Found:
    own = facts.sketch
    if own is None or len(own.shingles) < SHINGLES_MIN:
        return
    best, whose = 0, ""
    for one in earlier:
        if one.sketch is None or len(one.sketch.shingles) < SHINGLES_MIN:
            continue
        both = len(own.shingles & one.sketch.shingles)
        likeness = both * SCALE // (len(own.shingles) + len(one.sketch.shingles) - both)
        if likeness > best:
            best, whose = likeness, one.submission.submission_id.hex()
    if best <= PLAGIARISM_ABOVE:
        return
    severity = Severity.MEDIUM
    if best > SIMILAR_HIGH:
        severity = Severity.CRITICAL if best > SIMILAR_CRITICAL else Severity.HIGH
    is_similar = best >= SIMILAR_FROM
    yield Indicator(
        Analyser.PLAGIARISM,
        IndicatorType.HIGH_SOLUTION_SIMILARITY if is_similar else IndicatorType.PLAGIARISM_DETECTED,
        severity,
        best,
        8_000,
        "shares most of its wording with an answer that was committed to earlier",
        (whose, f"{best} of {SCALE}"),
    )
