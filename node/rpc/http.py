"""HTTP/1.1 over any trio stream, for a few clients on this machine: everything has a bound.

Rules:
1. A connection beyond `connections_max` is not accepted before another has ended, so that clients
   cannot take the files and the memory that the peer-to-peer side needs.
2. Who may ask is decided from the head of a request; the body of a stranger is never read.
3. Whoever is slow to send, to read or to leave loses the connection. h11 does the parsing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import h11
import structlog
import trio

from node.limits import RPC_BODY_BYTES_MAX, RPC_DEADLINE_MS, RPC_HEADER_BYTES_MAX
from node.rpc.bulkhead import hold_back

log = structlog.get_logger("rpc")

READ_BYTES = 65_536
LINGER_S = 2.0
LINGER_BYTES_MAX = 8 << 20
"""What is read and thrown away after a refusal, so that the client sees the reason and no reset."""
ACCEPT_PAUSE_S = 0.1
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

_HEADERS_ALWAYS = (
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one server allows.

    Attributes:
        connections_max: open at one time; further ones wait to be accepted.
        header_bytes_max: of request line and headers.
        body_bytes_max: of a request.
        idle_s: a connection without a request is closed after so long.
        receive_s: for the body of a request to arrive.
        send_s: for the client to take each piece of a reply.
    """

    connections_max: int = 32
    header_bytes_max: int = RPC_HEADER_BYTES_MAX
    body_bytes_max: int = RPC_BODY_BYTES_MAX
    idle_s: float = 15.0
    receive_s: float = RPC_DEADLINE_MS / 1_000
    send_s: float = RPC_DEADLINE_MS / 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request; names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def get_headers(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]

    def get_header(self, name: str) -> str:
        """Return the value of a header that is there exactly once, else nothing."""
        values = self.get_headers(name)
        return values[0] if len(values) == 1 else ""


@dataclass(frozen=True, slots=True)
class Response:
    """One reply. A body that comes piece by piece ends when its iterator does.

    Attributes:
        headers: names in lower case; they replace those that every reply has.
    """

    status: int
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = field(default=())


Listener = trio.abc.Listener[trio.abc.HalfCloseableStream]
Handler = Callable[[Request], Awaitable[Response]]
Gate = Callable[[Request], Response | None]
"""Returns why a request is refused, None if it is not; it sees no body."""


class _Refusal(Exception):
    """A request that gets this reply and loses its connection."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.response = Response(status, reason.encode("ascii") + b"\n")


class HttpServer:
    """Answers requests on any number of connections, each in a task of its own."""

    def __init__(self, handler: Handler, gate: Gate, limits: HttpLimits | None = None) -> None:
        self._handler = handler
        self._gate = gate
        self._limits = limits or HttpLimits()
        self._places = trio.Semaphore(self._limits.connections_max)
        self.connections = 0
        self._answering = 0
        """Requests that were read and whose reply is not sent yet."""
        self._idle = trio.Event()
        self._idle.set()

    async def run(self, listeners: Sequence[Listener]) -> None:
        """Accept and serve; never returns. The listeners stay open."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery)

    async def _accept(self, listener: Listener, nursery: trio.Nursery) -> None:
        while True:
            await self._places.acquire()
            try:
                stream = await listener.accept()
            except OSError as error:
                # No file left for it, or the client is gone already.
                self._places.release()
                log.warning("rpc_accept_failed", reason=error.strerror)
                await trio.sleep(ACCEPT_PAUSE_S)
            else:
                nursery.start_soon(self._serve_accepted, stream)

    async def _serve_accepted(self, stream: trio.abc.HalfCloseableStream) -> None:
        try:
            await self.serve_stream(stream)
        finally:
            self._places.release()

    async def serve_stream(self, stream: trio.abc.HalfCloseableStream) -> None:
        """Serve one connection to its end; never raises for what the client does."""
        self.connections += 1
        try:
            with hold_back("rpc_connection_failed"):
                await self._converse(_Connection(stream, self._limits))
        finally:
            self.connections -= 1
            await trio.aclose_forcefully(stream)

    async def _converse(self, connection: "_Connection") -> None:
        try:
            while (head := await connection.read_head()) is not None:
                refusal = self._gate(head)
                if refusal is not None:
                    await connection.send_last(refusal)
                    return
                request = replace(head, body=await connection.read_body())
                with self._count_in():
                    response = await self._answer(request)
                    is_usable = await connection.send(response)
                if not is_usable:
                    return
        except _Refusal as refused:
            await connection.send_last(refused.response)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            # The client left, or reads nothing: there is nobody to tell.
            return

    async def wait_idle(self) -> None:
        """Wait until no reply is under way."""
        await self._idle.wait()

    @contextmanager
    def _count_in(self) -> Iterator[None]:
        if not self._answering:
            self._idle = trio.Event()
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    async def _answer(self, request: Request) -> Response:
        with hold_back("rpc_request_failed", path=request.path):
            return await self._handler(request)
        return Response(500, b"internal error, see the log of the node\n")


