"""Fetching from one peer: items by id, links of chains, seals with all that they take in.

Rules:
1. What was not asked for blames the peer. What he does not have blames nobody.
2. Every loop ends: a round that brings nothing new is the last one, and no turn outlasts its time.
3. A link that died is fetched downwards from what names it, so that its hash is known beforehand.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import structlog
import trio

from node.buggify import buggify
from node.sealing import SealResult
from node.state_manager import StateManager
from node.sync.peers import PeerRecord
from node.sync.wire import MessageStream
from node.verifier import Verifier
from protocol.ballots import Word
from protocol.chains import Gap
from protocol.errors import PeerFault, Rejected
from protocol.messages import (
    ITEMS_BYTES_MAX,
    PACKED_IDS_MAX,
    WANT_IDS_MAX,
    Ballots,
    GetBallots,
    GetChain,
    GetIds,
    GetSeals,
    GetSet,
    Ids,
    Items,
    SealedIds,
    Seals,
    SetIds,
    Want,
    pack_ids,
    unpack_ids,
)
from protocol.plan import Plan
from protocol.seals import Seal
from protocol.transactions import WIRE_BYTES_MAX, SignedTransaction

log = structlog.get_logger("sync")

REPLY_TIMEOUT_S = 15.0
TURN_S = 20.0
"""How long one turn with a peer may take; whoever has more to give gets another turn, later."""
LINKS_MAX = 64
LINK_REST_S = 30.0
"""Before a peer is asked again for a link that he did not have."""
IN_VAIN_MAX = 1_024
SEQ_MAX = (1 << 63) - 1
RUNS_MAX = 64
"""Pieces of one author's chain fetched in one turn."""
PIECE_IDS_MAX = 16 * WANT_IDS_MAX
"""What is asked of a proposed set before it is looked at again."""
_FULL_BYTES = ITEMS_BYTES_MAX - 2 * WIRE_BYTES_MAX - 64
"""A reply above it may have left something out for lack of room."""


class Turn:
    """The time that one peer has before others get theirs."""

    def __init__(self) -> None:
        self._end_s = trio.current_time() + TURN_S

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return trio.current_time() >= self._end_s or buggify("turn_over")


