"""Keys keep the order of tuples, come back whole and cannot forge one another's prefix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InvariantBroken
from storage.errors import Corrupt
from storage.keys import INT_MAX, decode_key, encode_key, prefix_end

# Few values and many zeros, so that equal prefixes and escapes are common.
some_bytes = st.binary(max_size=6) | st.lists(st.sampled_from([0, 1, 255]), max_size=5).map(bytes)
some_text = st.text(max_size=5) | st.text(alphabet="\x00:a\U0010ffff", max_size=4)
some_int = st.integers(0, INT_MAX) | st.integers(0, 3)
PARTS = {"bytes": some_bytes, "text": some_text, "int": some_int}
shapes = st.lists(st.sampled_from(sorted(PARTS)), max_size=4)


@st.composite
def pairs_of_one_family(draw: st.DrawFn) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Two tuples whose parts have the same types as far as both go."""
    shape = draw(shapes)
    first, second = (tuple(draw(PARTS[kind]) for kind in shape) for _ in range(2))
    return first[: draw(st.integers(0, len(shape)))], second


@given(pairs_of_one_family())
def test_the_order_of_keys_is_the_order_of_tuples(pair: tuple[tuple, tuple]) -> None:  # type: ignore[type-arg]
    first, second = pair
    assert (encode_key(*first) < encode_key(*second)) == (first < second)
    assert (encode_key(*first) == encode_key(*second)) == (first == second)


@given(st.lists(some_bytes | some_text | some_int, max_size=5).map(tuple))
def test_a_key_decodes_to_its_tuple(parts: tuple[int | bytes | str, ...]) -> None:
    assert decode_key(encode_key(*parts)) == parts


@given(pairs_of_one_family())
def test_only_a_prefix_of_the_tuple_is_a_prefix_of_the_key(pair: tuple[tuple, tuple]) -> None:  # type: ignore[type-arg]
    first, second = pair
    is_prefix = second[: len(first)] == first
    assert encode_key(*second).startswith(encode_key(*first)) == is_prefix


@given(some_bytes, some_bytes)
def test_the_end_of_a_prefix_parts_its_extensions_from_the_rest(prefix: bytes, key: bytes) -> None:
    end = prefix_end(prefix)
    assert (key >= prefix and (end is None or key < end)) == key.startswith(prefix)


def test_a_category_with_a_colon_never_lies_under_its_first_half() -> None:
    prefix = encode_key("general", "a")
    end = prefix_end(prefix)
    assert end is not None
    for forged in ("a:b", "a\x00b", "a\x00", "ab"):
        assert not prefix <= encode_key("general", forged, b"id") < end


@given(st.binary(max_size=30))
def test_any_bytes_decode_to_one_tuple_or_are_refused(data: bytes) -> None:
    try:
        parts = decode_key(data)
    except Corrupt:
        return
    assert encode_key(*parts) == data


def test_an_integer_out_of_bounds_is_our_own_fault() -> None:
    for number in (-1, INT_MAX + 1):
        with pytest.raises(InvariantBroken):
            encode_key(number)
