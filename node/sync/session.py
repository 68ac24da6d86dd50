"""The asking side of a sync stream: make this peer's state at least the other's, and tell him ours.

Steps, each skipped when there is nothing to do: the seals he has beyond ours, each with what it
takes in; the open sets, reconciled by ranges; links that are missing in chains, our own first.
"""

from collections.abc import Callable, Iterable, Sequence

import structlog
import trio

from node.state_manager import StateManager
from node.sync.fetching import REPLY_TIMEOUT_S, Fetcher, Turn
from node.sync.peers import PeerRecord
from node.sync.server import Server, check_hello
from node.sync.wire import MessageStream
from node.verifier import Verifier
from protocol.ballots import Word
from protocol.charter import find_charter
from protocol.errors import PeerFault, Rejected
from protocol.messages import (
    ITEMS_BYTES_MAX,
    ITEMS_PER_MESSAGE_MAX,
    SCOPE_ALL,
    SCOPE_OPEN,
    GetSeals,
    Hello,
    Items,
    Ranges,
    SealedIds,
    Seals,
    Status,
    Taken,
)
from protocol.reconcile import ReconcileSession, Role
from protocol.seals import Seal, check_signatures, compute_seal_hash

log = structlog.get_logger("sync")

REPEATS_MAX = 8
"""Sessions that follow at once on one that ended at its limits; less is left each time."""
FIRST_REST_S = 1.0


