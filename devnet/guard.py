"""Ends the peers of a command that was killed: `python -m devnet.guard ROOT`, one for each command.

It waits for the end of a pipe whose other end the command alone holds. The kernel closes it however
the command ends, by `kill -9` too; unless the command has let its peers go before, all that
devnet.json names are killed, and their namespaces deleted. A process in a session of its own:
Ctrl-C at the terminal does not reach it. Nothing is imported before it is needed, so it costs
little while it waits. While it kills it holds a lock, for which the next command waits: it would
find peers that are about to end.
"""

import fcntl
import os
import sys
from pathlib import Path

LOCK = "devnet.guard"
LET_GO = b"let go"


class Guard:
    """The side of the command."""

    def __init__(self, root: Path) -> None:
        ours, self._pipe = os.pipe()
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                # -P: not the folder we happen to be in, which may have a `devnet` of its own.
                [sys.executable, "-P", "-m", "devnet.guard", str(root)],
                dict(os.environ),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, ours, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
            )
        finally:
            os.close(ours)

    def let_go(self) -> None:
        """Let the peers live on when this process ends. The guard is gone when this returns."""
        try:
            os.write(self._pipe, LET_GO)
        except BrokenPipeError:
            # Somebody has ended the guard: it does nothing, as we want.
            pass
        finally:
            os.close(self._pipe)
        os.waitpid(self._pid, 0)


def wait_for_guards(root: Path) -> None:
    """Wait until nobody ends the peers of a command that was killed; it takes moments."""
    try:
        with (root / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        # Never was a command killed here.
        return


def main() -> None:
    """Wait for the command to end; then end its peers, unless it has let them go."""
    if sys.stdin.buffer.read() == LET_GO:
        return
    root = Path(sys.argv[1])
    try:
        with (root / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _end_all(root)
    except FileNotFoundError:
        # The directory is deleted already: nobody runs.
        return


def _end_all(root: Path) -> None:
    import trio

    from devnet.errors import DevnetError
    from devnet.layout import Devnet
    from devnet.namespaces.network import Namespaces
    from devnet.namespaces.runner import SystemRunner
    from devnet.processes import KILL_S, is_alive, kill_now, wait_until
    from node.private_files import KeyFileError

    try:
        devnet = Devnet.load(root)
        refs = devnet.read_processes().values()
        kill_now(refs)
        trio.run(wait_until, lambda: not any(map(is_alive, refs)), KILL_S)
        Namespaces(devnet, SystemRunner()).remove()
    except (DevnetError, KeyFileError):
        # It is half deleted: nobody runs.
        return


if __name__ == "__main__":
    main()
