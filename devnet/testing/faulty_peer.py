"""A scripted peer: it says to nodes what a test wants, on the transport that they use.

In virtual time that is the network in memory, beside processes libp2p on 127.0.0.1.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from devnet.errors import DevnetError
from devnet.genesis import derive_key
from devnet.ports import HOST
from devnet.provider import Provider
from devnet.virtual.cluster import VirtualCluster
from node.identity import compute_peer_id
from node.network import name_topic, read_genesis
from node.sync.manager import PROTOCOL_ID
from node.sync.wire import MessageStream, PeerLeft
from node.transport.base import PeerName, Stream, Transport
from node.transport.libp2p_open import open_libp2p_transport
from protocol.errors import PeerFault
from protocol.messages import VERSION, Hello, Status

if TYPE_CHECKING:
    from devnet.testing.network import Node

AGENT = "faulty"
HELLO_S = 10.0
PATIENCE_S = 3_600.0
"""For a request: whoever keeps a stream open may use it later."""

Answer = Callable[[Any], object | Awaitable[object]]


class FaultyPeer:
    """A peer that follows a script.

    Args:
        transport: its place in the network.
        network: of the genesis, 8 bytes.
        answer: returns the reply to a request, a message of `protocol.messages`, or None to end
            the stream without one.
        status: what its hello says.

    Attributes:
        answer, status: may be exchanged at any time.
        requests: all that it was asked.
    """

    def __init__(
        self, transport: Transport, network: bytes, answer: Answer, status: Status
    ) -> None:
        self.answer = answer
        self.status = status
        self.requests: list[object] = []
        self._transport = transport
        self._network = network
        transport.serve(PROTOCOL_ID, self._serve)

    @property
    def peers(self) -> tuple[str, ...]:
        """The peer ids of those that are connected."""
        return self._transport.peers()

    async def dial(self, which: "Node") -> None:
        """Connect to a node.

        Raises:
            TransportError: it does not let this peer in.
        """
        await self._transport.dial(which.spec.address)

    async def disconnect(self, which: "Node") -> None:
        """Leave a node."""
        await self._transport.disconnect(PeerName(which.spec.peer_id))

    async def publish(self, data: bytes) -> None:
        """Say something, whatever it is, to all that are connected."""
        await self._transport.publish(data)

    async def open_stream(self, which: "Node") -> Stream:
        """Return a stream to a connected node on which nothing has been said.

        Raises:
            TransportError: it does not take one.
        """
        return await self._transport.open_stream(PeerName(which.spec.peer_id), PROTOCOL_ID)

    @asynccontextmanager
    async def talk_to(self, which: "Node") -> AsyncIterator[MessageStream]:
        """Hold a stream to a connected node, hellos exchanged.

        Raises:
            TransportError: it does not take one.
            PeerLeft: it says goodbye instead.
        """
        messages = MessageStream(await self.open_stream(which))
        try:
            await messages.ask(self._build_hello(), Hello, HELLO_S)
            yield messages
        finally:
            await messages.aclose()

    def _build_hello(self) -> Hello:
        return Hello(VERSION, self._network, AGENT, self.status)

    async def _serve(self, stream: Stream) -> None:
        await serve_script(stream, self._build_hello, lambda one: self.answer(one), self.requests)


async def serve_script(
    stream: Stream, build_hello: Callable[[], Hello], answer: Answer, requests: list[object]
) -> None:
    """Serve one stream as a script wants: hellos, then replies, until one is None or the peer goes.

    Args:
        stream: that a peer opened.
        build_hello: returns what is said first.
        answer: returns the reply to a request.
        requests: each is added to it before it is answered.
    """
    messages = MessageStream(stream)
    try:
        await messages.receive(HELLO_S)
        await messages.send(build_hello())
        while True:
            request = await messages.receive(PATIENCE_S)
            requests.append(request)
            reply = answer(request)
            if inspect.isawaitable(reply):
                reply = await reply
            if reply is None:
                return
            await messages.send(reply)
    except (PeerLeft, PeerFault):
        return


def say_nothing(request: object) -> None:
    """Leave every request without a reply."""
    del request


async def read_status(which: "Node") -> Status:
    """Return what a node says of itself as its peers hear it."""
    shown = await which.call("node_status")
    return Status(
        epoch=int(shown["epoch"]),
        seal_hash=bytes.fromhex(shown["seal_hash"]),
        open_count=int(shown["open"]),
        open_fingerprint=bytes.fromhex(shown["open_fingerprint"]),
        state_root=bytes.fromhex(shown["state_root"]),
    )


@asynccontextmanager
async def open_peer(
    provider: Provider, name: str, answer: Answer, status: Status
) -> AsyncIterator[FaultyPeer]:
    """Hold a scripted peer on the network of a devnet; nobody is connected to it yet.

    Args:
        provider: of the devnet.
        name: from which its peer id comes.
        answer: see `FaultyPeer`, here and below.
        status: what its hello says.

    Raises:
        DevnetError: `unreachable`: a devnet in namespaces has no way in.
    """
    if provider.devnet.roster.switch:
        wanted = "network = loopback for scripted peers"
        raise DevnetError("unreachable", "a devnet in network namespaces", wanted)
    genesis = read_genesis(provider.devnet.genesis_path)
    seed = derive_key(provider.devnet.roster.seed, "identity", name)
    opened: AbstractAsyncContextManager[Transport]
    if isinstance(provider, VirtualCluster):
        opened = provider.network.open(compute_peer_id(seed))
    else:
        opened = open_libp2p_transport(
            seed=seed,
            listen=f"/ip4/{HOST}/tcp/0",
            topic=name_topic(genesis),
            validate=lambda data: True,
        )
    async with opened as transport:
        yield FaultyPeer(transport, genesis.network, answer, status)


async def hold(
    peer: AbstractAsyncContextManager[FaultyPeer], task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep a scripted peer until cancelled; for `nursery.start`."""
    async with peer as entered:
        task_status.started(entered)
        await trio.sleep_forever()
