"""The answering side of a sync stream: one request, one reply, until the peer leaves."""

from collections.abc import Callable, Iterable, Sequence

import structlog
import trio

from node.state_manager import StateManager
from node.sync.budget import Bucket, price
from node.sync.wire import REQUEST_BYTES_MAX, MessageStream, PeerLeft
from node.transport.base import Stream
from node.verifier import Verifier
from protocol.ballots import Shown
from protocol.errors import PeerFault, Rejected
from protocol.genesis import Genesis
from protocol.hashing import HASH_BYTES
from protocol.messages import (
    BLOB_CHUNK_BYTES_MAX,
    ITEMS_BYTES_MAX,
    ITEMS_PER_MESSAGE_MAX,
    PACKED_IDS_MAX,
    SCOPE_ALL,
    SCOPE_OPEN,
    SEALS_PER_MESSAGE_MAX,
    VERSION,
    WANT_IDS_MAX,
    Ballots,
    Blob,
    Bye,
    GetBallots,
    GetBlob,
    GetChain,
    GetIds,
    GetSeals,
    GetSet,
    Hello,
    Ids,
    Items,
    Ranges,
    SealedIds,
    Seals,
    SetIds,
    Status,
    Taken,
    Want,
    pack_ids,
    unpack_ids,
)
from protocol.reconcile import ReconcileSession, Role
from protocol.seals import Seal
from storage.errors import Full

log = structlog.get_logger("sync")

AGENT = "minesync/0.1"
IDLE_TIMEOUT_S = 120.0
SEALS_BYTES_MAX = 512 * 1024
SITTINGS_MAX = 16
"""Reconciliations served at the same time, one for each peer: each holds a view of its own."""
AUDITS_MAX = 2
"""Audits among them; these hold a view of the whole set."""
SITTING_IDLE_S = 2.0
"""Who says nothing for so long makes room for others."""


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


def announce_nothing(ids: Iterable[bytes]) -> None:
    """Tell nobody: for a server that only asks."""


class _Sitting:
    """A reconciliation that is being served on one stream."""

    def __init__(
        self, session: ReconcileSession, messages: MessageStream, *, is_audit: bool
    ) -> None:
        self.session = session
        self.messages = messages
        self.is_audit = is_audit
        self.used_s = trio.current_time()


