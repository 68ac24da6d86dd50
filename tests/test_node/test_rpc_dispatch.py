"""JSON-RPC 2.0: each request its own reply, each fault its own error."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from node.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, RPC_BATCH_MAX, RPC_DEADLINE_MS
from node.rpc.dispatch import Dispatcher
from node.rpc.errors import describe_error, find_number
from node.rpc.gate import RateLimit
from node.rpc.method import (
    LIMIT,
    Method,
    Param,
    read_amount,
    read_bytes,
    read_id,
    read_int,
    read_text,
)
from node.transport.base import TransportError
from protocol.book import Refused
from protocol.errors import BlamedError, Rejected
from storage.errors import Full, StorageError


def echo(peer: Any, *, text: str, limit: int) -> dict[str, Any]:
    return {"text": text, "limit": limit}


def stumble(peer: Any) -> None:
    raise KeyError("a mistake of ours")


def refuse(peer: Any) -> None:
    raise Refused("task_full", "10 of 10 places taken", "a place", bytes(32))


async def sleep(peer: Any) -> None:
    await trio.sleep_forever()


METHODS = (
    Method("echo", echo, "Say it again.", (Param("text", read_text(8), "text"), LIMIT)),
    Method("stumble", stumble, "Make a mistake."),
    Method("refuse", refuse, "Refuse."),
    Method("sleep", sleep, "Never answer."),
)


def a_dispatcher(rate: int = 1_000) -> Dispatcher:
    return Dispatcher(None, METHODS, RateLimit(rate))


async def send(body: object, dispatcher: Dispatcher | None = None) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = await (dispatcher or a_dispatcher()).answer(data)
    return json.loads(reply) if reply else None


def call(method: str = "echo", request_id: object = 1, **params: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def names(replies: list[dict[str, Any]]) -> list[str]:
    return [
        reply["error"]["data"]["name"] if "error" in reply else str(reply["result"]["text"])
        for reply in replies
    ]


async def test_parameters_go_by_name_or_by_place() -> None:
    by_name = await send(call(text="hi"))
    assert by_name == {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {"text": "hi", "limit": PAGE_ITEMS_DEFAULT},
    }
    by_place = await send({**call(), "params": ["hi", 7]})
    assert by_place["result"] == {"text": "hi", "limit": 7}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b"[NaN]",
        b"Infinity",
        b"[" * 100_000,
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b"1" * 5_000,
    ],
)
async def test_what_is_no_json_is_one_parse_error(body: bytes) -> None:
    reply = await send(body)
    assert (reply["error"]["code"], reply["id"]) == (-32700, None)


@pytest.mark.parametrize(
    "request_",
    [
        1,
        "echo",
        None,
        {},
        {"method": "echo"},
        {"jsonrpc": "1.0", "id": 1, "method": "echo"},
        {"jsonrpc": "2.0", "id": 1, "method": 1},
        {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": "text"},
        {"jsonrpc": "2.0", "id": [1], "method": "echo"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "echo"},
        {"jsonrpc": "2.0", "id": "x" * 65, "method": "echo"},
    ],
)
async def test_what_is_no_request_is_one_error(request_: object) -> None:
    reply = await send(request_)
    assert reply["error"]["code"] == -32600
    assert reply["id"] in (1, None)


async def test_an_unknown_method_is_named() -> None:
    reply = await send(call("no_such"))
    assert reply["error"]["code"] == -32601
    assert "no_such" in reply["error"]["data"]["found"]


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({}, "text"),
        ({"text": None}, "text"),
        ({"text": 1}, "text"),
        ({"text": "x" * 9}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"text": "hi", "limit": 0}, "limit"),
        ({"text": "hi", "limit": PAGE_ITEMS_MAX + 1}, "limit"),
        ({"text": "hi", "limit": True}, "limit"),
        ({"text": "hi", "limit": 1.0}, "limit"),
        ({"text": "hi", "other": 1}, "other"),
        (["hi", 1, 2], "params"),
    ],
)
async def test_a_wrong_parameter_is_named(params: object, where: str) -> None:
    reply = await send({**call(), "params": params})
    assert reply["error"]["code"] == -32602
    assert where in reply["error"]["data"]["found"]


async def test_every_element_of_a_batch_gets_its_own_reply() -> None:
    replies = await send(
        [call(text="one"), 1, call("no_such", 3), call("stumble", 4), call(text="two"), {}]
    )
    assert names(replies) == [
        "one",
        "invalid_request",
        "unknown_method",
        "internal",
        "two",
        "invalid_request",
    ]
    assert [reply["id"] for reply in replies] == [1, None, 3, 4, 1, None]


async def test_a_batch_has_bounds() -> None:
    full = [call(text="hi")] * RPC_BATCH_MAX
    assert len(await send(full)) == RPC_BATCH_MAX
    too_many = await send([*full, call(text="hi")])
    assert too_many["error"]["data"]["name"] == "batch_too_large"
    assert (await send([]))["error"]["code"] == -32600


async def test_a_notification_gets_no_reply() -> None:
    notification = {"jsonrpc": "2.0", "method": "echo", "params": {"text": "hi"}}
    wrong = {"jsonrpc": "2.0", "method": "no_such"}
    assert await send(notification) is None
    assert await send(wrong) is None
    assert await send([notification, wrong]) is None
    assert names(await send([notification, call(text="one")])) == ["one"]


async def test_a_mistake_of_ours_tells_no_more_than_that() -> None:
    reply = await send(call("stumble"))
    assert reply["error"]["code"] == -32603
    assert "a mistake of ours" not in json.dumps(reply)


async def test_a_refusal_says_what_it_lost_to() -> None:
    error = (await send(call("refuse")))["error"]
    assert error["code"] == 1000
    assert error["data"]["name"] == "task_full"
    assert error["data"]["details"] == {"lost_to": "00" * 32}


async def test_a_method_that_never_ends_is_ended(autojump_clock: MockClock) -> None:
    started = trio.current_time()
    reply = await send(call("sleep"))
    assert reply["error"]["data"]["name"] == "deadline"
    assert reply["error"]["data"]["retryable"] is True
    assert trio.current_time() - started == pytest.approx(RPC_DEADLINE_MS / 1_000)


async def test_too_many_requests_are_told_to_wait(autojump_clock: MockClock) -> None:
    dispatcher = a_dispatcher(rate=5)
    assert len(await send([call(text="hi")] * 5, dispatcher)) == 5
    limited = await send(call(text="hi"), dispatcher)
    assert (limited["error"]["code"], limited["error"]["data"]["retryable"]) == (4029, True)
    await trio.sleep(1)
    assert "result" in await send(call(text="hi"), dispatcher)


@given(st.binary(max_size=120))
def test_any_bytes_get_a_reply_or_none(body: bytes) -> None:
    reply = trio.run(a_dispatcher().answer, body)
    assert reply == b"" or json.loads(reply)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_any_json_gets_a_reply_or_none(value: object) -> None:
    reply = trio.run(a_dispatcher().answer, json.dumps(value).encode())
    assert reply == b"" or json.loads(reply)


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (Refused("wrong_phase"), 1000),
        (Rejected("bad_title"), 1000),
        (Rejected("codec_float"), 1001),
        (TransportError("dial_failed"), 3001),
        (StorageError("damaged"), 5000),
        (Full("disk_full"), 5001),
        (BlamedError("whatever"), -32603),
    ],
)
def test_an_error_belongs_to_a_group(error: BlamedError, number: int) -> None:
    assert find_number(error) == number


def test_text_of_strangers_is_escaped_and_cut() -> None:
    shown = describe_error(BlamedError("peer_said", "\x1b[2J\n" + "x" * 9_999, "quiet"))
    assert "\x1b" not in json.dumps(shown, ensure_ascii=False)
    assert len(shown["data"]["found"]) <= 256


def test_readers_take_one_spelling_each() -> None:
    assert read_bytes(4)("data", "0x0a0b") == read_bytes(4)("data", "0a0b") == b"\x0a\x0b"
    assert read_amount("amount", "12") == read_amount("amount", 12) == 12
    assert read_int(0, 9)("n", 9) == 9
    assert read_text(4)("text", "e\u0301") == "\u00e9"
    wrong: list[Callable[[], object]] = [
        lambda: read_bytes(4)("data", "0A"),
        lambda: read_bytes(1)("data", "0a0b"),
        lambda: read_bytes(4)("data", "0"),
        lambda: read_id("id", "00" * 31),
        lambda: read_id("id", None),
        lambda: read_amount("amount", "-1"),
        lambda: read_amount("amount", "1.5"),
        lambda: read_amount("amount", 1 << 63),
        lambda: read_amount("amount", "9" * 5_000),
    ]
    for read in wrong:
        with pytest.raises(BlamedError, match="invalid_params"):
            read()
