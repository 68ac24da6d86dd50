"""Task inputs: fetched from whoever has them, checked by their hash, kept for the next who asks."""

import math

import structlog
import trio

from node.events import Stored
from node.state_manager import StateManager
from node.sync.manager import PROTOCOL_ID
from node.sync.server import Server, check_hello
from node.sync.session import REPLY_TIMEOUT_S
from node.sync.wire import MessageStream, PeerLeft
from node.transport.base import PeerName, Transport, TransportError
from protocol.errors import PeerFault
from protocol.hashing import compute_content_hash
from protocol.kinds.publish_task import PUBLISH_TASK
from protocol.messages import Blob, GetBlob, Hello
from protocol.task_types import BLOB_BYTES_MAX, TaskTerms
from protocol.transactions import SignedTransaction

log = structlog.get_logger("blobs")

WANTED_MAX = 4_096
RETRY_S = 1.0
ROUND_MAX = 64
"""Blobs asked of one peer before the next peer's turn."""


class BlobFetcher:
    """Keeps the inputs of the tasks that this peer knows."""

    def __init__(self, state: StateManager, server: Server) -> None:
        self._state = state
        self._server = server
        self._wanted: dict[bytes, int] = {}

    async def run(self, transport: Transport) -> None:
        """Fetch what is missing; never returns."""
        self._look_everywhere()
        with self._state.broadcast.listen() as listener:
            while True:
                with trio.move_on_after(RETRY_S if self._wanted else math.inf):
                    self._look_at(await listener.next())
                # All that waits, before a round that takes its time: else the inbox overflows.
                while (event := listener.next_nowait()) is not None:
                    self._look_at(event)
                if listener.lagged:
                    listener.lagged = False
                    self._look_everywhere()
                if self._wanted:
                    await self._fetch_round(transport)

    def _look_everywhere(self) -> None:
        for tx in self._state.open.transactions.values():
            self._look(tx)
        for task in self._state.store.queries.active_tasks():
            self._want(task.terms)

    def _look_at(self, event: object) -> None:
        if isinstance(event, Stored):
            for tx_id in event.tx_ids:
                # By the time the event is read, a seal may have taken the transaction in.
                tx = self._state.open.transactions.get(tx_id) or self._state.store.journal.get(
                    tx_id
                )
                if tx is not None:
                    self._look(tx)

    def _look(self, tx: SignedTransaction) -> None:
        if tx.header.kind == PUBLISH_TASK.code:
            self._want(tx.payload)

    def _want(self, terms: TaskTerms) -> None:
        known = self._state.store.journal.has_blob(terms.data_hash)
        if terms.data_bytes and not known and len(self._wanted) < WANTED_MAX:
            self._wanted[terms.data_hash] = terms.data_bytes

    async def _fetch_round(self, transport: Transport) -> None:
        for peer in transport.peers():
            wanted = list(self._wanted.items())[:ROUND_MAX]
            if not wanted:
                return
            try:
                await self._fetch_from(transport, peer, wanted)
            except (PeerLeft, PeerFault, TransportError) as error:
                log.debug("blob_round_ended", peer=peer[-8:], reason=str(error)[:120])

    async def _fetch_from(
        self, transport: Transport, peer: PeerName, wanted: list[tuple[bytes, int]]
    ) -> None:
        messages = MessageStream(await transport.open_stream(peer, PROTOCOL_ID))
        try:
            hello = await messages.ask(self._server.build_hello(), Hello, REPLY_TIMEOUT_S)
            check_hello(self._state.genesis, hello)
            for content_hash, size in wanted:
                data = await self._download(messages, content_hash, size)
                if data is not None:
                    self._state.store.put_blob(content_hash, data)
                    self._wanted.pop(content_hash, None)
                    log.debug("blob_fetched", bytes=len(data), peer=peer[-8:])
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(2):
                await messages.aclose()

    async def _download(
        self, messages: MessageStream, content_hash: bytes, size: int
    ) -> bytes | None:
        data = b""
        while len(data) < min(size, BLOB_BYTES_MAX):
            request = GetBlob(content_hash, len(data))
            piece = await messages.ask(request, Blob, REPLY_TIMEOUT_S)
            if piece.total == 0:
                return None
            if piece.total != size or piece.offset != len(data) or not piece.data:
                raise PeerFault("blob_mismatch", f"{piece.total} bytes", f"{size} bytes in order")
            data += piece.data
        if compute_content_hash(data) != content_hash:
            raise PeerFault("blob_mismatch", "other content", content_hash.hex()[:16])
        return data
