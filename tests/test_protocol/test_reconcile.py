"""Reconciliation: the published bytes, the true difference, every bound."""

import hashlib
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import InvariantBroken, PeerFault
from protocol.ranges import (
    EPOCH_MAX,
    INFINITY,
    Bound,
    SubView,
    compute_fingerprint,
    encode_varint,
    select_epochs,
)
from protocol.reconcile import Limits, ReconcileSession, Role
from protocol.reconcile_wire import VERSION, Mode, parse_ranges
from tests.support.reconciling import Talk, make_id, make_view, play

NO_LIMITS = Limits(
    message_bytes_max=1 << 24,
    ranges_max=1 << 20,
    rounds_max=1_000,
    have_max=1 << 20,
    ids_max=1 << 20,
)


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def reconcile(
    ours: Iterable[tuple[int, bytes]],
    theirs: Iterable[tuple[int, bytes]],
    *,
    frame_bytes_max: int = 0,
    limits: Limits = NO_LIMITS,
) -> Talk:
    return play(
        ReconcileSession(make_view(ours), Role.CLIENT, frame_bytes_max, limits),
        ReconcileSession(make_view(theirs), Role.SERVER, frame_bytes_max, limits),
    )


def serve(items: Iterable[tuple[int, bytes]], message: bytes) -> bytes | None:
    return ReconcileSession(make_view(items), Role.SERVER, 0, NO_LIMITS).receive(message).reply


