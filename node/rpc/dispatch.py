"""JSON-RPC 2.0: from the bytes of a request to the bytes of its reply, single or in a batch.

Rules:
1. Every element of a batch gets its own reply: one that is malformed takes no other with it.
2. JSON is read strictly: UTF-8, no name twice, no NaN, a bounded depth.
3. Whatever a method does, the caller gets one error with a name, and no traceback.
"""

import inspect
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

import structlog
import trio

from node.limits import RPC_BATCH_MAX, RPC_DEPTH_MAX
from node.rpc.bulkhead import hold_back
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    LIMITED,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RATE_LIMITED,
    TOO_SLOW,
    RpcFault,
    describe_error,
)
from node.rpc.gate import RateLimit
from node.rpc.method import Method
from protocol.errors import BlamedError

log = structlog.get_logger("rpc")

ID_CHARACTERS_MAX = 64
_NO_ID = object()


class Dispatcher:
    """Answers requests with the methods it was given.

    Args:
        peer: handed to every method.
        methods: what there is.
        rate: shared by all callers, who share one token.
    """

    def __init__(self, peer: Any, methods: Sequence[Method], rate: RateLimit) -> None:
        self._peer = peer
        self._methods = {method.name: method for method in methods}
        self._rate = rate
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Calls answered, by method and name of the error; `ok` for none."""

    async def answer(self, body: bytes) -> bytes:
        """Return the reply to the body of a request; nothing if it holds only notifications."""
        try:
            request = parse_json(body)
            if not isinstance(request, list):
                self._check_rate(1)
                reply = await self._answer_one(request)
                return b"" if reply is None else _to_bytes(reply)
            if not request:
                raise RpcFault(INVALID_REQUEST, "invalid_request", "an empty batch", "a request")
            if len(request) > RPC_BATCH_MAX:
                found = f"{len(request)} requests"
                raise RpcFault(LIMITED, "batch_too_large", found, f"at most {RPC_BATCH_MAX}")
            self._check_rate(len(request))
        except RpcFault as fault:
            return _to_bytes(_wrap_error(None, fault))
        replies = [reply for one in request if (reply := await self._answer_one(one)) is not None]
        return _to_bytes(replies) if replies else b""

    def _check_rate(self, requests: int) -> None:
        if not self._rate.take(requests, trio.current_time()):
            raise RpcFault(RATE_LIMITED, "rate_limited", "too many requests", "a pause")

    async def _answer_one(self, request: Any) -> dict[str, Any] | None:
        """Return the reply to one request, None to a notification."""
        request_id = _find_id(request)
        name = ""
        try:
            method, given = self._read(request)
            name = method.name
            result = await self._call(method, given)
        except BlamedError as error:
            self.outcomes[(name, error.code)] += 1
            log.debug("rpc_refused", method=name, code=error.code, found=error.found)
            return None if request_id is _NO_ID else _wrap_error(request_id, error)
        self.outcomes[(name, "ok")] += 1
        if request_id is _NO_ID:
            return None
        return {"jsonrpc": "2.0", "id": request_id, "result": result}

    def _read(self, request: Any) -> tuple[Method, Any]:
        if not _is_request(request):
            wanted = "jsonrpc, method, params, id"
            raise RpcFault(INVALID_REQUEST, "invalid_request", "another shape", wanted)
        name, given = request["method"], request.get("params")
        if given is not None and not isinstance(given, dict | list):
            found = f"params of type {type(given).__name__}"
            raise RpcFault(INVALID_REQUEST, "invalid_request", found, "an object")
        method = self._methods.get(name)
        if method is None:
            raise RpcFault(METHOD_NOT_FOUND, "unknown_method", repr(name[:64]), "a known method")
        return method, given

    async def _call(self, method: Method, given: Any) -> Any:
        arguments = method.read_params(given)
        with hold_back("rpc_method_failed", method=method.name):
            with trio.move_on_after(method.deadline_ms / 1_000):
                result = method.handler(self._peer, **arguments)
                return await result if inspect.isawaitable(result) else result
            raise RpcFault(TOO_SLOW, "deadline", method.name, f"{method.deadline_ms} ms")
        raise RpcFault(INTERNAL_ERROR, "internal", method.name, "see the log of the node")


def parse_json(body: bytes) -> Any:
    """Return the value that strict JSON in UTF-8 stands for.

    Raises:
        RpcFault: `parse_error`.
    """
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise RpcFault(PARSE_ERROR, "parse_error", f"{len(body)} bytes", "JSON") from error
    if not _is_shallow(value, RPC_DEPTH_MAX):
        raise RpcFault(PARSE_ERROR, "parse_error", "deeper JSON", f"{RPC_DEPTH_MAX} levels")
    return value


def _is_shallow(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels > 0 and all(_is_shallow(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_is_shallow(item, levels - 1) for item in value)
    return True


def _is_request(request: Any) -> bool:
    return (
        isinstance(request, dict)
        and request.get("jsonrpc") == "2.0"
        and isinstance(request.get("method"), str)
        and (_is_id(request.get("id")))
    )


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= ID_CHARACTERS_MAX
    return value is None or type(value) is int


def _find_id(request: Any) -> Any:
    """Return the id to reply to: null for what is no request, `_NO_ID` for a notification."""
    if isinstance(request, dict) and "id" in request:
        return request["id"] if _is_id(request["id"]) else None
    return _NO_ID if _is_request(request) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        raise ValueError("a name twice")
    return plain


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _wrap_error(request_id: Any, error: BlamedError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": describe_error(error)}


def _to_bytes(reply: Any) -> bytes:
    # Escaped: a text that came in with half of a surrogate pair has no other spelling.
    return json.dumps(reply, separators=(",", ":")).encode("ascii")