class Fetcher:
    """Takes what one peer has and puts it through the door.

    Args:
        state: the one door.
        verifier: shared with gossip.
        messages: the stream.
        record: what we remember of the peer; kept up to date.
        announce: told of ids learnt here, to be passed on.
        tell_seal: told of the last seal of those learnt here.
    """

    def __init__(
        self,
        state: StateManager,
        verifier: Verifier,
        messages: MessageStream,
        record: PeerRecord,
        announce: Callable[[Iterable[bytes]], None],
        tell_seal: Callable[[SealedIds], None],
    ) -> None:
        self._state = state
        self._verifier = verifier
        self._messages = messages
        self._record = record
        self._announce = announce
        self._tell_seal = tell_seal
        self._has_asked_own = False
        self._in_vain: dict[bytes, float] = {}

    async def fetch(self, ids: Sequence[bytes], turn: Turn, *, for_seal: bool = False) -> int:
        """Ask for items and put them through the door; return how many are new here.

        Args:
            ids: those that are known already are not asked for.
            turn: when to stop.
            for_seal: the next seal takes them in, so they are stored whatever else we hold.

        Raises:
            PeerFault: he sent what was not asked for, or what is no transaction.
            PeerLeft: he left.
        """
        gained = 0
        for start in range(0, len(ids), WANT_IDS_MAX):
            left = self._state.find_unknown(ids[start : start + WANT_IDS_MAX])
            while left and not turn.is_over:
                items = await self._messages.ask(Want(pack_ids(left)), Items, REPLY_TIMEOUT_S)
                found = await self._take(items, set(left), for_seal=for_seal)
                left = [item for item in left if item not in found]
                gained += sum(self._state.knows(item) for item in found)
                size = sum(len(data) for data in (*items.transactions, *items.evidence))
                if size < _FULL_BYTES:
                    # There was room for the others: he does not have them.
                    break
        return gained

    async def fetch_links(self, turn: Turn) -> int:
        """Ask for what keeps stored transactions out of the open chains; return how many came.

        Raises:
            PeerFault, PeerLeft.
        """
        now_s = trio.current_time()
        gaps = self._state.open.find_gaps(LINKS_MAX)
        due = [gap for gap in gaps if now_s >= self._in_vain.get(gap.missing, 0.0)]
        if not due:
            return 0
        gained = await self._close_gaps(due, turn, for_seal=False)
        if len(self._in_vain) > IN_VAIN_MAX:
            self._in_vain.clear()
        for missing in self._state.find_unknown([gap.missing for gap in due]):
            # Whoever makes up links that nobody has costs each peer a question now and then.
            self._in_vain[missing] = now_s + LINK_REST_S
        return gained

    async def fetch_own(self, turn: Turn) -> int:
        """Ask for what our own accounts signed and this database has lost; return how many came.

        Raises:
            PeerFault, PeerLeft.
        """
        gained = 0
        for address, mark in sorted(self._state.door.signed_up_to.items()):
            first = self._state.next_link(address)[0]
            # Once with each peer for all there is: the mark itself may be what was lost.
            last = mark if self._has_asked_own else SEQ_MAX
            while first <= last and not turn.is_over:
                run = await self._ask_chain(address, first, last)
                if not run:
                    break
                gained += self._store(run, for_seal=False)
                last = run[-1].header.seq - 1
        self._has_asked_own = True
        return gained

    async def fetch_seals(self, turn: Turn) -> bool:
        """Take one run of seals; return whether it moved us on.

        Raises:
            PeerFault: a seal that is none, or does not fit what he says it takes in.
            PeerLeft: he left.
        """
        before = self._state.epoch
        reply = await self._messages.ask(GetSeals(before + 1), Seals, REPLY_TIMEOUT_S)
        last: SealedIds | None = None
        for sealed in reply.seals:
            try:
                if not await self._take_seal(sealed, turn):
                    break
            except Rejected as error:
                raise PeerFault(error.code, error.found, error.wanted) from error
            last = sealed
        if last is not None and self._state.epoch > before:
            self._tell_seal(last)
        return self._state.epoch > before

    async def fetch_ballots(self) -> list[Word]:
        """Ask what he heard of the agreement on the next seal; return what of it is news.

        Raises:
            PeerFault: he shows what no sealer said.
            PeerLeft: he left.
        """
        box = self._state.ballots.box
        request = GetBallots(box.epoch, box.digest())
        reply = await self._messages.ask(request, Ballots, REPLY_TIMEOUT_S)
        if reply.epoch != self._state.ballots.box.epoch:
            return []
        try:
            return self._state.ballots.take_shown(reply.shown)
        except Rejected as error:
            raise PeerFault(error.code, error.found, error.wanted) from error

    async def fetch_sets(self, turn: Turn) -> None:
        """Ask for what the sealer of this node needs to look at what was proposed.

        Raises:
            PeerFault, PeerLeft.
        """
        ballots = self._state.ballots
        for plan, is_decided in list(ballots.wanted.values()):
            ids = self._state.find_set(plan)
            if ids is None:
                ids = await self._fetch_set_ids(plan)
            # What is not legal the sealer finds out for himself.
            with contextlib.suppress(Rejected):
                while ids is not None and plan.set_root in ballots.wanted and not turn.is_over:
                    lacking = self._state.examine(plan, ids)
                    if lacking is None:
                        break
                    # In pieces: whoever proposed what nobody has costs each peer one of them.
                    piece = replace(lacking, missing=lacking.missing[:PIECE_IDS_MAX])
                    if not await self._fetch_missing(piece, turn, for_seal=is_decided):
                        break

    # --------------------------------------------------------------------------- inner parts

    async def _take(self, items: Items, asked: set[bytes], *, for_seal: bool) -> set[bytes]:
        """Put a reply through the door; return the ids it holds."""
        state = self._state
        known = set(state.open.evidence)
        try:
            opened = await self._verifier.open_many(items.transactions)
            found = {tx.tx_id for tx in opened}
            for proof in items.evidence:
                found.add(state.take_evidence(proof, for_seal=for_seal))
        except Rejected as error:
            raise PeerFault(error.code, error.found, error.wanted) from error
        if not found <= asked:
            raise PeerFault("unasked_item", f"{len(found - asked)} items", "what was asked for")
        self._announce(sorted(state.open.evidence.keys() - known))
        self._store(opened, for_seal=for_seal)
        self._record.received += len(found)
        return found

    def _store(self, transactions: Sequence[SignedTransaction], *, for_seal: bool) -> int:
        """Put transactions through the door, announce what is news; return how many are new."""
        state, source = self._state, str(self._messages.peer)
        unknown = state.find_unknown([tx.tx_id for tx in transactions])
        known = set(state.open.evidence)
        if for_seal:
            state.store_for_seal(transactions, source)
        else:
            # What is dead is of use to those who miss it as a link, and they ask.
            stored = state.accept(transactions, source).stored
            self._announce([item for item in stored if item in state.open.transactions])
        self._announce(sorted(state.open.evidence.keys() - known))
        return len(unknown) - len(state.find_unknown(unknown))

    async def _close_gaps(self, gaps: Sequence[Gap], turn: Turn, *, for_seal: bool) -> int:
        """Fetch the links that gaps name, and what lacks below them; return how many are new."""
        unknown = set(self._state.find_unknown([gap.missing for gap in gaps]))
        single = [gap.missing for gap in gaps if gap.first == gap.last and gap.missing in unknown]
        gained = await self.fetch(single, turn, for_seal=for_seal)
        for gap in gaps:
            if gap.first < gap.last and gap.missing in unknown:
                gained += await self._close_gap(gap, turn, for_seal=for_seal)
        return gained

    async def _close_gap(self, gap: Gap, turn: Turn, *, for_seal: bool) -> int:
        gained = 0
        last, wanted = gap.last, gap.missing
        for _ in range(RUNS_MAX):
            if turn.is_over or last < gap.first or self._state.knows(wanted):
                break
            run = _cut_at_break(await self._ask_chain(gap.author, gap.first, last), wanted)
            if not run:
                # Perhaps he has it at no place of the chain that he knows.
                came = await self.fetch([wanted], turn, for_seal=for_seal)
                return gained + came
            came = self._store(run, for_seal=for_seal)
            gained += came
            lowest = run[-1].header
            if not came or lowest.prev is None:
                break
            last, wanted = lowest.seq - 1, lowest.prev
        return gained

    async def _ask_chain(self, author: bytes, first: int, last: int) -> list[SignedTransaction]:
        """Return a piece of an author's chain, downwards; none if the peer has none of it."""
        items = await self._messages.ask(GetChain(author, first, last), Items, REPLY_TIMEOUT_S)
        try:
            run = await self._verifier.open_many(items.transactions)
        except Rejected as error:
            raise PeerFault(error.code, error.found, error.wanted) from error
        seqs = [tx.header.seq for tx in run]
        ends = [first <= seq <= last for seq in (*seqs[:1], *seqs[-1:])]
        is_run = all(above == below + 1 for above, below in pairwise(seqs))
        if items.evidence or not all(ends) or not is_run:
            raise PeerFault("unasked_item", f"{len(run)} links", "a chain, downwards")
        if any(tx.header.author != author for tx in run):
            raise PeerFault("unasked_item", "another author's link", author.hex()[:16])
        self._record.received += len(run)
        return run

    async def _take_seal(self, sealed: SealedIds, turn: Turn) -> bool:
        """Apply one seal; return whether it is applied now."""
        state = self._state
        seal = Seal.from_bytes(sealed.seal)
        epoch = seal.content.epoch
        if epoch <= state.epoch:
            return True
        state.check_next_seal(seal)
        ids = state.find_set(seal.content)
        if ids is None:
            packed = sealed.ids
            ids = unpack_ids(packed) if packed is not None else await self._fetch_ids(seal)
        # Gossip may bring this very seal while we are fetching.
        while epoch > state.epoch and not turn.is_over:
            result = state.apply_seal(seal, ids)
            if not result.missing and not result.gaps:
                return result.applied
            if not await self._fetch_missing(result, turn, for_seal=True):
                break
        return epoch <= state.epoch

    async def _fetch_missing(self, result: SealResult, turn: Turn, *, for_seal: bool) -> int:
        """Fetch what a set lacks here; return how many items are new."""
        if result.missing:
            return await self.fetch(result.missing, turn, for_seal=for_seal)
        return await self._close_gaps(result.gaps, turn, for_seal=for_seal)

    async def _fetch_set_ids(self, plan: Plan) -> list[bytes] | None:
        """Ask for the ids of a proposed set; None if he does not have them."""
        ids: list[bytes] = []
        while len(ids) < plan.count:
            request = GetSet(plan.set_root, len(ids))
            reply = await self._messages.ask(request, SetIds, REPLY_TIMEOUT_S)
            part = unpack_ids(reply.ids)
            if not part:
                return None
            ids.extend(part)
        try:
            self._state.ballots.put_set(plan.set_root, ids)
        except Rejected as error:
            raise PeerFault(error.code, error.found, error.wanted) from error
        return ids

    async def _fetch_ids(self, seal: Seal) -> list[bytes]:
        """Ask for the ids of a seal that is known to be one."""
        ids: list[bytes] = []
        count = seal.content.count
        while len(ids) < count:
            request = GetIds(seal.content.epoch, len(ids))
            reply = await self._messages.ask(request, Ids, REPLY_TIMEOUT_S)
            part = unpack_ids(reply.ids)
            wanted = min(PACKED_IDS_MAX, count - len(ids))
            if len(part) != wanted:
                raise PeerFault("ids_short", f"{len(part)} ids", wanted)
            ids.extend(part)
        return ids


def _cut_at_break(run: list[SignedTransaction], wanted: bytes) -> list[SignedTransaction]:
    """Return the links from the top that are named by hash, one by the other."""
    named: bytes | None = wanted
    for place, tx in enumerate(run):
        if tx.tx_id != named:
            return run[:place]
        named = tx.header.prev
    return run


assert REPLY_TIMEOUT_S < TURN_S, "one late reply does not use up a turn"
assert _FULL_BYTES > 0, "a full reply is told from one that holds all there is"
