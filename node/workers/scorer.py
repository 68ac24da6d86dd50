"""An example scorer. Copy this file and replace `score`: the rest is the whole protocol.

It does the work of the example solver again and compares, field by field. Run it with
`--worker.command "python -m node.workers.scorer"` on a node that validates.
"""

import json
import sys
from typing import Any

from node.workers.code_analysis import AnalysisError, analyse, encode_canonical

WEIGHTS = {
    ("functions",): 15,
    ("classes",): 10,
    ("complexity", "total"): 20,
    ("complexity", "maximum"): 10,
    ("complexity", "most_complex"): 10,
    ("imports",): 10,
    ("imports_total",): 5,
    ("longest_function", "name"): 5,
    ("longest_function", "lines"): 5,
    ("lines_of_code",): 10,
}
"""Points for each field that is exactly right; 100 in all, nothing for almost."""

SHOWN_CHARS_MAX = 40
"""Of a wrong value in the reasoning, so that all fields together fit in 2,048 bytes."""


class CannotScore(Exception):
    """The task itself is at fault, or is none of ours."""


def score(task: dict[str, Any], outputs: list[str]) -> list[tuple[int, str]]:
    """Return for each answer its points, 0 to 100, and the reason, in printable ASCII.

    Raises:
        CannotScore: there is nothing to compare with.
    """
    if task["params"].get("language", "python") != "python":
        raise CannotScore("this scorer reads Python only")
    try:
        wanted = analyse(task["input"])
    except AnalysisError as error:
        return [(0, f"0 of 100: the input has no analysis: {ascii(str(error))[:200]}")] * len(
            outputs
        )
    return [compare(output, wanted) for output in outputs]


def compare(output: str, wanted: dict[str, Any]) -> tuple[int, str]:
    """Return the points of one answer and the reason. Whatever its miner wrote, it gets some."""
    try:
        found = json.loads(output)
        wrong = [path for path in WEIGHTS if not is_equal(pick(found, path), pick(wanted, path))]
        parts = [
            f"{'.'.join(path)} (-{WEIGHTS[path]}): found {shorten(pick(found, path))}, "
            f"wanted {shorten(pick(wanted, path))}"
            for path in wrong
        ]
    except (ValueError, RecursionError):
        return 0, "0 of 100: the answer is not JSON, or nested too deep"
    points = 100 - sum(WEIGHTS[path] for path in wrong)
    return points, f"{points} of 100: " + ("; ".join(parts) or "every field is right")


def pick(value: Any, path: tuple[str, ...]) -> Any:
    """Follow keys into nested objects; None where one is missing."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def is_equal(found: Any, wanted: Any) -> bool:
    """Compare as JSON texts: in Python 1, 1.0 and True would be the same."""
    return encode_canonical(found) == encode_canonical(wanted)


def shorten(value: Any) -> str:
    """Return a value for the reasoning. JSON escapes whatever is not printable ASCII."""
    return json.dumps(value, sort_keys=True)[:SHOWN_CHARS_MAX]


def say(**message: Any) -> None:
    """Send one message, at once."""
    print(json.dumps(message), flush=True)


def main() -> None:
    """Serve requests until stdin ends, which is how the node says goodbye."""
    say(
        type="hello",
        proto=1,
        worker="code-analysis-scorer 1",
        roles=["scorer"],
        kinds=["code_analysis"],
        concurrency=1,
    )
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] == "score":
            answers = message["answers"]
            try:
                points = score(message["task"], [answer["output"] for answer in answers])
                scores = [
                    {"id": answer["id"], "score": number, "reasoning": reason}
                    for answer, (number, reason) in zip(answers, points, strict=True)
                ]
                say(type="scores", id=message["id"], scores=scores)
            except CannotScore as error:
                say(type="error", id=message["id"], retryable=False, message=str(error))
        elif message["type"] == "ping":
            say(type="pong", id=message["id"])


if __name__ == "__main__":
    main()
