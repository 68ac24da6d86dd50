"""Attacks on our own multiplexer, in memory: each does what a hostile peer would, and must fail.

Run at every start, because what they prove rests on a library that may be replaced underneath.
"""

import trio
from libp2p.abc import ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import PrivateKey, PublicKey
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.transport.libp2p_yamux import CONTROL_FRAMES_MAX, ReceiveBudget, Yamux
from node.transport.limits import TransportLimits
from node.transport.yamux_frames import (
    FLAG_SYN,
    PAYLOAD_BYTES_MAX,
    TYPE_DATA,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    WINDOW_BYTES,
    encode_frame,
)


class SelfAttackError(Exception):
    """An attack succeeded."""


class MemorySecureConn(ISecureConn):
    """A secure connection to a peer of which only the bytes exist that it sends."""

    def __init__(self, said: list[bytes]) -> None:
        self.is_initiator = True
        self.written = 0
        self.closed = trio.Event()
        self._said = said
        self._key_pair = create_new_key_pair(bytes(31) + b"\x01")

    async def read(self, n: int | None = None) -> bytes:
        """Return what the peer says next; then it is silent."""
        await trio.lowlevel.checkpoint()
        if self._said:
            return self._said.pop(0)
        await self.closed.wait()
        return b""

    async def write(self, data: bytes) -> None:
        """Never return: the peer does not read."""
        self.written += len(data)
        await self.closed.wait()

    async def close(self) -> None:
        """Close."""
        self.closed.set()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return nothing: there is no address."""
        return None

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Return nothing: there is no address."""
        return []

    def get_connection_type(self) -> ConnectionType:
        """Return what a TCP connection is."""
        return ConnectionType.DIRECT

    def get_local_peer(self) -> ID:
        """Return some peer."""
        return ID.from_pubkey(self._key_pair.public_key)

    def get_local_private_key(self) -> PrivateKey:
        """Return some key."""
        return self._key_pair.private_key

    def get_remote_peer(self) -> ID:
        """Return some peer."""
        return ID.from_pubkey(self._key_pair.public_key)

    def get_remote_public_key(self) -> PublicKey:
        """Return some key."""
        return self._key_pair.public_key


async def attack_with_too_much_data() -> None:
    """Fill the window of a stream that nobody reads, and go on."""
    frame = encode_frame(TYPE_DATA, 0, 2, PAYLOAD_BYTES_MAX, bytes(PAYLOAD_BYTES_MAX))
    frames = WINDOW_BYTES // PAYLOAD_BYTES_MAX + 1
    await _expect_end([encode_frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 2, 0), *[frame] * frames])


async def attack_with_wide_frame() -> None:
    """Announce a frame of 16 MiB and send none of it."""
    await _expect_end([encode_frame(TYPE_DATA, FLAG_SYN, 2, 16 << 20)])


async def attack_with_ping_flood() -> None:
    """Send pings and read no answer."""
    await _expect_end([encode_frame(TYPE_PING, FLAG_SYN, 0, 7) * (2 * CONTROL_FRAMES_MAX)])


async def _expect_end(said: list[bytes]) -> None:
    limits = TransportLimits()
    budget = ReceiveBudget(limits.unread_bytes_max)
    peer = MemorySecureConn(said)
    connection = Yamux(peer, peer.get_remote_peer(), limits=limits, budget=budget)
    with trio.move_on_after(2):
        await connection.start()
    if not peer.closed.is_set() or connection.end_reason in ("", "stopped"):
        raise SelfAttackError("the connection is still up")
    if budget.bytes_held:
        raise SelfAttackError(f"{budget.bytes_held} bytes are still held")
