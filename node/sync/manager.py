"""When to sync, with whom and why; it moves no bytes itself and writes no state.

Each connected peer has one conversation: a task, a stream of ours, an inbox of nudges. A
conversation compares where the two stand after every nudge and every interval, and makes them
equal where they differ, by turns of bounded length. Gossip may lose anything; this is what makes
sure. Now and then everything ever stored is compared with a peer drawn by lot.
"""

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
import trio

from node.buggify import buggify
from node.state_manager import StateManager
from node.sync.budget import Buckets
from node.sync.gossip import Gossip
from node.sync.peers import RETRY_FIRST_S, PeerBook, SyncReason
from node.sync.server import IDLE_TIMEOUT_S, Server
from node.sync.session import Session
from node.sync.wire import MessageStream, PeerLeft
from node.transport.base import PeerName, Stream, Transport, TransportError
from node.verifier import Verifier
from protocol.ballots import Word
from protocol.errors import PeerFault
from protocol.messages import SealedIds
from protocol.plan import Plan
from storage.errors import Full

log = structlog.get_logger("sync")

PROTOCOL_ID = "/minesync/sync/1"
REDIAL_S = 2.0
STREAMS_PER_PEER_MAX = 4
WANTED_MAX = 16_384
"""Announced ids that wait for a conversation; beyond it reconciliation finds them."""
JITTER = 0.25
INTERVAL_S_MAX = IDLE_TIMEOUT_S / 2
"""However seldom peers are compared, their streams must not fall asleep."""
PACE_S = 0.05
"""Between two comparisons with a peer, however often we are nudged."""
AUDIT_S = 3_600.0


