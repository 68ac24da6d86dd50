"""The answering side of a sync stream: one request, one reply, until the peer leaves."""

from collections.abc import Sequence

import structlog

from node.state_manager import StateManager
from node.sync.wire import MessageStream, PeerLeft
from node.transport.base import Stream
from node.verifier import Verifier
from protocol.errors import PeerFault, Rejected
from protocol.genesis import Genesis
from protocol.hashing import HASH_BYTES
from protocol.messages import (
    BLOB_CHUNK_BYTES_MAX,
    ITEMS_BYTES_MAX,
    ITEMS_PER_MESSAGE_MAX,
    PACKED_IDS_MAX,
    SCOPE_OPEN,
    SEALS_PER_MESSAGE_MAX,
    VERSION,
    WANT_IDS_MAX,
    Blob,
    GetBlob,
    GetIds,
    GetSeals,
    Hello,
    Ids,
    Items,
    Ranges,
    SealedIds,
    Seals,
    Status,
    Taken,
    Want,
    pack_ids,
    unpack_ids,
)
from protocol.reconcile import ReconcileSession, Role

log = structlog.get_logger("sync")

AGENT = "minesync/0.1"
IDLE_TIMEOUT_S = 120.0
SEALS_BYTES_MAX = 512 * 1024


def check_hello(genesis: Genesis, hello: object) -> Hello:
    """Return the hello of a peer of our network.

    Raises:
        PeerFault: `hello_missing`, `hello_version`, `wrong_network`.
    """
    if not isinstance(hello, Hello):
        raise PeerFault("hello_missing", type(hello).__name__, "Hello")
    if hello.network != genesis.network:
        raise PeerFault("wrong_network", hello.network.hex(), genesis.network.hex())
    if hello.version != VERSION:
        raise PeerFault("hello_version", hello.version, VERSION)
    return hello


class Server:
    """Serves the state of one peer to others."""

    def __init__(self, state: StateManager, verifier: Verifier) -> None:
        self._state = state
        self._verifier = verifier

    def build_hello(self) -> Hello:
        """Return our first message."""
        return Hello(VERSION, self._state.network, AGENT, self._state.status())

    async def serve(self, stream: Stream) -> None:
        """Serve one stream to its end.

        Raises:
            PeerFault: the peer broke the protocol; the caller keeps the score.
        """
        messages = MessageStream(stream)
        try:
            check_hello(self._state.genesis, await messages.receive(IDLE_TIMEOUT_S))
            await messages.send(self.build_hello())
            session: ReconcileSession | None = None
            while True:
                request = await messages.receive(IDLE_TIMEOUT_S)
                if isinstance(request, Ranges):
                    session, reply = self._reconcile(session, request)
                    await messages.send(reply)
                else:
                    await messages.send(await self._answer(request))
        except PeerLeft:
            await messages.aclose()
        except PeerFault as fault:
            await messages.say_bye(fault.code, str(fault))
            await messages.aclose()
            raise
        except Rejected as error:
            await messages.say_bye(error.code, str(error))
            await messages.aclose()
            raise PeerFault(error.code, error.found, error.wanted) from error

    def _reconcile(
        self, session: ReconcileSession | None, request: Ranges
    ) -> tuple[ReconcileSession, Ranges | Status]:
        """Answer one message of a session; a seal in between ends it with our new status."""
        state = self._state
        if request.scope == SCOPE_OPEN and request.epoch != state.epoch:
            return session or self._open_session(request), state.status()
        if session is None or request.is_first:
            session = self._open_session(request)
        step = session.receive(request.message)
        return session, Ranges(request.scope, state.epoch, False, step.reply or b"")

    def _open_session(self, request: Ranges) -> ReconcileSession:
        items = (
            self._state.open.fingerprint_items()
            if request.scope == SCOPE_OPEN
            else self._state.store.range_view()
        )
        return ReconcileSession(items, Role.SERVER)

    async def _answer(self, request: object) -> object:
        match request:
            case Status():
                return self._state.status()
            case Want():
                return self._collect(unpack_ids(request.ids, WANT_IDS_MAX))
            case Items():
                return await self._take(request)
            case GetSeals():
                return self._collect_seals(request.first)
            case GetIds():
                ids = self._state.store.journal.sealed_ids(request.epoch)
                part = ids[request.offset : request.offset + PACKED_IDS_MAX]
                return Ids(request.epoch, request.offset, pack_ids(part))
            case GetBlob():
                return self._cut_blob(request)
            case _:
                raise PeerFault("unexpected_message", type(request).__name__, "a request")

    def _collect(self, ids: Sequence[bytes]) -> Items:
        """Return what we have of `ids`, up to the bound of one message; the rest is asked again."""
        transactions: list[bytes] = []
        evidence: list[bytes] = []
        size = 0
        for item in ids:
            wire = self._state.store.journal.wire(item)
            proof = None if wire is not None else self._state.store.journal.evidence_proof(item)
            found = wire or proof
            if found is None:
                continue
            size += len(found)
            if size > ITEMS_BYTES_MAX and (transactions or evidence):
                break
            (transactions if wire is not None else evidence).append(found)
        return Items(tuple(transactions), tuple(evidence))

    async def _take(self, items: Items) -> Taken:
        opened = await self._verifier.open_many(items.transactions[:ITEMS_PER_MESSAGE_MAX])
        accepted = self._state.accept(opened, None)
        new = sum(self._state.accept_evidence(proof) for proof in items.evidence)
        return Taken(len(accepted.stored) + new)

    def _collect_seals(self, first: int) -> Seals:
        journal = self._state.store.journal
        found: list[SealedIds] = []
        size = 0
        for epoch in range(max(first, 1), self._state.epoch + 1):
            ids = journal.sealed_ids(epoch)
            packed = pack_ids(ids) if len(ids) <= PACKED_IDS_MAX else None
            seal = journal.seal(epoch)
            if seal is None:
                break
            size += len(seal) + len(packed or b"")
            if found and (size > SEALS_BYTES_MAX or len(found) == SEALS_PER_MESSAGE_MAX):
                break
            found.append(SealedIds(seal, packed))
        return Seals(tuple(found))

    def _cut_blob(self, request: GetBlob) -> Blob:
        blob = self._state.store.journal.blob(request.content_hash) or b""
        data = blob[request.offset : request.offset + BLOB_CHUNK_BYTES_MAX]
        return Blob(request.content_hash, len(blob), request.offset, data)


assert PACKED_IDS_MAX * HASH_BYTES <= SEALS_BYTES_MAX
