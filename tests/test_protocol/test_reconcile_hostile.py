"""Reconciliation with a hostile peer: each violation has its code, and every cost a bound."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import PeerFault
from protocol.ranges import INFINITY, LOWEST, Bound, Item, VectorView
from protocol.reconcile import Limits, ReconcileSession, Role
from protocol.reconcile_wire import Mode, parse_ranges
from tests.support.reconciling import make_id, make_view

VIEW = make_view((number // 50, make_id(number)) for number in range(700))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "message_empty"),
        ("5f", "version_unknown"),
        ("70", "version_unknown"),
        ("61800001", "varint_not_minimal"),
        ("6181", "message_cut"),
        ("6100008002", "varint_not_minimal"),
        ("61" + "ff" * 10 + "01", "varint_too_large"),
        ("61" + "83" + "ff" * 8 + "7f" + "0000", "varint_too_large"),
        ("61" + "81ffffffffffffffff7f" + "0000" + "03" + "0000", "bound_epoch_too_large"),
        ("6105" + "21" + "00" * 33 + "00", "bound_prefix_too_long"),
        ("6100" + "02" + "0001" + "00", "bound_after_infinity"),
        ("6105" + "05" + "aabb", "message_cut"),
        ("61" + "000000" + "000000", "bound_after_infinity"),
        ("61" + "000000" + "050000", "bound_after_infinity"),
        ("61" + "0501bb00" + "0101aa00", "bounds_descend"),
        ("61" + "0501bb00" + "010000", "bounds_descend"),
        ("61000003", "mode_unknown"),
        ("61000001" + "aa" * 15, "message_cut"),
        ("61000002" + "02" + "aa" * 63, "ids_cut"),
        ("61000002" + "81ffffffffffffffff7f", "ids_cut"),
        ("61" + "020000" * 1_025, "ranges_too_many"),
        ("61" + "00" * (1 << 18), "message_too_long"),
    ],
)
def test_each_violation_has_its_code(message: str, code: str) -> None:
    for role in Role:
        session = ReconcileSession(VIEW, role)
        if role is Role.CLIENT:
            session.start()
        with pytest.raises(PeerFault) as caught:
            session.receive(bytes.fromhex(message))
        assert caught.value.code == code


def test_zeros_at_the_end_of_a_prefix_say_nothing() -> None:
    message = "61" + "0502bb0000" + "0101bb00" + "0102bb0000"
    assert [range_.mode for range_ in parse_ranges(bytes.fromhex(message), 3)] == [Mode.SKIP] * 3
    padded = parse_ranges(bytes.fromhex("6100" + "20" + "00" * 32 + "00"), 1)
    assert padded == [(INFINITY, Mode.SKIP, b"")]
    assert not Bound(4, b"\xbb").is_before(Bound(4, b"\xbb\x00"))
    assert not Bound(4, b"\xbb\x00").is_before(Bound(4, b"\xbb"))
    assert LOWEST.is_before(Bound(0, b"\x00\x01"))


def test_a_server_refuses_more_rounds_than_agreed() -> None:
    server = ReconcileSession(VIEW, Role.SERVER, limits=Limits(rounds_max=2))
    message = bytes.fromhex("6100000200")
    server.receive(message)
    server.receive(message)
    with pytest.raises(PeerFault, match="rounds_too_many"):
        server.receive(message)


class CountingView(VectorView):
    """Counts the fingerprints it is asked for."""

    __slots__ = ("fingerprints",)

    def __init__(self, items: Iterable[Item]) -> None:
        super().__init__(items)
        self.fingerprints = 0

    def fingerprint(self, begin: int, end: int) -> bytes:
        self.fingerprints += 1
        return super().fingerprint(begin, end)


@pytest.mark.parametrize("role", Role)
def test_a_message_of_wrong_fingerprints_costs_a_bounded_number_of_ours(role: Role) -> None:
    view = CountingView(Item(number // 40, make_id(number)) for number in range(41_000))
    session = ReconcileSession(view, role)
    if role is Role.CLIENT:
        session.start()
        view.fingerprints = 0
    step = session.receive(b"\x61" + (b"\x02\x00\x01" + bytes(16)) * 1_024)
    assert step.reply is not None
    assert len(parse_ranges(step.reply, 1_024)) <= 1_024
    assert len(step.reply) <= 256 << 10
    assert view.fingerprints <= 2 * 1_024 + 17


FRAGMENTS = st.sampled_from(
    [
        *map(bytes.fromhex, ["00", "0000", "000000", "010000", "020001", "8100", "050155", "7f"]),
        b"\x02\x00\x01" + bytes(16),
        b"\x00\x00\x01" + bytes(16),
        b"\x02\x00\x02\x01" + make_id(3),
        b"\x00\x00\x02\x02" + make_id(3) + make_id(900),
        b"\x05\x20" + make_id(4) + b"\x02\x00",
    ]
)


@settings(deadline=None, max_examples=300)
@given(
    role=st.sampled_from(Role),
    messages=st.lists(
        st.binary(max_size=60)
        | st.lists(FRAGMENTS | st.binary(max_size=3), max_size=12).map(
            lambda parts: b"\x61" + b"".join(parts)
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_any_bytes_are_understood_or_are_the_peers_fault(role: Role, messages: list[bytes]) -> None:
    session = ReconcileSession(VIEW, role, 4_096)
    if role is Role.CLIENT:
        session.start()
    for message in messages:
        try:
            step = session.receive(message)
        except PeerFault:
            return
        if step.reply is not None:
            # What we answer, we would understand ourselves.
            assert len(step.reply) <= 4_096
            parse_ranges(step.reply, 1_024)
        if step.done:
            return
