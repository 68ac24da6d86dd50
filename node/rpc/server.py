"""The RPC of one peer: its paths, its listeners, and a supervisor that keeps it from the rest.

POST /rpc            JSON-RPC 2.0, with the token
GET  /health/live    200 while the event loop turns
GET  /health/ready   200 when every check holds, else 503; the checks stand in the body
GET  /version        which release of which network
"""

import errno
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import structlog
import trio

from node.addresses import is_loopback
from node.config import RpcConfig
from node.peer import Peer
from node.rpc.bulkhead import hold_back
from node.rpc.dispatch import Dispatcher
from node.rpc.gate import RPC_PATH, Gate, RateLimit, list_hosts
from node.rpc.health import is_ready, run_checks
from node.rpc.http import JSON, HttpLimits, HttpServer, Listener, Request, Response
from node.rpc.inherited import BadInherited, take_inherited
from node.rpc.methods import list_methods
from node.rpc.metrics import CONTENT_TYPE, MetricsPage
from node.version import VERSION
from protocol.errors import BlamedError

log = structlog.get_logger("rpc")

BACKLOG = 64
RESTART_S = 1.0
DRAIN_S = 1.0
"""How long a reply that is under way may take once the node is to stop."""

_PATHS = {
    RPC_PATH: "POST",
    "/health/live": "GET",
    "/health/ready": "GET",
    "/version": "GET",
    "/metrics": "GET",
}


class RpcBindError(BlamedError):
    """The RPC cannot listen where the operator wants it to."""


class RpcApp:
    """What the paths answer."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        methods = list_methods(has_faults=peer.config.dev.faults)
        rate = RateLimit(peer.config.rpc.requests_per_s)
        self._dispatcher = Dispatcher(peer, methods, rate)
        self._metrics = MetricsPage(peer, self._dispatcher.outcomes)

    async def answer(self, request: Request) -> Response:
        """Return the reply to a request that the gate let pass."""
        match request.path:
            case "/rpc":
                body = await self._dispatcher.answer(request.body)
                return Response(200 if body else 204, body, JSON)
            case "/metrics":
                return Response(200, self._metrics.render(), CONTENT_TYPE)
            case "/health/live":
                return _as_json(200 if self._peer.monitor.is_alive else 503, {"live": True})
            case "/health/ready":
                return self._answer_ready(request)
            case _:
                network = self._peer.genesis.network.hex()
                return _as_json(200, {"version": VERSION, "network": network})

    def _answer_ready(self, request: Request) -> Response:
        ignored = parse_qs(request.query).get("ignore", [])
        checks = run_checks(self._peer)
        counted = {name: check for name, check in checks.items() if name not in ignored}
        ready = is_ready(counted)
        return _as_json(200 if ready else 503, {"ready": ready, "checks": checks})


class RpcServer:
    """The RPC while it runs.

    Attributes:
        url: where it listens, without a path.
    """

    def __init__(self, peer: Peer, listeners: Sequence[trio.SocketListener], token: str) -> None:
        config = peer.config.rpc
        self._listeners = listeners
        port = int(listeners[0].socket.getsockname()[1])
        self.url = f"http://{_show_host(config.host)}:{port}"
        self._http = build_http(peer, token, list_hosts(config.host, port, config.allowed_hosts))

    async def run(self) -> None:
        """Serve until cancelled."""
        await keep_serving(self._http, self._listeners)

    async def drain(self) -> None:
        """Wait a moment for the replies under way."""
        with trio.move_on_after(DRAIN_S):
            await self._http.wait_idle()


async def keep_serving(http: HttpServer, listeners: Sequence[Listener]) -> None:
    """Serve until cancelled; a mistake of ours in there restarts the server and nothing else."""
    while True:
        with hold_back("rpc_crashed"):
            await http.run(listeners)
        await trio.sleep(RESTART_S)


def build_http(peer: Peer, token: str, hosts: frozenset[str]) -> HttpServer:
    """Return the server of a peer's RPC, for callers who name one of `hosts` as theirs."""
    limits = HttpLimits(connections_max=peer.config.rpc.connections_max)
    return HttpServer(RpcApp(peer).answer, Gate(token, hosts, _PATHS), limits)


@asynccontextmanager
async def open_listeners(config: RpcConfig) -> AsyncIterator[Sequence[trio.SocketListener]]:
    """Listen where the configuration says while the block runs; on what was handed down, if any.

    Raises:
        RpcBindError: `port_in_use`, `rpc_unbindable`, `bad_inherited`.
    """
    if not is_loopback(config.host):
        log.warning("rpc_exposed", host=config.host)
    host = "127.0.0.1" if config.host == "localhost" else config.host
    try:
        inherited = take_inherited(os.environ, host, config.port)
        if inherited is None:
            listeners = await trio.open_tcp_listeners(config.port, host=host, backlog=BACKLOG)
        else:
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(inherited))]
    except BadInherited as error:
        wanted = f"one socket that listens on rpc.host and rpc.port, {host}:{config.port}"
        raise RpcBindError("bad_inherited", str(error), wanted) from error
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        code = "port_in_use" if in_use else "rpc_unbindable"
        wanted = "a free port, rpc.port = 0 takes one" if in_use else "an address of this machine"
        raise RpcBindError(code, f"rpc {config.host}:{config.port}", wanted) from error
    try:
        yield listeners
    finally:
        for listener in listeners:
            with trio.CancelScope(shield=True):
                await listener.aclose()


def _show_host(host: str) -> str:
    """Return a host as it stands in a URL; one that means everywhere is reached on this machine."""
    if host in ("0.0.0.0", "localhost"):
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def _as_json(status: int, value: dict[str, Any]) -> Response:
    return Response(status, json.dumps(value).encode("ascii") + b"\n", JSON)
