"""The client of a node's RPC: what it sends, and what it makes of whatever comes back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from node.exits import Exit, find_exit
from node.limits import RPC_REPLY_BYTES_MAX
from node.lockfile import NodeLock
from node.paths import DataPaths
from node.private_files import KeyFileError, create_private
from node.rpc.client import RpcClient, RpcError, connect

Answer = Callable[[httpx2.Request], httpx2.Response]


class Wire(httpx2.BaseTransport):
    """Stands for sockets and the node behind them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        return self.answer(request)


def call(answer: Answer, method: str = "node_status", **params: Any) -> tuple[Any, Wire]:
    wire = Wire(answer)
    with RpcClient("http://127.0.0.1:7031", "secret", transport=wire) as client:
        return client.call(method, **params), wire


def refuse(answer: Answer) -> RpcError:
    with pytest.raises(RpcError) as caught:
        call(answer)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    return caught.value


def reply(body: Any, status: int = 200) -> Answer:
    return lambda request: httpx2.Response(status, content=json.dumps(body).encode())


def test_a_call_is_a_json_rpc_post_with_the_token_in_a_header() -> None:
    result, wire = call(
        reply({"jsonrpc": "2.0", "id": 1, "result": [1]}), "task_list", limit=5, cursor=None
    )
    assert result == [1]
    request = wire.requests[0]
    assert (request.method, request.url.path) == ("POST", "/rpc")
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "task_list",
        "params": {"limit": 5},
    }


def test_an_error_keeps_its_name_number_and_hint() -> None:
    data = {"name": "TASK_CLOSED", "hint": "publish another", "found": "Expired"}
    error = refuse(reply({"error": {"code": 1_004, "message": "closed", "data": data}}))
    assert (error.code, error.number, error.found) == ("task_closed", 1_004, "Expired")
    assert error.hint == "publish another"
    assert find_exit(error) is Exit.REFUSED


def test_an_error_without_data_is_told_all_the_same() -> None:
    error = refuse(reply({"error": {"code": -32601, "message": "Method not found"}}))
    assert (error.code, error.number) == ("rpc_error", -32601)
    assert "Method not found" in str(error)
    assert find_exit(error) is Exit.FAILED


def test_hostile_text_in_an_error_is_escaped() -> None:
    data = {"name": "x\n\x1b", "hint": "\x1b[2J", "found": "a\nb"}
    error = refuse(reply({"error": {"code": 1, "message": "m", "data": data}}))
    assert (error.code + error.hint + str(error)).isprintable()


@pytest.mark.parametrize(
    "body", [[], None, {}, {"result": 1, "error": {}}, {"error": 3}, {"error": {"code": "1"}}]
)
def test_a_reply_of_another_shape_is_an_error(body: Any) -> None:
    assert refuse(reply(body)).code in ("bad_reply", "rpc_error")


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_a_reply_that_is_no_json_is_an_error(content: bytes) -> None:
    error = refuse(lambda request: httpx2.Response(502, content=content))
    assert error.code == "bad_reply"
    assert "502" in error.found


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_token_is_told(status: int) -> None:
    assert refuse(reply({}, status)).code == "unauthorized"


def test_a_reply_without_end_is_cut_off() -> None:
    class Flood(httpx2.SyncByteStream):
        read = 0

        def __iter__(self) -> Any:
            while True:
                self.read += 1 << 20
                yield bytes(1 << 20)

    flood = Flood()
    assert refuse(lambda request: httpx2.Response(200, stream=flood)).code == "bad_reply"
    assert flood.read <= RPC_REPLY_BYTES_MAX + (2 << 20)


def test_a_node_that_does_not_answer_is_unreachable() -> None:
    def hang_up(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    error = refuse(hang_up)
    assert error.code == "unreachable"
    assert find_exit(error) is Exit.NOT_RUNNING


def test_nothing_but_plain_http_is_spoken() -> None:
    with pytest.raises(RpcError):
        RpcClient("https://example.org", "secret")


def test_where_no_node_runs_none_is_asked(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path / "home")
    with pytest.raises(RpcError) as caught:
        connect(paths)
    assert caught.value.code == "not_running"
    assert find_exit(caught.value) is Exit.NOT_RUNNING
    assert str(paths.root) in caught.value.found


def test_a_token_that_others_can_read_is_not_sent(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path / "home")
    with NodeLock.acquire(paths.lock, started_ms=1, version="0.1.0") as lock:
        with pytest.raises(RpcError):
            connect(paths)
        lock.publish_rpc_url("http://127.0.0.1:1")
        create_private(paths.rpc_token, b"00ff\n")
        connect(paths).close()
        paths.rpc_token.chmod(0o644)
        with pytest.raises(KeyFileError) as caught:
            connect(paths)
    assert caught.value.code == "key_readable_by_others"


@pytest.mark.parametrize("token", [b"\xff\xfe", b"a\nb", b"", b"two words"])
def test_a_token_that_is_none_is_one_line(tmp_path: Path, token: bytes) -> None:
    paths = DataPaths(tmp_path / "home")
    with NodeLock.acquire(paths.lock, started_ms=0, version="0") as lock:
        lock.publish_rpc_url("http://127.0.0.1:1")
        create_private(paths.rpc_token, token)
        with pytest.raises(KeyFileError) as caught:
            connect(paths)
    assert caught.value.code == "key_malformed"
    assert "\n" not in str(caught.value)
    assert find_exit(caught.value) is Exit.KEY


def test_a_lock_that_names_a_stranger_means_that_no_node_runs(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path / "home")
    with NodeLock.acquire(paths.lock, started_ms=0, version="0") as lock:
        lock.publish_rpc_url("http://127.0.0.1:1")
        left = paths.lock.read_bytes()
        with pytest.raises(KeyFileError, match="key_missing"):
            connect(paths)
    paths.lock.write_bytes(left)
    with pytest.raises(RpcError) as caught:
        connect(paths)
    assert find_exit(caught.value) is Exit.NOT_RUNNING
