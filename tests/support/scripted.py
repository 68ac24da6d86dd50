"""A peer that says what a test wants, true or not, and honest peers beside it in virtual time."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio

from devnet.testing.faulty_peer import Answer, serve_script
from node.sync.manager import PROTOCOL_ID
from node.sync.server import Server
from node.sync.wire import MessageStream
from node.transport.base import PeerName, Stream
from node.transport.memory import MemoryNetwork, MemoryTransport
from node.verifier import Verifier
from protocol.genesis import Genesis
from protocol.messages import (
    SCOPE_OPEN,
    VERSION,
    Blob,
    GetBlob,
    GetIds,
    GetSeals,
    Hello,
    Ids,
    Items,
    Ranges,
    Seals,
    Status,
    Taken,
)
from protocol.ranges import VectorView
from protocol.reconcile import FRAME_BYTES_MAX, ReconcileSession, Role
from protocol.seals import (
    Seal,
    SealContent,
    compute_sealers_hash,
    compute_set_root,
    sign_seal,
)
from storage.store import Store
from tests.support.chains import a_state
from tests.support.peers import TestPeer, a_genesis, a_signer


def a_status(genesis: Genesis) -> Status:
    """Return the status of a peer that has nothing yet."""
    return a_state(genesis).status()


class Liar:
    """A scripted peer: answers each request as it is told to, and counts them.

    Args:
        answer: the reply to a request; None to leave without one.
        status: what its hello says.
    """

    def __init__(self, genesis: Genesis, answer: Answer, status: Callable[[], Status]) -> None:
        self.genesis = genesis
        self.answer = answer
        self.status = status
        self.requests: list[object] = []
        self.transport: MemoryTransport

    @property
    def asked(self) -> Counter[str]:
        """How often it was asked, by the name of the message."""
        return Counter(type(request).__name__ for request in self.requests)

    def build_hello(self) -> Hello:
        """Return the first message, both ways."""
        return Hello(VERSION, self.genesis.network, "liar", self.status())

    async def serve(self, stream: Stream) -> None:
        """Answer one stream."""
        await serve_script(stream, self.build_hello, lambda one: self.answer(one), self.requests)

    @asynccontextmanager
    async def talk_to(self, peer: str) -> AsyncIterator[MessageStream]:
        """Open a stream of our own to a peer, hellos exchanged."""
        messages = MessageStream(await self.transport.open_stream(PeerName(peer), PROTOCOL_ID))
        try:
            await messages.ask(self.build_hello(), Hello, 60)
            yield messages
        finally:
            await messages.aclose()


class Village:
    """Honest peers and liars on one network in memory."""

    def __init__(self, folder: Path, genesis: Genesis, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.genesis = genesis
        self.network = MemoryNetwork()
        self.peers: dict[str, TestPeer] = {}
        self._nursery = nursery

    async def add(
        self,
        name: str,
        *,
        store: Store | None = None,
        interval_s: float = 0.2,
        sessions_max: int = 4,
    ) -> TestPeer:
        """Let an honest peer in; connected to nobody yet."""
        peer = TestPeer(
            name,
            self.genesis,
            store or Store.in_memory(self.genesis),
            self.network,
            self.folder,
            interval_s=interval_s,
            sessions_max=sessions_max,
        )
        await self._nursery.start(_hold, peer.run())
        self.peers[name] = peer
        return peer

    async def add_liar(
        self, name: str, answer: Answer, status: Callable[[], Status] | None = None
    ) -> Liar:
        """Let a scripted peer in; connected to nobody yet."""
        liar = Liar(self.genesis, answer, status or (lambda: a_status(self.genesis)))
        place = self.network.open(name, validate=lambda data: True)
        liar.transport = await self._nursery.start(_hold, place)
        liar.transport.serve(PROTOCOL_ID, liar.serve)
        return liar

    async def connect(self, *names: str) -> None:
        """Connect these peers in a line."""
        for one, other in pairwise(names):
            await self.peers[one].transport.dial(f"/memory/{other}/p2p/{other}")


async def _hold(
    place: AbstractAsyncContextManager[Any], *, task_status: Any = trio.TASK_STATUS_IGNORED
) -> None:
    async with place as entered:
        task_status.started(entered)
        await trio.sleep_forever()


@asynccontextmanager
async def a_village(folder: Path, genesis: Genesis | None = None) -> AsyncIterator[Village]:
    """Give a network without peers; whoever was let in stops with the block."""
    async with trio.open_nursery() as nursery:
        yield Village(folder, genesis or a_genesis(), nursery)
        nursery.cancel_scope.cancel()


def have_nothing(request: object) -> object:
    """Answer any request but a status as a peer that has nothing; take whatever is pushed."""
    match request:
        case GetSeals():
            return Seals(())
        case GetIds():
            return Ids(request.epoch, request.offset, b"")
        case GetBlob():
            return Blob(request.content_hash, 0, request.offset, b"")
        case Items():
            return Taken(len(request.transactions) + len(request.evidence))
        case Ranges():
            session = ReconcileSession(VectorView(()), Role.SERVER)
            return replace(request, message=session.receive(request.message).reply or b"")
        case _:
            return Items((), ())


def an_honest_answer(peer: TestPeer, frame_bytes_max: int = FRAME_BYTES_MAX) -> Answer:
    """Return what answers one stream as an honest peer of this state would."""
    state = peer.state
    server = Server(state, Verifier(state.intake, is_threaded=False))
    sessions: list[ReconcileSession] = []

    async def answer(request: object) -> object:
        if not isinstance(request, Ranges):
            return await server.answer(request, "liar")
        if request.is_first:
            is_open = request.scope == SCOPE_OPEN
            view = state.open.fingerprint_items() if is_open else state.store.range_view()
            sessions.append(ReconcileSession(view, Role.SERVER, frame_bytes_max))
        step = sessions[-1].receive(request.message)
        return Ranges(request.scope, state.epoch, False, step.reply or b"")

    return answer


def a_seal_over(
    village: Village, ids: list[bytes], *, epoch: int = 1, prev: bytes | None = None
) -> Seal:
    """Return a seal that the sealer signed, over whatever."""
    genesis = village.genesis
    content = SealContent(
        epoch=epoch,
        prev=genesis.hash if prev is None else prev,
        set_root=compute_set_root(ids),
        count=len(ids),
        state_root=bytes(32),
        sealers_next=compute_sealers_hash(genesis.sealers),
        time_ms=0,
    )
    return Seal(content, (sign_seal(genesis.network, content, a_signer("alice")),))
