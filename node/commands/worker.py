"""minesync worker: try out a solver or scorer, begin one, and see how the running one does."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import trio
from cyclopts import App, Parameter
from rich.console import Console

from node.clock import read_wall_ms
from node.commands.common import COMMON, Common, emit, show_line, show_pairs, show_table
from node.exits import CommandError, Exit, UsageError
from node.rpc.client import connect
from node.telemetry import configure_logging
from node.workers.messages import INPUT_BYTES_MAX, Assignment
from node.workers.program import WorkerSpec, parse_command
from node.workers.selftest import Check, make_sample, run_selftest
from protocol.task_types import TYPE_SLUGS

app = App(name="worker", help="Try out a solver, or begin one.")

NETWORK_OF_TESTS = "00" * 8
"""A worker that is made for one network only has to be told with --network."""

TEMPLATE = '''"""A worker for minesync: reads one JSON object a line, writes one JSON object a line.

Replace `solve`; what it prints to stderr goes to the node's log. Try it out with
    minesync worker test "python3 {name}" --kind general_task
and run it with
    minesync run --roles.miner --worker.command "python3 {name}"
"""

import json
import sys


def solve(task):
    """Return the answer, text. The same task must always give the same answer: it is hashed."""
    return task["input"].upper()


def say(**message):
    print(json.dumps(message), flush=True)


def main():
    say(
        type="hello",
        proto=1,
        worker="my-solver 1",
        roles=["solver"],
        kinds=["general_task"],
        concurrency=1,
    )
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "ping":
            say(type="pong", id=message["id"])
        elif message["type"] == "task":
            try:
                say(type="answer", id=message["id"], output=solve(message))
            except ValueError as error:
                # The task is at fault; retryable=True would say that this program is.
                say(type="error", id=message["id"], retryable=False, message=str(error)[:200])


if __name__ == "__main__":
    main()
'''


@app.command(name="test")
def try_out(
    command: Annotated[str, Parameter(help="Command line of the worker, in quotes.")],
    *,
    role: Annotated[Literal["solver", "scorer"], Parameter(help="What it is to be.")] = "solver",
    kind: Annotated[str | None, Parameter(help="Only this type of task.")] = None,
    input: Annotated[Path | None, Parameter(help="File to work on, with --kind.")] = None,
    timeout: Annotated[int, Parameter(help="Seconds it may take for one task.")] = 30,
    network: Annotated[
        str, Parameter(help="Network id it is made for, 16 hex digits.")
    ] = NETWORK_OF_TESTS,
    verbose: Annotated[
        bool, Parameter(help="Show what the worker writes to stderr.", negative="")
    ] = False,
    common: Common = COMMON,
) -> int:
    """Run a worker as a node would and check hello, answers, determinism, deadline and cancel."""
    samples = _read_samples(kind, input)
    if not 1 <= timeout <= 3_600:
        raise UsageError("bad_timeout", timeout, "1 to 3600 seconds")
    try:
        words = parse_command(command)
    except ValueError as error:
        raise UsageError("bad_command", repr(command[:80]), f"a command ({error})") from error
    spec = WorkerSpec(
        command=words, role=role, kinds=tuple(TYPE_SLUGS.values()), network_id=network
    )
    configure_logging("info" if verbose else "warning", "console", read_wall_ms=read_wall_ms)
    checks = trio.run(_run_selftest, spec, samples, timeout * 1_000)
    data = {"checks": [check._asdict() for check in checks]}

    def render(console: Console) -> None:
        rows = [["ok" if check.ok else "FAILED", check.check, check.detail] for check in checks]
        show_table(console, ("", "check", "found"), rows)

    emit(common, data, render)
    return Exit.OK if all(check.ok for check in checks) else Exit.WORKER


@app.command(name="init")
def init(
    file: Annotated[Path, Parameter(help="Program to write; it must not exist.")] = Path(
        "solve.py"
    ),
    *,
    common: Common = COMMON,
) -> None:
    """Write a small worker to begin with."""
    try:
        with file.open("x", encoding="utf-8") as program:
            program.write(TEMPLATE.replace("{name}", str(file)))
    except OSError as error:
        found = f"{file}: {error.strerror}"
        raise CommandError("unwritable", found, "a name that is free") from error
    command = f'minesync worker test "python3 {file}" --kind general_task'
    emit(common, {"file": str(file)}, lambda console: show_line(console, f"Next: {command}"))


@app.command(name="status")
def status(*, common: Common = COMMON) -> None:
    """Show how the worker of the running node does."""
    _call(common, "worker_status")


@app.command(name="pause")
def pause(*, common: Common = COMMON) -> None:
    """Cancel what the worker does and give it no further task."""
    _call(common, "worker_pause")


@app.command(name="resume")
def resume(*, common: Common = COMMON) -> None:
    """Give the worker tasks again, also after too many failures."""
    _call(common, "worker_resume")


@app.command(name="finish")
def finish(*, common: Common = COMMON) -> None:
    """Let the worker finish what it does and give it no further task."""
    _call(common, "worker_finish")


def _call(common: Common, method: str) -> None:
    with connect(common.paths) as client:
        data: dict[str, Any] = client.call(method)

    def render(console: Console) -> None:
        for place, worker in enumerate(data.get("workers") or [data]):
            if place:
                console.print()
            pairs = worker.items()
            show_pairs(console, [(name.replace("_", " "), _join(value)) for name, value in pairs])

    emit(common, data, render)


async def _run_selftest(spec: WorkerSpec, samples: list[Assignment], task_ms: int) -> list[Check]:
    return await run_selftest(spec, samples, task_ms=task_ms)


def _read_samples(kind: str | None, path: Path | None) -> list[Assignment]:
    """Return the one sample that was asked for; none: the self-test makes its own."""
    if kind is None:
        if path is not None:
            raise UsageError("missing_kind", "--input without --kind", "the type of task it is for")
        return []
    if kind not in TYPE_SLUGS.values():
        raise UsageError("unknown_task_type", repr(kind[:64]), ", ".join(TYPE_SLUGS.values()))
    sample = make_sample(kind)
    if path is None:
        return [sample]
    try:
        if path.stat().st_size > INPUT_BYTES_MAX:
            raise UsageError("input_too_long", path, f"at most {INPUT_BYTES_MAX} bytes")
        return [replace(sample, input=path.read_text(encoding="utf-8"))]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise UsageError("input_unreadable", f"{path}: {reason}", "a text file") from error


def _join(value: Any) -> Any:
    return ", ".join(map(str, value)) or None if isinstance(value, list) else value
