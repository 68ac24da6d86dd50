"""The parts that transports are made of, each alone: door, inboxes, seen ids, addresses, frames."""

from dataclasses import replace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from node.transport.base import (
    GossipMessage,
    PeerEvent,
    PeerName,
    TransportError,
    read_peer_name,
)
from node.transport.contexts import raising_plainly
from node.transport.doorkeeper import Doorkeeper, Ticket
from node.transport.inbox import GossipInbox, PeerEventInbox
from node.transport.limits import TransportLimits
from node.transport.memory import MemoryNetwork
from node.transport.peer_log import LineBudget, clean_text
from node.transport.seen import SeenIds, compute_gossip_id
from node.transport.tcp_address import parse_tcp_address
from node.transport.yamux_frames import (
    FLAG_SYN,
    FRAME_BYTES_MAX,
    TYPE_DATA,
    TYPE_WINDOW_UPDATE,
    Frame,
    FrameReader,
    YamuxFault,
    encode_frame,
)

LIMITS = TransportLimits()
ANN = PeerName("ann")
BOB = PeerName("bob")
PEER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


def fill(door: Doorkeeper, address: str, count: int) -> list[Ticket]:
    """Admit as many as get in, each past his handshake; return their tickets."""
    tickets = []
    for _ in range(count):
        ticket = door.admit(address, lambda: None)
        if ticket is not None:
            door.confirm(ticket)
            tickets.append(ticket)
    return tickets


