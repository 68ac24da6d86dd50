"""Task inputs and evidence: fetched from whoever has them, checked by hash, kept for the next.

Rules:
1. Only the inputs of tasks that stand are fetched: sealed ones that are going on, and those that
   the next seal would take in. What was refused or cannot be paid for fills nobody's disk. Evidence
   is cheaper to name than an input, so it is fetched by those alone who judge or are a side.
2. A blob is what hashes to its name. How long it is, tasks only claim.
3. Nobody is waited for: a blob that nobody has is asked for less and less often, and a peer has so
   much time a round.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
import trio

from node.events import Event, Listener, Sealed, Stored
from node.state_manager import StateManager
from node.sync.fetching import REPLY_TIMEOUT_S
from node.sync.manager import PROTOCOL_ID
from node.sync.server import Server, check_hello
from node.sync.wire import MessageStream, PeerLeft
from node.transport.base import PeerName, Transport, TransportError
from protocol.disputes import find_parties
from protocol.errors import PeerFault
from protocol.hashing import compute_content_hash
from protocol.kinds.add_evidence import ADD_EVIDENCE
from protocol.kinds.appeal_dispute import APPEAL_DISPUTE
from protocol.kinds.open_dispute import OPEN_DISPUTE
from protocol.kinds.publish_task import PUBLISH_TASK
from protocol.messages import BLOB_CHUNK_BYTES_MAX, Blob, GetBlob, Hello
from protocol.tables import DISPUTES, TASKS
from protocol.task_types import BLOB_BYTES_MAX, TaskTerms
from storage.errors import Full

log = structlog.get_logger("blobs")

WANTED_MAX = 4_096
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 120.0
ROUND_MAX = 64
"""Blobs asked of one peer before the next peer's turn."""
PEER_S = 20.0
"""What one peer may take of a round."""
RESCAN_S = 30.0
"""Between two looks at all tasks: most are found by their transactions long before."""
LOOK_PAUSE_S = 0.05
"""Events of this time are looked at together."""
SHUN_S = 300.0
"""A peer that sent other bytes than he was asked for is left alone for so long."""


_BRING_EVIDENCE = (OPEN_DISPUTE.code, ADD_EVIDENCE.code, APPEAL_DISPUTE.code)


@dataclass(slots=True)
class _Wish:
    """A blob that lacks: when to ask for it again, and how often that was in vain."""

    due_s: float
    tries: int = 0


