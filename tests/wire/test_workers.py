"""Real worker processes: what the node does when they work, misbehave, die or will not go."""

import os
import signal
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
import trio

from node.workers.messages import (
    SCORER,
    SOLVER,
    Answer,
    Assignment,
    Candidate,
    Progress,
    ScoreRequest,
    TaskRequest,
    WorkerFault,
)
from node.workers.process import WorkerProcess, WorkerTimes
from node.workers.program import WorkerSpec
from node.workers.supervisor import Worker, WorkerPolicy, WorkerState, open_worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.wire

PUPPET = Path(__file__).parents[1] / "support" / "puppet_worker.py"
NETWORK = "0123456789abcdef"
TIMES = WorkerTimes(hello_s=20, pong_s=20, cancel_s=20, exit_s=20, term_s=20, drain_s=5)
IMPATIENT = WorkerTimes(hello_s=20, pong_s=20, cancel_s=0.1, exit_s=20, term_s=20, drain_s=5)
POLICY = WorkerPolicy(TIMES, backoff_s=0.01, failures_max=3)
IMPATIENT_POLICY = WorkerPolicy(IMPATIENT, backoff_s=0.01, failures_max=3)
PATIENCE_S = 20.0
LONG_MS = 20_000
SHORT_MS = 200


def puppet(*words: str, role: str = SOLVER) -> WorkerSpec:
    return WorkerSpec((sys.executable, "-IS", str(PUPPET), *words), role, NETWORK)


def task(trick: str, *, name: str = "task", deadline_ms: int = LONG_MS) -> TaskRequest:
    return TaskRequest(id=name, kind="general_task", input=trick, deadline_ms=deadline_ms)


async def solve(worker: Worker, trick: str, *, name: str = "task", ms: int = LONG_MS) -> str:
    answer = await worker.solve(task(trick, name=name, deadline_ms=ms))
    assert answer.id == name
    return answer.output


async def solve_badly(
    worker: Worker, trick: str, *, name: str = "task", ms: int = LONG_MS
) -> WorkerFault:
    with pytest.raises(WorkerFault) as caught:
        await solve(worker, trick, name=name, ms=ms)
    return caught.value


