"""The byte form: one value, one encoding; everything else is refused, and only with a reason."""

import unicodedata

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import (
    BYTES_MAX,
    DEPTH_MAX,
    ITEMS_MAX,
    TEXT_BYTES_MAX,
    check_text,
    decode,
    encode,
    scan,
)
from protocol.errors import Rejected

plain_text = st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["C"]), max_size=20).map(
    lambda text: unicodedata.ucd_3_2_0.normalize("NFC", text)
)


def is_sound(text: str) -> bool:
    try:
        check_text(text)
    except Rejected:
        return False
    return True


values = st.recursive(
    st.one_of(
        st.integers(0, (1 << 64) - 1),
        st.binary(max_size=300),
        plain_text.filter(is_sound),
        st.booleans(),
        st.none(),
    ),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


def code_of(data: bytes, bytes_max: int = BYTES_MAX) -> str:
    with pytest.raises(Rejected) as error:
        decode(data, bytes_max=bytes_max)
    return error.value.code


def check_either(data: bytes) -> None:
    """Check that bytes are refused with a reason of the codec, or are the one spelling."""
    code = ""
    try:
        value = decode(data)
    except Rejected as reason:
        code = reason.code
    assert code.startswith("codec_") or encode(value) == data


@given(values)
def test_a_value_survives_the_way_there_and_back(value: object) -> None:
    assert decode(encode(value)) == value


@given(values)
def test_tuples_and_lists_are_the_same_bytes(value: object) -> None:
    assert encode((value, value)) == encode([value, value])


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_are_the_one_spelling(data: bytes) -> None:
    check_either(data)


@settings(max_examples=500)
@given(values, st.data())
def test_damaged_bytes_are_refused_or_are_the_one_spelling(
    value: object, data: st.DataObject
) -> None:
    wire = bytearray(encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(wire)))
        match data.draw(st.integers(0, 2)):
            case 0:
                wire[place:place] = bytes([data.draw(st.integers(0, 255))])
            case 1:
                del wire[place : place + 1]
            case _ if place < len(wire):
                wire[place] = data.draw(st.integers(0, 255))
    check_either(bytes(wire))


@given(values, st.binary(min_size=1, max_size=5))
def test_bytes_behind_the_value_are_refused(value: object, tail: bytes) -> None:
    with pytest.raises(Rejected):
        decode(encode(value) + tail)


@given(values)
def test_every_beginning_of_a_value_is_refused(value: object) -> None:
    wire = encode(value)
    for size in range(0, len(wire), max(1, len(wire) // 20)):
        assert code_of(wire[:size]) in ("codec_truncated", "codec_bad_text")


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        ("", "codec_truncated"),
        ("1817", "codec_not_minimal"),  # 23 in two bytes.
        ("190017", "codec_not_minimal"),
        ("1a00000017", "codec_not_minimal"),
        ("1b0000000000000017", "codec_not_minimal"),
        ("5800", "codec_not_minimal"),  # An empty byte string with a long length.
        ("7800", "codec_not_minimal"),
        ("9800", "codec_not_minimal"),
        ("20", "codec_forbidden_type"),  # -1
        ("a0", "codec_forbidden_type"),  # A map.
        ("a10102", "codec_forbidden_type"),
        ("c101", "codec_forbidden_type"),  # A tag.
        ("c249010000000000000000", "codec_forbidden_type"),  # 2^64 as a bignum.
        ("f93c00", "codec_forbidden_type"),  # 1.0 in half precision.
        ("fa3f800000", "codec_forbidden_type"),
        ("fb3ff0000000000000", "codec_forbidden_type"),
        ("f7", "codec_forbidden_type"),  # undefined
        ("e0", "codec_forbidden_type"),  # A simple value.
        ("f814", "codec_forbidden_type"),  # false, spelt long.
        ("ff", "codec_forbidden_type"),  # A break without a beginning.
        ("9fff", "codec_indefinite"),
        ("5f4101ff", "codec_indefinite"),
        ("7f6161ff", "codec_indefinite"),
        ("1c", "codec_indefinite"),  # Reserved lengths.
        ("1d", "codec_indefinite"),
        ("1e", "codec_indefinite"),
        ("18", "codec_truncated"),
        ("42ff", "codec_truncated"),
        ("8201", "codec_truncated"),
        ("9bffffffffffffffff", "codec_truncated"),  # An array of 2^64 - 1.
        ("0101", "codec_trailing_bytes"),
        ("8000", "codec_trailing_bytes"),
        ("61ff", "codec_bad_text"),  # No UTF-8.
        ("62c080", "codec_bad_text"),  # NUL, overlong.
        ("63eda080", "codec_bad_text"),  # Half of a surrogate pair.
        ("6100", "codec_bad_text"),
        ("617f", "codec_bad_text"),
        ("610d", "codec_bad_text"),
        ("6365cc81", "codec_bad_text"),  # e and an accent: not in normal form C.
        ("63e2808b", "codec_bad_text"),  # A zero-width space.
        ("63e2808c", "codec_bad_text"),  # A zero-width joiner.
        ("63e280a8", "codec_bad_text"),  # A separator of lines.
        ("63e280ae", "codec_bad_text"),  # An override of the writing direction.
        ("63ee8080", "codec_bad_text"),  # Private use.
        ("64f09f9880", "codec_bad_text"),  # An emoji younger than Unicode 3.2.
    ],
)
def test_another_spelling_is_refused_with_its_reason(wire: str, code: str) -> None:
    assert code_of(bytes.fromhex(wire)) == code


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1bffffffffffffffff", (1 << 64) - 1),
        ("40", b""),
        ("60", ""),
        ("62c3a9", "é"),
        ("630a0920", "\n\t "),
        ("80", []),
        ("83f4f5f6", [False, True, None]),
    ],
)
def test_the_one_spelling_is_read_and_written(wire: str, value: object) -> None:
    assert decode(bytes.fromhex(wire)) == value
    assert encode(value).hex() == wire


def nest(depth: int) -> bytes:
    return b"\x81" * depth + b"\x00"


def test_depth_is_bounded() -> None:
    assert decode(nest(DEPTH_MAX)) is not None
    assert code_of(nest(DEPTH_MAX + 1)) == "codec_too_deep"
    assert code_of(b"\x81" * 100_000) == "codec_too_deep"


def test_the_number_of_items_is_bounded() -> None:
    assert len(decode(encode([0] * (ITEMS_MAX - 1)))) == ITEMS_MAX - 1
    assert code_of(encode([0] * ITEMS_MAX)) == "codec_too_many_items"


def test_texts_and_bytes_are_bounded() -> None:
    assert decode(encode("x" * TEXT_BYTES_MAX)) == "x" * TEXT_BYTES_MAX
    assert code_of(encode("x" * (TEXT_BYTES_MAX + 1))) == "codec_text_too_long"
    assert code_of(encode(b"x" * 100), bytes_max=100) == "codec_too_long"
    assert code_of(encode(bytes(BYTES_MAX))) == "codec_too_long"


def test_an_array_announced_too_long_is_refused_before_anything_is_built() -> None:
    assert code_of(b"\x9a\x7f\xff\xff\xff" + b"\x00" * 10) == "codec_truncated"
    assert code_of(b"\x5a\x7f\xff\xff\xff" + b"\x00" * 10) == "codec_truncated"


def test_what_the_scan_lets_pass_is_what_the_library_reads() -> None:
    wire = encode([1, b"two", "three", [None, [True]]])
    scan(wire)
    assert decode(wire) == cbor2.loads(wire)
