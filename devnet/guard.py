"""Ends the peers of a command that was killed: `python -m devnet.guard ROOT`, one for each command.

It waits for the end of a pipe whose other end the command alone holds. The kernel closes it however
the command ends, by `kill -9` too; unless the command has let its peers go before, all that
devnet.json names are killed, and their namespaces deleted. A process in a session of its own:
Ctrl-C at the terminal does not reach it. Nothing is imported before it is needed, so it costs
little while it waits.
"""

import os
import sys
from pathlib import Path

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


def main() -> None:
    """Wait for the command to end; then end its peers, unless it has let them go."""
    if sys.stdin.buffer.read() == LET_GO:
        return
    from devnet.errors import DevnetError
    from devnet.layout import Devnet
    from devnet.namespaces.network import Namespaces
    from devnet.namespaces.runner import SystemRunner
    from devnet.processes import kill_now
    from node.private_files import KeyFileError

    try:
        devnet = Devnet.load(Path(sys.argv[1]))
        kill_now(devnet.read_processes().values())
        Namespaces(devnet, SystemRunner()).remove()
    except (DevnetError, KeyFileError):
        # The directory is not made yet, or deleted already: nobody runs.
        return


if __name__ == "__main__":
    main()
