"""What every transport promises. The same checks run in memory, behind faults and on libp2p."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

import pytest
import trio

from node.transport.base import (
    GOSSIP_BYTES_MAX,
    GossipMessage,
    GossipValidator,
    PeerEvent,
    PeerName,
    Stream,
    Transport,
    TransportError,
)
from node.transport.limits import TransportLimits
from protocol.errors import InvariantBroken
from storage.errors import StorageError
from tests.support.waiting import PATIENCE_S, receive_soon, wait_until

ECHO = "/test/echo/1"
SILENT = "/test/silent/1"

LIMITS = TransportLimits()


def take_all(data: bytes) -> bool:
    """The validator of those who do not care."""
    return True


class World(Protocol):
    """Where transports of one sort can meet."""

    def open(
        self,
        label: str,
        *,
        validate: GossipValidator = take_all,
        limits: TransportLimits = LIMITS,
    ) -> AbstractAsyncContextManager[Transport]:
        """Open the transport of one peer."""
        ...

    def open_in_place_of(self, transport: Transport) -> AbstractAsyncContextManager[Transport]:
        """Open a transport where `transport` is already."""
        ...

    def find_nobody(self) -> str:
        """Return a well-formed address where nobody is."""
        ...


async def connect(one: Transport, other: Transport) -> None:
    """Dial, and wait until both sides have read about it."""
    await one.dial(other.addresses()[0])
    assert await receive_soon(one.peer_events) == PeerEvent(other.name, connected=True)
    assert await receive_soon(other.peer_events) == PeerEvent(one.name, connected=True)


async def echo(stream: Stream) -> None:
    """Send everything back, to the end."""
    while data := await stream.receive_some(65_536):
        await stream.send_all(data)


async def stay_silent(stream: Stream) -> None:
    """Read nothing, for longer than any test waits."""
    await trio.sleep(PATIENCE_S * 2)


async def receive_exactly(stream: Stream, size: int) -> bytes:
    """Return `size` bytes; fail when they do not come."""
    data = bytearray()
    with trio.fail_after(PATIENCE_S):
        while len(data) < size:
            piece = await stream.receive_some(size - len(data))
            assert piece, f"the stream ended after {len(data)} of {size} bytes"
            data += piece
    return bytes(data)


async def check_usable(one: Transport, other: Transport) -> None:
    """A stream and a message get from `one` to `other`."""
    other.serve(ECHO, echo)
    stream = await one.open_stream(other.name, ECHO)
    await stream.send_all(b"are you there")
    assert await receive_exactly(stream, 13) == b"are you there"
    await stream.aclose()
    await one.publish(b"can you hear me, " + other.name.encode())
    heard = await receive_soon(other.gossip)
    assert heard == GossipMessage(one.name, b"can you hear me, " + other.name.encode())


async def a_dial_connects_both_sides(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        assert await ann.dial(bob.addresses()[0]) == bob.name
        assert ann.peers() == (bob.name,)
        assert await receive_soon(ann.peer_events) == PeerEvent(bob.name, connected=True)
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=True)
        assert bob.peers() == (ann.name,)
        await check_usable(ann, bob)
        await check_usable(bob, ann)


async def a_name_is_the_same_after_a_restart(world: World) -> None:
    async with world.open("ann") as ann:
        name = ann.name
    async with world.open("ann") as ann, world.open("bob") as bob:
        assert ann.name == name != bob.name
        assert ann.addresses()[0].endswith(f"/p2p/{name}")


async def dialling_a_connected_peer_changes_nothing(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        await connect(ann, bob)
        for _ in range(3):
            assert await ann.dial(bob.addresses()[0]) == bob.name
            assert await bob.dial(ann.addresses()[0]) == ann.name
        await ann.disconnect(bob.name)
        assert await receive_soon(ann.peer_events) == PeerEvent(bob.name, connected=False)
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=False)
        assert ann.peers() == bob.peers() == ()


async def dials_that_cross_end_as_one_connection(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ann.dial, bob.addresses()[0])
                nursery.start_soon(bob.dial, ann.addresses()[0])
        assert await receive_soon(ann.peer_events) == PeerEvent(bob.name, connected=True)
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=True)
        with trio.move_on_after(1) as patience:
            await ann.peer_events.receive()
        assert patience.cancelled_caught, "one connection came and another went unseen"
        assert ann.peers() == (bob.name,)
        await check_usable(ann, bob)
        await check_usable(bob, ann)


async def nobody_dials_himself(world: World) -> None:
    async with world.open("ann") as ann:
        with pytest.raises(TransportError, match="dial_self"):
            await ann.dial(ann.addresses()[0])
        assert ann.peers() == ()


async def a_malformed_address_is_refused(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        good = bob.addresses()[0]
        for bad in ("", "nonsense", "/", good.rpartition("/p2p/")[0], f"{good}/p2p/", f"{good}/x"):
            with pytest.raises(TransportError, match="address_malformed"):
                await ann.dial(bad)
        assert ann.peers() == ()


async def dialling_nobody_fails_each_time_and_in_time(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        for _ in range(3):
            with trio.fail_after(PATIENCE_S), pytest.raises(TransportError, match="dial_failed"):
                await ann.dial(world.find_nobody())
        await connect(ann, bob)


async def a_place_that_is_taken_is_refused(world: World) -> None:
    async with world.open("ann") as ann:
        with pytest.raises(TransportError, match="port_in_use"):
            async with world.open_in_place_of(ann):
                pass
    async with world.open_in_place_of(ann) as again, world.open("bob") as bob:
        await bob.dial(again.addresses()[0])


async def disconnecting_ends_what_was_open(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(SILENT, stay_silent)
        await connect(ann, bob)
        stream = await ann.open_stream(bob.name, SILENT)
        await stream.send_all(b"hello")
        await bob.disconnect(ann.name)
        with trio.fail_after(PATIENCE_S), pytest.raises(TransportError, match="stream_failed"):
            await stream.receive_some(1)
        assert await receive_soon(ann.peer_events) == PeerEvent(bob.name, connected=False)
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=False)
        await bob.disconnect(ann.name)
        await bob.disconnect(PeerName("nobody"))


async def a_connection_can_be_made_again_and_works(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        for dialler, dialled in ((ann, bob), (bob, ann), (ann, bob)):
            await connect(dialler, dialled)
            await dialled.disconnect(dialler.name)
            assert not (await receive_soon(ann.peer_events)).connected
            assert not (await receive_soon(bob.peer_events)).connected
        await connect(ann, bob)
        await check_usable(ann, bob)
        await check_usable(bob, ann)


async def leaving_is_noticed(world: World) -> None:
    async with world.open("ann") as ann:
        async with world.open("bob") as bob:
            await connect(ann, bob)
        with trio.fail_after(PATIENCE_S):
            assert await ann.peer_events.receive() == PeerEvent(bob.name, connected=False)
        assert ann.peers() == ()


async def events_that_nobody_read_add_up(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        for _ in range(3):
            await ann.dial(bob.addresses()[0])
            await wait_until(lambda: bob.peers() == (ann.name,))
            await ann.disconnect(bob.name)
            await wait_until(lambda: bob.peers() == ann.peers() == ())
        await ann.dial(bob.addresses()[0])
        known: set[PeerName] = set()
        for _ in range(8):
            with trio.move_on_after(0.5):
                event = await bob.peer_events.receive()
                assert event.connected == (event.peer not in known)
                known ^= {event.peer}
        assert known == {ann.name}


async def a_stream_needs_a_connection(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(ECHO, echo)
        with pytest.raises(TransportError, match="not_connected"):
            await ann.open_stream(bob.name, ECHO)


async def an_unknown_protocol_is_refused(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        await connect(ann, bob)
        with pytest.raises(TransportError, match="protocol_unsupported"):
            await ann.open_stream(bob.name, "/test/unheard-of/1")
        await check_usable(ann, bob)


async def bytes_arrive_in_order_both_ways(world: World) -> None:
    sent = bytes(range(256)) * 8192
    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(ECHO, echo)
        await connect(ann, bob)
        stream = await ann.open_stream(bob.name, ECHO)
        assert stream.peer == bob.name

        async def send() -> None:
            for at in range(0, len(sent), 300_001):
                await stream.send_all(sent[at : at + 300_001])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            assert await receive_exactly(stream, len(sent)) == sent
        await stream.aclose()


async def a_writer_waits_for_a_reader(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(SILENT, stay_silent)
        await connect(ann, bob)
        stream = await ann.open_stream(bob.name, SILENT)
        with trio.move_on_after(0.3) as patience:
            await stream.send_all(bytes(64 << 20))
        assert patience.cancelled_caught
        await stream.reset()
        await check_usable(ann, bob)


async def concurrent_writes_do_not_interleave(world: World) -> None:
    size = 200_000
    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(ECHO, echo)
        await connect(ann, bob)
        stream = await ann.open_stream(bob.name, ECHO)
        async with trio.open_nursery() as nursery:
            for letter in b"abcde":
                nursery.start_soon(stream.send_all, bytes([letter]) * size)
            data = await receive_exactly(stream, 5 * size)
        runs = {data[at : at + size] for at in range(0, 5 * size, size)}
        assert runs == {bytes([letter]) * size for letter in b"abcde"}


async def what_was_sent_before_the_end_arrives(world: World) -> None:
    arrived: list[bytes] = []
    done = trio.Event()

    async def collect(stream: Stream) -> None:
        data = bytearray()
        while piece := await stream.receive_some(1000):
            data += piece
        arrived.append(bytes(data))
        assert await stream.receive_some(1000) == b""
        done.set()

    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(ECHO, collect)
        await connect(ann, bob)
        stream = await ann.open_stream(bob.name, ECHO)
        await stream.send_all(b"x" * 150_000)
        await stream.aclose()
        with trio.fail_after(PATIENCE_S):
            await done.wait()
    assert arrived == [b"x" * 150_000]


async def a_closed_stream_says_so(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(ECHO, echo)
        await connect(ann, bob)
        for end in ("aclose", "reset"):
            stream = await ann.open_stream(bob.name, ECHO)
            await getattr(stream, end)()
            with pytest.raises(TransportError, match="stream_closed"):
                await stream.send_all(b"x")
            with pytest.raises(TransportError, match="stream_closed"):
                await stream.receive_some(1)
            await stream.aclose()
            await stream.reset()


async def a_reset_fails_the_calls_of_the_other_side(world: World) -> None:
    seen: list[str] = []
    done = trio.Event()

    async def watch(stream: Stream) -> None:
        try:
            while await stream.receive_some(1000):
                pass
        except TransportError as error:
            seen.append(error.code)
        finally:
            done.set()

    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(ECHO, watch)
        await connect(ann, bob)
        stream = await ann.open_stream(bob.name, ECHO)
        await stream.send_all(b"x")
        await stream.reset()
        with trio.fail_after(PATIENCE_S):
            await done.wait()
    assert seen == ["stream_failed"]


async def a_handler_that_raises_ends_one_stream_only(world: World) -> None:
    async def fail(stream: Stream) -> None:
        await stream.receive_some(1)
        raise RuntimeError("what a bug does")

    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve("/test/bug/1", fail)
        await connect(ann, bob)
        for _ in range(3):
            stream = await ann.open_stream(bob.name, "/test/bug/1")
            await stream.send_all(b"x")
            with trio.fail_after(PATIENCE_S), pytest.raises(TransportError, match="stream_failed"):
                await stream.receive_some(1)
            await stream.aclose()
        await check_usable(ann, bob)
        await check_usable(bob, ann)


async def a_broken_invariant_is_not_contained(world: World) -> None:
    await check_not_contained(world, InvariantBroken("what must not be"))


async def a_failing_disk_is_not_contained(world: World) -> None:
    await check_not_contained(world, StorageError("disk_failed", "an I/O error", "a disk"))


async def check_not_contained(world: World, failure: Exception) -> None:
    async def break_it(stream: Stream) -> None:
        raise failure

    broken = []
    async with world.open("ann") as ann:
        try:
            with trio.fail_after(PATIENCE_S):
                async with world.open("bob") as bob:
                    bob.serve(ECHO, break_it)
                    await ann.dial(bob.addresses()[0])
                    await ann.open_stream(bob.name, ECHO)
                    await trio.sleep_forever()
        except* (InvariantBroken, StorageError) as errors:
            broken += [errors]
        assert broken
        await wait_until(lambda: ann.peers() == ())


async def many_streams_follow_each_other(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        bob.serve(ECHO, echo)
        await connect(ann, bob)
        for number in range(200):
            stream = await ann.open_stream(bob.name, ECHO)
            await stream.send_all(b"%d" % number)
            assert await receive_exactly(stream, len(b"%d" % number)) == b"%d" % number
            await stream.aclose()


async def gossip_reaches_everybody_once(world: World) -> None:
    async with (
        world.open("ann") as ann,
        world.open("bob") as bob,
        world.open("eve") as eve,
    ):
        await connect(ann, bob)
        await connect(bob, eve)
        await ann.publish(b"first")
        assert await receive_soon(bob.gossip) == GossipMessage(ann.name, b"first")
        assert await receive_soon(eve.gossip) == GossipMessage(bob.name, b"first")
        await eve.dial(ann.addresses()[0])
        await eve.publish(b"second")
        heard = [await receive_soon(ann.gossip), await receive_soon(bob.gossip)]
        assert [message.data for message in heard] == [b"second", b"second"]
        for transport in (ann, bob, eve):
            with trio.move_on_after(0.3) as patience:
                await transport.gossip.receive()
            assert patience.cancelled_caught, "a message came twice, or back to its author"


async def the_same_bytes_travel_once(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        await connect(ann, bob)
        for data in (b"one", b"one", b"two", b"one"):
            await ann.publish(data)
        assert (await receive_soon(bob.gossip)).data == b"one"
        assert (await receive_soon(bob.gossip)).data == b"two"
        await bob.publish(b"one")
        await bob.publish(b"three")
        assert (await receive_soon(ann.gossip)).data == b"three"


async def what_the_validator_refuses_goes_nowhere(world: World) -> None:
    async with (
        world.open("ann") as ann,
        world.open("bob", validate=lambda data: data.startswith(b"good")) as bob,
        world.open("eve") as eve,
    ):
        await connect(ann, bob)
        await connect(bob, eve)
        await ann.publish(b"bad")
        await ann.publish(b"good")
        assert (await receive_soon(bob.gossip)).data == b"good"
        assert (await receive_soon(eve.gossip)).data == b"good"


async def a_message_has_a_largest_size(world: World) -> None:
    async with world.open("ann") as ann, world.open("bob") as bob:
        await connect(ann, bob)
        with pytest.raises(TransportError, match="gossip_too_large"):
            await ann.publish(bytes(GOSSIP_BYTES_MAX + 1))
        await ann.publish(bytes(GOSSIP_BYTES_MAX))
        assert len((await receive_soon(bob.gossip)).data) == GOSSIP_BYTES_MAX
        await ann.publish(b"")
        assert (await receive_soon(bob.gossip)).data == b""


async def publishing_to_nobody_is_no_error(world: World) -> None:
    async with world.open("ann") as ann:
        await ann.publish(b"is there anybody")


async def what_a_slow_reader_misses_is_counted(world: World) -> None:
    small = replace(LIMITS, gossip_inbox_max=10)
    async with world.open("ann") as ann, world.open("bob", limits=small) as bob:
        await connect(ann, bob)
        for number in range(100):
            await ann.publish(b"%d" % number)
        await wait_until(lambda: bob.gossip_dropped >= 80)
        kept = []
        with trio.move_on_after(0.5):
            while True:
                kept.append((await bob.gossip.receive()).data)
        assert len(kept) == len(set(kept)) >= 10
        assert len(kept) + bob.gossip_dropped == 100
        assert ann.gossip_dropped == 0


Promise = Callable[[World], Awaitable[None]]

CONTRACT: tuple[Promise, ...] = (
    a_dial_connects_both_sides,
    a_name_is_the_same_after_a_restart,
    dialling_a_connected_peer_changes_nothing,
    dials_that_cross_end_as_one_connection,
    nobody_dials_himself,
    a_malformed_address_is_refused,
    dialling_nobody_fails_each_time_and_in_time,
    a_place_that_is_taken_is_refused,
    disconnecting_ends_what_was_open,
    a_connection_can_be_made_again_and_works,
    leaving_is_noticed,
    events_that_nobody_read_add_up,
    a_stream_needs_a_connection,
    an_unknown_protocol_is_refused,
    bytes_arrive_in_order_both_ways,
    a_writer_waits_for_a_reader,
    concurrent_writes_do_not_interleave,
    what_was_sent_before_the_end_arrives,
    a_closed_stream_says_so,
    a_reset_fails_the_calls_of_the_other_side,
    a_handler_that_raises_ends_one_stream_only,
    a_broken_invariant_is_not_contained,
    a_failing_disk_is_not_contained,
    many_streams_follow_each_other,
    gossip_reaches_everybody_once,
    the_same_bytes_travel_once,
    what_the_validator_refuses_goes_nowhere,
    a_message_has_a_largest_size,
    publishing_to_nobody_is_no_error,
    what_a_slow_reader_misses_is_counted,
)
