"""The network in memory keeps the contract of transports, bare and with fault rules around it."""

import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.transport.base import GossipValidator, PeerEvent, Stream, Transport, TransportError
from node.transport.fault_rules import CLEAR, IN, OUT, FaultRules, LinkRule
from node.transport.faults import FaultyTransport, open_faulty_transport
from node.transport.limits import TransportLimits
from node.transport.memory import MemoryNetwork
from tests.support.transport_contract import (
    CONTRACT,
    ECHO,
    LIMITS,
    Promise,
    check_usable,
    connect,
    echo,
    receive_exactly,
    take_all,
)
from tests.support.waiting import receive_soon, wait_until


class MemoryWorld:
    def __init__(self) -> None:
        self.network = MemoryNetwork()

    def open(
        self,
        label: str,
        *,
        validate: GossipValidator = take_all,
        limits: TransportLimits = LIMITS,
    ) -> AbstractAsyncContextManager[Transport]:
        return self.network.open(label, validate=validate, limits=limits)

    def open_in_place_of(self, transport: Transport) -> AbstractAsyncContextManager[Transport]:
        return self.network.open(transport.name)

    def find_nobody(self) -> str:
        return "/memory/nobody/p2p/nobody"


class FaultyWorld(MemoryWorld):
    """Everybody has a wrapper around him, whose rules say nothing."""

    @asynccontextmanager
    async def open(
        self,
        label: str,
        *,
        validate: GossipValidator = take_all,
        limits: TransportLimits = LIMITS,
    ) -> AsyncIterator[Transport]:
        async with (
            self.network.open(label, validate=validate) as inner,
            open_faulty_transport(inner, FaultRules(random.Random(1)), limits) as outer,
        ):
            yield outer


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
async def test_the_memory_transport_keeps_its_promise(
    promise: Promise, autojump_clock: MockClock
) -> None:
    await promise(MemoryWorld())


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
async def test_the_faulty_transport_without_a_rule_keeps_its_promise(
    promise: Promise, autojump_clock: MockClock
) -> None:
    await promise(FaultyWorld())


async def test_a_cut_in_the_network_parts_two_groups_until_it_is_healed(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork()
    async with network.open("ann") as ann, network.open("bob") as bob, network.open("eve") as eve:
        await connect(ann, bob)
        await connect(bob, eve)
        network.cut([ann.name], [bob.name, eve.name])
        assert await receive_soon(ann.peer_events) == PeerEvent(bob.name, connected=False)
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=False)
        assert bob.peers() == (eve.name,)
        for dialler, dialled in ((ann, eve), (bob, ann)):
            with pytest.raises(TransportError, match="dial_failed"):
                await dialler.dial(dialled.addresses()[0])
        network.heal()
        assert ann.peers() == ()
        await connect(ann, bob)
        await check_usable(ann, bob)


@asynccontextmanager
async def three_around_a_faulty_one() -> AsyncIterator[
    tuple[FaultyTransport, Transport, Transport]
]:
    """Yield ann, who has fault rules, and bob and eve, connected to her."""
    network = MemoryNetwork()
    async with (
        network.open("ann") as inner,
        open_faulty_transport(inner, FaultRules(random.Random(1))) as ann,
        network.open("bob") as bob,
        network.open("eve") as eve,
    ):
        await connect(ann, bob)
        await connect(eve, ann)
        yield ann, bob, eve


async def test_a_peer_that_is_alone_has_no_connection_and_keeps_its_cuts(
    autojump_clock: MockClock,
) -> None:
    async with three_around_a_faulty_one() as (ann, bob, eve):
        await ann.cut([eve.name])
        await ann.set_alone(on=True)
        assert (ann.peers(), ann.cut_peers) == ((), (eve.name,))
        for one in (eve, bob):
            assert await receive_soon(ann.peer_events) == PeerEvent(one.name, connected=False)
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=False)
        with pytest.raises(TransportError, match="link_cut"):
            await ann.dial(bob.addresses()[0])
        # Who does not know it yet gets through, and is sent away.
        await bob.dial(ann.addresses()[0])
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=True)
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=False)
        await ann.set_alone(on=False)
        assert ann.peers() == ()
        await connect(bob, ann)
        await check_usable(ann, bob)
        with pytest.raises(TransportError, match="link_cut"):
            await ann.dial(eve.addresses()[0])