class _Inbox:
    """What a conversation was nudged about since it last looked."""

    def __init__(self) -> None:
        self.wanted: dict[bytes, None] = {}
        self.reason: SyncReason | None = None
        self.is_audit_due = False
        self._wake = trio.Event()

    def put(self, reason: SyncReason, ids: tuple[bytes, ...]) -> None:
        for item in ids:
            if len(self.wanted) >= WANTED_MAX or buggify("inbox_full"):
                break
            self.wanted[item] = None
        self.reason = reason
        self.is_audit_due |= reason is SyncReason.AUDIT
        self._wake.set()

    async def wait_for_nudge(self, timeout_s: float) -> None:
        """Wait for a nudge or the time-out; what it was about is left for whoever looks next."""
        with trio.move_on_after(max(0.0, timeout_s)):
            await self._wake.wait()
        self._wake = trio.Event()

    async def wait(self, timeout_s: float) -> SyncReason:
        with trio.move_on_after(timeout_s):
            await self._wake.wait()
        self._wake = trio.Event()
        reason, self.reason = self.reason, None
        return reason or SyncReason.INTERVAL

    def take(self) -> list[bytes]:
        wanted, self.wanted = list(self.wanted), {}
        return wanted

    def take_audit(self) -> bool:
        is_due, self.is_audit_due = self.is_audit_due, False
        return is_due


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
        self._interval_s = min(interval_s, INTERVAL_S_MAX)
        self._limiter = trio.CapacityLimiter(sessions_max)
        self._bootstrap = list(bootstrap)
        self._rng = rng
        self._inboxes: dict[str, _Inbox] = {}
        self._streams: dict[str, int] = {}
        self._buckets = Buckets()
        self._has_met = False
        self.book = PeerBook()
        self.gossip = Gossip(state, verifier, gossip_delay_s, self.nudge)
        self._server = Server(state, verifier, self.gossip.announce_nowait)

    def nudge(self, peer: str, reason: SyncReason, ids: tuple[bytes, ...] = ()) -> bool:
        """Ask for a conversation with a peer now; return False if it is not connected."""
        inbox = self._inboxes.get(peer)
        if inbox is None:
            return False
        inbox.put(reason, ids)
        return True

    def nudge_all(self, reason: SyncReason, ids: tuple[bytes, ...] = ()) -> None:
        """Ask for a conversation with every connected peer."""
        for inbox in self._inboxes.values():
            inbox.put(reason, ids)

    def count_behind(self) -> int | None:
        """Return how many seals this peer lacks, as more than half of those connected say.

        Who promises seals and brings none is not believed, and neither is a minority. None while
        there are peers to dial of whom not one has said anything yet.
        """
        if not self._has_met and self._bootstrap:
            return None
        promised = sorted(self.book.get(name).promised for name in self._inboxes)
        if not promised:
            return 0
        return max(0, promised[(len(promised) - 1) // 2] - self._state.epoch)

    def tell_word_nowait(self, word: Word) -> None:
        """Tell the peers what this node's sealer says."""
        self.gossip.tell_word_nowait(word)

    def tell_seal_nowait(self, sealed: SealedIds) -> None:
        """Tell the peers of a new seal."""
        self.gossip.tell_seal_nowait(sealed)

    def ask_for_set(self, plan: Plan, *, of_all: bool) -> None:
        """Ask for what this node's sealer wants: somebody who is said to have it, or everybody."""
        if not of_all:
            for peer in self._state.ballots.find_holders(plan.set_root):
                if self.nudge(peer, SyncReason.PROPOSED):
                    return
        self.nudge_all(SyncReason.PROPOSED)

    def ask_for_ballots(self) -> None:
        """Ask everybody what he heard of the agreement on the next seal."""
        self.nudge_all(SyncReason.BALLOTS)

    def add_bootstrap(self, address: str) -> None:
        """Keep one more address connected."""
        if address not in self._bootstrap:
            self._bootstrap.append(address)

    async def run(
        self, transport: Transport, *, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve and hold conversations; never returns.

        Tasks: gossip out, gossip in, redial, audits, peer events, a conversation for each peer.
        """
        transport.serve(PROTOCOL_ID, lambda stream: self._serve(transport, stream))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.gossip.run_out, transport)
            nursery.start_soon(self.gossip.run_in, transport)
            nursery.start_soon(self._redial, transport)
            nursery.start_soon(self._audit)
            task_status.started()
            scopes: dict[str, trio.CancelScope] = {}
            for peer in transport.peers():
                scopes[peer] = trio.CancelScope()
                nursery.start_soon(self._talk, transport, peer, scopes[peer])
            async for event in transport.peer_events:
                if event.connected and self.book.is_banned(event.peer, trio.current_time()):
                    log.debug("banned_peer_refused", peer=event.peer[-8:])
                    await transport.disconnect(event.peer)
                elif event.connected and event.peer not in scopes:
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
                    # The first in a row is for the operator: his address may be wrong.
                    is_first = self.book.get(name).failures == 1
                    tell = log.warning if is_first else log.debug
                    tell("dial_failed", code=error.code, found=error.found, wanted=error.wanted)
            await trio.sleep(REDIAL_S)

    async def _audit(self) -> None:
        """Now and then compare everything with one peer drawn by lot."""
        while True:
            await trio.sleep(AUDIT_S * (1 + JITTER * (2 * self._rng.random() - 1)))
            names = sorted(self._inboxes)
            if names:
                self.nudge(self._rng.choice(names), SyncReason.AUDIT)

    # --------------------------------------------------------------------- conversations

    async def _talk(self, transport: Transport, peer: PeerName, scope: trio.CancelScope) -> None:
        """Hold a conversation for as long as the peer is connected; start again if it breaks."""
        inbox = self._inboxes[peer] = _Inbox()
        try:
            with scope:
                while True:
                    await self._converse_guarded(transport, peer, inbox)
                    wait_s = self.book.get(peer).retry_at_s - trio.current_time()
                    await trio.sleep(min(max(0.1, wait_s), RETRY_FIRST_S))
                    # Whoever has news need not wait for the rest of it.
                    await inbox.wait_for_nudge(wait_s - RETRY_FIRST_S)
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
            self.gossip.tell_seal_nowait,
            self.gossip.tell_word_nowait,
            leads=leads,
        )
        reason = SyncReason.CONNECTED
        status = await session.greet()
        record.promised = status.epoch
        self._has_met = True
        self.book.succeed(peer)
        while True:
            compared_s = trio.current_time()
            record.sessions += 1
            record.last_reason = reason.value
            try:
                await self._fetch_wanted(session, inbox)
                if status == self._state.status():
                    # Nearly always, and it must not queue behind those who are far apart.
                    await session.become_equal(status)
                else:
                    async with self._limiter:
                        await session.become_equal(status)
                if self._state.ballots.is_needed and status.epoch == self._state.epoch:
                    await session.fetch_ballots()
                if inbox.take_audit() and status.epoch == self._state.epoch:
                    async with self._limiter:
                        await session.audit()
            except Full as error:
                # Between two messages, so the stream goes on; the peer is asked again later.
                log.info("sync_paused", code=error.code, found=error.found)
                session.has_more = False
            if not session.has_more:
                spread = 1 + JITTER * (2 * self._rng.random() - 1)
                reason = await inbox.wait(self._interval_s * spread)
            # Announced ids are all there is to it: no need to compare first.
            with suppress(Full):
                await self._fetch_wanted(session, inbox)
                await session.fetch_sets()
            await trio.sleep_until(compared_s + PACE_S)
            status = await session.compare()

    async def _fetch_wanted(self, session: Session, inbox: _Inbox) -> None:
        wanted = self._state.find_unknown(inbox.take())
        if wanted and self._state.store.gate.fault is None:
            await session.fetch(wanted)

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
            await self._server.serve(stream, self._buckets.of(peer))
        except PeerFault as fault:
            await self._blame(transport, peer, fault)
        finally:
            self._streams[peer] -= 1
            if not self._streams[peer]:
                del self._streams[peer]

    async def _blame(self, transport: Transport, peer: PeerName, fault: PeerFault) -> None:
        banned = self.book.blame(peer, fault.code, trio.current_time())
        self.book.fail(peer, trio.current_time())
        log.warning("peer_fault", peer=peer[-8:], code=fault.code, found=fault.found, banned=banned)
        if banned:
            await transport.disconnect(peer)


assert INTERVAL_S_MAX * (1 + JITTER) < IDLE_TIMEOUT_S, "a conversation outlives its pauses"
