"""The RPC from outside: who is let in, and what hostile bytes get."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, memory_stream_pair

from node.limits import RPC_BODY_BYTES_MAX
from node.paths import DataPaths
from node.rpc.gate import Gate, RateLimit, create_token, list_hosts
from node.rpc.http import HttpLimits, HttpServer, Request, Response
from node.rpc.server import keep_serving
from tests.support.rpc import (
    HOST,
    TOKEN,
    a_served_peer,
    build_request,
    exchange,
    read_body,
    read_status,
)

CALL = b'{"jsonrpc":"2.0","id":1,"method":"state_root"}'
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:7031",
    "127.0.0.1",
    "127.0.0.1:7030",
    "127.0.0.1:7031.evil.example",
    "localhost",
    "LOCALHOST:7031",
    "0.0.0.0:7031",
    "[::1]",
    "[::ffff:127.0.0.1]:7031",
    "127.0.0.1:07031",
    "",
]


@asynccontextmanager
async def a_server(folder: Path) -> AsyncIterator[HttpServer]:
    async with a_served_peer(folder) as served:
        yield served.http


def a_plain_server(limits: HttpLimits | None = None) -> HttpServer:
    async def answer(request: Request) -> Response:
        return Response(200, request.body)

    paths = {"/rpc": "POST", "/health/live": "GET"}
    return HttpServer(answer, Gate(TOKEN, frozenset({HOST}), paths), limits)


async def test_a_call_with_the_token_is_answered(tmp_path: Path) -> None:
    async with a_server(tmp_path) as http:
        answer = await exchange(http, build_request(CALL))
        assert read_status(answer) == 200
        assert json.loads(read_body(answer))["result"]["epoch"] == 0


async def test_a_connection_takes_one_request_after_the_other() -> None:
    first, second = build_request(b'"one"'), build_request(b'"two"')
    answer = await exchange(a_plain_server(), first + second[:20], second[20:])
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.endswith(b'"two"')


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer " + "00" * 32, f"Basic {TOKEN}", TOKEN]
)
async def test_a_wrong_token_is_unauthorised(authorization: str | None) -> None:
    request = build_request(CALL, headers={"Authorization": authorization})
    assert read_status(await exchange(a_plain_server(), request)) == 401


async def test_a_token_in_the_query_is_none() -> None:
    request = build_request(CALL, path=f"/rpc?token={TOKEN}", headers={"Authorization": None})
    assert read_status(await exchange(a_plain_server(), request)) == 401


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_a_foreign_host_is_refused_whatever_else_is_right(host: str) -> None:
    request = build_request(CALL, headers={"Host": host})
    assert read_status(await exchange(a_plain_server(), request)) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:7031", ""])
async def test_a_page_of_another_server_is_refused(origin: str) -> None:
    request = build_request(CALL, headers={"Origin": origin})
    assert read_status(await exchange(a_plain_server(), request)) == 403


async def test_a_page_of_this_server_is_not() -> None:
    request = build_request(CALL, headers={"Origin": f"http://{HOST}"})
    assert read_status(await exchange(a_plain_server(), request)) == 200


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonp",
    ],
)
async def test_what_a_form_can_send_is_refused(content_type: str | None) -> None:
    request = build_request(CALL, headers={"Content-Type": content_type})
    assert read_status(await exchange(a_plain_server(), request)) == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/rpc", 405),
        ("PUT", "/rpc", 405),
        ("OPTIONS", "/rpc", 405),
        ("HEAD", "/rpc", 405),
        ("POST", "/health/live", 405),
        ("POST", "/", 404),
        ("POST", "/rpc/", 404),
        ("GET", "/../etc/passwd", 404),
    ],
)
async def test_other_paths_and_methods_do_nothing(method: str, path: str, status: int) -> None:
    request = build_request(CALL if method == "POST" else b"", method=method, path=path)
    assert read_status(await exchange(a_plain_server(), request)) == status


async def test_no_reply_lets_another_page_read_it(tmp_path: Path) -> None:
    async with a_server(tmp_path) as http:
        head = (await exchange(http, build_request(CALL))).split(b"\r\n\r\n")[0].lower()
        assert b"access-control" not in head
        assert b"x-content-type-options: nosniff" in head
        assert b"cache-control: no-store" in head


async def test_a_body_that_says_it_is_too_long_is_refused() -> None:
    request = build_request(headers={"Content-Length": str(RPC_BODY_BYTES_MAX + 1)})
    answer = await exchange(a_plain_server(), request, b"x" * (RPC_BODY_BYTES_MAX + 1))
    assert read_status(answer) == 413


async def test_a_body_that_turns_out_too_long_is_refused() -> None:
    head = build_request(headers={"Content-Length": None, "Transfer-Encoding": "chunked"})
    chunk = b"%x\r\n%s\r\n" % (1 << 19, b"x" * (1 << 19))
    answer = await exchange(a_plain_server(), head, chunk, chunk, chunk)
    assert read_status(answer) == 413


async def test_headers_that_are_too_long_are_refused() -> None:
    request = build_request(CALL, headers={"X-Long": "x" * 20_000})
    assert read_status(await exchange(a_plain_server(), request)) == 431


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"POST /rpc HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_in_words(data: bytes) -> None:
    answer = await exchange(a_plain_server(), data)
    assert answer == b"" or 400 <= read_status(answer) < 500


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_end_the_server(one: bytes, other: bytes) -> None:
    http = a_plain_server()

    async def attack() -> None:
        request = build_request(CALL)
        await exchange(http, one, other)
        await exchange(http, request[: len(one)] + other)
        await exchange(http, request + one)
        assert read_status(await exchange(http, request)) == 200

    trio.run(attack)


async def test_a_slow_body_costs_the_connection(autojump_clock: MockClock) -> None:
    await check_slow(build_request(headers={"Content-Length": "100"}) + b"{", 408)


async def test_a_silent_connection_is_closed(autojump_clock: MockClock) -> None:
    await check_slow(b"POST /rp", None)


async def check_slow(data: bytes, status: int | None) -> None:
    ours, theirs = memory_stream_pair()
    answer = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_plain_server().serve_stream, theirs)
        await ours.send_all(data)
        with trio.fail_after(HttpLimits().idle_s + HttpLimits().receive_s + 5):
            async for piece in ours:
                answer += piece
    assert (read_status(bytes(answer)) if answer else None) == status


async def test_a_connection_too_many_waits_for_its_turn(autojump_clock: MockClock) -> None:
    http = a_plain_server(HttpLimits(connections_max=2))
    listener = FakeListener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(http.run, [listener])
        clients = [await listener.connect() for _ in range(3)]
        await trio.sleep(1)
        assert http.connections == 2
        await clients[0].aclose()
        await clients[2].send_all(build_request(CALL))
        with trio.fail_after(5):
            assert (await clients[2].receive_some()).startswith(b"HTTP/1.1 200")
        assert http.connections == 2
        nursery.cancel_scope.cancel()


class FakeListener(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[trio.abc.HalfCloseableStream](16)

    async def connect(self) -> trio.abc.HalfCloseableStream:
        ours, theirs = memory_stream_pair()
        await self._send.send(theirs)
        return ours

    async def accept(self) -> trio.abc.HalfCloseableStream:
        return await self._receive.receive()

    async def aclose(self) -> None:
        await self._receive.aclose()


async def test_a_mistake_of_ours_is_one_reply_and_a_broken_state_is_not() -> None:
    async def answer(request: Request) -> Response:
        if request.body == b'"state"':
            raise AssertionError("an invariant")
        raise KeyError("a mistake")

    http = HttpServer(answer, lambda request: None)
    assert read_status(await exchange(http, build_request(b'"call"'))) == 500
    with pytest.RaisesGroup(AssertionError):
        await exchange(http, build_request(b'"state"'))


async def test_a_server_that_crashes_serves_again(autojump_clock: MockClock) -> None:
    listener = CrashingListener(crashes=3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_serving, a_plain_server(), [listener])
        client = await listener.connect()
        await client.send_all(build_request(CALL))
        with trio.fail_after(60):
            assert (await client.receive_some()).startswith(b"HTTP/1.1 200")
        nursery.cancel_scope.cancel()
    assert listener.crashes == 0


class CrashingListener(FakeListener):
    def __init__(self, crashes: int) -> None:
        super().__init__()
        self.crashes = crashes

    async def accept(self) -> trio.abc.HalfCloseableStream:
        if self.crashes:
            self.crashes -= 1
            raise RuntimeError("a mistake of ours")
        return await super().accept()


async def test_health_needs_no_token_and_tells_no_names(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        for path in ("/health/live", "/health/ready", "/version"):
            request = build_request(method="GET", path=path, headers={"Authorization": None})
            answer = await exchange(served.http, request)
            assert read_status(answer) == 200
            assert served.peer.genesis.allocations[0].address.hex().encode() not in answer
            assert isinstance(json.loads(read_body(answer)), dict)


async def test_readiness_names_the_check_that_fails(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        served.peer.state.alarm = "another root"
        request = build_request(method="GET", path="/health/ready")
        answer = await exchange(served.http, request)
        assert read_status(answer) == 503
        checks = json.loads(read_body(answer))["checks"]
        assert [name for name, check in checks.items() if not check["ok"]] == ["state"]
        ignoring = build_request(method="GET", path="/health/ready?ignore=state")
        assert read_status(await exchange(served.http, ignoring)) == 200


async def test_metrics_want_the_token_and_agree_with_the_status(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        served.seal()
        await served.call("node_status")
        answer = await exchange(served.http, build_request(method="GET", path="/metrics"))
        assert read_status(answer) == 200
        text = read_body(answer).decode()
        assert "\nminesync_epoch 1.0\n" in text
        assert 'minesync_ready_check{check="state"} 1.0\n' in text
        assert f'network_id="{served.peer.genesis.network.hex()}"' in text
        assert 'minesync_db_operations_total{operation="write",table="seals"} 1.0\n' in text
        assert 'minesync_db_cache_reads_total{result="hit"}' in text
        assert served.peer.transport.name not in text
        stranger = build_request(method="GET", path="/metrics", headers={"Authorization": None})
        assert read_status(await exchange(served.http, stranger)) == 401


def test_the_token_is_fresh_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    paths = DataPaths(folder)
    token = create_token(paths)
    assert len(token) == 64
    assert paths.rpc_token.read_text() == token + "\n"
    assert paths.rpc_token.stat().st_mode & 0o777 == 0o600
    assert create_token(paths) != token


def test_the_hosts_of_a_server_are_its_names_with_its_port() -> None:
    hosts = list_hosts("::1", 9, ("my.tunnel:443",))
    assert hosts == {"[::1]:9", "127.0.0.1:9", "localhost:9", "my.tunnel:443"}


def test_the_rate_has_a_burst_and_a_refill() -> None:
    rate = RateLimit(10)
    assert all(rate.take(1, 100.0) for _ in range(10))
    assert not rate.take(1, 100.0)
    assert rate.take(5, 100.5)
    assert not rate.take(1, 100.5)
    assert rate.take(10, 200.0)
