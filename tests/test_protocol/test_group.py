"""The group: only its own points, scalars with one name, and hashes that nobody steers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import group
from protocol.errors import Rejected
from protocol.group import IDENTITY, ORDER, add, multiply, multiply_base
from protocol.keys import Signer
from tests.support.builders import a_signer, an_address

BASE = multiply_base(1)
P = 2**255 - 19
TWO_TORSION = (P - 1).to_bytes(32, "little")
"""The point (0, -1), of order 2: canonical, on the curve, and not of the group."""
scalars = st.integers(0, ORDER - 1)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(scalars, scalars)
def test_factors_add_and_multiply_as_numbers_do(one: int, other: int) -> None:
    assert add(multiply_base(one), multiply_base(other)) == multiply_base(one + other)
    if other:
        assert multiply(one, multiply_base(other)) == multiply_base(one * other)
    assert add(multiply_base(one), multiply_base(-one)) == IDENTITY


@settings(deadline=None, max_examples=30, derandomize=True)
@given(scalars)
def test_a_scalar_has_one_name(scalar: int) -> None:
    assert group.read_scalar(group.write_scalar(scalar)) == scalar
    assert group.write_scalar(scalar + ORDER) == group.write_scalar(scalar)
    with pytest.raises(Rejected, match="group_scalar"):
        group.read_scalar((scalar + ORDER).to_bytes(32, "little"))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_scalar_has_32_bytes(size: int) -> None:
    with pytest.raises(Rejected, match="group_scalar"):
        group.read_scalar(bytes(size))


@pytest.mark.parametrize(
    "point",
    [
        b"",
        BASE[:-1],
        BASE + b"\0",
        IDENTITY,
        TWO_TORSION,
        add(BASE, TWO_TORSION),
        bytes(32),
        b"\xff" * 32,
        (P + 1).to_bytes(32, "little"),
        (2).to_bytes(32, "little"),
    ],
    ids=lambda point: point.hex()[:8],
)
def test_what_is_no_point_of_the_group_is_never_multiplied(point: bytes) -> None:
    assert not group.is_point(point)
    with pytest.raises(Rejected, match="group_point"):
        multiply(7, point)


def test_what_is_no_point_is_never_added() -> None:
    for wrong in (b"", BASE + b"\0", (2).to_bytes(32, "little")):
        with pytest.raises(Rejected, match="group_point"):
            add(BASE, wrong)


def test_an_address_is_the_base_point_so_many_times() -> None:
    for who in ("ada", "ben", "cy"):
        assert multiply_base(a_signer(who).read_scalar()) == an_address(who)
        assert group.is_point(an_address(who))


def test_what_a_key_derives_depends_on_key_purpose_and_statement() -> None:
    ada, ben = a_signer("ada"), a_signer("ben")
    words = [
        one.derive(purpose, statement)
        for one in (ada, ben)
        for purpose in (b"deal", b"deal nonce")
        for statement in (b"", b"a", b"b")
    ]
    assert len(set(words)) == len(words)
    assert {len(word) for word in words} == {64}
    again: Signer = a_signer("ada")
    assert again.derive(b"deal", b"a") == ada.derive(b"deal", b"a")


def test_parts_of_a_hash_are_told_apart() -> None:
    cut = [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b"")]
    assert len({group.hash_to_scalar(b"tag", *parts) for parts in cut}) == len(cut)
    assert group.hash_to_scalar(b"tag", b"a") != group.hash_to_scalar(b"gat", b"a")


def test_a_point_of_a_hash_is_of_the_group_and_fixed() -> None:
    points = [group.hash_to_point(tag) for tag in (b"one", b"two")]
    assert all(map(group.is_point, points))
    assert points[0] != points[1]
    assert points[0] == group.hash_to_point(b"one")
