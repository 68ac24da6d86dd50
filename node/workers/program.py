"""A subprocess in a session of its own, so that it ends with all that it started.

The leader is not reaped before the whole process group is killed: until then its number cannot be
given to a stranger, and no grandchild outlives it unless it left the group on purpose (`setsid`).
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import trio

from node.workers.fields import show
from node.workers.messages import WorkerFault
from protocol.task_types import TYPE_SLUGS

SECRET_PREFIX = "MINESYNC_"
"""Of environment variables that are the node's own: they may hold a passphrase or a token."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Which program to run, and what it has to say of itself.

    Attributes:
        command: the program and its arguments, at least one word; no shell is involved.
        role: `solver` or `scorer`.
        network_id: of this node, 16 hex digits.
        kinds: the task types there are; a worker that names another has a typing error in it.
        folder: where it runs; where the node does by default.
        environment: added to the node's, from which everything named `MINESYNC_…` is taken out.
    """

    command: tuple[str, ...]
    role: str
    network_id: str
    kinds: tuple[str, ...] = tuple(TYPE_SLUGS.values())
    folder: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def parse_command(line: str) -> tuple[str, ...]:
    """Split a command line as a shell does, without running one.

    Raises:
        ValueError: it is empty or a quotation does not end.
    """
    words = tuple(shlex.split(line))
    if not words:
        raise ValueError("an empty command")
    return words


class Program:
    """A running subprocess with its three pipes."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.pid = process.pid
        self.stdin = process.stdin
        self.stdout = process.stdout
        self.stderr = process.stderr

    @classmethod
    async def start(cls, spec: WorkerSpec) -> "Program":
        """Start the program of a spec.

        Raises:
            WorkerFault: `worker_not_started`.
        """
        try:
            process = await trio.lowlevel.open_process(
                list(spec.command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd=spec.folder,
                env=_make_environment(spec.environment),
            )
        except (OSError, ValueError) as error:
            # A ValueError is a NUL in an argument.
            raise WorkerFault(
                "worker_not_started", show(f"{spec.command[0]}: {error}"), "a program that runs"
            ) from error
        return cls(process)

    async def wait_exit(self) -> None:
        """Wait for the leader's end, without reaping it where the system can do that."""
        descriptor = _open_pidfd(self.pid)
        if descriptor is None:
            await self._process.wait()
            return
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)

    async def put_down(self, *, exit_s: float, term_s: float) -> str:
        """End the process group, reap the leader, close the pipes; return how it ended, in words.

        Within `exit_s` from the end of its stdin it may end by itself, within `term_s` from
        SIGTERM it may tidy up; then comes SIGKILL. Must run in a shielded scope.
        """
        await self.stdin.aclose()
        manner = "exited"
        gone = await self._wait_exit_within(exit_s)
        if not gone:
            # A wrapper such as `docker run` passes SIGTERM on; SIGKILL it cannot.
            manner = "terminated"
            self._signal_group(signal.SIGTERM)
            gone = await self._wait_exit_within(term_s)
        if not gone:
            manner = "killed"
        self._signal_group(signal.SIGKILL)
        status: int | None = None
        # Bounded: the kernel itself may hold a process back, on a dead disk for one.
        with trio.move_on_after(term_s):
            status = await self._process.wait()
        await self.stdout.aclose()
        await self.stderr.aclose()
        return f"{manner} {describe_status(status)}"

    async def _wait_exit_within(self, limit_s: float) -> bool:
        with trio.move_on_after(limit_s):
            await self.wait_exit()
            return True
        return False

    def _signal_group(self, number: signal.Signals) -> None:
        # Its session, and so its group, carries the leader's number.
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # Nobody is left in it or, on some systems, only a zombie.
            return


def describe_status(status: int | None) -> str:
    """Return a process's status in words: its number or the signal that ended it."""
    if status is None:
        return "without an end"
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _open_pidfd(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        # A kernel before 5.3 or a sandbox without the call.
        return None


def _make_environment(added: Mapping[str, str]) -> dict[str, str]:
    own = {name: text for name, text in os.environ.items() if not name.startswith(SECRET_PREFIX)}
    return {**own, **added}
