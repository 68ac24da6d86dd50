"""The server of the page: a few files, the view, and deeds for whoever has the token.

GET  /, /look.css, /page.css, /page.js    files of this package
GET  /view                                the fragments of the page, as JSON
POST /deed                                do something, with the token

It is the HTTP server of a node's RPC behind the same gate: bound on everything, on this machine
only, Host and Origin checked. Nothing of the page comes from elsewhere or stands inline.
"""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files

import trio

from devnet.errors import DevnetError
from devnet.page.deeds import perform, read_deed
from devnet.page.view import build_view
from devnet.provider import Provider
from devnet.watch.snapshot import Snapshot
from devnet.watch.watcher import Watcher
from node.config import RpcConfig
from node.limits import RPC_TOKEN_BYTES
from node.rpc.client import RpcError
from node.rpc.gate import Gate, list_hosts
from node.rpc.http import JSON, HttpLimits, HttpServer, Request, Response
from node.rpc.server import RpcBindError, keep_serving, open_listeners

HOST = "127.0.0.1"
CONNECTIONS_MAX = 16
DEED_BYTES_MAX = 16_384
"""Names of all peers of the largest devnet, and room."""

_HTML = "text/html; charset=utf-8"
_CSS = "text/css; charset=utf-8"
_JS = "text/javascript; charset=utf-8"
_FILES = {
    "/": ("devnet.page", "page.html", _HTML),
    "/page.js": ("devnet.page", "page.js", _JS),
    "/page.css": ("devnet.page", "page.css", _CSS),
    "/look.css": ("devnet.draw", "look.css", _CSS),
}
_VIEW = "/view"
_DEED = "/deed"
_PATHS = {**dict.fromkeys(_FILES, "GET"), _VIEW: "GET", _DEED: "POST"}
_OPEN_PATHS = frozenset(_PATHS) - {_DEED}
_HEADERS = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)


class PageApp:
    """What the paths answer.

    Args:
        provider: of the devnet that deeds are done to.
        watcher: what is shown.
    """

    def __init__(self, provider: Provider, watcher: Watcher) -> None:
        self._provider = provider
        self._watcher = watcher
        self._turn = trio.Lock()
        self._files = {
            path: (files(package).joinpath(name).read_bytes(), kind)
            for path, (package, name, kind) in _FILES.items()
        }
        self._shown: tuple[Snapshot | None, bytes] = (None, b"")

    async def answer(self, request: Request) -> Response:
        """Return the reply to a request that the gate let pass."""
        if request.path == _DEED:
            return await self._do(request.body)
        if request.path == _VIEW:
            return Response(200, self._view(), JSON, _HEADERS)
        body, kind = self._files[request.path]
        return Response(200, body, kind, _HEADERS)

    def _view(self) -> bytes:
        snapshot, body = self._shown
        if snapshot is not self._watcher.latest:
            # Drawn once, however many look.
            snapshot = self._watcher.latest
            body = json.dumps(build_view(snapshot)).encode("ascii")
            self._shown = (snapshot, body)
        return body

    async def _do(self, body: bytes) -> Response:
        try:
            deed = read_deed(body, self._provider.devnet.names)
            # One after the other: two at once would undo each other half-way.
            async with self._turn:
                done = await perform(self._provider, deed)
                await self._watcher.look()
        except (DevnetError, RpcError) as error:
            return Response(409, str(error).encode("utf-8"), headers=_HEADERS)
        return Response(200, done.encode("utf-8"), headers=_HEADERS)


@asynccontextmanager
async def open_page(provider: Provider, port: int) -> AsyncIterator[str]:
    """Serve the page of a devnet while the block runs; gives its address, with the token.

    Raises:
        DevnetError: `port_in_use`.
    """
    token = secrets.token_hex(RPC_TOKEN_BYTES)
    watcher = Watcher(provider)
    async with AsyncExitStack() as stack:
        try:
            opening = open_listeners(RpcConfig(host=HOST, port=port))
            listeners = await stack.enter_async_context(opening)
        except RpcBindError as error:
            found = f"the page on {HOST}:{port}"
            raise DevnetError(error.code, found, "a free port; 0 takes one") from error
        own_port = int(listeners[0].socket.getsockname()[1])
        http = build_page_server(PageApp(provider, watcher), token, own_port)
        await watcher.look()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            nursery.start_soon(keep_serving, http, listeners)
            # Behind the #: a browser keeps it to itself.
            yield f"http://{HOST}:{own_port}/#{token}"
            nursery.cancel_scope.cancel()


def build_page_server(app: PageApp, token: str, port: int) -> HttpServer:
    """Return the server of the page, which does not listen yet."""
    gate = Gate(token, list_hosts(HOST, port, ()), _PATHS, _OPEN_PATHS)
    limits = HttpLimits(connections_max=CONNECTIONS_MAX, body_bytes_max=DEED_BYTES_MAX)
    return HttpServer(app.answer, gate, limits)
