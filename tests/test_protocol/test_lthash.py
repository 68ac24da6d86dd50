"""LtHash: a set has one hash whatever the order, and a row taken out leaves no trace."""

import hashlib
import random

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.lthash import LTHASH_BYTES, LtHash

Row = tuple[str, bytes, bytes]
ROWS = st.tuples(
    st.sampled_from(["accounts", "ledger", "a"]), st.binary(max_size=4), st.binary(max_size=8)
)
EMPTY_ROOT = hashlib.sha256(bytes(2_048)).digest()


def build(rows: list[Row]) -> LtHash:
    result = LtHash()
    for row in rows:
        result.add_row(*row)
    return result


def compute_lanes(added: list[Row], removed: list[Row]) -> bytes:
    """The definition, lane by lane."""
    lanes = [0] * 1_024
    for sign, rows in ((1, added), (-1, removed)):
        for table, key, value in rows:
            name = table.encode()
            data = b"minesync/row/1" + bytes([len(name)]) + name
            data += len(key).to_bytes(2, "big") + key + value
            digest = blake3(data).digest(2_048)
            for lane in range(1_024):
                lanes[lane] += sign * int.from_bytes(digest[2 * lane : 2 * lane + 2], "little")
    return b"".join((lane % 65_536).to_bytes(2, "little") for lane in lanes)


def test_the_bytes_of_one_row_never_change() -> None:
    result = build([("accounts", b"\x01\x02", b"value")])
    expected = "0ba94735b41e70044928dc0f988970e1"
    assert result.to_bytes()[:16].hex() == expected
    assert LtHash().state_root() == EMPTY_ROOT


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(ROWS, max_size=12), seed=st.integers(0, 1_000))
def test_the_order_of_rows_is_of_no_account(rows: list[Row], seed: int) -> None:
    shuffled = rows.copy()
    random.Random(seed).shuffle(shuffled)
    assert build(rows).to_bytes() == build(shuffled).to_bytes()


@settings(deadline=None, max_examples=40)
@given(added=st.lists(ROWS, max_size=6), removed=st.lists(ROWS, max_size=6))
def test_the_lanes_are_those_of_the_definition(added: list[Row], removed: list[Row]) -> None:
    result = build(added)
    for row in removed:
        result.remove_row(*row)
    assert result.to_bytes() == compute_lanes(added, removed)
    assert result.state_root() == hashlib.sha256(result.to_bytes()).digest()


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(ROWS, max_size=6), guest=ROWS)
def test_a_row_taken_out_again_leaves_no_trace(rows: list[Row], guest: Row) -> None:
    result = build(rows)
    before = result.to_bytes()
    result.add_row(*guest)
    assert result.to_bytes() != before
    result.remove_row(*guest)
    assert result.to_bytes() == before
    result.remove_row(*guest)
    result.add_row(*guest)
    assert result.to_bytes() == before


@settings(deadline=None, max_examples=40)
@given(left=st.lists(ROWS, max_size=6), right=st.lists(ROWS, max_size=6))
def test_two_sets_combine_to_the_set_of_both(left: list[Row], right: list[Row]) -> None:
    result = build(left)
    other = build(right)
    result.combine(other)
    assert result.to_bytes() == build(left + right).to_bytes()
    assert other.to_bytes() == build(right).to_bytes()


def test_a_row_cannot_pose_as_another_by_moving_its_borders() -> None:
    rows: list[Row] = [
        ("ab", b"c", b"d"),
        ("a", b"bc", b"d"),
        ("ab", b"cd", b""),
        ("ab", b"", b"cd"),
    ]
    assert len({build([row]).state_root() for row in rows}) == len(rows)


def test_a_copy_goes_its_own_way() -> None:
    first = build([("a", b"1", b"x")])
    second = first.copy()
    second.add_row("a", b"2", b"y")
    assert first.to_bytes() == build([("a", b"1", b"x")]).to_bytes()
    assert second.to_bytes() == build([("a", b"1", b"x"), ("a", b"2", b"y")]).to_bytes()


def test_bytes_are_read_back_as_they_were_written() -> None:
    result = build([("a", b"1", b"x"), ("b", b"2", b"y")])
    again = LtHash.from_bytes(result.to_bytes())
    assert again.state_root() == result.state_root()
    for length in (0, LTHASH_BYTES - 1, LTHASH_BYTES + 1):
        with pytest.raises(Rejected, match="lthash_length"):
            LtHash.from_bytes(bytes(length))
