"""When to sync, with whom and why; it moves no bytes itself and writes no state.

Each connected peer has one conversation: a task, a stream of ours, an inbox of nudges. A
conversation compares where the two stand after every nudge and every interval, and makes them
equal where they differ. Gossip may lose anything; this is what makes sure.
"""

import random
from collections.abc import Sequence
from typing import Any

import structlog
import trio

from node.state_manager import StateManager
from node.sync.gossip import Gossip
from node.sync.peers import PeerBook, SyncReason
from node.sync.server import Server
from node.sync.session import Session
from node.sync.wire import MessageStream, PeerLeft
from node.transport.base import PeerName, Stream, Transport, TransportError
from node.verifier import Verifier
from protocol.errors import PeerFault, Rejected

log = structlog.get_logger("sync")

PROTOCOL_ID = "/minesync/sync/1"
REDIAL_S = 2.0
STREAMS_PER_PEER_MAX = 4
WANTED_MAX = 16_384
"""Announced ids that wait for a conversation; beyond it reconciliation finds them."""
JITTER = 0.25


class _Inbox:
    """What a conversation was nudged about since it last looked."""

    def __init__(self) -> None:
        self.wanted: dict[bytes, None] = {}
        self.reason: SyncReason | None = None
        self._wake = trio.Event()

    def put(self, reason: SyncReason, ids: tuple[bytes, ...]) -> None:
        for item in ids:
            if len(self.wanted) >= WANTED_MAX:
                break
            self.wanted[item] = None
        self.reason = reason
        self._wake.set()

    async def wait(self, timeout_s: float) -> SyncReason:
        with trio.move_on_after(timeout_s):
            await self._wake.wait()
        self._wake = trio.Event()
        reason, self.reason = self.reason, None
        return reason or SyncReason.INTERVAL

    def take(self) -> list[bytes]:
        wanted, self.wanted = list(self.wanted), {}
        return wanted


