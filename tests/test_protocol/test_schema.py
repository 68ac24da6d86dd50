"""Typed records: every bound holds in both directions, and a reason names the field."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec
from protocol.errors import InvariantBroken, Rejected
from protocol.records import Submission, Task
from protocol.schema import (
    AtMost,
    Between,
    Exactly,
    Trailing,
    decode_record,
    encode_record,
    from_plain,
    to_plain,
)
from protocol.tables import BY_NAME, MINERS, TASKS, Table
from protocol.task_types import TaskTerms
from tests.support.builders import a_task
from tests.support.programs import run_program


class Colour(IntEnum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True, slots=True)
class Point:
    x: Annotated[int, Between(0, 9)]
    y: Annotated[int, Between(0, 9)]


@dataclass(frozen=True, slots=True)
class Label:
    text: Annotated[str, AtMost(4)]


@dataclass(frozen=True, slots=True)
class Sample:
    number: int
    small: Annotated[int, Between(5, 10)]
    flag: bool
    colour: Colour
    fixed: Annotated[bytes, Exactly(2)]
    short: Annotated[bytes, AtMost(3)]
    text: Annotated[str, AtMost(4)]
    maybe: Annotated[int, Between(1, 3)] | None
    inner: Point
    points: Annotated[tuple[Point, ...], AtMost(2)]
    either: Point | Label


PLAIN: list[Any] = [7, 5, True, 2, b"ab", b"", "né", None, [1, 2], [[3, 4]], [1, "ok"]]
SAMPLE = Sample(
    7, 5, True, Colour.BLUE, b"ab", b"", "né", None, Point(1, 2), (Point(3, 4),), Label("ok")
)


def code_of(plain: list[Any]) -> tuple[str, str]:
    with pytest.raises(Rejected) as error:
        from_plain(Sample, plain)
    return error.value.code, error.value.found


def test_a_record_is_the_array_of_its_fields() -> None:
    assert to_plain(SAMPLE) == PLAIN
    assert from_plain(Sample, PLAIN) == SAMPLE
    assert decode_record(Sample, encode_record(SAMPLE)) == SAMPLE
    assert encode_record(SAMPLE) == codec.encode(PLAIN)


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        (0, -1, "field_range"),
        (0, 1 << 64, "field_range"),
        (0, True, "field_type"),
        (0, "7", "field_type"),
        (0, None, "field_type"),
        (1, 4, "field_range"),
        (1, 11, "field_range"),
        (2, 1, "field_type"),
        (2, None, "field_type"),
        (3, 0, "field_enum"),
        (3, True, "field_enum"),
        (3, "RED", "field_enum"),
        (4, b"abc", "field_size"),
        (4, b"a", "field_size"),
        (4, "ab", "field_type"),
        (5, b"abcd", "field_size"),
        (6, "ééé", "field_size"),
        (6, b"ab", "field_type"),
        (7, 4, "field_range"),
        (7, False, "field_type"),
        (8, [1], "field_shape"),
        (8, [1, 2, 3], "field_shape"),
        (8, None, "field_shape"),
        (8, [1, 10], "field_range"),
        (9, [[1, 2]] * 3, "field_size"),
        (9, None, "field_type"),
        (9, [[1, "2"]], "field_type"),
        (10, [], "field_shape"),
        (10, [2, 1], "field_enum"),
        (10, [True, "ok"], "field_shape"),
        (10, [1, "abcde"], "field_size"),
        (10, "ok", "field_shape"),
    ],
)
def test_a_field_outside_its_bounds_is_refused_by_name(place: int, value: Any, code: str) -> None:
    names = list(Sample.__dataclass_fields__)
    found = code_of([value if i == place else part for i, part in enumerate(PLAIN)])
    assert found[0] == code
    assert f"Sample.{names[place]}" in found[1]


@pytest.mark.parametrize("plain", [PLAIN[:-1], [*PLAIN, 0], None, 5, "text", b""])
def test_another_number_of_fields_is_another_record(plain: Any) -> None:
    assert code_of(plain)[0] == "field_shape"


def test_the_reason_does_not_repeat_hostile_text() -> None:
    hostile = "\x1b[2J" + "x" * 100
    _, found = code_of([7, 5, True, 2, b"ab", b"", hostile, None, [1, 2], [], [1, "ok"]])
    assert "x" not in found.replace("text", "")
    assert "\x1b" not in found


@pytest.mark.parametrize(
    "record",
    [
        Point(10, 0),
        Point(-1, 0),
        Label("abcde"),
        replace(SAMPLE, fixed=b"a"),
        replace(SAMPLE, text="ééé"),
        replace(SAMPLE, maybe=4),
        replace(SAMPLE, points=(Point(1, 1),) * 3),
    ],
)
def test_a_record_of_ours_outside_its_bounds_is_our_bug(record: object) -> None:
    with pytest.raises(InvariantBroken):
        encode_record(record)


@settings(max_examples=200)
@given(
    st.recursive(
        st.integers(-3, 12)
        | st.binary(max_size=4)
        | st.text(max_size=5)
        | st.booleans()
        | st.none(),
        lambda inner: st.lists(inner, max_size=11),
        max_leaves=30,
    )
)
def test_any_plain_value_is_read_or_refused(plain: Any) -> None:
    for cls in (Sample, Task, Submission, TaskTerms):
        code = ""
        try:
            record = from_plain(cls, plain)
        except Rejected as reason:
            code = reason.code
        assert code.startswith("field_") or to_plain(record) == plain


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    code = ""
    try:
        record = decode_record(TaskTerms, data)
    except Rejected as reason:
        code = reason.code
    assert code.startswith(("codec_", "field_")) or encode_record(record) == data


@given(st.binary(min_size=40, max_size=80))
def test_every_row_of_every_state_survives_its_bytes(program: bytes) -> None:
    for (name, _), row in run_program(program).view.rows.items():
        table: Table[Any] = BY_NAME[name]
        data = table.encode_row(row)
        assert table.decode_row(data) == row
        assert table.encode_row(table.decode_row(data)) == data


def test_a_row_of_another_version_is_refused() -> None:
    for version in (0, 2, True, None, "1"):
        with pytest.raises(Rejected) as error:
            MINERS.decode_row(codec.encode([version, []]))
        assert error.value.code == "row_version"
    with pytest.raises(Rejected) as error:
        TASKS.decode_row(codec.encode([1]))
    assert error.value.code == "row_shape"


def test_a_class_that_has_no_byte_form_is_noticed_at_once() -> None:
    @dataclass(frozen=True, slots=True)
    class Odd:
        ratio: float

    with pytest.raises(TypeError):
        encode_record(Odd(0.5))
    with pytest.raises(TypeError):
        encode_record(object())


def test_the_terms_of_a_task_survive_their_bytes() -> None:
    terms = a_task()
    assert decode_record(TaskTerms, encode_record(terms)) == terms


@dataclass(frozen=True, slots=True)
class Grown:
    """A record that gained a last field."""

    small: int
    late: Annotated[Point | None, Trailing()] = None


def test_a_last_field_that_is_not_there_is_not_written_and_null_is_no_spelling_of_it() -> None:
    for record, plain in ((Grown(7), [7]), (Grown(7, Point(1, 2)), [7, [1, 2]])):
        assert to_plain(record) == plain
        assert from_plain(Grown, plain) == record
    for wrong in ([], [7, None], [7, [1, 2], 3], [7, [1]], [None], 7):
        with pytest.raises(Rejected, match="field_"):
            from_plain(Grown, wrong)
