"""A client of a node's RPC, for the command line, devnets and tests. Synchronous, loopback only.

Where the node answers stands in its `node.lock`; who may speak, in its `rpc.token`.
"""

import json
from types import TracebackType
from typing import Any

import httpx2

from node.limits import RPC_DEADLINE_MS, RPC_REPLY_BYTES_MAX
from node.lockfile import is_held, read_lock
from node.paths import DataPaths
from node.private_files import KeyFileError, read_private
from node.text import clean_text
from protocol.errors import BlamedError

TOKEN_FILE_BYTES_MAX = 256
_CLIENT_GRACE_MS = 5_000
"""Longer than the server's own deadline, so that its answer is heard."""


class RpcError(BlamedError):
    """The node refused or failed; or it was not there.

    Attributes:
        number: the JSON-RPC code; 0 when no node answered.
        hint: what to do about it, if the node says.
    """

    def __init__(
        self, code: str, found: object = "", wanted: object = "", *, number: int = 0, hint: str = ""
    ) -> None:
        super().__init__(code, found, wanted)
        self.number = number
        self.hint = hint


class RpcClient:
    """One connection to one node; close it, or use it in a `with`.

    Args:
        url: as in `node.lock`, without a path.
        token: as in `rpc.token`.
        timeout_ms: what the node may take; a little more is waited.
        transport: what carries HTTP; sockets by default.

    Raises:
        RpcError: `unreachable` for a URL of another scheme.
    """

    def __init__(
        self,
        url: str,
        token: str,
        timeout_ms: int = RPC_DEADLINE_MS,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if not url.startswith("http://"):
            raise RpcError("unreachable", clean_text(url), "a URL that begins with http://")
        self.url = url.rstrip("/")
        self._next_id = 1
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {token}"},
            timeout=(timeout_ms + _CLIENT_GRACE_MS) / 1_000,
            # A proxy of the environment is not for loopback, and must not learn the token.
            trust_env=False,
            # There is no TLS on loopback; loading the list of authorities would take 85 ms.
            verify=False,
            follow_redirects=False,
            transport=transport,
        )

    def call(self, method: str, **params: Any) -> Any:
        """Return the result of a method; parameters that are None are left out.

        Raises:
            RpcError: the code is the node's name for its error; or `unreachable`, `bad_reply`,
                `unauthorized`.
        """
        given = {name: value for name, value in params.items() if value is not None}
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": given}
        self._next_id += 1
        headers = {"Content-Type": "application/json"}
        content = json.dumps(request).encode("utf-8")
        status, body = self._request("POST", "/rpc", content=content, headers=headers)
        return read_result(body, status)

    def read_metrics(self) -> str:
        """Return all metrics, in Prometheus' text format.

        Raises:
            RpcError: `unreachable`, `bad_reply`, `unauthorized`.
        """
        status, body = self._request("GET", "/metrics")
        if status != 200:
            raise RpcError("bad_reply", f"HTTP {status}", "metrics")
        return body.decode("utf-8", "replace")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> "RpcClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _request(self, method: str, path: str, **given: Any) -> tuple[int, bytes]:
        body = bytearray()
        try:
            with self._http.stream(method, f"{self.url}{path}", **given) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > RPC_REPLY_BYTES_MAX:
                        wanted = f"at most {RPC_REPLY_BYTES_MAX} bytes"
                        raise RpcError("bad_reply", "a longer reply", wanted)
                status = response.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            found = f"{self.url}: {clean_text(str(error)) or type(error).__name__}"
            raise RpcError("unreachable", found, "a node that answers") from error
        if status in (401, 403):
            wanted = "the token of the node that runs now"
            raise RpcError("unauthorized", f"HTTP {status} from {self.url}", wanted)
        return status, bytes(body)


def connect(paths: DataPaths, timeout_ms: int = RPC_DEADLINE_MS) -> RpcClient:
    """Return a client of the node that runs in a data directory.

    Raises:
        RpcError: `not_running`.
        KeyFileError: `key_readable_by_others`, `key_malformed`, ... for the token.
    """
    info = read_lock(paths.lock)
    if info is None:
        raise RpcError("not_running", f"no node in {paths.root}", "`minesync run` first")
    if not info.rpc_url:
        found = f"process {info.pid} without an RPC"
        raise RpcError("not_running", found, "rpc.enabled = true, or a moment of patience")
    return RpcClient(info.rpc_url, _read_token(paths), timeout_ms)


def _read_token(paths: DataPaths) -> str:
    wanted = "the token that the running node wrote"
    try:
        data = read_private(paths.rpc_token, TOKEN_FILE_BYTES_MAX, wanted)
    except KeyFileError:
        if is_held(paths.lock):
            raise
        # What named a running process was left behind by another one of the same number.
        raise RpcError("not_running", f"no node in {paths.root}", "`minesync run` first") from None
    token = data.strip()
    if not token.isalnum():
        raise KeyFileError("key_malformed", f"{paths.rpc_token} is no token", wanted)
    return token.decode("ascii")


def read_result(body: bytes, status: int) -> Any:
    """Return the result that the body of a reply holds.

    Raises:
        RpcError: the node's own refusal, or `bad_reply`.
    """
    reply = _parse_reply(body, status)
    if "error" in reply:
        raise _read_error(reply["error"])
    return reply.get("result")


def _parse_reply(body: bytes, status: int) -> dict[str, Any]:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError) as error:
        found = f"HTTP {status}, {clean_text(body[:80].decode('utf-8', 'replace'))!r}"
        raise RpcError("bad_reply", found, "a JSON-RPC reply") from error
    if not isinstance(reply, dict) or ("result" in reply) == ("error" in reply):
        raise RpcError("bad_reply", f"HTTP {status}, another shape", "result or error")
    return reply


def _read_error(error: Any) -> RpcError:
    """Return the error a reply holds. All of its text is the node's, or a stranger's."""
    if not isinstance(error, dict):
        return RpcError("bad_reply", "an error of another shape", "an object")
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    number = error.get("code")
    found = str(data.get("found") or error.get("message") or "")
    return RpcError(
        clean_text(str(data.get("name") or "rpc_error"), 64).lower(),
        clean_text(found),
        clean_text(str(data.get("wanted") or "")),
        number=number if isinstance(number, int) else 0,
        hint=clean_text(str(data.get("hint") or "")),
    )