class SyncManager:
    """Keeps one peer equal to its peers.

    Args:
        state: the one door.
        verifier: shared by gossip and streams.
        interval_s: between two comparisons with a peer, before jitter.
        gossip_delay_s: how long transactions wait to travel together.
        sessions_max: conversations that reconcile at the same time.
        bootstrap: addresses to keep connected.
        rng: jitter only; seeded in simulations.
    """

    def __init__(
        self,
        state: StateManager,
        verifier: Verifier,
        *,
        interval_s: float,
        gossip_delay_s: float,
        sessions_max: int,
        bootstrap: Sequence[str],
        rng: random.Random,
    ) -> None:
        self._state = state
        self._verifier = verifier
        self._interval_s = interval_s
        self._limiter = trio.CapacityLimiter(sessions_max)
        self._bootstrap = list(bootstrap)
        self._rng = rng
        self._server = Server(state, verifier)
        self._inboxes: dict[str, _Inbox] = {}
        self._streams: dict[str, int] = {}
        self.book = PeerBook()
        self.gossip = Gossip(state, verifier, gossip_delay_s, self.nudge)

    def nudge(self, peer: str, reason: SyncReason, ids: tuple[bytes, ...] = ()) -> None:
        """Ask for a conversation with a peer now; nothing if it is not connected."""
        inbox = self._inboxes.get(peer)
        if inbox is not None:
            inbox.put(reason, ids)

    def nudge_all(self, reason: SyncReason, ids: tuple[bytes, ...] = ()) -> None:
        """Ask for a conversation with every connected peer."""
        for inbox in self._inboxes.values():
            inbox.put(reason, ids)

    def add_bootstrap(self, address: str) -> None:
        """Keep one more address connected."""
        if address not in self._bootstrap:
            self._bootstrap.append(address)

    async def run(
        self, transport: Transport, *, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve and hold conversations; never returns.

        Tasks: gossip out, gossip in, redial, peer events, and one conversation for each peer.
        """
        transport.serve(PROTOCOL_ID, lambda stream: self._serve(transport, stream))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.gossip.run_out, transport)
            nursery.start_soon(self.gossip.run_in, transport)
            nursery.start_soon(self._redial, transport)
            task_status.started()
            scopes: dict[str, trio.CancelScope] = {}
            for peer in transport.peers():
                scopes[peer] = trio.CancelScope()
                nursery.start_soon(self._talk, transport, peer, scopes[peer])
            async for event in transport.peer_events:
                if event.connected and event.peer not in scopes:
                    log.info("peer_connected", peer=event.peer[-8:])
                    scopes[event.peer] = trio.CancelScope()
                    nursery.start_soon(self._talk, transport, event.peer, scopes[event.peer])
                elif not event.connected and event.peer in scopes:
                    log.info("peer_gone", peer=event.peer[-8:])
                    scopes.pop(event.peer).cancel()

    async def _redial(self, transport: Transport) -> None:
        while True:
            for address in list(self._bootstrap):
                name = address.rsplit("/p2p/", 1)[-1]
                if name in transport.peers() or name == transport.name:
                    continue
                if not self.book.is_due(name, trio.current_time()):
                    continue
                try:
                    await transport.dial(address)
                except TransportError as error:
                    self.book.fail(name, trio.current_time())
                    log.debug("dial_failed", code=error.code, peer=name[-8:])
                else:
                    self.book.succeed(name)
            await trio.sleep(REDIAL_S)

    # --------------------------------------------------------------------- conversations

    async def _talk(self, transport: Transport, peer: PeerName, scope: trio.CancelScope) -> None:
        """Hold a conversation for as long as the peer is connected; start again if it breaks."""
        inbox = self._inboxes[peer] = _Inbox()
        try:
            with scope:
                while True:
                    await self._converse_guarded(transport, peer, inbox)
                    record = self.book.get(peer)
                    wait_s = max(0.1, record.retry_at_s - trio.current_time())
                    await trio.sleep(wait_s)
        finally:
            if self._inboxes.get(peer) is inbox:
                del self._inboxes[peer]

    async def _converse_guarded(self, transport: Transport, peer: PeerName, inbox: _Inbox) -> None:
        messages: MessageStream | None = None
        try:
            messages = MessageStream(await transport.open_stream(peer, PROTOCOL_ID))
            await self._converse(messages, peer, inbox, leads=transport.name < peer)
        except (PeerLeft, TransportError) as error:
            self.book.fail(peer, trio.current_time())
            log.debug("conversation_ended", peer=peer[-8:], reason=str(error)[:120])
        except PeerFault as fault:
            await self._blame(transport, peer, fault)
        finally:
            if messages is not None:
                with trio.CancelScope(shield=True), trio.move_on_after(2):
                    await messages.aclose()

    async def _converse(
        self, messages: MessageStream, peer: PeerName, inbox: _Inbox, *, leads: bool
    ) -> None:
        record = self.book.get(peer)
        session = Session(
            self._state,
            self._verifier,
            self._server,
            messages,
            record,
            self.gossip.announce_nowait,
            leads=leads,
        )
        reason = SyncReason.CONNECTED
        status = await session.greet()
        self.book.succeed(peer)
        while True:
            record.sessions += 1
            record.last_reason = reason.value
            wanted = [item for item in inbox.take() if not self._state.knows(item)]
            if wanted:
                await session.fetch(wanted)
            async with self._limiter:
                await session.become_equal(status)
            spread = 1 + JITTER * (2 * self._rng.random() - 1)
            reason = await inbox.wait(self._interval_s * spread)
            if reason is SyncReason.ANNOUNCED and inbox.wanted:
                # The ids are all there is to it: no need to compare first.
                fresh = [item for item in inbox.take() if not self._state.knows(item)]
                await session.fetch(fresh)
            status = await session.compare()

    async def _serve(self, transport: Transport, stream: Stream) -> None:
        """Serve one stream of a peer; the bulkhead of whatever it sends."""
        peer = stream.peer
        if self.book.is_banned(peer, trio.current_time()):
            await stream.reset()
            return
        if self._streams.get(peer, 0) >= STREAMS_PER_PEER_MAX:
            await stream.reset()
            return
        self._streams[peer] = self._streams.get(peer, 0) + 1
        try:
            await self._server.serve(stream)
        except PeerFault as fault:
            await self._blame(transport, peer, fault)
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    async def _blame(
        self, transport: Transport, peer: PeerName, fault: PeerFault | Rejected
    ) -> None:
        banned = self.book.blame(peer, fault.code, trio.current_time())
        self.book.fail(peer, trio.current_time())
        log.warning("peer_fault", peer=peer[-8:], code=fault.code, found=fault.found, banned=banned)
        if banned:
            await transport.disconnect(peer)