class BlobFetcher:
    """Keeps the inputs of the tasks that this peer knows, and the evidence that concerns it.

    Args:
        state: tells which tasks there are.
        server: builds our hello.
        address: of this peer's account, None without one.
    """

    def __init__(self, state: StateManager, server: Server, address: bytes | None = None) -> None:
        self._state = state
        self._server = server
        self._address = address
        self._wanted: dict[bytes, _Wish] = {}
        self._shunned: dict[str, float] = {}
        self._rescan_s = 0.0
        self._is_rescan_due = False

    async def run(self, transport: Transport) -> None:
        """Fetch what is missing; never returns."""
        with self._state.broadcast.listen() as listener:
            self._look_at_all()
            while True:
                await self._wait(listener)
                due = self._find_due()
                if due:
                    await self._fetch_round(transport, due)

    # ----------------------------------------------------------------------- what is wanted

    async def _wait(self, listener: Listener) -> None:
        """Wait for news or for the time to ask again, and look at what is new."""
        events: list[Event] = []
        next_s = min((wish.due_s for wish in self._wanted.values()), default=math.inf)
        if self._is_rescan_due:
            next_s = min(next_s, self._rescan_s)
        with trio.move_on_at(max(next_s, trio.current_time() + LOOK_PAUSE_S)):
            events.append(await listener.next())
        with trio.move_on_after(LOOK_PAUSE_S if events else 0):
            while events:
                events.append(await listener.next())
        # A seal may let a task stand that did not, or end one whose input is not needed any more.
        if listener.lagged or any(isinstance(event, Sealed) for event in events):
            listener.lagged = False
            self._is_rescan_due = True
        if self._is_rescan_due and trio.current_time() >= self._rescan_s:
            self._look_at_all()
        stored = [event.tx_ids for event in events if isinstance(event, Stored)]
        self._look_at(tx_id for tx_ids in stored for tx_id in tx_ids)

    def _look_at_all(self) -> None:
        """Want the inputs of all tasks that stand, the evidence that concerns us, and no other."""
        state = self._state
        self._is_rescan_due = False
        self._rescan_s = trio.current_time() + RESCAN_S
        tasks = {task.task_id: task.terms for task in state.store.queries.active_tasks()}
        tasks |= {task_id: task.terms for task_id, task in state.open.rows(TASKS).items()}
        needed = [key for _, terms in sorted(tasks.items()) for key in _read_input(terms)]
        needed += self._list_evidence()
        kept = set(needed)
        self._wanted = {key: wish for key, wish in self._wanted.items() if key in kept}
        for content_hash in needed:
            self._want(content_hash)

    def _list_evidence(self) -> list[bytes]:
        """Return the hashes of all evidence in open disputes that this account has a part in."""
        state, address = self._state, self._address
        if address is None:
            return []
        cases = {one.dispute_id: one for one in state.store.queries.open_disputes()}
        cases |= {one.dispute_id: one for one in state.open.rows(DISPUTES).values()}
        found = []
        for _, case in sorted(cases.items()):
            task = state.open.get(TASKS, case.task_id)
            if task is not None and address in {*case.panel, *find_parties(task, case)}:
                found += [item.content_hash for item in case.evidence]
        return found

    def _look_at(self, ids: Iterable[bytes]) -> None:
        found = (self._state.store.journal.get(tx_id) for tx_id in ids)
        headers = [tx.header for tx in found if tx is not None]
        subjects = {header.subject for header in headers if header.kind == PUBLISH_TASK.code}
        for subject in sorted(subjects):
            task = self._state.open.get(TASKS, subject)
            for content_hash in () if task is None else _read_input(task.terms):
                self._want(content_hash)
        if any(header.kind in _BRING_EVIDENCE for header in headers):
            for content_hash in self._list_evidence():
                self._want(content_hash)

    def _want(self, content_hash: bytes) -> None:
        if content_hash in self._wanted or self._has(content_hash):
            return
        if len(self._wanted) >= WANTED_MAX:
            # What was asked for most often in vain makes room; the next look finds it again.
            del self._wanted[max(self._wanted, key=lambda key: (self._wanted[key].tries, key))]
        self._wanted[content_hash] = _Wish(trio.current_time())

    def _has(self, content_hash: bytes) -> bool:
        return self._state.store.journal.has_blob(content_hash)

    def _find_due(self) -> list[bytes]:
        now_s = trio.current_time()
        due = [(wish.due_s, key) for key, wish in self._wanted.items() if wish.due_s <= now_s]
        keys = [key for _, key in sorted(due)[:ROUND_MAX]]
        for key in [key for key in keys if self._has(key)]:
            # The operator or a role put it there.
            del self._wanted[key]
        return [key for key in keys if key in self._wanted]

    # ------------------------------------------------------------------------------ fetching

    async def _fetch_round(self, transport: Transport, due: list[bytes]) -> None:
        """Ask one peer after the other for what is due."""
        was_asked = False
        for peer in transport.peers():
            if self._state.store.gate.fault is not None:
                break
            left = [key for key in due if key in self._wanted]
            if not left:
                return
            if trio.current_time() < self._shunned.get(peer, 0.0):
                continue
            was_asked = True
            try:
                with trio.move_on_after(PEER_S):
                    await self._fetch_from(transport, peer, left)
            except (PeerLeft, TransportError, Full) as error:
                log.debug("blob_round_ended", peer=peer[-8:], reason=str(error)[:120])
            except PeerFault as fault:
                log.warning("blob_fault", peer=peer[-8:], code=fault.code, found=fault.found)
                self._shun(peer)
        for key in due:
            wish = self._wanted.get(key)
            if wish is not None:
                wait_s = min(RETRY_MOST_S, RETRY_FIRST_S * 2 ** min(wish.tries, 10))
                wish.due_s = trio.current_time() + wait_s
                wish.tries += was_asked

    def _shun(self, peer: PeerName) -> None:
        now_s = trio.current_time()
        self._shunned = {name: until for name, until in self._shunned.items() if until > now_s}
        self._shunned[peer] = now_s + SHUN_S

    async def _fetch_from(self, transport: Transport, peer: PeerName, wanted: list[bytes]) -> None:
        messages = MessageStream(await transport.open_stream(peer, PROTOCOL_ID))
        try:
            hello = await messages.ask(self._server.build_hello(), Hello, REPLY_TIMEOUT_S)
            check_hello(self._state.genesis, hello)
            for content_hash in wanted:
                data = await self._download(messages, content_hash)
                if data is not None:
                    self._state.store.put_blob(content_hash, data)
                    self._wanted.pop(content_hash, None)
                    log.debug("blob_fetched", bytes=len(data), peer=peer[-8:])
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(2):
                await messages.aclose()

    async def _download(self, messages: MessageStream, content_hash: bytes) -> bytes | None:
        """Return a blob, None if the peer does not have it.

        Raises:
            PeerFault: what he sends is not the blob.
        """
        data = b""
        total: int | None = None
        while total is None or len(data) < total:
            request = GetBlob(content_hash, len(data))
            piece = await messages.ask(request, Blob, REPLY_TIMEOUT_S)
            if piece.total == 0:
                return None
            total = piece.total if total is None else total
            size = min(BLOB_CHUNK_BYTES_MAX, total - len(data))
            if total > BLOB_BYTES_MAX or (piece.total, len(piece.data)) != (total, size):
                raise PeerFault("blob_mismatch", f"{len(piece.data)} of {piece.total} bytes", size)
            data += piece.data
        if compute_content_hash(data) != content_hash:
            raise PeerFault("blob_mismatch", "other content", content_hash.hex()[:16])
        return data


def _read_input(terms: TaskTerms) -> tuple[bytes, ...]:
    return (terms.data_hash,) if terms.data_bytes else ()
