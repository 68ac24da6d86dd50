"""A function as a worker: a program that a node runs, or the function itself in virtual time.

    python -P -m devnet.functions solver FILE NAME       solve(task) -> text of the answer
    python -P -m devnet.functions scorer FILE NAME       score(task, outputs) -> [(points, reason)]

`task` is what `node.workers.messages` says of one; an answer must be the same text each time. A
process loads FILE anew, so the function stands at the top of it; a simulation takes the one that
this process has loaded. What the function raises refuses the task.
"""

import importlib.util
import inspect
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from devnet.errors import DevnetError
from node.workers.scorer import score as score_analysis
from node.workers.solver import solve as solve_analysis
from protocol.task_types import TYPE_SLUGS

Function = Callable[..., Any]

KINDS = tuple(sorted(TYPE_SLUGS.values()))
TEXT_MAX = 200
_MODULE = "devnet.functions"
_PROGRAM = ("-P", "-m", _MODULE)


class FunctionFailed(Exception):
    """A function raised something, whatever it was: the task is refused."""


def write_command(role: str, function: Function) -> str:
    """Return the command line of a worker that calls a function.

    Raises:
        DevnetError: `bad_worker`: a program could not find the function by its name.
    """
    name = getattr(function, "__qualname__", "")
    file = inspect.getsourcefile(function) if inspect.isfunction(function) else None
    if file is None or not name.isidentifier():
        wanted = "a function with a name, at the top of a file"
        raise DevnetError("bad_worker", f"{name or function!r}"[:TEXT_MAX], wanted)
    return shlex.join([sys.executable, *_PROGRAM, role, str(Path(file).resolve()), name])


def find_function(line: str) -> Function | None:
    """Return the function of such a command line; None for any other program.

    Raises:
        DevnetError: `bad_worker`: it is not there.
    """
    return load_function(*shlex.split(line)[-2:]) if is_function(line) else None


def is_function(line: str) -> bool:
    """Tell whether a command line is one that `write_command` writes."""
    try:
        words = tuple(shlex.split(line))
    except ValueError:
        return False
    return words[1 : 1 + len(_PROGRAM)] == _PROGRAM and len(words) == len(_PROGRAM) + 4


def load_function(file: str, name: str) -> Function:
    """Return a function of a file, which is loaded unless it is already.

    Raises:
        DevnetError: `bad_worker`: it is not there.
    """
    loaded = list(sys.modules.values())
    module = next((one for one in loaded if getattr(one, "__file__", None) == file), None)
    function = getattr(module or _load(file), name, None)
    if not callable(function):
        raise DevnetError("bad_worker", f"no {name} in {file}", "a function at its top")
    found: Function = function
    return found


def judge(task: dict[str, Any], outputs: list[str]) -> list[tuple[int, str]]:
    """Score an analysis as the shipped scorer does, any other answer by whether it is the input."""
    if task["kind"] == "code_analysis":
        return score_analysis(task, outputs)
    return [(100, "an echo") if one == task["input"] else (0, "no echo") for one in outputs]


def solve_or_echo(task: dict[str, Any]) -> str:
    """Answer as the shipped solver does, any other task with its own input."""
    return solve_analysis(task) if task["kind"] == "code_analysis" else str(task["input"])


def main() -> None:
    """Serve requests until stdin ends, which is how the node says goodbye."""
    role, file, name = sys.argv[1:]
    sys.path.insert(0, str(Path(file).parent))
    function = load_function(file, name)
    _say(type="hello", proto=1, worker="function 1", roles=[role], kinds=KINDS, concurrency=1)
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] in ("task", "score"):
            try:
                _say(id=message["id"], **reply(function, message))
            except FunctionFailed as error:
                _say(type="error", id=message["id"], retryable=False, message=str(error))
        elif message["type"] == "ping":
            _say(type="pong", id=message["id"])


def reply(function: Function, message: dict[str, Any]) -> dict[str, Any]:
    """Return what a function says to a `task` or a `score`, as a message without its id.

    Raises:
        FunctionFailed: it raised something.
    """
    if message["type"] == "task":
        return {"type": "answer", "output": _call(function, message)}
    answers = message["answers"]
    points = _call(function, message["task"], [one["output"] for one in answers])
    scores = [
        {"id": one["id"], "score": number, "reasoning": reason}
        for one, (number, reason) in zip(answers, points, strict=True)
    ]
    return {"type": "scores", "scores": scores}


def _call(function: Function, *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        raise FunctionFailed(ascii(f"{type(error).__name__}: {error}")[:TEXT_MAX]) from error


def _load(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise DevnetError("bad_worker", file, "a file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
