"""An example solver. Copy this file and replace `solve`: the rest is the whole protocol.

Run it with `--worker.command "python -m node.workers.solver"`. It reads one JSON object a line from
stdin and writes one a line to stdout; stderr goes to the node's log. It does one task at a time, so
it reads a `cancel` when there is nothing left to cancel: the node ends a program that works on past
its deadline.
"""

import json
import sys
from typing import Any

from node.workers.code_analysis import AnalysisError, analyse, encode_canonical


class CannotSolve(Exception):
    """The task itself is at fault; no worker can answer it."""


def solve(task: dict[str, Any]) -> str:
    """Return the answer to a task. The same task must always give the same text: it is hashed.

    Raises:
        CannotSolve: it has no answer.
    """
    if task["params"].get("language", "python") != "python":
        raise CannotSolve("this solver reads Python only")
    try:
        return encode_canonical(analyse(task["input"]))
    except AnalysisError as error:
        raise CannotSolve(str(error)) from error


def say(**message: Any) -> None:
    """Send one message, at once."""
    print(json.dumps(message), flush=True)


def main() -> None:
    """Serve tasks until stdin ends, which is how the node says goodbye."""
    say(
        type="hello",
        proto=1,
        worker="code-analysis-solver 1",
        roles=["solver"],
        kinds=["code_analysis"],
        concurrency=1,
    )
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] == "task":
            try:
                say(type="answer", id=message["id"], output=solve(message))
            except CannotSolve as error:
                text = str(error)[:200]
                say(type="error", id=message["id"], retryable=False, message=text)
        elif message["type"] == "ping":
            say(type="pong", id=message["id"])


if __name__ == "__main__":
    main()