async def test_off_topic_nothing_is_heard_told_or_passed_on_and_streams_work(
    autojump_clock: MockClock,
) -> None:
    network, rules = MemoryNetwork(), FaultRules(random.Random(1))
    async with (
        network.open("ann", validate=rules.guard(take_all)) as inner,
        open_faulty_transport(inner, rules) as ann,
        network.open("bob") as bob,
        network.open("eve") as eve,
    ):
        await connect(ann, bob)
        await connect(eve, ann)
        bob.serve(ECHO, echo)
        ann.set_off_topic(on=True)
        await bob.publish(b"from bob")
        await ann.publish(b"from ann")
        stream = await ann.open_stream(bob.name, ECHO)
        await stream.send_all(b"x")
        assert await stream.receive_some(1) == b"x"
        await wait_all_tasks_blocked()
        ann.set_off_topic(on=False)
        await bob.publish(b"later")
        # What was said meanwhile is lost to all three, for good.
        assert (await receive_soon(ann.gossip)).data == b"later"
        assert (await receive_soon(eve.gossip)).data == b"later"
        await ann.publish(b"and back")
        assert (await receive_soon(bob.gossip)).data == b"and back"


async def test_a_cut_peer_is_disconnected_and_the_others_are_not(autojump_clock: MockClock) -> None:
    async with three_around_a_faulty_one() as (ann, bob, eve):
        bob.serve(ECHO, echo)
        stream = await ann.open_stream(bob.name, ECHO)
        await ann.cut([bob.name])
        assert ann.cut_peers == (bob.name,)
        assert ann.peers() == (eve.name,)
        assert await receive_soon(ann.peer_events) == PeerEvent(bob.name, connected=False)
        assert await receive_soon(bob.peer_events) == PeerEvent(ann.name, connected=False)
        with pytest.raises(TransportError, match="link_cut"):
            await stream.send_all(b"x")
        with pytest.raises(TransportError, match="link_cut"):
            await stream.receive_some(1)
        with pytest.raises(TransportError, match="link_cut"):
            await ann.open_stream(bob.name, ECHO)
        with pytest.raises(TransportError, match="link_cut"):
            await ann.dial(bob.addresses()[0])
        await check_usable(ann, eve)


async def test_a_cut_peer_that_dials_is_thrown_out_and_never_shown(
    autojump_clock: MockClock,
) -> None:
    async with three_around_a_faulty_one() as (ann, bob, eve):
        await ann.cut([bob.name])
        assert not (await receive_soon(ann.peer_events)).connected
        served: list[str] = []

        async def count(stream: Stream) -> None:
            served.append(stream.peer)

        ann.serve(ECHO, count)
        for _ in range(3):
            await bob.dial(ann.addresses()[0])
            await wait_until(lambda: bob.peers() == ())
        await eve.disconnect(ann.name)
        assert await receive_soon(ann.peer_events) == PeerEvent(eve.name, connected=False)
        assert served == []


async def test_a_stream_of_a_cut_peer_is_reset_before_it_is_served(
    autojump_clock: MockClock,
) -> None:
    async with three_around_a_faulty_one() as (ann, bob, _):
        served: list[str] = []

        async def count(stream: Stream) -> None:
            served.append(stream.peer)

        ann.serve(ECHO, count)
        async with trio.open_nursery() as nursery:
            stream = await bob.open_stream(ann.name, ECHO)
            nursery.start_soon(ann.cut, [bob.name])
            with pytest.raises(TransportError, match="stream_failed"):
                await stream.receive_some(1)
        assert served == []


async def test_gossip_of_a_cut_peer_is_not_heard(autojump_clock: MockClock) -> None:
    async with three_around_a_faulty_one() as (ann, bob, eve):
        await bob.publish(b"under way when the rule comes")
        await ann.cut([bob.name])
        await eve.publish(b"of another")
        assert (await receive_soon(ann.gossip)).data == b"of another"


async def test_after_healing_a_peer_can_be_dialled_again(autojump_clock: MockClock) -> None:
    async with three_around_a_faulty_one() as (ann, bob, eve):
        await ann.cut([bob.name, eve.name])
        for _ in range(2):
            assert not (await receive_soon(ann.peer_events)).connected
        assert not (await receive_soon(bob.peer_events)).connected
        ann.heal([bob.name])
        assert ann.cut_peers == (eve.name,)
        await connect(ann, bob)
        await check_usable(bob, ann)
        ann.heal()
        assert not ann.cut_peers


