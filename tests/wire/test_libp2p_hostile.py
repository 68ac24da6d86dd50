"""What hostile peers do over real sockets, and the node that lives on."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
import pytest
import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.pubsub.pb import rpc_pb2

from node.transport.base import PeerEvent, Transport, TransportError
from node.transport.libp2p_gossip import encode_rpc
from node.transport.libp2p_host import Libp2pTransport
from node.transport.limits import MIB
from node.transport.yamux_frames import (
    FLAG_SYN,
    PAYLOAD_BYTES_MAX,
    TYPE_DATA,
    TYPE_WINDOW_UPDATE,
    encode_frame,
)
from tests.support.transport_contract import (
    ECHO,
    LIMITS,
    SILENT,
    check_usable,
    connect,
    echo,
    stay_silent,
)
from tests.support.waiting import receive_soon, wait_until
from tests.wire.hostile import (
    encode_line,
    open_connection,
    open_protocol,
    open_secure,
    open_socket,
    read_to_the_end,
    wait_for_the_end,
)
from tests.wire.test_libp2p_transport import Libp2pWorld

pytestmark = pytest.mark.wire

MESHSUB = "/meshsub/1.1.0"


@asynccontextmanager
async def a_victim_and_a_friend() -> AsyncIterator[tuple[Libp2pTransport, Transport]]:
    """Yield two connected peers, and check when the block ends that they still hear each other."""
    world = Libp2pWorld()
    async with world.open("victim") as victim, world.open("friend") as friend:
        await connect(friend, victim)
        assert isinstance(victim, Libp2pTransport)
        yield victim, friend
        assert friend.name in victim.peers()
        await check_usable(friend, victim)
        await check_usable(victim, friend)


@pytest.mark.parametrize(
    "spoilt",
    [
        b"\xff\xff\xff\xff\xff\xff",
        b"\x05\xff\xff\xff\xff\xff",
        b"\x80\x80\x80\x80\x01",
        encode_rpc(
            rpc_pb2.RPC(
                publish=[
                    rpc_pb2.Message(
                        from_id=b"\x12\x20" + bytes(32),
                        seqno=b"1",
                        data=b"x",
                        topicIDs=["test"],
                        signature=b"s",
                        key=b"garbage",
                    )
                ]
            )
        ),
        encode_rpc(rpc_pb2.RPC(publish=[rpc_pb2.Message(data=b"y", topicIDs=["test"])])),
        encode_rpc(rpc_pb2.RPC(publish=[rpc_pb2.Message()] * 20_000)),
        encode_rpc(
            rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid="t")] * 99)
        ),
    ],
    ids=["no-length", "no-rpc", "too-long", "key", "unsigned", "many-messages", "many-topics"],
)
async def test_a_spoilt_gossip_message_ends_its_connection_and_no_more(spoilt: bytes) -> None:
    async with a_victim_and_a_friend() as (victim, _), open_connection(victim) as connection:
        stream = await open_protocol(connection, MESHSUB)
        await stream.write(spoilt)
        with trio.fail_after(5):
            await connection.event_closed.wait()
        await wait_until(lambda: len(victim.peers()) == 1)


async def test_control_messages_of_any_content_do_no_harm() -> None:
    control = rpc_pb2.ControlMessage()
    for number in range(200):
        control.graft.add(topicID=f"t{number}")
        control.prune.add(topicID="test", backoff=2**63, peers=[rpc_pb2.PeerInfo(peerID=b"\x00")])
        control.ihave.add(topicID="test", messageIDs=[bytes([number])] * 50)
        control.iwant.add(messageIDs=[bytes(32)] * 50)
    async with a_victim_and_a_friend() as (victim, _), open_connection(victim) as connection:
        stream = await open_protocol(connection, MESHSUB)
        for _ in range(20):
            await stream.write(encode_rpc(rpc_pb2.RPC(control=control)))
        await wait_until(lambda: len(victim.peers()) == 2)
        router = victim._router
        assert set(router.mesh) == {"test"}
        assert set(router.back_off) <= {"test"}


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe\xfd", b"/multistream/9.9.9", b"", b"\x00" * 100],
    ids=["not-utf8", "another-version", "empty", "zeros"],
)
async def test_a_stream_that_cannot_be_negotiated_is_reset(line: bytes) -> None:
    async with a_victim_and_a_friend() as (victim, _), open_connection(victim) as connection:
        stream = await connection.open_stream()
        await stream.write(encode_line(line))
        assert await read_to_the_end(stream) == "MuxedStreamReset"
        victim.serve(ECHO, echo)
        stream = await open_protocol(connection, ECHO)
        await stream.write(b"still here")
        assert await stream.read() == b"still here"


async def test_a_validator_that_raises_refuses_the_message() -> None:
    def validate(data: bytes) -> bool:
        if data == b"poison":
            raise RuntimeError("what a bug does")
        return True

    world = Libp2pWorld()
    async with world.open("ann") as ann, world.open("bob", validate=validate) as bob:
        await connect(ann, bob)
        await ann.publish(b"poison")
        await ann.publish(b"bread")
        assert (await receive_soon(bob.gossip)).data == b"bread"


async def test_eight_strangers_who_announce_100_mib_each_cost_no_memory() -> None:
    announcement = b"\x80\x80\x80\x32"
    piece = bytes(MIB)
    process = psutil.Process()
    async with a_victim_and_a_friend() as (victim, _):
        before = process.memory_info().rss
        grown: list[int] = []
        refused: list[bool] = []

        async def attack() -> None:
            stranger = await open_socket(victim)
            async with stranger:
                await stranger.send_all(announcement)
                try:
                    for _ in range(100):
                        await stranger.send_all(piece)
                        grown.append(process.memory_info().rss - before)
                except trio.BrokenResourceError:
                    refused.append(True)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(attack)
        assert refused == [True] * 8
        assert max(grown, default=0) < 32 * MIB


async def test_a_peer_that_ignores_the_window_is_cut_off() -> None:
    data = encode_frame(TYPE_DATA, 0, 1, PAYLOAD_BYTES_MAX, bytes(PAYLOAD_BYTES_MAX))
    process = psutil.Process()
    async with a_victim_and_a_friend() as (victim, _):
        victim.serve(SILENT, stay_silent)
        secure = await open_secure(victim)
        before = process.memory_info().rss
        lines = encode_line(b"/multistream/1.0.0") + encode_line(SILENT.encode())
        await secure.write(encode_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 1, 0))
        await secure.write(encode_frame(TYPE_DATA, 0, 1, len(lines), lines))

        async def pour() -> None:
            for _ in range(2_000):
                await secure.write(data)

        with trio.fail_after(10), pytest.raises(ConnectionClosedError):
            await pour()
        await wait_until(lambda: len(victim.peers()) == 1)
        assert process.memory_info().rss - before < 32 * MIB
        await secure.close()


async def test_a_peer_that_never_answers_a_ping_is_dropped() -> None:
    impatient = replace(LIMITS, ping_every_s=0.2, pong_timeout_s=0.3)
    async with Libp2pWorld().open("victim", limits=impatient) as victim:
        secure = await open_secure(victim)
        assert (await receive_soon(victim.peer_events)).connected
        began_s = trio.current_time()
        await wait_for_the_end(secure)
        assert not (await receive_soon(victim.peer_events)).connected
        assert trio.current_time() - began_s < 2
        await secure.close()


async def test_silent_strangers_do_not_shut_the_door() -> None:
    world = Libp2pWorld()
    async with world.open("victim") as victim:
        strangers = [await open_socket(victim) for _ in range(200)]
        for number in range(5):
            async with world.open(f"honest {number}") as honest:
                assert await honest.dial(victim.addresses()[0]) == victim.name
                strangers += [await open_socket(victim) for _ in range(10)]
        for stranger in strangers:
            await stranger.aclose()


async def test_the_door_stays_open_after_300_connections() -> None:
    lively = replace(LIMITS, handshakes_per_s=10_000.0, handshakes_burst=10_000)
    world = Libp2pWorld()
    async with world.open("victim", limits=lively) as victim:
        assert isinstance(victim, Libp2pTransport)
        for number in range(300):
            secure = await open_secure(victim, f"visitor {number % 7}")
            await secure.close()
        await wait_until(lambda: victim.peers() == ())
        await wait_until(lambda: victim._swarm.doorkeeper.connections_open == 0)
        assert victim.inbound_refused == 0
        async with world.open("honest") as honest:
            await honest.dial(victim.addresses()[0])
            await wait_until(lambda: victim.peers() == (honest.name,))


@pytest.mark.parametrize(
    "offer", ["/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0", "/mplex/6.7.0"]
)
async def test_nothing_but_noise_is_spoken(offer: str) -> None:
    async with Libp2pWorld().open("victim") as victim, await open_socket(victim) as stranger:
        await stranger.send_all(encode_line(b"/multistream/1.0.0") + encode_line(offer.encode()))
        heard = b""
        wanted = encode_line(b"/multistream/1.0.0") + encode_line(b"na")
        with trio.fail_after(5):
            while len(heard) < len(wanted):
                heard += await stranger.receive_some(100)
        assert heard == wanted


async def test_who_answers_in_another_name_is_refused() -> None:
    world = Libp2pWorld()
    async with world.open("ann") as ann, world.open("bob") as bob:
        place = bob.addresses()[0].rpartition("/p2p/")[0]
        with pytest.raises(TransportError, match="peer_mismatch"):
            await ann.dial(world.find_nobody().rpartition("/p2p/")[2].join((f"{place}/p2p/", "")))
        assert ann.peers() == bob.peers() == ()
        await connect(ann, bob)


async def test_a_shared_port_is_a_port_in_use() -> None:
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        greedy.bind(("127.0.0.1", 0))
        greedy.listen()

        class Taken:
            def addresses(self) -> tuple[str, ...]:
                return (f"/ip4/127.0.0.1/tcp/{greedy.getsockname()[1]}/p2p/x",)

        with pytest.raises(TransportError, match="port_in_use"):
            async with Libp2pWorld().open_in_place_of(Taken()):  # type: ignore[arg-type]
                pass


async def test_an_old_connection_gives_way_to_the_new_one_of_the_same_peer() -> None:
    # The peer lost the old one without our noticing, a cable was pulled, say.
    async with Libp2pWorld().open("victim") as victim:
        victim.serve(ECHO, echo)
        async with open_connection(victim, "roamer") as old:
            event = await receive_soon(victim.peer_events)
            async with open_connection(victim, "roamer") as new:
                with trio.fail_after(5):
                    await old.event_closed.wait()
                stream = await open_protocol(new, ECHO)
                await stream.write(b"here now")
                assert await stream.read() == b"here now"
                assert victim.peers() == (event.peer,)
            assert await receive_soon(victim.peer_events) == PeerEvent(event.peer, connected=False)
