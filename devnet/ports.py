"""TCP ports for the peers of a devnet: found by binding them, held until the peers have them.

Ports come from below the range from which the kernel picks by itself, so that no connection of a
stranger takes the port of a peer that is down for a moment. A held port is bound but does not
listen. It is bound alone, and only then marked SO_REUSEADDR: whoever searches for a port finds it
taken, while a peer, which sets that mark before it binds, gets it.
"""

import socket
import zlib
from collections.abc import Collection
from types import TracebackType

from devnet.errors import DevnetError

HOST = "127.0.0.1"
PORT_FIRST = 20_000
PORT_LAST = 31_999


class PortReservation:
    """Ports that this process holds until `close`.

    Attributes:
        ports: in the order in which they were found.
    """

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self.ports = tuple(int(held.getsockname()[1]) for held in sockets)

    @classmethod
    def find(cls, count: int, hint: str, taken: Collection[int] = ()) -> "PortReservation":
        """Hold `count` free ports; the same hint looks at the same place first.

        Args:
            count: how many.
            hint: any text.
            taken: ports that belong to somebody who does not run now.

        Raises:
            DevnetError: `no_free_port`.
        """
        span = PORT_LAST - PORT_FIRST + 1
        start = zlib.crc32(hint.encode("utf-8", "surrogateescape")) % span
        held: list[socket.socket] = []
        for step in range(span):
            if len(held) == count:
                break
            port = PORT_FIRST + (start + step) % span
            found = None if port in taken else _bind(port, alone=True)
            if found is not None:
                held.append(found)
        reservation = cls(held)
        if len(held) < count:
            reservation.close()
            wanted = f"{count} between {PORT_FIRST} and {PORT_LAST}"
            raise DevnetError("no_free_port", f"{len(held)} free ports", wanted)
        return reservation

    @classmethod
    def hold(cls, ports: tuple[int, ...]) -> "PortReservation":
        """Hold exactly these ports.

        Raises:
            DevnetError: `port_in_use`.
        """
        held: list[socket.socket] = []
        for port in ports:
            found = _bind(port)
            if found is None:
                cls(held).close()
                raise DevnetError("port_in_use", f"port {port}", "a port that nobody listens on")
            held.append(found)
        return cls(held)

    def close(self) -> None:
        """Let go of all of them."""
        while self._sockets:
            self._sockets.pop().close()

    def __enter__(self) -> "PortReservation":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_free(port: int) -> bool:
    """Tell whether nobody has a port now."""
    found = _bind(port)
    if found is None:
        return False
    found.close()
    return True


def _bind(port: int, *, alone: bool = False) -> socket.socket | None:
    """Return a socket bound to a port, None if it is taken.

    Args:
        port: on `HOST`.
        alone: also a port that is held, or was used a minute ago, counts as taken.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if not alone:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        held.close()
        return None
    return held
