"""The line protocol of workers: what passes, what is refused and shown, and that all is bounded."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.workers.fields import INTEGER_MAX, SHOWN_CHARS_MAX, BadField, show
from node.workers.lines import LineSplitter, RateWindow
from node.workers.messages import (
    ANSWERS_MAX,
    FROM_WORKER,
    INPUT_BYTES_MAX,
    LINE_FROM_WORKER_BYTES_MAX,
    LINE_TO_WORKER_BYTES_MAX,
    NOTE_BYTES_MAX,
    OUTPUT_BYTES_MAX,
    OUTPUTS_BYTES_MAX,
    REASONING_BYTES_MAX,
    TEXT_BYTES_MAX,
    TO_WORKER,
    Answer,
    Assignment,
    Cancel,
    Candidate,
    Hello,
    Message,
    Ping,
    Pong,
    Progress,
    ScoreRequest,
    Scores,
    TaskError,
    TaskRequest,
    Verdict,
    WorkerFault,
    decode_line,
    encode_line,
    get_message_name,
)
from node.workers.process import check_hello
from node.workers.program import WorkerSpec, describe_status, parse_command
from node.workers.supervisor import WorkerPolicy

HELLO: dict[str, Any] = {
    "type": "hello",
    "proto": 1,
    "worker": "w 1",
    "roles": ["solver"],
    "kinds": ["code_analysis"],
}
WORST = "\x01"
"""One byte, six in JSON."""


def to_line(plain: object) -> bytes:
    return json.dumps(plain).encode()


def refuse(line: bytes) -> WorkerFault:
    with pytest.raises(WorkerFault) as caught:
        decode_line(line)
    return caught.value


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ids = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z._:-]{0,79}", fullmatch=True)
slugs = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
integers = st.integers(0, INTEGER_MAX)
values = (
    st.none()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | texts
    | st.lists(slugs, max_size=3, unique=True).map(tuple)
)
params = st.dictionaries(slugs, values, max_size=3)
assignments: dict[str, st.SearchStrategy[Any]] = {
    "kind": slugs,
    "params": params,
    "input": texts,
    "title": texts,
    "description": texts,
    "requirements": texts,
    "seed": integers,
}
deadlines = st.integers(1, 86_400_000)
candidates = st.builds(Candidate, id=ids, output=texts)
verdicts = st.builds(Verdict, id=ids, score=st.none() | st.integers(0, 100), reasoning=texts)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(TaskRequest, id=ids, deadline_ms=deadlines, attempt=st.integers(1, 9), **assignments),
    st.builds(
        ScoreRequest,
        id=ids,
        task=st.builds(Assignment, **assignments),
        answers=st.lists(candidates, min_size=1, max_size=3, unique_by=lambda one: one.id),
        deadline_ms=deadlines,
    ),
    st.builds(Cancel, id=ids),
    st.builds(Ping, id=integers),
    st.builds(
        Hello,
        proto=integers,
        worker=st.from_regex("[ -~]{1,64}", fullmatch=True),
        roles=st.sampled_from([("solver",), ("scorer",), ("solver", "scorer")]),
        kinds=st.lists(slugs, min_size=1, max_size=3, unique=True),
        concurrency=st.integers(1, 64),
        network_id=st.none() | st.from_regex("[0-9a-f]{16}", fullmatch=True),
    ),
    st.builds(Progress, id=ids, fraction=st.floats(0, 1), note=texts),
    st.builds(Answer, id=ids, output=texts, meta=params),
    st.builds(
        Scores,
        id=ids,
        scores=st.lists(verdicts, min_size=1, max_size=3, unique_by=lambda one: one.id),
    ),
    st.builds(TaskError, id=ids, retryable=st.booleans(), message=texts),
    st.builds(Pong, id=integers),
)


@given(messages)
def test_what_is_written_reads_back_as_it_was(message: Message) -> None:
    line = encode_line(message)
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    known = TO_WORKER if get_message_name(message) in TO_WORKER else FROM_WORKER
    assert decode_line(line[:-1], known) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_fault_that_shows_them(line: bytes) -> None:
    fault = refuse(line)
    assert fault.code in ("message_malformed", "message_unknown")
    assert fault.found == show(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(FROM_WORKER)), st.data())
def test_any_value_in_any_field_is_read_or_is_a_fault(name: str, data: st.DataObject) -> None:
    names = [one.name for one in fields(FROM_WORKER[name])]
    plain = data.draw(st.fixed_dictionaries(dict.fromkeys(names, json_values)))
    try:
        message = decode_line(to_line({"type": name, **plain}))
    except WorkerFault as fault:
        # As in an operator's log: printable, short, with a stable code.
        text = str(fault)
        printable = text.isascii() and text.isprintable()
    else:
        printable = get_message_name(message) == name
    assert printable


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Loading model...",
        b"{",
        b"[]",
        b'"hello"',
        b"1",
        b"null",
        b'{"type":"pong","id":1}{"type":"pong","id":2}',
        b'{"type":"pong","id":1,"id":1}',
        b'{"type":"pong","id":NaN}',
        b'{"type":"progress","id":"a","fraction":Infinity}',
        b'\xef\xbb\xbf{"type":"pong","id":1}',
        b'{"type":"pong","id":1}\xff',
        '{"type":"pong","id":1}'.encode("utf-16"),
        b'{"type":"pong","id":' + b"9" * 10_000 + b"}",
        b"[" * 200_000,
        b'{"a":' * 200_000,
    ],
)
def test_what_is_not_one_json_object_is_malformed(line: bytes) -> None:
    fault = refuse(line)
    assert fault.code == "message_malformed"
    assert len(fault.found) <= SHOWN_CHARS_MAX


@pytest.mark.parametrize(
    "plain",
    [{}, {"type": None}, {"type": 1}, {"type": "task"}, {"type": "Hello"}, {"type": ["hello"]}],
)
def test_an_unknown_type_is_refused(plain: dict[str, object]) -> None:
    fault = refuse(to_line(plain))
    assert fault.code == "message_unknown"
    assert "hello" in fault.wanted


@pytest.mark.parametrize(
    ("changes", "found", "wanted"),
    [
        ({"extra": 1}, "the field extra", "only proto"),
        ({"ex\x1btra": 1}, r"the field ex\x1btra", "only proto"),
        ({"proto": "1"}, "proto: str", "an integer"),
        ({"proto": True}, "proto: True", "an integer"),
        ({"proto": 1.0}, "proto: 1.0", "an integer"),
        ({"proto": -1}, "proto: -1", "an integer 0 to"),
        ({"worker": ""}, "worker:", "[ -~]+"),
        ({"worker": "\x1b[31m"}, r"worker: \x1b[31m", "[ -~]+"),
        ({"worker": "w" * 65}, "worker: 65 bytes", "at most 64 bytes"),
        ({"worker": None}, "worker: NoneType", "text"),
        ({"roles": []}, "roles: 0 entries", "1 to 2 entries"),
        ({"roles": "solver"}, "roles: str", "1 to 2 entries"),
        ({"roles": ["solver", "solver"]}, "roles: an entry twice", "each once"),
        ({"roles": ["miner"]}, "roles: miner", "solver|scorer"),
        ({"kinds": ["Code"]}, "kinds: Code", "a-z"),
        ({"kinds": [f"k{n}" for n in range(17)]}, "kinds: 17 entries", "1 to 16"),
        ({"concurrency": 0}, "concurrency: 0", "1 to 64"),
        ({"concurrency": 65}, "concurrency: 65", "1 to 64"),
        ({"network_id": "ABCDEF0123456789"}, "network_id: ABCDEF", "0-9a-f"),
        ({"network_id": "00"}, "network_id: 00", "0-9a-f"),
    ],
)
def test_a_bad_field_says_what_was_found_and_wanted(
    changes: dict[str, object], found: str, wanted: str
) -> None:
    line = to_line({**HELLO, **changes})
    fault = refuse(line)
    assert fault.code == "message_field_bad"
    assert fault.found.startswith(found)
    assert show(line) in fault.found
    assert wanted in fault.wanted


@pytest.mark.parametrize("name", sorted(HELLO.keys() - {"type"}))
def test_a_missing_field_is_named(name: str) -> None:
    fault = refuse(to_line({key: value for key, value in HELLO.items() if key != name}))
    assert fault.code == "message_field_bad"
    assert fault.found.startswith(f"no field {name}")


@pytest.mark.parametrize(
    "plain",
    [
        {"type": "answer", "id": "", "output": ""},
        {"type": "answer", "id": "a b", "output": ""},
        {"type": "answer", "id": "a" * 81, "output": ""},
        {"type": "answer", "id": "a", "output": {}},
        {"type": "answer", "id": "a", "output": "x" * (OUTPUT_BYTES_MAX + 1)},
        {"type": "answer", "id": "a", "output": "é" * (OUTPUT_BYTES_MAX // 2 + 1)},
        {"type": "answer", "id": "a", "output": "\ud800"},
        {"type": "answer", "id": "a", "output": "", "meta": {"Bad Key": 1}},
        {"type": "answer", "id": "a", "output": "", "meta": {"deep": {}}},
        {"type": "answer", "id": "a", "output": "", "meta": {f"k{n}": n for n in range(17)}},
        {"type": "progress", "id": "a", "fraction": 1.5},
        {"type": "progress", "id": "a", "fraction": -0.1},
        {"type": "progress", "id": "a", "fraction": True},
        {"type": "progress", "id": "a", "fraction": 0, "note": "x" * (NOTE_BYTES_MAX + 1)},
        {"type": "error", "id": "a", "retryable": 1, "message": ""},
        {"type": "error", "id": "a", "retryable": True},
        {"type": "scores", "id": "a", "scores": []},
        {"type": "scores", "id": "a", "scores": [{"id": "b"}]},
        {"type": "scores", "id": "a", "scores": [{"id": "b", "score": 101}]},
        {"type": "scores", "id": "a", "scores": [{"id": "b", "score": 99.5}]},
        {"type": "scores", "id": "a", "scores": [{"id": "b", "score": 1, "why": ""}]},
        {"type": "scores", "id": "a", "scores": [{"id": "b", "score": 1}] * 2},
        {"type": "scores", "id": "a", "scores": [1]},
        {"type": "pong", "id": "1"},
        {"type": "pong", "id": INTEGER_MAX + 1},
    ],
)
def test_a_field_out_of_its_bounds_is_refused(plain: dict[str, object]) -> None:
    assert refuse(to_line(plain)).code == "message_field_bad"


def test_a_field_with_a_default_may_be_left_out() -> None:
    hello = decode_line(to_line(HELLO))
    assert (hello.concurrency, hello.network_id) == (1, None)
    assert decode_line(b'{"type":"answer","id":"a","output":""}').meta == {}


BUILDERS: list[Callable[[], object]] = [
    lambda: TaskRequest(id="a", kind="k", input="x" * (INPUT_BYTES_MAX + 1), deadline_ms=1),
    lambda: TaskRequest(id="a", kind="k", input="", deadline_ms=0),
    lambda: TaskRequest(id="a/b", kind="k", input="", deadline_ms=1),
    lambda: Assignment(kind="No Slug", input=""),
    lambda: Assignment(kind="k", input="", params={"a": "x" * 257}),
    lambda: ScoreRequest(
        id="a",
        task=Assignment(kind="k", input=""),
        answers=tuple(
            Candidate(id=f"{n}", output="x" * (OUTPUTS_BYTES_MAX // 2)) for n in range(3)
        ),
        deadline_ms=1,
    ),
    lambda: ScoreRequest(id="a", task=Assignment(kind="k", input=""), answers=(), deadline_ms=1),
]


@pytest.mark.parametrize("build", BUILDERS)
def test_a_record_that_breaks_a_bound_cannot_be_built(build: Callable[[], object]) -> None:
    with pytest.raises(BadField):
        build()


def test_the_largest_request_of_the_worst_characters_fits_in_a_line() -> None:
    text = WORST * TEXT_BYTES_MAX
    task = Assignment(
        kind="k" * 64,
        params={f"{'p' * 60}{n:02}": WORST * 256 for n in range(16)},
        input=WORST * INPUT_BYTES_MAX,
        title=text,
        description=text,
        requirements=text,
        seed=INTEGER_MAX,
    )
    answers = tuple(
        Candidate(id=f"{'a' * 77}{n:03}", output=WORST * (OUTPUTS_BYTES_MAX // ANSWERS_MAX))
        for n in range(ANSWERS_MAX)
    )
    request = ScoreRequest(id="i" * 80, task=task, answers=answers, deadline_ms=1)
    line = encode_line(request)
    assert len(line) <= LINE_TO_WORKER_BYTES_MAX
    assert decode_line(line, TO_WORKER) == request


def test_the_largest_reply_fits_in_a_line_however_a_worker_escapes_it() -> None:
    verdicts = [
        {"id": f"{'a' * 77}{n:03}", "score": 100, "reasoning": WORST * REASONING_BYTES_MAX}
        for n in range(ANSWERS_MAX)
    ]
    scores = to_line({"type": "scores", "id": "i" * 80, "scores": verdicts})
    answer = to_line({"type": "answer", "id": "i" * 80, "output": WORST * OUTPUT_BYTES_MAX})
    for line in (scores, answer):
        assert len(line) <= LINE_FROM_WORKER_BYTES_MAX
        decode_line(line)


@given(st.text() | st.binary())
def test_what_is_shown_is_short_printable_ascii(words: str | bytes) -> None:
    shown = show(words)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= SHOWN_CHARS_MAX


def test_a_long_line_is_shown_cut() -> None:
    assert show("a" * 200) == "a" * 200
    assert show("a" * 201) == "a" * 197 + "..."
    assert show(b"\x1b[31m\r\n\xff") == r"\x1b[31m\r\n\\xff"


@given(st.lists(st.binary(max_size=12), max_size=8), st.integers(1, 12))
def test_lines_are_the_same_however_the_bytes_arrive(chunks: list[bytes], bytes_max: int) -> None:
    def split(pieces: list[bytes]) -> list[bytes]:
        splitter = LineSplitter(bytes_max)
        return [line for piece in pieces for line in splitter.feed(piece)] + list(splitter.end())

    whole = b"".join(chunks)
    lines = split(chunks)
    assert lines == split([whole]) == split([bytes([byte]) for byte in whole])
    wanted = whole.split(b"\n")
    if not wanted[-1]:
        wanted.pop()
    assert lines == [line[: bytes_max + 1] for line in wanted]


def test_a_line_too_long_is_told_before_it_ends_and_no_more_is_kept() -> None:
    splitter = LineSplitter(10)
    assert list(splitter.feed(b"x" * 1_000)) == [b"x" * 11]
    assert list(splitter.feed(b"x" * 1_000)) == []
    assert list(splitter.feed(b"x\nnext\n")) == [b"next"]


def test_a_rate_counts_each_second_anew() -> None:
    window = RateWindow(2)
    assert [window.is_excess(now) for now in (0.0, 0.5, 0.9, 1.0, 1.1, 1.2, 7.0)] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert window.excess == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"network_id": "0123456789abcdef"}, None),
        ({"roles": ("scorer", "solver")}, None),
        ({"proto": 2}, "hello_proto"),
        ({"roles": ("scorer",)}, "hello_role"),
        ({"kinds": ("code_analysis", "code_analysys")}, "hello_kinds"),
        ({"network_id": "0" * 16}, "hello_network"),
    ],
)
def test_a_hello_must_fit_the_node(changes: dict[str, Any], code: str | None) -> None:
    spec = WorkerSpec(("solve",), "solver", "0123456789abcdef")
    fitting = {"proto": 1, "worker": "w", "roles": ("solver",), "kinds": ("code_analysis",)}
    hello = Hello(**{**fitting, **changes})
    if code is None:
        check_hello(hello, spec)
    else:
        with pytest.raises(WorkerFault) as caught:
            check_hello(hello, spec)
        assert caught.value.code == code


def test_the_wait_before_a_restart_doubles_up_to_its_limit() -> None:
    policy = WorkerPolicy(backoff_s=0.5, backoff_max_s=60)
    waits = [policy.compute_backoff_s(failures) for failures in (0, 1, 2, 3, 7, 8, 9, 10_000)]
    assert waits == [0, 0.5, 1, 2, 32, 60, 60, 60]


def test_a_command_is_split_as_a_shell_does() -> None:
    assert parse_command("python 'my solver.py' --fast") == ("python", "my solver.py", "--fast")
    for line in ("", "   ", "python 'solve"):
        with pytest.raises(ValueError, match=r"empty|No closing"):
            parse_command(line)


def test_the_end_of_a_process_is_told_in_words() -> None:
    assert describe_status(0) == "with status 0"
    assert describe_status(-9) == "by SIGKILL"
    assert describe_status(-63) == "by signal 63"
    assert describe_status(None) == "without an end"
