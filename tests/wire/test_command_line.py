"""The command line as real processes: what it loads, what a kill leaves behind, how a node ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from node.exits import Exit
from node.lockfile import read_lock
from node.paths import DataPaths

pytestmark = pytest.mark.wire

ROOT = Path(__file__).parents[2]
QUIET = ("--p2p.listen", "/ip4/127.0.0.1/tcp/0", "--rpc.port", "0")
START_S = 30


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "node", *words]


def make_environment(**changes: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MINESYNC_")}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def run(*words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = make_environment(**({"MINESYNC_DATA_DIR": str(home)} if home else {}))
    return subprocess.run(
        command(*words), env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    made = run("init", "--new-network", "toy", "--unencrypted", home=path)
    assert made.returncode == 0, made.stderr
    return path


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start nodes in `home`; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            command("run", *QUIET, *words),
            env=make_environment(MINESYNC_DATA_DIR=str(home)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


async def wait_up(home: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until the node's RPC listens."""
    lock = DataPaths(home).lock
    with trio.fail_after(START_S):
        while True:
            info = read_lock(lock)
            if info is not None and info.pid == process.pid and info.rpc_url:
                return
            assert process.poll() is None, process.communicate()
            await trio.sleep(0.02)


def read(home: Path, *words: str) -> Any:
    done = run(*words, "--json", home=home)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def test_help_loads_nothing_that_a_network_or_a_database_needs() -> None:
    script = (
        "import sys; from node.cli import run_command; run_command(['--help']);"
        "print(*sorted({'trio', 'httpx2', 'libp2p', 'rocksdict', 'structlog', 'cbor2', 'argon2'}"
        " & sys.modules.keys()), file=sys.stderr)"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, env=make_environment(), capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    assert "devnet" in done.stdout


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        command("config", "docs"),
        env=make_environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_process_that_holds_keys_leaves_no_core_dump() -> None:
    script = (
        "import ctypes, resource; from node.hardening import forbid_core_dumps;"
        "forbid_core_dumps();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, env=make_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(0,", "0)", "0"]


def test_the_worker_that_init_writes_passes_the_test_of_workers(tmp_path: Path) -> None:
    program = tmp_path / "solve.py"
    assert run("worker", "init", str(program)).returncode == 0
    done = run("worker", "test", f"{sys.executable} {program}", "--kind", "general_task", "--json")
    assert done.returncode == 0, done.stdout
    assert {check["ok"] for check in json.loads(done.stdout)["checks"]} == {True}
    assert run("worker", "test", "false").returncode == Exit.WORKER


async def test_a_node_starts_answers_and_stops(
    home: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = start()
    await wait_up(home, process)
    status = read(home, "status")
    assert status["network_name"] == "toy"
    assert status["roles"] == ["sealer"]
    assert read(home, "peers")["items"] == []
    assert read(home, "account")["address"] == status["account"]
    assert read(home, "task", "list")["items"] == []
    assert (DataPaths(home).rpc_token.stat().st_mode & 0o777) == 0o600
    second = run("run", *QUIET, home=home)
    assert second.returncode == Exit.DATA_DIR_IN_USE
    assert f"process {process.pid}" in second.stderr
    assert second.stderr.count("\n") == 1
    assert run("stop", home=home).returncode == 0
    assert process.wait(10) == 0
    assert run("status", home=home).returncode == Exit.NOT_RUNNING


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, Exit.OK), (signal.SIGINT, Exit.INTERRUPTED)]
)
async def test_a_signal_ends_a_node_in_order(
    home: Path, start: Callable[..., "subprocess.Popen[str]"], number: int, code: Exit
) -> None:
    process = start()
    await wait_up(home, process)
    process.send_signal(number)
    assert process.wait(20) == code
    assert read_lock(DataPaths(home).lock) is None


async def test_a_killed_node_starts_again_without_anything_being_deleted(
    home: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    first = start()
    await wait_up(home, first)
    first.kill()
    first.wait()
    second = start()
    await wait_up(home, second)
    assert run("stop", home=home).returncode == 0
    assert second.wait(10) == 0


@pytest.mark.parametrize("flag", ["--rpc.port", "--p2p.listen"])
def test_a_port_in_use_is_one_line_and_its_code(home: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        value = str(port) if flag == "--rpc.port" else f"/ip4/127.0.0.1/tcp/{port}"
        words = [word for word in QUIET if word not in (flag, QUIET[QUIET.index(flag) + 1])]
        done = run("run", *words, flag, value, home=home)
    assert done.returncode == Exit.PORT_IN_USE, done.stderr
    assert "port_in_use" in done.stderr.splitlines()[-1]
