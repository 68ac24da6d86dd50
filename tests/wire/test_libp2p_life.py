"""A node's life on libp2p: load, frozen peers, restarts, a clean end, and peers of plain libp2p."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.ping import PingService
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from node.transport.base import PeerEvent, Transport
from node.transport.libp2p_guards import check_guards
from node.transport.libp2p_open import open_libp2p_transport
from tests.support.transport_contract import (
    ECHO,
    LIMITS,
    SILENT,
    check_usable,
    connect,
    echo,
    receive_exactly,
    stay_silent,
    take_all,
)
from tests.support.waiting import receive_soon, wait_until
from tests.wire.hostile import open_connection, open_protocol
from tests.wire.test_libp2p_transport import Libp2pWorld

pytestmark = pytest.mark.wire

BURST = 1_000

PEER_PROCESS = """
import trio
from node.transport.libp2p_open import open_libp2p_transport

async def main():
    async with open_libp2p_transport(
        seed=bytes([9]) * 32,
        listen="/ip4/127.0.0.1/tcp/0",
        topic="test",
        validate=lambda data: True,
    ) as transport:
        print("at", transport.addresses()[0], flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@contextmanager
def a_peer_process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a process with a transport of its own, and its address."""
    with subprocess.Popen(
        [sys.executable, "-c", PEER_PROCESS], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            yield process, next(line.split()[1] for line in lines if line.startswith("at "))
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


async def test_the_guards_hold_and_say_so_quickly() -> None:
    with trio.fail_after(1):
        await check_guards()


async def test_a_burst_of_gossip_arrives_everywhere() -> None:
    roomy = replace(LIMITS, gossip_inbox_max=2 * BURST)
    world = Libp2pWorld()
    async with (
        world.open("ann", limits=roomy) as ann,
        world.open("bob", limits=roomy) as bob,
        world.open("eve", limits=roomy) as eve,
    ):
        await connect(ann, bob)
        await connect(bob, eve)
        await eve.publish(b"the mesh is up")
        assert (await receive_soon(ann.gossip)).sender == bob.name
        heard: dict[str, set[bytes]] = {bob.name: set(), eve.name: set()}

        async def hear(transport: Transport) -> None:
            async for message in transport.gossip:
                assert message.data not in heard[transport.name]
                if len(message.data) == 300:
                    heard[transport.name].add(message.data)

        began_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear, bob)
            nursery.start_soon(hear, eve)
            for number in range(BURST):
                await ann.publish(b"%06d" % number + bytes(294))
            with trio.move_on_after(20):
                await wait_until(lambda: min(map(len, heard.values())) >= BURST, patience_s=20)
            nursery.cancel_scope.cancel()
        took_s = trio.current_time() - began_s
        shares = {name: len(messages) / BURST for name, messages in heard.items()}
        print(f"burst of {BURST} x 300 B, a line of three: {shares}, {took_s:.2f} s")
        assert min(shares.values()) >= 0.99


async def test_a_frozen_process_is_noticed_and_found_again() -> None:
    watchful = replace(LIMITS, ping_every_s=0.5, pong_timeout_s=1.0)
    with a_peer_process() as (process, address):
        async with Libp2pWorld().open("ann", limits=watchful) as ann:
            peer = await ann.dial(address)
            assert await receive_soon(ann.peer_events) == PeerEvent(peer, connected=True)
            process.send_signal(signal.SIGSTOP)
            with trio.fail_after(3):
                assert await ann.peer_events.receive() == PeerEvent(peer, connected=False)
            process.send_signal(signal.SIGCONT)
            await ann.dial(address)
            assert await receive_soon(ann.peer_events) == PeerEvent(peer, connected=True)


async def test_a_killed_process_is_noticed_at_once() -> None:
    with a_peer_process() as (process, address):
        async with Libp2pWorld().open("ann") as ann:
            peer = await ann.dial(address)
            assert await receive_soon(ann.peer_events) == PeerEvent(peer, connected=True)
            process.kill()
            with trio.fail_after(2):
                assert await ann.peer_events.receive() == PeerEvent(peer, connected=False)


async def test_closing_is_quick_beside_a_frozen_peer_with_full_buffers() -> None:
    with a_peer_process() as (process, address):
        async with Libp2pWorld().open("ann") as ann:
            port = ann.addresses()[0]
            await ann.dial(address)
            process.send_signal(signal.SIGSTOP)
            for number in range(200):
                await ann.publish(bytes([number]) * 100_000)
            began_s = trio.current_time()
        assert trio.current_time() - began_s < 3
        async with open_libp2p_transport(
            seed=bytes([7]) * 32,
            listen=port.rpartition("/p2p/")[0],
            topic="test",
            validate=take_all,
        ):
            pass


async def test_nothing_is_left_open_after_the_end() -> None:
    world = Libp2pWorld()

    async def live() -> None:
        async with world.open("ann") as ann, world.open("bob") as bob:
            bob.serve(SILENT, stay_silent)
            await connect(ann, bob)
            await ann.open_stream(bob.name, SILENT)
            await ann.publish(b"x")

    await live()
    open_before, threads_before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        await live()
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert threading.active_count() == threads_before


async def test_a_restarted_author_is_heard_at_once() -> None:
    world = Libp2pWorld()
    async with world.open("bob") as bob:
        for life in range(3):
            async with world.open("ann") as ann:
                await connect(ann, bob)
                for number in range(20):
                    await ann.publish(b"life %d, message %d" % (life, number))
                    await receive_soon(bob.gossip)
            assert not (await receive_soon(bob.peer_events)).connected


async def test_gossip_goes_on_when_the_connection_beneath_it_is_replaced() -> None:
    world = Libp2pWorld()
    async with world.open("ann") as ann, world.open("bob") as bob:
        await connect(ann, bob)
        await check_usable(ann, bob)
        for number in range(3):
            # Bob's side is deaf: his end is closed without ann's noticing in time.
            await bob.disconnect(ann.name)
            await bob.dial(ann.addresses()[0])
            await ann.publish(b"to bob %d" % number)
            assert (await receive_soon(bob.gossip)).data == b"to bob %d" % number
            await bob.publish(b"to ann %d" % number)
            assert (await receive_soon(ann.gossip)).data == b"to ann %d" % number


async def test_two_streams_of_gossip_from_one_peer_are_one_at_a_time() -> None:
    async with Libp2pWorld().open("victim") as victim, open_connection(victim) as connection:
        streams = [await open_protocol(connection, "/meshsub/1.1.0") for _ in range(3)]
        await wait_until(lambda: streams[0]._torn and streams[1]._torn)
        assert not streams[2]._torn
        assert len(victim.peers()) == 1


@asynccontextmanager
async def a_plain_peer() -> AsyncIterator[tuple[Pubsub, PingService, str]]:
    """Yield a peer made of the library's own parts: its host, swarm, multiplexer and router."""
    host = new_host(key_pair=create_new_key_pair(hashlib.sha256(b"plain").digest()))
    router = GossipSub(
        protocols=[PROTOCOL_ID_V11],
        degree=6,
        degree_low=4,
        degree_high=12,
        heartbeat_interval=1,
        spam_protection_enabled=False,
    )
    pubsub = Pubsub(host, router)

    async def echo_back(stream: INetStream) -> None:
        try:
            while True:
                await stream.write(await stream.read(65_536))
        except StreamEOF:
            await stream.close()

    host.set_stream_handler(TProtocol(ECHO), echo_back)
    async with (
        host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]),
        background_trio_service(pubsub),
        background_trio_service(router),
    ):
        await pubsub.wait_until_ready()
        yield pubsub, PingService(host), str(host.get_addrs()[0])
        with trio.move_on_after(3):
            await host.close()


@pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "it-dials"])
async def test_a_peer_of_plain_libp2p_understands_us(we_dial: bool) -> None:
    sent = bytes(range(256)) * 4096
    async with a_plain_peer() as (pubsub, ping, address), Libp2pWorld().open("ann") as ann:
        if we_dial:
            peer = await ann.dial(address)
        else:
            await pubsub.host.connect(info_from_p2p_addr(Multiaddr(ann.addresses()[0])))
            await wait_until(lambda: len(ann.peers()) == 1)
            peer = ann.peers()[0]
        stream = await ann.open_stream(peer, ECHO)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, sent)
            assert await receive_exactly(stream, len(sent)) == sent
        await stream.aclose()

        ann.serve(ECHO, echo)
        theirs = await pubsub.host.new_stream(ID.from_base58(ann.name), [TProtocol(ECHO)])
        with trio.fail_after(10):
            await theirs.write(sent)
            heard = bytearray()
            while len(heard) < len(sent):
                heard += await theirs.read(65_536)
        assert bytes(heard) == sent
        await theirs.close()
        assert len(await ping.ping(ID.from_base58(ann.name), 2)) == 2

        subscription = await pubsub.subscribe("test")
        await pubsub.wait_for_subscription(ID.from_base58(ann.name), "test")
        for number in range(20):
            await pubsub.publish("test", b"from plain %d" % number)
            assert (await receive_soon(ann.gossip)).data == b"from plain %d" % number
        for number in range(20):
            await ann.publish(b"from us %d" % number)
            with trio.fail_after(10):
                message = await subscription.get()
            while message.from_id != ID.from_base58(ann.name).to_bytes():
                message = await subscription.get()
            assert message.data == b"from us %d" % number
