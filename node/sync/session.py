"""The asking side of a sync stream: make this peer's state at least the other's, and tell him ours.

Steps, each skipped when there is nothing to do: the seals he has beyond ours, each with the
transactions it takes in; the open sets, reconciled by ranges; links that are missing in chains.
"""

from collections.abc import Callable, Iterable, Sequence

import structlog

from node.state_manager import StateManager
from node.sync.peers import PeerRecord
from node.sync.server import Server, check_hello
from node.sync.wire import MessageStream
from node.verifier import Verifier
from protocol.errors import PeerFault, Rejected
from protocol.messages import (
    ITEMS_BYTES_MAX,
    ITEMS_PER_MESSAGE_MAX,
    SCOPE_ALL,
    SCOPE_OPEN,
    WANT_IDS_MAX,
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
from protocol.seals import Seal

log = structlog.get_logger("sync")

REPLY_TIMEOUT_S = 15.0
LINKS_MAX = 64


class Session:
    """One conversation with one peer.

    Args:
        state: the one door.
        verifier: shared with gossip.
        server: builds our hello.
        messages: the stream.
        record: what we remember of the peer; kept up to date.
        announce: told of ids learnt here, to be passed on.
        leads: this side starts when the open sets differ; the other starts only if they still
            differ at the next comparison, so that nothing travels twice.
    """

    def __init__(
        self,
        state: StateManager,
        verifier: Verifier,
        server: Server,
        messages: MessageStream,
        record: PeerRecord,
        announce: Callable[[Iterable[bytes]], None],
        *,
        leads: bool,
    ) -> None:
        self._state = state
        self._verifier = verifier
        self._server = server
        self._messages = messages
        self._record = record
        self._announce = announce
        self._leads = leads
        self._waited = False

    async def greet(self) -> Status:
        """Exchange hellos; return where the peer stands.

        Raises:
            PeerFault: he is of another network or version.
            PeerLeft: he left.
        """
        hello = await self._messages.ask(self._server.build_hello(), Hello, REPLY_TIMEOUT_S)
        return check_hello(self._state.genesis, hello).status

    async def compare(self) -> Status:
        """Return where the peer stands now."""
        return await self._messages.ask(self._state.status(), Status, REPLY_TIMEOUT_S)

    async def become_equal(self, status: Status) -> None:
        """Take what the peer has beyond us and give what we have beyond him.

        Raises:
            PeerFault, PeerLeft.
        """
        state = self._state
        self._record.epoch = status.epoch
        self._record.state_root = status.state_root
        while status.epoch > state.epoch and await self._fetch_seals():
            pass
        if status.epoch != state.epoch:
            self._record.equal = False
            return
        if status.seal_hash != state.seal_hash:
            raise PeerFault(
                "other_history", status.seal_hash.hex()[:16], state.seal_hash.hex()[:16]
            )
        mine = state.status()
        self._record.equal = mine == status
        if self._record.equal:
            self._waited = False
        elif self._leads or self._waited:
            await self.reconcile(SCOPE_OPEN)
        else:
            self._waited = True
        links = [item for item in state.open.missing_links(LINKS_MAX) if not state.knows(item)]
        if links:
            await self.fetch(links)

    async def reconcile(self, scope: int) -> None:
        """Find the differences by ranges; fetch what we lack, push what he lacks.

        Raises:
            PeerFault, PeerLeft.
        """
        state = self._state
        view = state.open.fingerprint_items() if scope == SCOPE_OPEN else state.store.range_view()
        session = ReconcileSession(view, Role.CLIENT)
        message = session.start()
        is_first = True
        have: list[bytes] = []
        need: list[bytes] = []
        epoch = state.epoch
        while True:
            await self._messages.send(Ranges(scope, epoch, is_first, message))
            reply = await self._messages.receive(REPLY_TIMEOUT_S)
            if isinstance(reply, Status):
                # A seal came in between on his side: what was open is not any more.
                return
            if not isinstance(reply, Ranges):
                raise PeerFault("wrong_reply", type(reply).__name__, "Ranges")
            is_first = False
            step = session.receive(reply.message)
            have.extend(step.have)
            need.extend(step.need)
            if step.done or step.reply is None:
                break
            message = step.reply
        log.debug("reconciled", have=len(have), need=len(need), scope=scope)
        if need:
            await self.fetch(need)
        if have and scope != SCOPE_ALL:
            await self._push(have)

    async def fetch(self, ids: Sequence[bytes], *, for_seal: bool = False) -> int:
        """Ask for items and put them through the door; return how many came.

        Raises:
            PeerFault: he sent what was not asked for, or what is no transaction.
            PeerLeft: he left.
        """
        state = self._state
        left = [item for item in ids if not state.knows(item)]
        came = 0
        while left:
            chunk = left[:WANT_IDS_MAX]
            items = await self._messages.ask(Want(pack_ids(chunk)), Items, REPLY_TIMEOUT_S)
            asked = set(chunk)
            try:
                opened = await self._verifier.open_many(items.transactions)
                found = {tx.tx_id for tx in opened}
                for proof in items.evidence:
                    found.add(state.take_evidence(proof))
            except Rejected as error:
                raise PeerFault(error.code, error.found, error.wanted) from error
            if not found <= asked:
                raise PeerFault("unasked_item", f"{len(found - asked)} items", "what was asked for")
            if for_seal:
                state.store_for_seal(opened, str(self._messages.peer))
            else:
                accepted = state.accept(opened, str(self._messages.peer))
                self._announce([*accepted.stored, *accepted.evidence])
            came += len(found)
            self._record.received += len(found)
            if not found:
                # He has none of these: the next chunk may still hold some.
                left = left[len(chunk) :]
            else:
                left = [item for item in left if item not in found]
        return came

    async def _push(self, ids: Sequence[bytes]) -> None:
        journal = self._state.store.journal
        transactions: list[bytes] = []
        evidence: list[bytes] = []
        size = 0
        for item in ids:
            wire = journal.wire(item)
            found = wire or journal.evidence_proof(item)
            if found is None:
                continue
            full = len(transactions) + len(evidence) >= ITEMS_PER_MESSAGE_MAX
            if full or size + len(found) > ITEMS_BYTES_MAX:
                await self._push_items(transactions, evidence)
                transactions, evidence, size = [], [], 0
            (transactions if wire is not None else evidence).append(found)
            size += len(found)
        if transactions or evidence:
            await self._push_items(transactions, evidence)

    async def _push_items(self, transactions: list[bytes], evidence: list[bytes]) -> None:
        items = Items(tuple(transactions), tuple(evidence))
        await self._messages.ask(items, Taken, REPLY_TIMEOUT_S)
        self._record.sent += len(transactions) + len(evidence)

    async def _fetch_seals(self) -> bool:
        """Take one run of seals; return whether it moved us on."""
        state = self._state
        before = state.epoch
        reply = await self._messages.ask(GetSeals(before + 1), Seals, REPLY_TIMEOUT_S)
        for sealed in reply.seals:
            if not await self._take_seal(sealed):
                break
        return state.epoch > before

    async def _take_seal(self, sealed: SealedIds) -> bool:
        state = self._state
        try:
            seal = Seal.from_bytes(sealed.seal)
            if seal.content.epoch <= state.epoch:
                return True
            ids = unpack_ids(sealed.ids) if sealed.ids is not None else await self._fetch_ids(seal)
            while True:
                # Gossip may have brought this very seal while we were fetching.
                if seal.content.epoch <= state.epoch:
                    return True
                result = state.apply_seal(seal, ids)
                if result.applied or not result.missing:
                    return result.applied
                if not await self.fetch(result.missing, for_seal=True):
                    return False
        except Rejected as error:
            raise PeerFault(error.code, error.found, error.wanted) from error

    async def _fetch_ids(self, seal: Seal) -> list[bytes]:
        self._state.check_next_seal(seal)
        ids: list[bytes] = []
        while len(ids) < seal.content.count:
            request = GetIds(seal.content.epoch, len(ids))
            reply = await self._messages.ask(request, Ids, REPLY_TIMEOUT_S)
            part = unpack_ids(reply.ids)
            if not part:
                raise PeerFault("ids_short", f"{len(ids)} ids", seal.content.count)
            ids.extend(part)
        return ids
