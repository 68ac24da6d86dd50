"""Real processes and ports: found again, never confused, never left behind."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

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

    def start(self, script: str) -> ProcessRef:
        command = [sys.executable, "-c", script]
        self.refs.append(spawn(command, self.log, os.environ))
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


def test_a_program_does_not_begin_before_its_process_is_written_down(yard: Yard) -> None:
    begun: list[ProcessRef] = []

    def fail(ref: ProcessRef) -> None:
        begun.append(ref)
        raise OSError("no room to write it down")

    with pytest.raises(OSError, match="no room"):
        spawn([sys.executable, "-c", WAITS], yard.log, os.environ, fail)
    yard.refs += begun
    os.waitpid(begun[0].pid, 0)
    assert yard.log.read_text() == ""


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