class Server:
    """Serves the state of one peer to others.

    Args:
        state: the one door.
        verifier: shared with gossip.
        announce: told of ids that a peer pushed here, to be passed on.
    """

    def __init__(
        self,
        state: StateManager,
        verifier: Verifier,
        announce: Callable[[Iterable[bytes]], None] = announce_nothing,
    ) -> None:
        self._state = state
        self._verifier = verifier
        self._announce = announce
        self._sittings: dict[str, _Sitting] = {}

    def build_hello(self) -> Hello:
        """Return our first message."""
        return Hello(VERSION, self._state.network, AGENT, self._state.status())

    async def serve(self, stream: Stream, bucket: Bucket | None = None) -> None:
        """Serve one stream to its end.

        Args:
            stream: opened by the peer.
            bucket: what the peer may still ask for.

        Raises:
            PeerFault: the peer broke the protocol; the caller keeps the score.
        """
        bucket = bucket or Bucket()
        messages = MessageStream(stream, REQUEST_BYTES_MAX)
        peer = str(stream.peer)
        try:
            check_hello(self._state.genesis, await messages.receive(IDLE_TIMEOUT_S))
            await messages.send(self.build_hello())
            while True:
                request = await messages.receive(IDLE_TIMEOUT_S)
                if isinstance(request, Bye):
                    break
                await bucket.take(price(request))
                if isinstance(request, Ranges):
                    await messages.send(self._reconcile(messages, request))
                else:
                    await messages.send(await self.answer(request, peer))
        except PeerLeft:
            pass
        except PeerFault as fault:
            await messages.say_bye(fault.code, str(fault))
            raise
        except Rejected as error:
            await messages.say_bye(error.code, str(error))
            raise PeerFault(error.code, error.found, error.wanted) from error
        finally:
            sitting = self._sittings.get(peer)
            if sitting is not None and sitting.messages is messages:
                del self._sittings[peer]
            await messages.aclose()

    def _reconcile(self, messages: MessageStream, request: Ranges) -> Ranges | Status:
        """Answer one message of a session; our status says that there is none now.

        The open sets of different seals cannot be compared, and sessions are few at a time.
        """
        state, peer = self._state, str(messages.peer)
        if request.scope == SCOPE_OPEN and request.epoch != state.epoch:
            self._sittings.pop(peer, None)
        elif request.is_first:
            self._begin(messages, is_audit=request.scope == SCOPE_ALL)
        sitting = self._sittings.get(peer)
        if sitting is None or sitting.messages is not messages:
            return state.status()
        sitting.used_s = trio.current_time()
        step = sitting.session.receive(request.message)
        return Ranges(request.scope, state.epoch, False, step.reply or b"")

    def _begin(self, messages: MessageStream, *, is_audit: bool) -> None:
        """Begin a session with a peer in the place of any earlier one, if there is room."""
        peer = str(messages.peer)
        self._sittings.pop(peer, None)
        # Room is scarcest for audits; who was silent longest goes first.
        rivals = [
            (sitting.used_s, name)
            for name, sitting in sorted(self._sittings.items())
            if sitting.is_audit or not is_audit
        ]
        if len(rivals) >= (AUDITS_MAX if is_audit else SITTINGS_MAX):
            used_s, name = min(rivals)
            if trio.current_time() - used_s < SITTING_IDLE_S:
                return
            del self._sittings[name]
        view = self._state.store.range_view() if is_audit else self._state.open.fingerprint_items()
        session = ReconcileSession(view, Role.SERVER)
        self._sittings[peer] = _Sitting(session, messages, is_audit=is_audit)

    async def answer(self, request: object, peer: str) -> object:
        """Return the reply to a request that stands by itself: any but `Ranges`.

        Raises:
            PeerFault, Rejected: it is none, or holds what is none.
        """
        match request:
            case Status():
                return self._state.status()
            case Want():
                return self._collect(unpack_ids(request.ids, WANT_IDS_MAX))
            case Items():
                return await self._take(request, peer)
            case GetSeals():
                return self._collect_seals(request.first)
            case GetIds():
                ids = self._state.store.journal.read_sealed_ids(
                    request.epoch, request.offset, PACKED_IDS_MAX
                )
                return Ids(request.epoch, request.offset, pack_ids(ids))
            case GetChain():
                return self._cut_chain(request)
            case GetBlob():
                return self._cut_blob(request)
            case GetBallots():
                return self._show_ballots(request)
            case GetSet():
                known = self._state.ballots.find_set(request.set_root) or ()
                part = known[request.offset : request.offset + PACKED_IDS_MAX]
                return SetIds(request.set_root, request.offset, pack_ids(part))
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

    async def _take(self, items: Items, peer: str) -> Taken:
        """Put what a peer pushes through the door; what is new is announced onward.

        While the disk is full nothing is taken; it is pushed again when the sets still differ.
        """
        state = self._state
        opened = await self._verifier.open_many(items.transactions)
        known = set(state.open.evidence)
        try:
            stored = state.accept(opened, peer).stored
            for proof in items.evidence:
                state.accept_evidence(proof)
        except Full as error:
            log.info("push_not_taken", code=error.code, peer=peer[-8:])
            return Taken(0)
        fresh = [item for item in stored if item in state.open.transactions]
        fresh += sorted(state.open.evidence.keys() - known)
        self._announce(fresh)
        return Taken(len(fresh))

    def _collect_seals(self, first: int) -> Seals:
        journal = self._state.store.journal
        found: list[SealedIds] = []
        size = 0
        for epoch in range(max(first, 1), self._state.epoch + 1):
            seal = journal.seal(epoch)
            if seal is None:
                break
            # What a large epoch takes in is asked for in parts.
            is_small = Seal.from_bytes(seal).content.count <= PACKED_IDS_MAX
            packed = pack_ids(journal.sealed_ids(epoch)) if is_small else None
            size += len(seal) + len(packed or b"")
            if found and (size > SEALS_BYTES_MAX or len(found) == SEALS_PER_MESSAGE_MAX):
                break
            found.append(SealedIds(seal, packed))
        return Seals(tuple(found))

    def _cut_chain(self, request: GetChain) -> Items:
        journal = self._state.store.journal
        head = journal.author_head(request.author)
        wires: list[bytes] = []
        size = 0
        seq = -1 if head is None else min(request.last, head[0])
        while seq >= request.first and len(wires) < ITEMS_PER_MESSAGE_MAX:
            tx = journal.at(request.author, seq)
            if tx is None:
                break
            wire = tx.wire
            size += len(wire)
            if size > ITEMS_BYTES_MAX:
                break
            wires.append(wire)
            seq -= 1
        return Items(tuple(wires), ())

    def _show_ballots(self, request: GetBallots) -> Ballots:
        box = self._state.ballots.box
        if request.epoch != box.epoch or request.digest == box.digest():
            return Ballots(box.epoch, Shown())
        return Ballots(box.epoch, box.show())

    def _cut_blob(self, request: GetBlob) -> Blob:
        blobs = self._state.store.journal.blobs
        total = blobs.size(request.content_hash) or 0
        data = b""
        if request.offset < total:
            data = blobs.read(request.content_hash, request.offset, BLOB_CHUNK_BYTES_MAX)
        return Blob(request.content_hash, total, request.offset, data)


assert PACKED_IDS_MAX * HASH_BYTES <= SEALS_BYTES_MAX