# ------------------------------------------------------------------------------------------------
# The published vectors


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8100"),
        (300, "822c"),
        (16383, "ff7f"),
        (16384, "818000"),
        (2**31, "8880808000"),
        (1700000000000, "b1bcff95d000"),
        (2**64 - 1, "81ffffffffffffffff7f"),
    ],
)
def test_numbers_have_their_published_bytes(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded


def test_fingerprints_have_their_published_bytes() -> None:
    def fingerprint(*ids: bytes) -> str:
        view = make_view((0, id_) for id_ in ids)
        return view.fingerprint(0, view.size()).hex()

    assert make_id(0).hex().startswith("af5570f5")
    assert make_id(0).hex().endswith("fc")
    assert fingerprint() == "7f9c9e31ac8256ca2f258583df262dbc"
    assert fingerprint(b"\xee" * 32) == "d5530eded759c1cb5749aacb9bc66bb2"
    assert fingerprint(b"\1" + bytes(31), b"\xff" * 32) == "58cc2f44d3a27866874701fbad573da9"
    total = sum(int.from_bytes(make_id(number), "little") for number in range(3))
    assert (total % 2**256).to_bytes(
        32, "little"
    ).hex() == "498176803487629a5fe81a1bbff448e001983c6afbf97fa38704c40241a1c8bc"
    assert compute_fingerprint(total, 3).hex() == "4bf6be1d6a3d05172987b0a6eeaf69d1"
    assert fingerprint(*map(make_id, range(3))) == "4bf6be1d6a3d05172987b0a6eeaf69d1"
    assert fingerprint(*map(make_id, range(200))) == "cf1b0b644550df4052445e68e3bbd703"


def test_an_empty_set_speaks_its_published_bytes() -> None:
    client = ReconcileSession(make_view([]), Role.CLIENT, 0, NO_LIMITS)
    message = client.start()
    assert message.hex() == "6100000200"
    answer = serve([(12345, b"\xee" * 32)], message)
    assert answer is not None
    assert answer.hex() == "6100000201" + "ee" * 32
    step = client.receive(answer)
    assert (step.reply, step.done, step.is_partial) == (None, True, False)
    assert (step.have, step.need) == ((), (b"\xee" * 32,))


def test_the_published_example_gives_the_published_bytes() -> None:
    items = [(1000 + number // 3, make_id(number)) for number in range(40)]
    ours = [item for number, item in enumerate(items) if number not in (5, 17, 33)]
    theirs = [item for number, item in enumerate(items) if number != 8] + [(1007, make_id(100))]
    talk = reconcile(ours, theirs)
    first, answer = talk.messages
    assert len(first) == 316
    assert first.hex().startswith("61876a00014bf6be1d")
    assert first[5 : 5 + 16].hex() == "4bf6be1d6a3d05172987b0a6eeaf69d1"
    assert first[21:].hex().startswith("02014c011fcd4a")
    assert len(answer) == 551
    assert sha256_hex(answer) == "0e94730ef7b654739fc9b0dc26271e1e630094df392fb71825fe88f78b25f2dc"
    assert talk.have == [make_id(8)]
    assert sorted(talk.need) == sorted(map(make_id, (5, 17, 33, 100)))


def test_items_of_one_epoch_are_split_by_their_published_prefixes() -> None:
    view = make_view((5, make_id(number)) for number in range(64))
    message = ReconcileSession(view, Role.CLIENT, 0, NO_LIMITS).start()
    assert len(message) == 321
    assert sha256_hex(message) == "dc1145410a934595eff9d2ac804e6720e07125a2c1efd398c85ba6ecd4da8b04"
    assert message.hex().startswith("6106010d01b9552615")


# ------------------------------------------------------------------------------------------------
# Versions and turns


def test_a_server_names_its_version_and_a_client_gives_up() -> None:
    server = ReconcileSession(make_view([]), Role.SERVER)
    step = server.receive(bytes.fromhex("62aabbccddeeff"))
    assert (step.reply, step.done) == (b"\x61", False)
    assert server.receive(bytes.fromhex("6100000200")).reply == bytes.fromhex("6100000200")
    client = ReconcileSession(make_view([]), Role.CLIENT)
    client.start()
    with pytest.raises(PeerFault, match="version_unsupported"):
        client.receive(b"\x62")


def test_nothing_is_heard_after_the_end() -> None:
    client = ReconcileSession(make_view([]), Role.CLIENT)
    client.start()
    assert client.receive(b"\x61").done
    with pytest.raises(PeerFault, match="session_over"):
        client.receive(b"\x61")
    server = ReconcileSession(make_view([]), Role.SERVER)
    with pytest.raises(PeerFault, match="mode_unknown"):
        server.receive(bytes.fromhex("61000003"))
    with pytest.raises(PeerFault, match="session_over"):
        server.receive(b"\x61")


def test_our_own_misuse_is_ours() -> None:
    with pytest.raises(InvariantBroken):
        ReconcileSession(make_view([]), Role.CLIENT, 4_095)
    with pytest.raises(InvariantBroken):
        ReconcileSession(make_view([]), Role.SERVER).start()
    client = ReconcileSession(make_view([]), Role.CLIENT)
    with pytest.raises(InvariantBroken):
        client.receive(b"\x61")
    client.start()
    with pytest.raises(InvariantBroken):
        client.start()
    with pytest.raises(InvariantBroken, match="twice"):
        make_view([(1, bytes(32)), (2, bytes(32)), (1, bytes(32))])
    with pytest.raises(InvariantBroken):
        Limits(ranges_max=19)
    with pytest.raises(InvariantBroken):
        Limits(have_max=31)


# ------------------------------------------------------------------------------------------------
# The true difference

# Few epochs and few ids, so that sets overlap and ids share prefixes.
ITEMS = st.tuples(
    st.integers(0, 3),
    st.integers(0, 400).map(lambda number: bytes(30) + number.to_bytes(2, "big"))
    | st.integers(0, 400).map(make_id),
)
FULL_SETS = [(number // 50, make_id(number)) for number in range(700)]


@settings(deadline=None, max_examples=60)
@given(
    common=st.integers(0, 700),
    ours=st.sets(ITEMS, max_size=40),
    theirs=st.sets(ITEMS, max_size=40),
    frame_bytes_max=st.sampled_from([0, 4_096, 6_000]),
    ranges_max=st.sampled_from([20, 64, 1_024]),
    have_max=st.sampled_from([32, 100, 10_000]),
)
def test_the_client_learns_the_true_difference(
    common: int,
    ours: set[tuple[int, bytes]],
    theirs: set[tuple[int, bytes]],
    frame_bytes_max: int,
    ranges_max: int,
    have_max: int,
) -> None:
    base = set(FULL_SETS[:common])
    ours, theirs = base | ours, base | theirs
    # An id is in the set under one epoch only.
    ours = {(epoch, id_) for id_, epoch in {id_: epoch for epoch, id_ in sorted(ours)}.items()}
    theirs = {(epoch, id_) for id_, epoch in {id_: epoch for epoch, id_ in sorted(theirs)}.items()}
    limits = Limits(ranges_max=ranges_max, have_max=have_max, rounds_max=1_000)
    talk = reconcile(ours, theirs, frame_bytes_max=frame_bytes_max, limits=limits)
    assert not talk.is_partial
    # An id under two epochs is listed in two ranges: needed in one and held in the other.
    moved = {id_ for _, id_ in ours} & {id_ for _, id_ in theirs}
    assert set(talk.have) - moved == {id_ for _, id_ in ours - theirs} - moved
    assert set(talk.need) - moved == {id_ for _, id_ in theirs - ours} - moved


def test_two_stores_of_100_000_are_made_equal_in_four_rounds() -> None:
    items = [(number // 100, make_id(number)) for number in range(100_000)]
    different = random.Random(7).sample(range(100_000), 100)
    only_ours, only_theirs = set(different[:50]), set(different[50:])
    ours = [item for number, item in enumerate(items) if number not in only_theirs]
    theirs = [item for number, item in enumerate(items) if number not in only_ours]
    client = ReconcileSession(make_view(ours), Role.CLIENT)
    talk = play(client, ReconcileSession(make_view(theirs), Role.SERVER))
    assert sorted(talk.have) == sorted(map(make_id, only_ours))
    assert sorted(talk.need) == sorted(map(make_id, only_theirs))
    # Three rounds without limits; the limit on ranges adds one.
    assert talk.rounds <= 4
    assert talk.size_bytes <= 1_200 * 100
    assert all(len(parse_ranges(message, 1_024)) <= 1_024 for message in talk.messages)


def test_the_largest_epoch_is_spoken_and_the_next_is_infinity() -> None:
    items = [(EPOCH_MAX, make_id(number)) for number in range(60)]
    assert len(reconcile(items, items[:-5]).have) == 5
    assert len(reconcile(items[:-5], items).need) == 5


def test_a_contiguous_tail_costs_little_more_than_its_ids() -> None:
    items = [(number // 100, make_id(number)) for number in range(50_000)]
    talk = reconcile(items[:49_000], items, frame_bytes_max=256 << 10)
    assert len(talk.need) == 1_000
    assert talk.rounds <= 3
    assert talk.size_bytes <= 35 * 1_000


def test_small_frames_only_make_more_rounds() -> None:
    items = [(number // 100, make_id(number)) for number in range(5_000)]
    ours, theirs = items[::2], items[::3]
    talk = reconcile(ours, theirs, frame_bytes_max=4_096)
    assert talk.rounds > 10
    assert all(len(message) <= 4_096 for message in talk.messages)
    assert sorted(talk.have) == sorted(id_ for _, id_ in set(ours) - set(theirs))
    assert sorted(talk.need) == sorted(id_ for _, id_ in set(theirs) - set(ours))


def test_an_empty_node_learns_everything_in_full_frames() -> None:
    items = [(number // 100, make_id(number)) for number in range(100_000)]
    limits = Limits()
    client = ReconcileSession(make_view([]), Role.CLIENT)
    talk = play(client, ReconcileSession(make_view(items), Role.SERVER))
    assert len(talk.need) == 100_000
    assert talk.rounds <= limits.rounds_max


def test_a_peer_that_has_nothing_is_told_so_in_bounded_steps() -> None:
    items = [(number // 10, make_id(number)) for number in range(3_000)]
    limits = Limits(have_max=300, rounds_max=100)
    client = ReconcileSession(make_view(items), Role.CLIENT, limits=limits)
    server = ReconcileSession(make_view([]), Role.SERVER, limits=limits)
    have: list[bytes] = []
    message: bytes | None = client.start()
    while message is not None:
        answer = server.receive(message).reply
        assert answer is not None
        step = client.receive(answer)
        assert len(step.have) <= 300
        have += step.have
        message = step.reply
    assert sorted(have) == sorted(id_ for _, id_ in items)


@pytest.mark.parametrize("limits", [Limits(rounds_max=4), Limits(ids_max=1_000)])
def test_a_client_ends_at_a_limit_with_what_it_has_learnt(limits: Limits) -> None:
    items = {(number // 100, make_id(number)) for number in range(5_000)}
    ours: set[tuple[int, bytes]] = set()
    sessions = 0
    is_partial = True
    epochs = {id_: epoch for epoch, id_ in items}
    while is_partial:
        talk = reconcile(ours, items, frame_bytes_max=8_192, limits=limits)
        assert talk.rounds <= limits.rounds_max
        assert talk.need
        ours |= {(epochs[id_], id_) for id_ in talk.need}
        sessions += 1
        is_partial = talk.is_partial
    assert ours == items
    assert sessions > 3


def test_the_last_fingerprint_covers_the_range_that_did_not_fit() -> None:
    # The peer lists nothing of the first 114 items, which fill our frame, and claims to have
    # nothing from there on. Were the range that does not fit left out of what we say last, we
    # would say "nothing" too, and the peer would take that for agreement.
    view = make_view((number // 2, make_id(number)) for number in range(400))
    nothing = compute_fingerprint(0, 0)
    message = bytes([VERSION]) + b"\x32\0\2\0" + b"\x09\0\2\0" + b"\0\0\1" + nothing
    reply = ReconcileSession(view, Role.SERVER, 4_096).receive(message).reply
    assert reply is not None
    *lists, last = parse_ranges(reply, 1_024)
    assert [range_.mode for range_ in lists] == [Mode.ID_LIST] * 2
    assert last == (INFINITY, Mode.FINGERPRINT, view.fingerprint(114, 400))


def test_a_frame_filled_by_the_very_last_id_says_nothing_after_infinity() -> None:
    view = make_view((number, make_id(number)) for number in range(122))
    reply = ReconcileSession(view, Role.SERVER, 4_096).receive(bytes.fromhex("6100000200")).reply
    assert reply is not None
    assert len(reply) > 4_096 - 200
    (only,) = parse_ranges(reply, 1_024)
    assert (only.bound, len(only.payload)) == (INFINITY, 122 * 32)


def test_a_session_over_some_epochs_leaves_the_others_out() -> None:
    ours = make_view((number // 10, make_id(number)) for number in range(400))
    theirs = make_view((number // 10, make_id(number)) for number in range(100, 500))
    talk = play(
        ReconcileSession(select_epochs(ours, 5, 20), Role.CLIENT),
        ReconcileSession(select_epochs(theirs, 5, 20), Role.SERVER),
    )
    assert sorted(talk.have) == sorted(map(make_id, range(50, 100)))
    assert talk.need == []
    part = SubView(ours, Bound(5, b""), Bound(7, b""))
    assert part.size() == 20
    assert list(part.iterate(0, 2)) == [part.item(0), part.item(1)]
    assert part.find_lower_bound(0, 20, Bound(6, b"")) == 10
    assert part.fingerprint(10, 20) == ours.fingerprint(60, 70)