async def test_a_slow_peer_gets_and_is_heard_late(autojump_clock: MockClock) -> None:
    async with three_around_a_faulty_one() as (ann, bob, eve):
        ann.set_link(bob.name, LinkRule(latency_ms=2_000))
        bob.serve(ECHO, echo)
        began_s = trio.current_time()
        stream = await ann.open_stream(bob.name, ECHO)
        await stream.send_all(b"x")
        assert await receive_exactly(stream, 1) == b"x"
        assert trio.current_time() - began_s == pytest.approx(4, abs=0.1)
        began_s = trio.current_time()
        await bob.publish(b"slow")
        await eve.publish(b"quick")
        assert (await receive_soon(ann.gossip)).data == b"quick"
        assert trio.current_time() - began_s < 0.1
        assert (await receive_soon(ann.gossip)).data == b"slow"
        assert trio.current_time() - began_s == pytest.approx(2, abs=0.1)
        ann.set_link(bob.name, CLEAR)
        began_s = trio.current_time()
        await stream.send_all(b"y")
        assert await receive_exactly(stream, 1) == b"y"
        assert trio.current_time() - began_s < 0.1


async def test_who_is_deaf_to_a_peer_is_still_heard_by_it(autojump_clock: MockClock) -> None:
    async with three_around_a_faulty_one() as (ann, bob, eve):
        heard: list[bytes] = []

        async def listen(stream: Stream) -> None:
            heard.append(await receive_exactly(stream, 4))
            await stream.send_all(b"back")

        bob.serve(ECHO, listen)
        stream = await ann.open_stream(bob.name, ECHO)
        ann.deafen([bob.name])
        assert ann.deaf_peers == (bob.name,)
        assert bob.name in ann.peers()
        await stream.send_all(b"forth"[:4])
        with trio.move_on_after(100) as scope:
            await stream.receive_some(4)
        assert scope.cancelled_caught
        assert heard == [b"fort"]
        await bob.publish(b"unheard")
        await eve.publish(b"of another")
        assert (await receive_soon(ann.gossip)).data == b"of another"
        ann.heal()
        bob.serve(ECHO, echo)
        again = await ann.open_stream(bob.name, ECHO)
        await again.send_all(b"x")
        assert await receive_exactly(again, 1) == b"x"


async def test_a_narrow_link_lets_messages_wait_for_their_turn(autojump_clock: MockClock) -> None:
    async with three_around_a_faulty_one() as (ann, bob, _):
        ann.set_link(bob.name, LinkRule(bandwidth=1_000), [IN])
        began_s = trio.current_time()
        for place in range(3):
            await bob.publish(bytes([place]) * 1_000)
        for place in range(3):
            assert (await receive_soon(ann.gossip)).data[0] == place
            assert trio.current_time() - began_s == pytest.approx(1 + place, abs=0.1)


async def test_a_link_that_breaks_breaks_again_after_as_many_bytes(
    autojump_clock: MockClock,
) -> None:
    async with three_around_a_faulty_one() as (ann, bob, _):
        ann.set_link(bob.name, LinkRule(reset_after=10), [OUT])
        bob.serve(ECHO, echo)
        for _ in range(2):
            stream = await ann.open_stream(bob.name, ECHO)
            await stream.send_all(b"123456789")
            assert await receive_exactly(stream, 9) == b"123456789"
            with pytest.raises(TransportError, match="stream_failed"):
                await stream.send_all(b"0")
        ann.set_link(bob.name, CLEAR)
        stream = await ann.open_stream(bob.name, ECHO)
        await stream.send_all(bytes(100))
        assert await receive_exactly(stream, 100) == bytes(100)


async def test_jitter_is_drawn_from_the_generator_that_was_given(
    autojump_clock: MockClock,
) -> None:
    async with three_around_a_faulty_one() as (ann, bob, _):
        ann.set_link(bob.name, LinkRule(latency_ms=100, jitter_ms=1_000))
        bob.serve(ECHO, echo)
        draws = random.Random(1)
        for _ in range(3):
            began_s = trio.current_time()
            await ann.open_stream(bob.name, ECHO)
            wanted_ms = 100 + draws.randint(0, 1_000)
            assert trio.current_time() - began_s == pytest.approx(wanted_ms / 1_000, abs=0.001)
