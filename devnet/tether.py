"""Runs a program that ends when its parent ends, however that ends: `python tether.py PID PROGRAM`.

Linux sends the signal when the parent is gone; it holds on through `exec`, so the program takes
this process over with its number, and it reaches a program that is stopped, too. On other systems
the program is only run. A file of its own without imports of ours: it is started once for each
peer, and must cost milliseconds.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, whose number is the first argument, and run the rest."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have ended before the line above.
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
