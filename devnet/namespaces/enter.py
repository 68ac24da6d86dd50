"""Runs a program in a network namespace: `python enter.py NAMESPACE HOST PORT PROGRAM`.

Its RPC is to be reached from outside, where there is no way in: so the socket that it listens on is
opened before the door closes behind it, and handed down as sd_listen_fds(3) describes. A socket
stays in the namespace in which it was made. The program takes this process over with its number. A
file of its own without imports of ours: it is started once for each peer, and must cost
milliseconds.
"""

import ctypes
import os
import socket
import sys

_CLONE_NEWNET = 0x40000000
_FIRST = 3
"""SD_LISTEN_FDS_START."""
_BACKLOG = 64


def main() -> None:
    """Listen, enter the namespace, and run the rest."""
    namespace, host, port = sys.argv[1:4]
    listener = socket.create_server((host, int(port)), backlog=_BACKLOG)
    door = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(door, _CLONE_NEWNET) != 0:
        sys.exit(f"namespace {namespace}: {os.strerror(ctypes.get_errno())}")
    if listener.fileno() == _FIRST:
        os.set_inheritable(_FIRST, True)
    else:
        os.dup2(listener.fileno(), _FIRST)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
    os.environ.pop("LISTEN_FDNAMES", None)
    os.execv(sys.argv[4], sys.argv[4:])


if __name__ == "__main__":
    main()
