"""A peer that can do wrong: raw sockets, raw Noise, raw frames, streams with any bytes on them."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from libp2p.abc import ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.io.exceptions import IOException
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamError

from node.transport.base import Transport
from node.transport.libp2p_swarm import BoundedUpgrader
from node.transport.libp2p_tcp import BufferedTcpStream
from node.transport.libp2p_yamux import ReceiveBudget, Yamux
from node.transport.libp2p_yamux_stream import YamuxStream
from node.transport.limits import TransportLimits
from node.transport.tcp_address import parse_tcp_address

LIMITS = TransportLimits()


async def open_socket(victim: Transport) -> trio.SocketStream:
    """Connect to `victim` and say nothing."""
    address = parse_tcp_address(victim.addresses()[0])
    return await trio.open_tcp_stream(address.host, address.port)


async def open_secure(victim: Transport, label: str = "mallory") -> ISecureConn:
    """Connect to `victim` up to the point where frames of the multiplexer are expected."""
    key_pair = create_new_key_pair(hashlib.sha256(label.encode()).digest())
    upgrader = BoundedUpgrader(key_pair, LIMITS)
    raw = RawConnection(BufferedTcpStream(await open_socket(victim)), True)
    secure = await upgrader.upgrade_security(raw, True, ID.from_base58(victim.name))
    await upgrader.muxer_multistream.select_transport(secure)
    return secure


@asynccontextmanager
async def open_connection(victim: Transport, label: str = "mallory") -> AsyncIterator[Yamux]:
    """Connect to `victim` with a multiplexer that behaves."""
    secure = await open_secure(victim, label)
    connection = Yamux(
        secure,
        ID.from_base58(victim.name),
        limits=LIMITS,
        budget=ReceiveBudget(LIMITS.unread_bytes_max),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.start)
        await connection.event_started.wait()
        yield connection
        await connection.close()


def encode_line(text: bytes) -> bytes:
    """Return a line of the protocol negotiation."""
    assert len(text) < 127
    return bytes([len(text) + 1]) + text + b"\n"


async def open_protocol(connection: Yamux, name: str) -> YamuxStream:
    """Open a stream and agree on `name`, by hand."""
    stream = await connection.open_stream()
    wanted = encode_line(b"/multistream/1.0.0") + encode_line(name.encode())
    await stream.write(wanted)
    heard = b""
    with trio.fail_after(5):
        while len(heard) < len(wanted):
            heard += await stream.read()
    assert heard == wanted
    return stream


async def wait_for_the_end(secure: ISecureConn) -> None:
    """Return when the other side has hung up."""
    with trio.fail_after(5), contextlib.suppress(IOException):
        while await secure.read():
            pass


async def read_to_the_end(stream: YamuxStream) -> str:
    """Return the name of the exception that ends the stream."""
    with trio.fail_after(5):
        while True:
            try:
                await stream.read()
            except MuxedStreamError as error:
                return type(error).__name__