@pytest.mark.parametrize(
    ("addresses", "places"),
    [
        (["127.0.0.1"], LIMITS.connections_per_loopback_max),
        (["::1", "127.0.0.1", "::ffff:127.0.0.9"], LIMITS.connections_per_loopback_max),
        (["10.1.2.3"], LIMITS.connections_per_address_max),
        (["10.1.2.3", "10.1.2.4", "10.1.2.5"], LIMITS.connections_per_group_max),
        (["2001:db8::1", "2001:db8::2"], LIMITS.connections_per_address_max),
        (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"], 8),
        (["fe80::1%eth0", "fe80::2%eth1"], LIMITS.connections_per_address_max),
        (["not an address", "nor this"], LIMITS.connections_per_address_max),
    ],
)
def test_an_address_and_its_group_have_so_many_places(addresses: list[str], places: int) -> None:
    door = Doorkeeper(LIMITS)
    admitted = [ticket for one in addresses for ticket in fill(door, one, 100)]
    assert len(admitted) == places
    assert door.admit(addresses[0], lambda: None) is None
    door.leave(admitted[0])
    assert door.admit(addresses[0], lambda: None) is not None


def test_all_places_together_are_bounded() -> None:
    door = Doorkeeper(LIMITS)
    admitted = [ticket for one in range(200) for ticket in fill(door, f"10.{one}.0.1", 2)]
    assert len(admitted) == door.connections_open == LIMITS.inbound_connections_max
    for ticket in admitted:
        door.leave(ticket)
    assert door.connections_open == 0
    assert len(fill(door, "10.0.0.1", 100)) == LIMITS.connections_per_address_max


def test_one_half_open_connection_too_many_ends_the_oldest() -> None:
    door = Doorkeeper(LIMITS)
    evicted: list[int] = []

    def admit(number: int) -> Ticket:
        ticket = door.admit("127.0.0.1", lambda: evicted.append(number))
        assert ticket is not None
        return ticket

    tickets = [admit(number) for number in range(LIMITS.half_open_max)]
    door.confirm(tickets[0])
    admit(100)
    assert evicted == []
    admit(101)
    assert evicted == [1]
    door.leave(tickets[1])
    door.leave(tickets[2])
    admit(102)
    assert evicted == [1]


def test_handshakes_come_in_a_burst_and_then_at_their_rate() -> None:
    door = Doorkeeper(replace(LIMITS, handshakes_per_s=10.0, handshakes_burst=3))
    assert [door.take_handshake(100.0) for _ in range(3)] == [0, 0, 0]
    assert door.take_handshake(100.0) == pytest.approx(0.1)
    assert door.take_handshake(100.05) == pytest.approx(0.05)
    assert door.take_handshake(100.11) == 0
    assert [door.take_handshake(1000.0) for _ in range(3)] == [0, 0, 0]
    assert door.take_handshake(1000.0) > 0


@pytest.mark.parametrize(
    "change",
    [
        {"gossip_inbox_bytes_max": 1000},
        {"unread_bytes_max": 1 << 20},
        {"outbound_streams_max": 64},
        {"half_open_max": 65},
        {"connections_per_address_max": 9},
        {"connections_per_loopback_max": 65},
        {"pong_timeout_s": 0.0},
        {"handshakes_burst": 0},
    ],
)
def test_limits_that_contradict_each_other_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        replace(LIMITS, **change)


async def test_a_full_gossip_inbox_drops_the_newest_by_number_and_by_bytes(
    autojump_clock: MockClock,
) -> None:
    for inbox in (
        GossipInbox(messages_max=3, bytes_max=1000),
        GossipInbox(messages_max=100, bytes_max=7),
    ):
        for number in range(5):
            inbox.put(GossipMessage(ANN, b"%d" % number * 2))
        assert inbox.dropped == 2
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(inbox.run)
                for number in range(3):
                    assert (await inbox.receive_channel.receive()).data == b"%d" % number * 2
                inbox.put(GossipMessage(ANN, b"late"))
                assert (await inbox.receive_channel.receive()).data == b"late"
        assert inbox.dropped == 2


async def test_a_reader_who_hangs_up_ends_the_inbox(autojump_clock: MockClock) -> None:
    inbox = GossipInbox(messages_max=3, bytes_max=1000)
    inbox.receive_channel.close()
    inbox.put(GossipMessage(ANN, b"x"))
    with trio.fail_after(1):
        await inbox.run()


@given(st.lists(st.booleans(), max_size=60), st.data())
def test_what_a_slow_reader_hears_adds_up_to_who_is_connected(
    readings: list[bool], data: st.DataObject
) -> None:
    async def live() -> None:
        inbox = PeerEventInbox()
        connected: set[PeerName] = set()
        known: set[PeerName] = set()

        async def read() -> None:
            event = await inbox.receive_channel.receive()
            assert event.connected == (event.peer not in known)
            known.symmetric_difference_update({event.peer})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(inbox.run)
            for is_reading in readings:
                if is_reading:
                    with trio.move_on_after(1):
                        await read()
                else:
                    peer = data.draw(st.sampled_from([ANN, BOB]))
                    connected ^= {peer}
                    inbox.put(PeerEvent(peer, connected=peer in connected))
                    assert len(inbox._queue) <= 5
            with trio.move_on_after(1):
                while True:
                    await read()
            assert known == connected
            nursery.cancel_scope.cancel()

    trio.run(live, clock=MockClock(autojump_threshold=0))


async def test_seen_ids_are_forgotten_by_age_and_by_number(autojump_clock: MockClock) -> None:
    seen = SeenIds(ttl_s=10, ids_max=3)
    assert seen.add(b"a")
    assert not seen.add(b"a")
    await trio.sleep(6)
    assert seen.add(b"b")
    await trio.sleep(6)
    assert not seen.has(b"a")
    assert seen.has(b"b")
    assert seen.add(b"a")
    for one in (b"c", b"d", b"e"):
        assert seen.add(one)
    assert len(seen) == 3
    assert not seen.has(b"b")
    assert compute_gossip_id(b"x") == compute_gossip_id(b"x") != compute_gossip_id(b"y")


@pytest.mark.parametrize(
    "text",
    [
        f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}",
        f"/ip6/::1/tcp/0/p2p/{PEER}",
        f"/dns4/seed-1.example.org/tcp/65535/p2p/{PEER}",
        "/ip4/0.0.0.0/tcp/0",
    ],
)
def test_a_well_formed_address_is_read_and_written_alike(text: str) -> None:
    assert str(parse_tcp_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "127.0.0.1:4001",
        "/ip4/127.0.0.1/tcp",
        "/ip4/127.0.0.1/tcp/",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/-1",
        "/ip4/127.0.0.1/tcp/١",
        "/ip4/127.0.0.1/udp/1",
        "/ip4/127.0.0.01/tcp/1",
        "/ip4/::1/tcp/1",
        "/ip6/127.0.0.1/tcp/1",
        "/ip5/127.0.0.1/tcp/1",
        "/dns4//tcp/1",
        "/dns4/a..b/tcp/1",
        "/dns4/ex ample/tcp/1",
        "/ip4/127.0.0.1/tcp/1/p2p",
        "/ip4/127.0.0.1/tcp/1/p2p/",
        "/ip4/127.0.0.1/tcp/1/p2p/a b",
        "/ip4/127.0.0.1/tcp/1/ws/x",
        f"/ip4/127.0.0.1/tcp/1/p2p/{PEER}/p2p-circuit",
        "x" * 10_000,
    ],
)
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(TransportError, match="address_malformed"):
        parse_tcp_address(text)


