"""TCP as libp2p's swarm wants it: one listener whose port is ours alone, and streams that read big.

libp2p's own listener shares its port (SO_REUSEPORT): a second node takes the same one without an
error, and connections land on either. Here the port is bound before anything else is started.
"""

import errno
import os
import socket
from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import IListener, IRawConnection, ITransport
from libp2p.custom_types import THandler
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

from node.transport.base import TransportError
from node.transport.tcp_address import TcpAddress, parse_tcp_address

_READ_BYTES = 65_536
_BACKLOG = 128


async def bind_exclusively(address: TcpAddress) -> trio.SocketListener:
    """Listen on `address`, whose port 0 means any.

    Raises:
        TransportError: port_in_use, listen_failed, address_malformed.
    """
    if address.family not in ("ip4", "ip6") or address.peer:
        raise TransportError("address_malformed", address, "/ip4|ip6/<address>/tcp/<port>")
    family = socket.AF_INET if address.family == "ip4" else socket.AF_INET6
    endpoint = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without this, connections of the last run that linger in the kernel would hold the port.
        # A second listener is refused all the same.
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        await endpoint.bind((address.host, address.port))
        endpoint.listen(_BACKLOG)
    except OSError as error:
        endpoint.close()
        if error.errno == errno.EADDRINUSE:
            raise TransportError("port_in_use", address, "a port nobody listens on") from error
        raise TransportError(
            "listen_failed", f"{address}: {error}", "an address to bind"
        ) from error
    return trio.SocketListener(endpoint)


def read_bound_address(listener: trio.SocketListener) -> TcpAddress:
    """Return where `listener` listens, with its real port."""
    host, port = listener.socket.getsockname()[:2]
    family = "ip6" if listener.socket.family == socket.AF_INET6 else "ip4"
    return TcpAddress(family, host, port, None)


class BufferedTcpStream(ReadWriteCloser):
    """A TCP stream read in large pieces and handed out in the small ones that Noise asks for.

    One task reads and one writes. Half the system calls of libp2p's own stream, and none of its
    locks, each of which is a task switch.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = memoryview(b"")
        self._remote = _read_remote_address(stream)

    async def read(self, n: int | None = None) -> bytes:
        """Return 1 to `n` bytes, or b"" at the end."""
        if n == 0:
            return b""
        await self.wait_for_bytes()
        data = self._buffer[:n]
        self._buffer = self._buffer[len(data) :]
        return bytes(data)

    async def wait_for_bytes(self) -> None:
        """Return when there is something to read, or nothing ever will be."""
        if not self._buffer:
            try:
                self._buffer = memoryview(await self._stream.receive_some(_READ_BYTES))
            except trio.BrokenResourceError as error:
                raise ConnectionClosedError(f"reset by the peer: {error}") from error
            except trio.ClosedResourceError:
                return

    async def write(self, data: bytes) -> None:
        """Send `data`."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(f"closed while writing: {error}") from error

    async def close(self) -> None:
        """Close the socket at once."""
        await self._stream.aclose()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the remote host and port."""
        return self._remote


class TcpTransport(ITransport):
    """Dials over TCP, and listens on the one socket that was bound before."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        """Open a connection.

        Raises:
            OpenConnectionError: as libp2p expects it.
        """
        address = parse_tcp_address(str(maddr))
        try:
            # Names are looked up by the operating system.
            stream = await trio.open_tcp_stream(address.host, address.port)
        except OSError as error:
            raise OpenConnectionError(_describe(error)) from error
        return RawConnection(BufferedTcpStream(stream), True)

    def create_listener(self, handler_function: THandler) -> IListener:
        """Return the listener."""
        return _BoundListener(self._listener, handler_function)

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Whether `maddr` is an address of this transport."""
        try:
            parse_tcp_address(str(maddr))
        except TransportError:
            return False
        return True

    def can_listen(self, maddr: Multiaddr) -> bool:
        """Whether `maddr` is an address of this transport."""
        return self.can_dial(maddr)

    def protocols(self) -> list[str]:
        """Name the protocols that libp2p matches addresses with."""
        return ["tcp"]


def _describe(error: OSError) -> str:
    """Return why no connection came about; trio holds the reasons of every address it tried."""
    if isinstance(error.__cause__, BaseExceptionGroup):
        found = [one for one in error.__cause__.exceptions if isinstance(one, OSError)]
        return ", ".join(dict.fromkeys(os.strerror(one.errno or 0) for one in found))
    return error.strerror or str(error)


class _BoundListener(IListener):
    """Accepts on a socket that listens already."""

    # Set by the swarm before it calls `listen`.
    background_nursery: trio.Nursery

    def __init__(
        self,
        listener: trio.SocketListener,
        handler: Callable[[ReadWriteCloser], Awaitable[None]],
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._scope = trio.CancelScope()

    async def listen(self, maddr: Multiaddr) -> None:
        """Begin to accept."""
        self.background_nursery.start_soon(self._serve)
        await trio.lowlevel.checkpoint()

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        """Return where it listens."""
        if self._scope.cancel_called:
            return ()
        return (Multiaddr(str(read_bound_address(self._listener))),)

    async def close(self) -> None:
        """Accept no more and close the socket."""
        self._scope.cancel()
        await self._listener.aclose()

    async def _serve(self) -> None:
        with self._scope:
            await trio.serve_listeners(self._take, [self._listener])

    async def _take(self, stream: trio.SocketStream) -> None:
        await self._handler(BufferedTcpStream(stream))


def _read_remote_address(stream: trio.SocketStream) -> tuple[str, int] | None:
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        # Gone before it was accepted.
        return None
    return str(host), int(port)
