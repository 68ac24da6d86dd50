"""The multiplexer by itself, in memory and in virtual time: its bounds, its ends, its clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)
from trio.testing import MockClock

from node.transport.libp2p_self_attack import MemorySecureConn
from node.transport.libp2p_yamux import CLOSED_STREAM_GRACE_S, ReceiveBudget, Yamux
from node.transport.libp2p_yamux_stream import YamuxStream
from node.transport.limits import MIB, TransportLimits
from node.transport.yamux_frames import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_SYN,
    TYPE_DATA,
    TYPE_GO_AWAY,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    WINDOW_BYTES,
    encode_frame,
)

LIMITS = TransportLimits()


class LinkedConn(MemorySecureConn):
    """A secure connection to another of its kind."""

    def __init__(self, *, is_initiator: bool) -> None:
        super().__init__([])
        self.is_initiator = is_initiator
        self._arrivals_send, self._arrivals = trio.open_memory_channel[bytes](8)
        self.other: LinkedConn

    async def read(self, n: int | None = None) -> bytes:
        try:
            return await self._arrivals.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            return b""

    async def write(self, data: bytes) -> None:
        await self.other._arrivals_send.send(data)

    async def close(self) -> None:
        self.closed.set()
        self.other._arrivals_send.close()
        self._arrivals.close()


@asynccontextmanager
async def two_ends(
    limits: TransportLimits = LIMITS, budget: ReceiveBudget | None = None
) -> AsyncIterator[tuple[Yamux, Yamux]]:
    """Yield the two ends of a connection; `budget` is that of the second."""
    ours, theirs = LinkedConn(is_initiator=True), LinkedConn(is_initiator=False)
    ours.other, theirs.other = theirs, ours
    peer = ours.get_remote_peer()
    one = Yamux(ours, peer, limits=limits, budget=ReceiveBudget(64 * MIB))
    two = Yamux(theirs, peer, limits=limits, budget=budget or ReceiveBudget(64 * MIB))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(two.start)
        await one.event_started.wait()
        await two.event_started.wait()
        yield one, two
        await one.close()
        await two.close()


async def open_pair(one: Yamux, two: Yamux) -> tuple[YamuxStream, YamuxStream]:
    """Open a stream and accept it."""
    return await one.open_stream(), await two.accept_stream()


async def read_all(stream: YamuxStream) -> bytes:
    """Return what comes until the other side ends its direction."""
    data = bytearray()
    try:
        while True:
            data += await stream.read(10_000)
    except MuxedStreamEOF:
        return bytes(data)


async def end_after(frames: bytes) -> str:
    """Return why a connection ends on which a peer says `frames`."""
    conn = MemorySecureConn([frames] if frames else [])
    connection = Yamux(
        conn, conn.get_remote_peer(), limits=LIMITS, budget=ReceiveBudget(LIMITS.unread_bytes_max)
    )
    with trio.fail_after(60):
        await connection.start()
    assert conn.closed.is_set()
    return connection.end_reason


async def test_a_direction_can_end_while_the_other_goes_on(autojump_clock: MockClock) -> None:
    async with two_ends() as (one, two):
        ours, theirs = await open_pair(one, two)
        await ours.write(b"question")
        await ours.close_write()
        assert await read_all(theirs) == b"question"
        with pytest.raises(MuxedStreamClosed):
            await ours.write(b"more")
        await theirs.write(b"answer")
        await theirs.close_write()
        assert await read_all(ours) == b"answer"
        assert one._streams == two._streams == {}


async def test_large_data_crosses_in_both_directions_at_once(autojump_clock: MockClock) -> None:
    sent = bytes(range(256)) * 20_000
    async with two_ends() as (one, two):
        ours, theirs = await open_pair(one, two)
        heard: dict[YamuxStream, bytes] = {}

        async def send(stream: YamuxStream) -> None:
            await stream.write(sent)
            await stream.close_write()

        async def hear(stream: YamuxStream) -> None:
            heard[stream] = await read_all(stream)

        async with trio.open_nursery() as nursery:
            for stream in (ours, theirs):
                nursery.start_soon(send, stream)
                nursery.start_soon(hear, stream)
        assert heard == {ours: sent, theirs: sent}
        assert one._budget.bytes_held == two._budget.bytes_held == 0


async def test_a_window_moves_on_with_its_reader_and_never_widens(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as (one, two):
        ours, theirs = await open_pair(one, two)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.write, bytes(20 * MIB))
            read = 0
            while read < 20 * MIB:
                read += len(await theirs.read())
        with trio.move_on_after(1) as patience:
            await ours.write(bytes(20 * MIB))
        assert patience.cancelled_caught
        assert two._budget.bytes_held <= WINDOW_BYTES


async def test_a_stream_of_the_peer_beyond_the_bound_is_reset(autojump_clock: MockClock) -> None:
    few = replace(LIMITS, inbound_streams_max=3, outbound_streams_max=2)
    async with two_ends(few) as (one, two):
        streams = [await open_pair(one, two) for _ in range(2)]
        with pytest.raises(MuxedStreamError, match="2 streams are open"):
            await one.open_stream()
        # One that does not count its own.
        one.limits = replace(LIMITS, outbound_streams_max=40)
        streams.append(await open_pair(one, two))
        refused = await one.open_stream()
        with pytest.raises(MuxedStreamReset):
            await refused.read()
        for ours, theirs in streams:
            await ours.write(b"x")
            assert await theirs.read() == b"x"
        await streams[0][0].reset()
        with pytest.raises(MuxedStreamReset):
            await streams[0][1].read()
        await open_pair(one, two)


async def test_too_many_unread_bytes_end_the_connection_that_holds_most_of_them(
    autojump_clock: MockClock,
) -> None:
    budget = ReceiveBudget(4 * MIB)
    async with (
        two_ends(LIMITS, budget) as (sender, greedy),
        two_ends(LIMITS, budget) as (one, modest),
    ):
        ours, theirs = await open_pair(one, modest)
        await ours.write(bytes(100_000))

        async def fill() -> None:
            for _ in range(20):
                stream = await sender.open_stream()
                await stream.write(bytes(WINDOW_BYTES))

        with pytest.raises((MuxedStreamReset, MuxedConnUnavailable)):
            await fill()
        assert "unread bytes" in greedy.end_reason
        assert not modest.is_closed
        assert len(await theirs.read()) > 0
        assert budget.bytes_held <= 100_000


async def test_a_writer_is_not_kept_waiting_for_ever(autojump_clock: MockClock) -> None:
    async with two_ends() as (one, two):
        ours, theirs = await open_pair(one, two)
        began_s = trio.current_time()
        with pytest.raises(MuxedStreamReset, match="has not read"):
            await ours.write(bytes(2 * MIB))
        assert trio.current_time() - began_s == pytest.approx(LIMITS.write_stall_timeout_s, abs=1)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(MuxedStreamReset):
            await theirs.read()
        assert not one.is_closed


async def test_a_cancelled_write_leaves_the_connection_whole(autojump_clock: MockClock) -> None:
    async with two_ends() as (one, two):
        for number in range(20):
            ours, theirs = await open_pair(one, two)
            with trio.move_on_after(0.001 * number):
                await ours.write(bytes(MIB))
            await ours.reset()
            await theirs.reset()
        ours, theirs = await open_pair(one, two)
        await ours.write(b"fine")
        assert await theirs.read() == b"fine"


async def test_a_stream_closed_on_one_side_only_is_forgotten_after_a_while(
    autojump_clock: MockClock,
) -> None:
    async with two_ends() as (one, two):
        ours, theirs = await open_pair(one, two)
        await ours.close()
        await theirs.write(b"to a reader who has gone")
        await trio.sleep(CLOSED_STREAM_GRACE_S / 2)
        assert len(one._streams) == 1
        await trio.sleep(CLOSED_STREAM_GRACE_S)
        assert one._streams == {}
        with pytest.raises(MuxedStreamReset):
            await theirs.write(b"x")


async def test_a_peer_who_answers_pings_stays_for_an_hour(autojump_clock: MockClock) -> None:
    async with two_ends() as (one, two):
        await trio.sleep(3600)
        assert not one.is_closed
        assert not two.is_closed


async def test_a_silent_peer_is_dropped_after_one_unanswered_ping(
    autojump_clock: MockClock,
) -> None:
    began_s = trio.current_time()
    assert "no answer to a ping" in await end_after(b"")
    wanted_s = LIMITS.ping_every_s + LIMITS.pong_timeout_s
    assert trio.current_time() - began_s == pytest.approx(wanted_s, abs=1)


async def test_an_answer_to_another_ping_is_no_answer(autojump_clock: MockClock) -> None:
    assert "no answer to a ping" in await end_after(encode_frame(TYPE_PING, FLAG_ACK, 0, 9))


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (encode_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 3, 0), "not the peer's to open"),
        (encode_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 2, 0) * 2, "not the peer's to open"),
        (encode_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 2, 0) * 1, "no answer to a ping"),
        (
            encode_frame(TYPE_DATA, FLAG_SYN | FLAG_FIN, 2, 0)
            + encode_frame(TYPE_DATA, 0, 2, 1, b"x"),
            "behind the end",
        ),
        (
            encode_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 2, 2**32 - 1)
            + encode_frame(TYPE_WINDOW_UPDATE, 0, 2, 2**32 - 1),
            "a window of",
        ),
        (
            b"".join(
                encode_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 2 * number, 0)
                for number in range(1, 3_000)
            ),
            "wait for a peer that does not read",
        ),
        (encode_frame(TYPE_GO_AWAY, 0, 0, 0), "the peer is gone"),
        (b"\xff" * 12, "version 255"),
    ],
    ids=["parity", "twice", "once", "after-fin", "window", "syn-flood", "go-away", "garbage"],
)
async def test_a_peer_that_breaks_the_protocol_is_cut_off(
    frames: bytes, reason: str, autojump_clock: MockClock
) -> None:
    assert reason in await end_after(frames)


async def test_when_the_connection_ends_everybody_on_it_is_told(autojump_clock: MockClock) -> None:
    async with two_ends() as (one, two):
        ours, theirs = await open_pair(one, two)
        told: list[str] = []

        async def wait(stream: YamuxStream) -> None:
            with pytest.raises(MuxedStreamReset):
                await stream.read()
            told.append("reader")

        async def write(stream: YamuxStream) -> None:
            with pytest.raises(MuxedStreamReset):
                await stream.write(bytes(MIB))
            told.append("writer")

        async def accept() -> None:
            with pytest.raises(MuxedConnUnavailable):
                await one.accept_stream()
            told.append("acceptor")

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait, ours)
                nursery.start_soon(write, ours)
                nursery.start_soon(accept)
                await trio.sleep(0.1)
                await two.close()
        assert sorted(told) == ["acceptor", "reader", "writer"]
        with pytest.raises(MuxedConnUnavailable):
            await one.open_stream()
        with pytest.raises(MuxedStreamReset):
            await theirs.read()
