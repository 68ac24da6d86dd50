"""Who may ask: checked on the head of every request, before its body is read.

A web page that the operator looks at can send requests to this machine, and can make its own name
resolve to it. It cannot choose the Host header, it has to say its Origin, it cannot send JSON
without asking first, and it does not know the token. Each of the four is checked.
"""

import hmac
import secrets

from node.limits import RPC_TOKEN_BYTES
from node.paths import DataPaths
from node.private_files import replace_private
from node.rpc.http import JSON, Request, Response

RPC_PATH = "/rpc"
OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/version"})
"""What a service manager asks without a token; it tells neither peers nor keys."""
_SCHEME = "Bearer "


def create_token(paths: DataPaths) -> str:
    """Write a fresh token where the command line of the same user finds it; return it.

    Raises:
        KeyFileError: the folder is open to others, or cannot be written.
    """
    token = secrets.token_hex(RPC_TOKEN_BYTES)
    replace_private(paths.rpc_token, token.encode("ascii") + b"\n")
    return token


def list_hosts(host: str, port: int, allowed: tuple[str, ...]) -> frozenset[str]:
    """Return the values of the Host header that mean this server.

    Args:
        host: what it is bound to.
        port: its real port.
        allowed: further values that the operator accepts.
    """
    shown = f"[{host}]" if ":" in host else host
    names = {shown, "127.0.0.1", "localhost", "[::1]"}
    return frozenset({f"{name}:{port}" for name in names} | set(allowed))


class Gate:
    """Refuses what is not from a holder of the token.

    Args:
        token: what `rpc.token` holds.
        hosts: as `list_hosts`.
        paths: what there is, by method; anything else is 404 or 405.
        open_paths: those that need no token.
    """

    def __init__(
        self,
        token: str,
        hosts: frozenset[str],
        paths: dict[str, str],
        open_paths: frozenset[str] = OPEN_PATHS,
    ) -> None:
        self._token = token.encode("ascii")
        self._hosts = hosts
        self._paths = paths
        self._open_paths = open_paths

    def __call__(self, request: Request) -> Response | None:
        """Return why a request is refused, None if it is not."""
        if request.get_header("host") not in self._hosts:
            return _refuse(403, "a Host header that is not this server's")
        # Whoever sends an Origin is a browser, and no page of another server has business here.
        if request.get_headers("origin") and not self._is_own_origin(request):
            return _refuse(403, "an Origin that is not this server's")
        method = self._paths.get(request.path)
        if method is None:
            return _refuse(404, "no such path")
        if request.method != method:
            return _refuse(405, f"{method} only", (("allow", method),))
        if request.path in self._open_paths:
            return None
        if not self._has_token(request):
            challenge = (("www-authenticate", "Bearer"),)
            return _refuse(401, "the token of rpc.token is missing or another", challenge)
        if method == "POST" and not _is_json(request):
            return _refuse(415, f"Content-Type: {JSON} only")
        return None

    def _is_own_origin(self, request: Request) -> bool:
        return request.get_header("origin") in {f"http://{host}" for host in self._hosts}

    def _has_token(self, request: Request) -> bool:
        given = request.get_header("authorization")
        if not given.startswith(_SCHEME):
            return False
        return hmac.compare_digest(given[len(_SCHEME) :].encode("latin-1"), self._token)


class RateLimit:
    """A bucket of tokens: so many requests a second, and at once after a quiet time.

    Args:
        per_second: refill and size.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at_s = 0.0

    def take(self, count: int, now_s: float) -> bool:
        """Take `count` if that many are left; return whether they were."""
        grown = self._left + max(0.0, now_s - self._at_s) * self._per_second
        self._left = min(float(self._per_second), grown)
        self._at_s = now_s
        if count > self._left:
            return False
        self._left -= count
        return True


def _is_json(request: Request) -> bool:
    kind, _, parameters = request.get_header("content-type").partition(";")
    charset = parameters.strip().lower()
    return kind.strip().lower() == JSON and charset in ("", "charset=utf-8")


def _refuse(status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(status, f"{reason}\n".encode("ascii"), headers=headers)