@given(st.text())
def test_any_other_text_is_refused_in_the_same_way(text: str) -> None:
    for read in (parse_tcp_address, read_peer_name):
        try:
            read(text)
        except TransportError as error:
            assert error.code == "address_malformed"  # noqa: PT017 - it need not raise


FRAMES = st.one_of(
    st.builds(
        lambda flags, stream_id, payload: Frame(TYPE_DATA, flags, stream_id, len(payload), payload),
        st.integers(0, 15),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=100),
    ),
    st.builds(
        lambda kind, flags, stream_id, value: Frame(kind, flags, stream_id, value, b""),
        st.integers(1, 3),
        st.integers(0, 15),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
    ),
)


@given(st.lists(FRAMES, max_size=8), st.integers(1, 40))
def test_frames_come_out_of_any_cut_of_their_bytes(frames: list[Frame], piece: int) -> None:
    sent = b"".join(encode_frame(*frame) for frame in frames)
    reader = FrameReader()
    heard = [
        frame for at in range(0, len(sent), piece) for frame in reader.feed(sent[at : at + piece])
    ]
    assert heard == frames


@pytest.mark.parametrize(
    "header",
    [
        encode_frame(TYPE_DATA, FLAG_SYN, 1, FRAME_BYTES_MAX + 1),
        b"\x01" + encode_frame(TYPE_WINDOW_UPDATE, 0, 1, 1)[1:],
        b"\x00\x04" + bytes(10),
    ],
    ids=["too-long", "version", "type"],
)
def test_a_bad_header_is_refused_before_its_payload_is_waited_for(header: bytes) -> None:
    with pytest.raises(YamuxFault):
        list(FrameReader().feed(header))


@given(st.lists(st.binary(max_size=50)))
def test_garbage_is_a_fault_or_frames_and_nothing_else(pieces: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces:
            assert all(len(frame.payload) <= FRAME_BYTES_MAX for frame in reader.feed(piece))
    except YamuxFault:
        pass


def test_lines_beyond_the_budget_are_counted_in_the_next_that_passes() -> None:
    budget = LineBudget(2)
    assert [budget.take(1.1), budget.take(1.2), budget.take(1.3), budget.take(1.9)] == [
        0,
        0,
        None,
        None,
    ]
    assert budget.take(2.0) == 2
    assert budget.take(2.1) == 0


def test_text_of_peers_is_logged_on_one_line_without_control_characters() -> None:
    cleaned = clean_text("a\nb\x1b[31m\u202ec" + "d" * 1000)
    assert cleaned.startswith("a\\nb\\x1b[31m\\u202ecd")
    assert len(cleaned) < 300
    assert cleaned.isprintable()


async def test_what_a_block_raises_comes_out_of_a_transport_as_it_went_in() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with MemoryNetwork().open("ann"):
            raise KeyError("mine")
    with trio.move_on_after(0) as scope:
        async with raising_plainly(MemoryNetwork().open("ann")):
            await trio.sleep_forever()
    assert scope.cancelled_caught
