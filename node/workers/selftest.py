"""Tries a worker program before it is let near a network: what `minesync worker test` runs.

Every check runs a process of its own, so one that fails says nothing about the next.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import NamedTuple

import trio

from node.workers.fields import show
from node.workers.messages import (
    SOLVER,
    Answer,
    Assignment,
    Candidate,
    Reply,
    Request,
    ScoreRequest,
    Scores,
    TaskError,
    TaskRequest,
    WorkerFault,
)
from node.workers.process import WorkerProcess, WorkerTimes
from node.workers.program import WorkerSpec

TASK_MS = 30_000
"""For one sample, as long as nobody says otherwise."""
SHORT_DEADLINE_MS = 100
SELFTEST_TIMES = WorkerTimes(hello_s=30.0, pong_s=5.0, cancel_s=5.0, exit_s=5.0, term_s=2.0)

SAMPLE_SOURCE = '''\
"""A small program with something of everything."""

import json
from collections import Counter


class Shelf:
    def __init__(self, books):
        self.books = books

    def count(self, wanted):
        total = 0
        for book in self.books:
            if book.title == wanted or (wanted is None and book.is_new):
                total += 1
        return total


async def main():
    return json.dumps(Counter(len(word) for word in "a few words".split() if word))
'''

SAMPLE_ANSWERS = (
    Candidate(id="an-object", output="{}"),
    Candidate(id="a-text", output="I do not know."),
    Candidate(id="nothing", output=""),
)

_SAMPLES = {
    "code_analysis": Assignment(
        kind="code_analysis",
        params={"language": "python", "complexity": 0},
        input=SAMPLE_SOURCE,
        title="Figures of a module",
        description="Count functions, classes, branches and lines of this module.",
    ),
}


class Check(NamedTuple):
    """One line of the report."""

    check: str
    ok: bool
    detail: str


def make_sample(kind: str) -> Assignment:
    """Return a small task of a kind, for want of a real one."""
    plain = Assignment(
        kind=kind,
        input="1, 2, 3, 5, 8",
        title="A sample",
        description="Say what comes next, and why.",
    )
    return _SAMPLES.get(kind, plain)


async def run_selftest(
    spec: WorkerSpec,
    samples: Sequence[Assignment] = (),
    *,
    times: WorkerTimes = SELFTEST_TIMES,
    task_ms: int = TASK_MS,
) -> list[Check]:
    """Try a program as a node would use it; return what was checked, and how it went.

    Without samples, one is made for each kind the worker names. After a failed `hello` nothing
    further is tried.

    hello         it says what it is, in time, and it fits the spec
    goodbye       it ends by itself when its stdin does
    answer        each sample gets an answer (or scores) by its deadline, never an error
    determinism   the same sample in another process gets the same output (or the same scores)
    deadline      a task past its deadline is closed soon after the cancel
    cancel        a task cancelled at once is closed soon, and the worker goes on
    """
    run = _Selftest(spec, times, task_ms)
    checks = await run.check_hello()
    if not checks[0].ok:
        return checks
    samples = samples or [make_sample(kind) for kind in run.kinds]
    for number, sample in enumerate(samples):
        checks += await run.check_answers(sample, number)
    checks.append(await run.check_deadline(samples[0]))
    checks.append(await run.check_cancel(samples[0]))
    return checks


class _Selftest:
    def __init__(self, spec: WorkerSpec, times: WorkerTimes, task_ms: int) -> None:
        self._spec = spec
        self._times = times
        self._task_ms = task_ms
        self.kinds: tuple[str, ...] = ()

    async def check_hello(self) -> list[Check]:
        async with self._open_life() as life:
            hello = life.hello
        if hello is None:
            return [Check("hello", False, str(life.cause))]
        self.kinds = hello.kinds
        said = f"{hello.worker}: {', '.join(hello.kinds)}; {hello.concurrency} at a time"
        return [
            Check("hello", True, said),
            Check("goodbye", life.farewell == "exited with status 0", life.farewell),
        ]

    async def check_answers(self, sample: Assignment, number: int) -> list[Check]:
        if sample.kind not in self.kinds:
            return [Check("answer", False, f"{sample.kind} is none of {', '.join(self.kinds)}")]
        request = self._make_request(f"sample-{number}", sample, self._task_ms)
        began = trio.current_time()
        first = await self._ask(request)
        took_ms = int((trio.current_time() - began) * 1_000)
        if not isinstance(first, Answer | Scores):
            return [Check("answer", False, _describe(first))]
        second = await self._ask(request)
        same = _pick_output(first) == _pick_output(second)
        detail = "twice the same" if same else f"{_describe(first)} and {_describe(second)}"
        return [
            Check("answer", True, f"{sample.kind} in {took_ms} ms: {_describe(first)}"),
            Check("determinism", same, detail),
        ]

    async def check_deadline(self, sample: Assignment) -> Check:
        request = self._make_request("deadline", sample, SHORT_DEADLINE_MS)
        outcome = await self._ask(request)
        closed = isinstance(outcome, Answer | Scores | TaskError)
        return Check("deadline", closed, _describe(outcome))

    async def check_cancel(self, sample: Assignment) -> Check:
        async with self._open_life() as life:
            if not life.is_up:
                return Check("cancel", False, str(life.cause))
            flight = life.launch(self._make_request("cancel", sample, self._task_ms))
            life.abandon(flight)
            await flight.done.wait()
            if isinstance(flight.outcome, WorkerFault):
                return Check("cancel", False, str(flight.outcome))
            goes_on = await life.ping()
        return Check("cancel", goes_on, "closed, and goes on" if goes_on else "no pong after it")

    async def _ask(self, request: Request) -> Reply | WorkerFault | None:
        """Send a request to a new process; past its deadline, cancel it and wait for the end."""
        async with self._open_life() as life:
            if not life.is_up:
                return life.cause
            flight = life.launch(request)
            with trio.move_on_after(request.deadline_ms / 1_000):
                await flight.done.wait()
            life.abandon(flight)
            await flight.done.wait()
        return flight.outcome

    @asynccontextmanager
    async def _open_life(self) -> AsyncIterator[WorkerProcess]:
        """Run a process for as long as the block lasts; it is up by then, or has ended."""
        life = WorkerProcess(self._spec, self._times)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.live)
            await life.wait_settled()
            yield life
            nursery.cancel_scope.cancel()

    def _make_request(self, request_id: str, sample: Assignment, deadline_ms: int) -> Request:
        if self._spec.role == SOLVER:
            terms = {one.name: getattr(sample, one.name) for one in fields(sample)}
            return TaskRequest(id=request_id, deadline_ms=deadline_ms, **terms)
        return ScoreRequest(
            id=request_id, deadline_ms=deadline_ms, task=sample, answers=SAMPLE_ANSWERS
        )


def _pick_output(reply: object) -> object:
    """Return what two runs must agree on; the reasoning behind a score may differ."""
    if isinstance(reply, Scores):
        return [one.score for one in reply.scores]
    return reply.output if isinstance(reply, Answer) else reply


def _describe(outcome: Reply | WorkerFault | None) -> str:
    match outcome:
        case Answer():
            return show(outcome.output)
        case Scores():
            return ", ".join(f"{one.id} {one.score}" for one in outcome.scores)
        case TaskError():
            return f"error: {show(outcome.message)}"
        case _:
            return str(outcome)
