"""Children: forked from this process, which is warm and never opens a database itself.

So a life costs a few milliseconds, and RocksDB's threads are only ever in the process that dies.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

READ_BYTES = 1 << 16
LOOK_S = 0.002
FAILED = 70
"""What a child exits with when it raised."""


Send = Callable[[bytes], None]


class Child:
    """A process that runs `work`, which is given what sends bytes to the parent."""

    def __init__(self, work: Callable[[Send], None]) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            _live(work, writing)
        os.close(writing)
        os.set_blocking(reading, False)
        self._reading = reading
        self._is_over = False

    def listen(self, hear: Callable[[bytes], None], for_s: float | None = None) -> bool:
        """Hear the child for so long, or until it is silent for ever; return whether it is."""
        end = None if for_s is None else time.monotonic() + for_s
        while not self._is_over:
            left = None if end is None else max(0.0, end - time.monotonic())
            readable, _, _ = select.select([self._reading], [], [], left)
            if not readable:
                return False
            data = os.read(self._reading, READ_BYTES)
            self._is_over = not data
            hear(data)
            if end is not None and time.monotonic() >= end:
                return self._is_over
        return True

    def listen_until_halted(self, hear: Callable[[bytes], None]) -> None:
        """Hear the child until it has stopped itself.

        Raises:
            RuntimeError: it ended instead.
        """
        status = 0
        while not status:
            self.listen(hear, LOOK_S)
            status = os.waitpid(self.pid, os.WUNTRACED | os.WNOHANG)[1]
        _check_stopped(status)

    def drain(self, hear: Callable[[bytes], None]) -> None:
        """Hear what a stopped child said before it was stopped."""
        while select.select([self._reading], [], [], 0)[0]:
            data = os.read(self._reading, READ_BYTES)
            if not data:
                return
            hear(data)

    def stop(self) -> None:
        """Halt it where it is; return once it stands still.

        Raises:
            RuntimeError: it had ended by itself.
        """
        os.kill(self.pid, signal.SIGSTOP)
        _check_stopped(os.waitpid(self.pid, os.WUNTRACED)[1])

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Return the exit code; the negative number of the signal that ended it."""
        os.close(self._reading)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def ask(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `work` returns in a process of its own.

    Raises:
        RuntimeError: the process died; its traceback is on standard error.
    """

    def tell(send: Send) -> None:
        send(json.dumps(work()).encode())

    child = Child(tell)
    said = bytearray()
    child.listen(said.extend)
    code = child.wait()
    if code:
        raise RuntimeError(f"a child that checks ended with {code}")
    answer: dict[str, Any] = json.loads(said)
    return answer


def _check_stopped(status: int) -> None:
    if not os.WIFSTOPPED(status):
        raise RuntimeError(f"a child ended with {os.waitstatus_to_exitcode(status)}")


def _live(work: Callable[[Send], None], writing: int) -> None:
    """Run `work` as the whole life of this process; nothing of the parent's is cleaned up."""

    def send(data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(writing, left) :]

    code = FAILED
    try:
        work(send)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