class _Connection:
    """One connection, request by request."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, limits: HttpLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._http = h11.Connection(h11.SERVER, limits.header_bytes_max)

    async def read_head(self) -> Request | None:
        """Return the next request without its body; None if the client has no more.

        Raises:
            _Refusal: the bytes are no request.
        """
        with trio.move_on_after(self._limits.idle_s):
            event = await self._next_event()
            if not isinstance(event, h11.Request):
                return None
            # h11 bounds what is incomplete; what came in one piece is bounded here.
            size = len(event.target) + sum(len(k) + len(v) for k, v in event.headers)
            if size > self._limits.header_bytes_max:
                raise _Refusal(431, f"headers of more than {self._limits.header_bytes_max} bytes")
            path, _, query = event.target.decode("ascii").partition("?")
            headers = tuple((k.decode("ascii"), v.decode("latin-1")) for k, v in event.headers)
            return Request(event.method.decode("ascii"), path, query, headers)
        return None

    async def read_body(self) -> bytes:
        """Return the body of the request whose head was read.

        Raises:
            _Refusal: it is too long, comes too slowly or is malformed.
        """
        body = bytearray()
        if self._http.they_are_waiting_for_100_continue:
            await self._send_bytes(h11.InformationalResponse(status_code=100, headers=[]))
        with trio.move_on_after(self._limits.receive_s):
            while isinstance(event := await self._next_event(), h11.Data):
                body += event.data
                if len(body) > self._limits.body_bytes_max:
                    raise _Refusal(413, f"a body of more than {self._limits.body_bytes_max} bytes")
            return bytes(body)
        raise _Refusal(408, "the body came too slowly")

    async def send(self, response: Response) -> bool:
        """Send a reply; return whether the connection can be used again.

        Raises:
            trio.BrokenResourceError, trio.TooSlowError: the client does not take it.
        """
        own = {name for name, _ in response.headers}
        headers = [pair for pair in _HEADERS_ALWAYS if pair[0] not in own]
        headers += [("content-type", response.content_type), *response.headers]
        if isinstance(response.body, bytes):
            headers.append(("content-length", str(len(response.body))))
        await self._send_bytes(h11.Response(status_code=response.status, headers=headers))
        if isinstance(response.body, bytes):
            await self._send_bytes(h11.Data(data=response.body), h11.EndOfMessage())
        else:
            async for piece in response.body:
                await self._send_bytes(h11.Data(data=piece))
            await self._send_bytes(h11.EndOfMessage())
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def send_last(self, response: Response) -> None:
        """Send a reply to a request that is not read to its end, then wait a little."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        closing = replace(response, headers=(*response.headers, ("connection", "close")))
        await self.send(closing)
        await self._stream.send_eof()
        left = LINGER_BYTES_MAX
        with trio.move_on_after(LINGER_S):
            while left > 0 and (data := await self._stream.receive_some(READ_BYTES)):
                left -= len(data)

    async def _next_event(self) -> object:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise _Refusal(error.error_status_hint, "no HTTP request of ours") from error
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._stream.receive_some(READ_BYTES))

    async def _send_bytes(self, *events: h11.Event) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        with trio.fail_after(self._limits.send_s):
            await self._stream.send_all(data)
