"""Processes that outlive the command that started them, without ever meeting a stranger.

A process is known by its number and by the moment it started: a number that the system gave to
somebody else since is told apart and never signalled. Each peer leads a session and process group
of its own, so Ctrl-C at the terminal does not reach it and a signal reaches all it started. Nothing
is ever found by name. A program begins only when its process has been written down: whoever is
killed while starting one leaves nobody who is not known.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import trio

POLL_S = 0.02
TERM_S = 10.0
"""From SIGTERM to SIGKILL."""
KILL_S = 5.0
"""For the kernel to take away what SIGKILL ended."""

_WAIT_FOR_GO = 'read go && exec "$@" </dev/null'
"""Becomes the program, keeping the number of the process; at the end of the input it ends."""


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process, for as long as the machine is up.

    Attributes:
        mark: when it started, in whatever units tell it from a later holder of the number.
    """

    pid: int
    mark: str


def spawn(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    on_born: Callable[[ProcessRef], None] = lambda ref: None,
) -> ProcessRef:
    """Start a program in a session of its own, its output appended to a file.

    Args:
        command: an absolute path and arguments.
        log: for stdout and stderr.
        environment: all of it.
        on_born: is told the process before the program begins in it; if it raises, or this process
            is killed meanwhile, the program never begins.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    gate, our_end = os.pipe()
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", _WAIT_FOR_GO, "sh", *command],
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, gate, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        ref = ProcessRef(pid, _read_state(pid)[1])
        on_born(ref)
        os.write(our_end, b"go\n")
    finally:
        os.close(gate)
        os.close(our_end)
    return ref


def build_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a program of one node: ours, and what its manifest adds."""
    # What was chosen for one node by variables is not meant for each of these.
    ours = {key: text for key, text in os.environ.items() if key[:9] != "MINESYNC_"}
    return {**ours, **own}


def is_alive(ref: ProcessRef) -> bool:
    """Tell whether the process runs, or is stopped; a zombie of ours is taken away."""
    state, mark = _read_state(ref.pid)
    if state == "zombie" and mark == ref.mark:
        _reap(ref.pid)
        return False
    return mark == ref.mark and state != "gone"


def is_stopped(ref: ProcessRef) -> bool:
    """Tell whether the process is frozen by SIGSTOP."""
    state, mark = _read_state(ref.pid)
    return mark == ref.mark and state == "stopped"


def read_memory_bytes(ref: ProcessRef) -> int:
    """Return the resident memory of the process itself; 0 when it is gone."""
    if not is_alive(ref):
        return 0
    try:
        return int(psutil.Process(ref.pid).memory_info().rss)
    except psutil.Error:
        return 0


def send_signal(ref: ProcessRef, number: signal.Signals) -> bool:
    """Send a signal to the process and all of its group; return whether it was there."""
    if not is_alive(ref):
        return False
    try:
        os.killpg(ref.pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_now(refs: Iterable[ProcessRef]) -> None:
    """Kill without waiting for anything: for the last moments of a command."""
    for ref in refs:
        send_signal(ref, signal.SIGKILL)


async def stop_all(refs: Sequence[ProcessRef], term_s: float = TERM_S) -> int:
    """End processes, gently first; return how many had to be killed. None of them is left."""
    for ref in refs:
        send_signal(ref, signal.SIGTERM)
        # A stopped process hears nothing else.
        send_signal(ref, signal.SIGCONT)
    await wait_until(lambda: not any(map(is_alive, refs)), term_s)
    killed = [ref for ref in refs if send_signal(ref, signal.SIGKILL)]
    await wait_until(lambda: not any(map(is_alive, refs)), KILL_S)
    return len(killed)


async def wait_until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Wait for a condition that nothing announces; return whether it came true in time."""
    with trio.move_on_after(limit_s):
        while True:
            if condition():
                return True
            await trio.sleep(POLL_S)
    return condition()


def _read_state(pid: int) -> tuple[str, str]:
    """Return (gone, zombie, stopped or running, mark)."""
    if sys.platform == "linux":
        return _read_linux_state(pid)
    try:
        process = psutil.Process(pid)
        status = process.status()
        mark = str(process.create_time())
    except psutil.NoSuchProcess:
        return "gone", ""
    known = {psutil.STATUS_ZOMBIE: "zombie", psutil.STATUS_STOPPED: "stopped"}
    return known.get(status, "running"), mark


def _read_linux_state(pid: int) -> tuple[str, str]:
    # Ticks since boot, unlike a time of day, do not move when somebody sets the clock.
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone", ""
    # The name of the program stands in parentheses and may hold anything.
    fields = text[text.rindex(")") + 1 :].split()
    state = {"Z": "zombie", "X": "gone", "T": "stopped", "t": "stopped"}.get(fields[0], "running")
    if state == "zombie" and int(fields[17]) > 1:
        # The first thread has ended before the others, which still hold files and ports.
        state = "running"
    return state, f"{boot[:8]}-{fields[19]}"


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        # Somebody else's child: its parent, or init, takes it away.
        return
