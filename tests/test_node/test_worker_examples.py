"""The example solver and scorer: what they answer, and what no miner can make them do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.workers.code_analysis import analyse, encode_canonical
from node.workers.messages import (
    REASONING_BYTES_MAX,
    SCORER,
    SOLVER,
    Answer,
    Assignment,
    Candidate,
    ScoreRequest,
    Scores,
    TaskError,
    TaskRequest,
    decode_line,
    encode_line,
)
from node.workers.scorer import WEIGHTS, CannotScore, compare, score
from node.workers.selftest import SAMPLE_SOURCE
from node.workers.solver import CannotSolve, solve

ROOT = Path(__file__).parents[2]
WANTED = analyse(SAMPLE_SOURCE)


def serve(role: str, *requests: TaskRequest | ScoreRequest) -> list[Any]:
    """Run an example on these requests, as a pipe would; return its messages after the hello."""
    ran = subprocess.run(
        [sys.executable, "-m", f"node.workers.{role}"],
        input=b"".join(encode_line(one) for one in requests),
        cwd=ROOT,
        capture_output=True,
        timeout=30,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    hello, *replies = [decode_line(line) for line in ran.stdout.splitlines()]
    assert hello.roles == (role,)
    return replies


def task(source: str, language: str = "python") -> TaskRequest:
    return TaskRequest(
        id="t",
        kind="code_analysis",
        params={"language": language, "complexity": 0},
        input=source,
        deadline_ms=1_000,
    )


def change(**changes: object) -> str:
    return encode_canonical({**WANTED, **changes})


def test_the_solver_serves_until_its_input_ends() -> None:
    answer, refusal, foreign = serve(
        SOLVER, task(SAMPLE_SOURCE), task("def f(:)"), task("fn main() {}", "rust")
    )
    assert answer == Answer(id="t", output=encode_canonical(WANTED))
    assert isinstance(refusal, TaskError)
    assert not refusal.retryable
    assert refusal.message.startswith("not Python: line 1")
    assert foreign == TaskError(id="t", retryable=False, message="this solver reads Python only")


def test_the_scorer_gives_the_solver_all_points() -> None:
    assignment = Assignment(kind="code_analysis", input=SAMPLE_SOURCE)
    answers = (
        Candidate(id="right", output=solve({"params": {}, "input": SAMPLE_SOURCE})),
        Candidate(id="junk", output="I do not know"),
    )
    (scores,) = serve(
        SCORER, ScoreRequest(id="s", task=assignment, answers=answers, deadline_ms=1_000)
    )
    assert isinstance(scores, Scores)
    assert [(one.id, one.score) for one in scores.scores] == [("right", 100), ("junk", 0)]
    assert scores.scores[0].reasoning == "100 of 100: every field is right"


def test_the_weights_are_a_hundred_and_name_every_figure() -> None:
    assert sum(WEIGHTS.values()) == 100
    assert {path[0] for path in WEIGHTS} == WANTED.keys()


def test_each_wrong_field_costs_its_weight_and_is_named() -> None:
    points, reasoning = compare(change(functions=99, imports=["os"]), WANTED)
    assert points == 75
    assert reasoning == (
        "75 of 100: functions (-15): found 99, wanted 3; "
        'imports (-10): found ["os"], wanted ["collections", "json"]'
    )


@pytest.mark.parametrize(
    ("output", "points"),
    [
        ("", 0),
        ("null", 0),
        ("[]", 0),
        ("{", 0),
        ("[" * 100_000, 0),
        ('{"functions":' + "[" * 900 + "]" * 900 + "}", 0),
        ("9" * 10_000, 0),
        ('{"functions":3}', 15),
        ('{"functions":3.0}', 0),
        ('{"functions":"3"}', 0),
        ('{"classes":true}', 0),
        ('{"functions":NaN}', 0),
        ('{"functions":"\\ud800"}', 0),
        (json.dumps(WANTED, indent=2), 100),
    ],
    ids=lambda value: str(value)[:20],
)
def test_whatever_a_miner_writes_gets_points(output: str, points: int) -> None:
    assert compare(output, WANTED)[0] == points


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.dictionaries(st.sampled_from(sorted(WANTED)), values | st.lists(values)))
def test_the_reason_is_short_printable_ascii(found: dict[str, object]) -> None:
    points, reasoning = compare(json.dumps(found), WANTED)
    assert 0 <= points <= 100
    assert reasoning.isascii()
    assert reasoning.isprintable()
    assert len(reasoning) <= REASONING_BYTES_MAX


def test_an_input_without_analysis_gives_no_points_and_a_foreign_one_no_score() -> None:
    points = score({"params": {}, "input": "def f(:)"}, ["{}", "{}"])
    assert [one for one, _ in points] == [0, 0]
    with pytest.raises(CannotScore):
        score({"params": {"language": "rust"}, "input": ""}, ["{}"])
    with pytest.raises(CannotSolve):
        solve({"params": {"language": "rust"}, "input": ""})