def find_group(leader: int) -> list[int]:
    """Return the living members of a process group; a zombie only waits to be counted."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return members


async def wait_group_gone(leader: int) -> None:
    await wait_until(lambda: not find_group(leader), patience_s=PATIENCE_S)


async def wait_open(worker: Worker, tasks: int) -> None:
    await wait_until(lambda: worker.status.tasks_open == tasks, patience_s=PATIENCE_S)


@contextmanager
def no_process_left_behind() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


async def test_a_task_is_answered_and_the_worker_ends_with_the_block() -> None:
    with no_process_left_behind():
        async with open_worker(puppet(), POLICY) as worker:
            assert await solve(worker, "echo") == "echo"
            status = worker.status
            assert status.state is WorkerState.UP
            assert (status.answered, status.failed, status.starts) == (1, 0, 1)
            assert status.hello is not None
            assert status.hello.worker == "puppet 1"
        assert worker.status.state is WorkerState.STOPPED


async def test_an_input_of_a_mebibyte_arrives_whatever_its_characters() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        size = 1 << 20
        assert await solve(worker, "\x01" * size) == f"{size} characters"
        assert await solve(worker, "\N{ROCKET}" * (size // 4)) == f"{size // 4} characters"


async def test_two_tasks_run_at_the_same_time() -> None:
    outputs = []
    async with open_worker(puppet(), POLICY) as worker:

        async def one(name: str) -> None:
            outputs.append(await solve(worker, "meet", name=name))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, "a")
            nursery.start_soon(one, "b")
    assert outputs == ["met", "met"]


async def test_no_more_tasks_are_open_than_the_worker_offers() -> None:
    async with open_worker(puppet("concurrency=1"), POLICY) as worker, trio.open_nursery() as jobs:
        jobs.start_soon(solve_badly, worker, "wait")
        await wait_open(worker, 1)
        fault = await solve_badly(worker, "echo", name="other", ms=SHORT_MS)
        assert fault.code == "worker_busy"
        assert worker.status.failures_in_row == 0
        jobs.cancel_scope.cancel()


async def test_progress_reaches_the_caller() -> None:
    seen: list[Progress] = []
    async with open_worker(puppet(), POLICY) as worker:
        await worker.solve(task("progress"), seen.append)
    assert [(one.fraction, one.note) for one in seen] == [
        (0.0, "on my way"),
        (0.5, "on my way"),
        (1.0, "on my way"),
    ]


@pytest.mark.parametrize(
    ("trick", "code", "shown"),
    [
        ("junk", "message_malformed", r"Loading \x1b[31mmodel..."),
        ("die", "worker_died", r"exited with status 3, last words: oh \x1b[31mno"),
        ("flood", "worker_flood", '"fraction": 0.5'),
        ("overlong", "line_too_long", "xxxx"),
        ("close stdout", "worker_closed_stdout", ""),
        ("score", "message_unexpected", '"type": "scores"'),
        ("answer another", "message_unexpected", '"id": "another"'),
        ("too long an answer", "message_field_bad", "12289 bytes"),
    ],
)
async def test_what_a_worker_must_not_do_is_one_clear_error_and_a_restart(
    trick: str, code: str, shown: str
) -> None:
    policy = WorkerPolicy(WorkerTimes(drain_s=0.5, term_s=0.5), backoff_s=0.01)
    async with open_worker(puppet(), policy) as worker:
        fault = await solve_badly(worker, trick)
        assert fault.code == code
        assert shown in fault.found
        assert "\x1b" not in str(fault)
        assert fault.retryable
        assert len(fault.found) < 400
        assert await solve(worker, "echo") == "echo"
        assert worker.status.starts == 2


async def test_a_second_answer_is_a_fault_of_the_worker_and_not_of_the_next_task() -> None:
    with structlog.testing.capture_logs() as logs:
        async with open_worker(puppet(), POLICY) as worker:
            assert await solve(worker, "answer twice") == "one"
            await wait_until(lambda: worker.status.starts == 2, patience_s=PATIENCE_S)
            assert await solve(worker, "echo") == "echo"
    ends = [line for line in logs if line["event"] == "worker_ended"]
    assert [line["code"] for line in ends] == ["message_unexpected"]
    assert '"output": "two"' in ends[0]["found"]


async def test_a_worker_that_reads_no_more_is_restarted() -> None:
    policy = WorkerPolicy(WorkerTimes(drain_s=0.1, term_s=0.5), backoff_s=0.01)
    async with open_worker(puppet(), policy) as worker:
        assert await solve(worker, "close stdin") == "closed"
        # What is handed to the old process is lost without its fault, so it is sent again.
        assert await solve(worker, "echo") == "echo"
        assert worker.status.starts == 2


async def test_a_task_past_its_deadline_fails_then_and_the_cancel_is_obeyed() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        await worker.wait_state(WorkerState.UP)
        fault = await solve_badly(worker, "wait", ms=SHORT_MS)
        assert fault.code == "task_deadline"
        assert worker.status.failures_in_row == 1
        assert await solve(worker, "echo") == "echo"
        assert worker.status.starts == 1
        assert worker.status.failures_in_row == 0


async def test_a_worker_that_hangs_is_ended_and_its_other_task_is_sent_again() -> None:
    outputs = []
    async with open_worker(puppet(), IMPATIENT_POLICY) as worker:

        async def innocent() -> None:
            outputs.append(await solve(worker, "wait once", name="innocent"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(innocent)
            await wait_open(worker, 1)
            assert (await solve_badly(worker, "hang", ms=SHORT_MS)).code == "task_deadline"
        assert outputs == ["attempt 2"]
        assert worker.status.starts == 2
        assert worker.status.failed == 1


async def test_a_cancelled_caller_cancels_the_task_and_keeps_the_worker() -> None:
    async with open_worker(puppet("concurrency=1"), POLICY) as worker:
        await worker.wait_state(WorkerState.UP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.solve, task("wait"))
            await wait_open(worker, 1)
            nursery.cancel_scope.cancel()
        assert await solve(worker, "echo") == "echo"
        status = worker.status
        assert (status.starts, status.failed, status.failures_in_row) == (1, 0, 0)


async def test_a_worker_killed_from_outside_is_started_again() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        first = (await worker.wait_state(WorkerState.UP)).pid
        assert first is not None
        async with trio.open_nursery() as nursery:

            async def victim() -> None:
                fault = await solve_badly(worker, "wait")
                assert (fault.code, fault.found) == ("worker_died", "exited by SIGKILL")

            nursery.start_soon(victim)
            await wait_open(worker, 1)
            os.kill(first, signal.SIGKILL)
        assert await solve(worker, "echo") == "echo"
        assert worker.status.pid != first


@pytest.mark.parametrize("trick", ["die", "junk", "hang"])
async def test_grandchildren_go_with_the_worker_however_it_ends(trick: str) -> None:
    times = WorkerTimes(drain_s=0.1, cancel_s=0.1, term_s=0.5)
    async with open_worker(puppet(), WorkerPolicy(times, backoff_s=0.01)) as worker:
        child = int(await solve(worker, "beget"))
        leader = worker.status.pid
        assert leader is not None
        assert child in find_group(leader)
        await solve_badly(worker, trick, ms=1_000)
        await wait_group_gone(leader)


async def test_grandchildren_go_when_the_node_stops() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        child = int(await solve(worker, "beget"))
        leader = worker.status.pid
        assert leader is not None
        assert child in find_group(leader)
    await wait_group_gone(leader)


async def run_to_its_end(spec: WorkerSpec, times: WorkerTimes) -> WorkerProcess:
    """Run a worker until it is up, then stop it as a node does that stops."""
    life = WorkerProcess(spec, times)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.live)
            await life.wait_settled()
            assert life.is_up
            nursery.cancel_scope.cancel()
    return life


async def test_a_worker_may_end_by_itself_when_the_node_stops() -> None:
    life = await run_to_its_end(puppet(), TIMES)
    assert life.farewell == "exited with status 0"


async def test_a_worker_that_will_not_go_is_killed() -> None:
    times = WorkerTimes(exit_s=0.05, term_s=0.05)
    life = await run_to_its_end(puppet("stubborn"), times)
    assert life.farewell == "killed by SIGKILL"


async def test_a_worker_that_only_listens_to_signals_is_terminated() -> None:
    deaf_to_stdin = "import signal; print({!r}, flush=True); signal.pause()".format(
        '{"type":"hello","proto":1,"worker":"w","roles":["solver"],"kinds":["general_task"]}'
    )
    spec = WorkerSpec((sys.executable, "-IS", "-c", deaf_to_stdin), SOLVER, NETWORK)
    life = await run_to_its_end(spec, WorkerTimes(exit_s=0.05, term_s=20))
    assert life.farewell == "terminated by SIGTERM"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("quiet",), "hello_late"),
        (("mute",), "worker_died"),
        (("proto=2",), "hello_proto"),
        (('roles=["scorer"]',), "hello_role"),
        (('kinds=["general_tusk"]',), "hello_kinds"),
        (('network_id="ffffffffffffffff"',), "hello_network"),
        (("concurrency=0",), "message_field_bad"),
        (('type="pong"', "id=1"), "message_field_bad"),
        (("eager",), "hello_missing"),
    ],
)
async def test_a_worker_that_does_not_fit_is_tried_a_few_times_and_then_broken(
    words: tuple[str, ...], code: str
) -> None:
    hello_s = 0.1 if "quiet" in words else PATIENCE_S
    times = WorkerTimes(hello_s=hello_s, drain_s=1, term_s=0.5)
    policy = WorkerPolicy(times, backoff_s=0.01, failures_max=2)
    async with open_worker(puppet(*words), policy) as worker:
        with trio.fail_after(PATIENCE_S):
            status = await worker.wait_state(WorkerState.BROKEN)
        assert status.reason.startswith(code)
        assert status.starts == 2
        fault = await solve_badly(worker, "echo")
        assert fault.code == "worker_broken"
        assert code in fault.found


async def test_a_program_that_is_not_there_is_named() -> None:
    spec = WorkerSpec(("/no/such/program",), SOLVER, NETWORK)
    async with open_worker(spec, WorkerPolicy(TIMES, failures_max=1)) as worker:
        status = await worker.wait_state(WorkerState.BROKEN)
    assert status.reason.startswith("worker_not_started")
    assert "/no/such/program" in status.reason


async def test_a_task_waits_for_a_worker_that_is_not_up_yet_until_its_deadline() -> None:
    async with open_worker(puppet("quiet"), POLICY) as worker:
        fault = await solve_badly(worker, "echo", ms=SHORT_MS)
    assert fault.code == "worker_not_up"


async def test_failures_in_a_row_break_the_worker_until_it_is_reset() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        for _ in range(POLICY.failures_max):
            fault = await solve_badly(worker, "fail")
            assert (fault.code, fault.found, fault.retryable) == ("task_failed", r"no GPU\n", True)
        status = await worker.wait_state(WorkerState.BROKEN)
        assert status.reason == r"task_failed: found no GPU\n"
        assert status.pid is None
        assert (await solve_badly(worker, "echo")).code == "worker_broken"
        worker.reset()
        assert await solve(worker, "echo") == "echo"
        assert worker.status.failures_in_row == 0


async def test_a_broken_worker_is_tried_again_after_a_rest_and_one_failure_breaks_it_again() -> (
    None
):
    policy = WorkerPolicy(TIMES, backoff_s=0.01, failures_max=3, rest_s=0.05)
    async with open_worker(puppet(), policy) as worker:
        for _ in range(3):
            await solve_badly(worker, "fail")
        await worker.wait_state(WorkerState.BROKEN)
        await worker.wait_state(WorkerState.UP)
        await solve_badly(worker, "fail")
        await worker.wait_state(WorkerState.BROKEN)
        await worker.wait_state(WorkerState.UP)
        assert await solve(worker, "echo") == "echo"
        await solve_badly(worker, "fail")
        assert worker.status.state is WorkerState.UP


async def test_an_answer_between_failures_keeps_the_worker() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        for _ in range(POLICY.failures_max):
            await solve_badly(worker, "fail")
            assert await solve(worker, "echo") == "echo"
        assert worker.status.starts == 1


async def test_bad_tasks_do_not_break_a_good_worker() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        for _ in range(3 * POLICY.failures_max):
            fault = await solve_badly(worker, "refuse")
            assert (fault.code, fault.found, fault.retryable) == (
                "task_refused",
                "bad input",
                False,
            )
        assert worker.status.failures_in_row == 0
        assert worker.status.starts == 1


async def test_a_task_of_a_kind_the_worker_cannot_do_is_refused() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        request = TaskRequest(id="t", kind="code_analysis", input="", deadline_ms=LONG_MS)
        with pytest.raises(WorkerFault) as caught:
            await worker.solve(request)
    assert (caught.value.code, caught.value.retryable) == ("kind_unsupported", False)


async def test_an_idle_worker_that_answers_no_ping_is_restarted() -> None:
    times = WorkerTimes(ping_s=0.01, pong_s=0.1, term_s=0.5)
    policy = WorkerPolicy(times, failures_max=2, backoff_s=0.01)
    async with open_worker(puppet("deaf"), policy) as worker:
        status = await worker.wait_state(WorkerState.BROKEN)
    assert status.reason.startswith("worker_silent")


async def test_an_idle_worker_that_answers_pings_is_left_alone() -> None:
    changes = 0

    def count() -> None:
        nonlocal changes
        changes += 1

    life = WorkerProcess(puppet(), WorkerTimes(ping_s=0.01), count)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.live)
        await life.wait_settled()
        for _ in range(20):
            assert await life.ping()
        assert life.is_up
        assert changes == 1
        nursery.cancel_scope.cancel()


async def test_stderr_goes_to_the_log_escaped_and_with_the_task() -> None:
    def find_lines() -> list[MutableMapping[str, Any]]:
        return [line for line in logs if line["event"] == "worker_stderr"]

    with structlog.testing.capture_logs() as logs:
        async with open_worker(puppet(), POLICY) as worker:
            await solve(worker, "grumble", name="a-task")
            # Another pipe than the answer's: whichever is read first.
            await wait_until(lambda: bool(find_lines()))
    assert [(line["task"], line["text"]) for line in find_lines()] == [
        ("a-task", r"a \x1b[31mred\x1b[0m line\x00")
    ]


async def test_the_secrets_of_the_node_are_not_in_the_environment_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MINESYNC_PASSPHRASE", "secret")
    async with open_worker(puppet(), POLICY) as worker:
        assert await solve(worker, "environment") == "[]"


@pytest.mark.parametrize(
    ("trick", "code", "wanted"),
    [
        ("backwards", "message_field_bad", "scores of a, b"),
        ("something", "message_unexpected", "scores or an error"),
    ],
)
async def test_scores_must_be_those_asked_for(trick: str, code: str, wanted: str) -> None:
    request = ScoreRequest(
        id="s",
        task=Assignment(kind="general_task", input=trick),
        answers=(Candidate(id="a", output=""), Candidate(id="b", output="")),
        deadline_ms=LONG_MS,
    )
    async with open_worker(puppet('roles=["scorer"]', role=SCORER), POLICY) as worker:
        with pytest.raises(WorkerFault) as caught:
            await worker.score(request)
    assert (caught.value.code, caught.value.wanted) == (code, wanted)


async def test_a_cancel_that_crosses_an_answer_is_no_fault() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        await worker.wait_state(WorkerState.UP)
        # The answer is too late and the error one too many; the worker could not know.
        assert (await solve_badly(worker, "close twice", ms=SHORT_MS)).code == "task_deadline"
        # It comes when the same task is open again, and does not close that.
        assert await solve(worker, "close the one before") == "echo"
        assert worker.status.starts == 1


async def test_one_broken_worker_does_not_touch_another() -> None:
    async with open_worker(puppet(), POLICY) as good, open_worker(puppet("mute"), POLICY) as bad:
        await bad.wait_state(WorkerState.BROKEN)
        assert await solve(good, "echo") == "echo"
        assert good.status.starts == 1


async def test_an_answer_is_a_record() -> None:
    async with open_worker(puppet(), POLICY) as worker:
        assert await worker.solve(task("echo")) == Answer(id="task", output="echo")
