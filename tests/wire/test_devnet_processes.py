"""Real processes and ports: found again, never confused, never left behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from devnet.errors import DevnetError
from devnet.ports import HOST, PortReservation, is_free
from devnet.processes import (
    ProcessRef,
    is_alive,
    is_stopped,
    kill_now,
    read_memory_bytes,
    send_signal,
    spawn,
    stop_all,
    wait_until,
)

pytestmark = pytest.mark.wire

ENDS_S = 10.0
WAITS = "import signal; print('here', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


class Yard:
    """Starts processes and leaves none of them."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.refs: list[ProcessRef] = []

    def start(self, script: str, *, tethered: bool = False) -> ProcessRef:
        command = [sys.executable, "-c", script]
        self.refs.append(spawn(command, self.log, os.environ, tethered=tethered))
        return self.refs[-1]

    async def wait_here(self, count: int = 1) -> None:
        """Wait until so many of them have said that they run."""
        assert await wait_until(lambda: self.log.read_text().count("here") >= count, ENDS_S)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    yard = Yard(tmp_path)
    yield yard
    kill_now(yard.refs)


async def test_a_process_is_seen_stopped_continued_and_ended(yard: Yard) -> None:
    ref = yard.start(WAITS)
    await yard.wait_here()
    assert is_alive(ref)
    assert read_memory_bytes(ref) > 1 << 20
    send_signal(ref, signal.SIGSTOP)
    assert await wait_until(lambda: is_stopped(ref), ENDS_S)
    assert is_alive(ref)
    send_signal(ref, signal.SIGCONT)
    assert await wait_until(lambda: not is_stopped(ref), ENDS_S)
    assert await stop_all([ref]) == 0
    assert not is_alive(ref)
    assert read_memory_bytes(ref) == 0
    with pytest.raises(ProcessLookupError):
        # Reaped: not even a zombie is left.
        os.kill(ref.pid, 0)


async def test_who_does_not_listen_is_killed_and_who_is_stopped_is_woken(yard: Yard) -> None:
    refs = [yard.start(STUBBORN), yard.start(WAITS)]
    await yard.wait_here(2)
    send_signal(refs[1], signal.SIGSTOP)
    assert await stop_all(refs, term_s=0.5) == 1
    assert not any(map(is_alive, refs))


async def test_a_number_that_was_given_to_somebody_else_is_left_alone(yard: Yard) -> None:
    ref = yard.start(WAITS)
    await yard.wait_here()
    former = replace(ref, mark="of another time")
    assert not is_alive(former)
    assert not send_signal(former, signal.SIGKILL)
    assert await stop_all([former]) == 0
    assert is_alive(ref)


async def test_what_a_process_started_ends_with_it(yard: Yard) -> None:
    ref = yard.start(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])")
    await yard.wait_here()
    send_signal(ref, signal.SIGKILL)
    # The group is empty once both are gone; a signal then finds nobody.
    assert await wait_until(lambda: not is_alive(ref) and not is_group_alive(ref.pid), ENDS_S)


def is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


PARENT = """
import os, signal, sys
from pathlib import Path
from devnet.processes import spawn
ref = spawn([sys.executable, "-c", sys.argv[2]], Path(sys.argv[1]), os.environ, tethered=True)
print(ref.pid, ref.mark, flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
@pytest.mark.parametrize("first", [0, signal.SIGSTOP], ids=["running", "stopped"])
async def test_a_tethered_process_ends_when_its_parent_is_killed(
    tmp_path: Path, first: int
) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", PARENT, str(log), WAITS]
    parent = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    try:
        said = b""
        while not said.endswith(b"\n"):
            said += await parent.stdout.receive_some()
        pid, mark = said.decode().split()
        ref = ProcessRef(int(pid), mark)
        assert await wait_until(lambda: "here" in log.read_text(), ENDS_S)
        os.kill(ref.pid, first)
        assert await wait_until(lambda: is_stopped(ref) is bool(first), ENDS_S)
        parent.kill()
        assert await wait_until(lambda: not is_alive(ref), ENDS_S)
    finally:
        parent.kill()
        await parent.wait()
        await parent.stdout.aclose()


def test_ports_that_are_held_are_found_by_nobody_else_yet_taken_by_their_peer() -> None:
    with PortReservation.find(4, "hint") as first, PortReservation.find(4, "hint") as second:
        assert len({*first.ports, *second.ports}) == 8
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, first.ports[0]))
            listener.listen()
            assert not is_free(first.ports[0])
    assert all(is_free(port) for port in (*first.ports, *second.ports))


def test_a_port_on_which_somebody_listens_is_refused_by_name() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(DevnetError, match="port_in_use"):
            PortReservation.hold((port,))