class Session:
    """One conversation with one peer.

    Args:
        state: the one door.
        verifier: shared with gossip.
        server: builds our hello.
        messages: the stream.
        record: what we remember of the peer; kept up to date.
        announce: told of ids learnt here, to be passed on.
        tell_seal: told of seals learnt here, likewise.
        tell_word: told of what sealers say, likewise.
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
        tell_seal: Callable[[SealedIds], None],
        tell_word: Callable[[Word], None],
        *,
        leads: bool,
    ) -> None:
        self._state = state
        self._server = server
        self._messages = messages
        self._record = record
        self._tell_word = tell_word
        self._leads = leads
        self._waited = False
        self._fetcher = Fetcher(state, verifier, messages, record, announce, tell_seal)
        self.has_more = False
        """The last turn ended before all was done; the next should not wait."""

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

    async def fetch(self, ids: Sequence[bytes]) -> None:
        """Ask for items that the peer was said to have.

        Raises:
            PeerFault, PeerLeft.
        """
        await self._fetcher.fetch(ids, Turn())

    async def fetch_ballots(self) -> None:
        """Ask what the peer heard of the agreement on the next seal, and tell it on.

        Raises:
            PeerFault, PeerLeft.
        """
        for word in await self._fetcher.fetch_ballots():
            self._tell_word(word)
        self._state.ballots.keep_proofs()
        await self.fetch_sets()

    async def fetch_sets(self) -> None:
        """Ask for proposed sets that the sealer of this node must look at.

        Raises:
            PeerFault, PeerLeft.
        """
        await self._fetcher.fetch_sets(Turn())

    async def become_equal(self, status: Status) -> None:
        """Take what the peer has beyond us and give what we have beyond him, for one turn.

        Raises:
            PeerFault, PeerLeft.
        """
        state, record, turn = self._state, self._record, Turn()
        before = state.epoch
        record.epoch = record.promised = status.epoch
        record.state_root = status.state_root
        self.has_more = False
        if state.store.gate.fault is not None:
            # Nothing could be kept of what he has. What we have he asks for himself.
            record.equal = status == state.status()
            return
        # After an alarm nothing more is folded here; whatever is fetched would be fetched again.
        while state.alarm is None and status.epoch > state.epoch:
            if not await self._fetcher.fetch_seals(turn):
                record.promised = 0
                break
            if turn.is_over:
                break
        if status.epoch != state.epoch:
            record.equal = False
            self.has_more = turn.is_over and state.epoch > before
        elif status.seal_hash != state.seal_hash:
            record.equal = False
            await self._examine_fork(status)
        else:
            await self._compare_open(status, turn)
        await self._fetcher.fetch_own(turn)
        await self._fetcher.fetch_links(turn)

    async def audit(self) -> None:
        """Compare all that either ever stored, sealed or open, and fetch what is missing here.

        What is equal by every status can still differ: a sum can be forged, a disk can lose.

        Raises:
            PeerFault, PeerLeft.
        """
        gained = await self._reconcile(SCOPE_ALL, Turn())
        log.info("audited", peer=str(self._messages.peer)[-8:], gained=gained)

    # --------------------------------------------------------------------------- inner parts

    async def _compare_open(self, status: Status, turn: Turn) -> None:
        state, record = self._state, self._record
        mine = state.status()
        if status.state_root != mine.state_root:
            raise PeerFault(
                "other_root", status.state_root.hex()[:16], "the root that the same seal bears"
            )
        record.equal = mine == status
        if record.equal:
            self._waited = False
            return
        if not self._leads and not self._waited:
            self._waited = True
            return
        if not record.may_reconcile(state.epoch, trio.current_time()):
            return
        epoch = state.epoch
        gained = await self._reconcile(SCOPE_OPEN, turn)
        record.note_reconciled(gained, epoch, trio.current_time(), FIRST_REST_S)
        self.has_more = turn.is_over and gained > 0

    async def _reconcile(self, scope: int, turn: Turn) -> int:
        """Find the differences by ranges, fetch what we lack, push what he lacks.

        Returns:
            How many new items came.
        """
        gained = 0
        for _ in range(REPEATS_MAX):
            came, is_partial = await self._reconcile_once(scope, turn)
            gained += came
            if not is_partial or turn.is_over:
                break
        return gained

    async def _reconcile_once(self, scope: int, turn: Turn) -> tuple[int, bool]:
        """Hold one session.

        Returns:
            How many new items came, and whether there is more to find: it ended at a limit of its
            own, and something was fetched or pushed.
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
            request = Ranges(scope, epoch, is_first, message)
            reply = await self._messages.ask_any(request, REPLY_TIMEOUT_S)
            if isinstance(reply, Status):
                # A seal came in between on his side: what was open is not any more. Or he has no
                # place for an audit now.
                return 0, False
            if not isinstance(reply, Ranges):
                raise PeerFault("wrong_reply", type(reply).__name__, "Ranges")
            is_first = False
            step = session.receive(reply.message)
            have.extend(step.have)
            need.extend(step.need)
            if step.done or step.reply is None or turn.is_over:
                break
            message = step.reply
        log.debug("reconciled", have=len(have), need=len(need), scope=scope)
        gained = await self._fetcher.fetch(need, turn)
        taken = await self._push(have, turn) if scope == SCOPE_OPEN else 0
        return gained, step.is_partial and gained + taken > 0

    async def _push(self, ids: Sequence[bytes], turn: Turn) -> int:
        """Send the peer items; return how many of them he says are new to him."""
        journal = self._state.store.journal
        transactions: list[bytes] = []
        evidence: list[bytes] = []
        size = taken = 0
        for item in ids:
            if turn.is_over:
                return taken
            wire = journal.wire(item)
            found = wire or journal.evidence_proof(item)
            if found is None:
                continue
            full = len(transactions) + len(evidence) >= ITEMS_PER_MESSAGE_MAX
            if full or size + len(found) > ITEMS_BYTES_MAX:
                taken += await self._push_items(transactions, evidence)
                transactions, evidence, size = [], [], 0
            (transactions if wire is not None else evidence).append(found)
            size += len(found)
        if transactions or evidence:
            taken += await self._push_items(transactions, evidence)
        return taken

    async def _push_items(self, transactions: list[bytes], evidence: list[bytes]) -> int:
        items = Items(tuple(transactions), tuple(evidence))
        reply = await self._messages.ask(items, Taken, REPLY_TIMEOUT_S)
        self._record.sent += len(transactions) + len(evidence)
        return reply.count

    async def _examine_fork(self, status: Status) -> None:
        """Ask for the seal that the peer has in the place of ours.

        Two valid seals of one epoch are the doing of the sealers, and a matter for people. Both
        sides keep what they have and go on telling each other what is open.

        Raises:
            PeerFault: he cannot show one.
        """
        if self._record.forked_at == status.seal_hash:
            return
        state = self._state
        reply = await self._messages.ask(GetSeals(status.epoch), Seals, REPLY_TIMEOUT_S)
        try:
            shown = Seal.from_bytes(reply.seals[0].seal) if reply.seals else None
            if shown is None or compute_seal_hash(state.network, shown.content) != status.seal_hash:
                raise PeerFault("other_history", status.seal_hash.hex()[:16], "the seal itself")
            # Whom he says to seal next is not asked: that may be what the histories differ in.
            sealers = find_charter(state.store.view, state.genesis, state.epoch).sealers
            check_signatures(state.network, shown, sealers)
        except Rejected as error:
            raise PeerFault(error.code, error.found, error.wanted) from error
        self._record.forked_at = status.seal_hash
        log.critical(
            "sealers_forked", epoch=status.epoch, theirs=status.seal_hash, ours=state.seal_hash
        )
