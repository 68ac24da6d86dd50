"""A listening socket that whoever started this node has opened for its RPC: sd_listen_fds(3).

A systemd socket unit does that, to hold the port while the node restarts; so does a devnet in
network namespaces, whose nodes could not be reached otherwise.
"""

import os
import socket
from collections.abc import Mapping

FIRST = 3
"""SD_LISTEN_FDS_START: the number of the first one."""


class BadInherited(ValueError):
    """What was handed down is no socket for an RPC; the text says what it is."""


def take_inherited(
    environment: Mapping[str, str], host: str, port: int, first: int = FIRST
) -> socket.socket | None:
    """Return the socket that was handed down; None when there is none.

    Args:
        environment: `LISTEN_PID` names the process for which `LISTEN_FDS` counts sockets.
        host: where it must listen, an IP address.
        port: likewise; 0: any.
        first: the number of the file descriptor.

    Raises:
        BadInherited: there are several, or it does not listen there.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = environment.get("LISTEN_FDS", "0")
    if count != "1":
        raise BadInherited(f"LISTEN_FDS = {count[:8]}")
    try:
        held = socket.socket(fileno=first)
    except OSError as error:
        raise BadInherited(f"file descriptor {first}, which is no socket") from error
    held.set_inheritable(False)
    found = _describe(held)
    if found[0] != host or port not in (0, found[1]):
        held.close()
        raise BadInherited(f"a socket on {found[0]}:{found[1]}")
    return held


def _describe(held: socket.socket) -> tuple[str, int]:
    """Return where a socket listens; a name for what it is if it does not."""
    if held.family not in (socket.AF_INET, socket.AF_INET6) or held.type != socket.SOCK_STREAM:
        return "no TCP", 0
    if not held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "no listener", 0
    name = held.getsockname()
    return str(name[0]), int(name[1])
