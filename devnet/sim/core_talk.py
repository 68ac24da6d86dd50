"""A conversation between two peers as a generator: it yields requests and is sent the replies.

The order of `node.sync.session`: seals the other has beyond ours, the open sets by ranges, our own
chain, links that are missing. What travels are the real messages, what answers is the real server;
only the waiting is another's.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from node.state_manager import StateManager
from node.verifier import Verifier
from protocol.ballots import Word
from protocol.chains import Gap
from protocol.errors import PeerFault
from protocol.messages import (
    SCOPE_OPEN,
    WANT_IDS_MAX,
    Ballots,
    GetBallots,
    GetChain,
    GetSeals,
    GetSet,
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

Talk = Generator[Any, Any, None]
Part = Generator[Any, Any, int]
"""A part of a conversation; returns how much it brought."""

ROUNDS_MAX = 64
LINKS_MAX = 16
SEQ_MAX = (1 << 63) - 1


class Talker:
    """Holds the conversations of one peer.

    Args:
        state: the one door.
        verifier: of the network.
        tell: told of ids learnt here, to be passed on.
        tell_word: told of what sealers say, likewise.
        reach: told of rare things.
    """

    def __init__(
        self,
        state: StateManager,
        verifier: Verifier,
        tell: Callable[[Iterable[bytes]], None],
        tell_word: Callable[[Word], None],
        reach: Callable[[str], None],
    ) -> None:
        self._state = state
        self._verifier = verifier
        self._tell = tell
        self._tell_word = tell_word
        self._reach = reach

    def converse(self) -> Talk:
        """Make this peer at least what the other is, and push what he lacks."""
        state = self._state
        status: Status = yield state.status()
        behind = status.epoch - state.epoch
        for _ in range(ROUNDS_MAX):
            if state.alarm is not None or status.epoch <= state.epoch:
                break
            if not (yield from self._take_seals()):
                break
        if behind > 1 and status.epoch <= state.epoch:
            self._reach("a peer takes in several seals at once")
        is_same = (status.epoch, status.seal_hash) == (state.epoch, state.seal_hash)
        if is_same and status != state.status():
            yield from self._reconcile()
        yield from self._fetch_own()
        yield from self._fetch_links()
        if state.ballots.is_needed and status.epoch == state.epoch:
            yield from self._fetch_ballots()
            yield from self._fetch_sets()

    # ---------------------------------------------------------------------------- inner parts

    def _take_seals(self) -> Part:
        before = self._state.epoch
        reply: Seals = yield GetSeals(before + 1)
        for sealed in _expect(reply, Seals).seals:
            if not (yield from self._take_seal(sealed)):
                break
        return self._state.epoch - before

    def _take_seal(self, sealed: SealedIds) -> Part:
        state = self._state
        seal = Seal.from_bytes(sealed.seal)
        ids = unpack_ids(sealed.ids or b"")
        for _ in range(ROUNDS_MAX):
            if seal.content.epoch <= state.epoch:
                return 1
            result = state.apply_seal(seal, ids)
            if result.missing:
                self._reach("a seal waits for what it takes in")
                gained = yield from self._fetch(result.missing, for_seal=True)
            elif result.gaps:
                self._reach("a seal waits for a dead link")
                gained = yield from self._close_gaps(result.gaps, for_seal=True)
            else:
                return int(result.applied)
            if not gained:
                break
        return 0

    def _fetch_ballots(self) -> Part:
        ballots = self._state.ballots
        reply = yield GetBallots(ballots.box.epoch, ballots.box.digest())
        shown = _expect(reply, Ballots)
        if shown.epoch != ballots.box.epoch:
            return 0
        news = ballots.take_shown(shown.shown)
        for word in news:
            self._tell_word(word)
        ballots.keep_proofs()
        return len(news)

    def _fetch_sets(self) -> Part:
        """Fetch what the sealer of this peer lacks of the sets that were proposed."""
        ballots, gained = self._state.ballots, 0
        for plan, is_decided in list(ballots.wanted.values()):
            ids = self._state.find_set(plan)
            if ids is None:
                reply = yield GetSet(plan.set_root, 0)
                ids = unpack_ids(_expect(reply, SetIds).ids)
                if len(ids) != plan.count or self._state.epoch + 1 != plan.epoch:
                    continue
                ballots.put_set(plan.set_root, ids)
            for _ in range(ROUNDS_MAX):
                if plan.set_root not in ballots.wanted:
                    break
                lacking = self._state.examine(plan, ids)
                if lacking is None:
                    break
                self._reach("a sealer asks for what a set lacks")
                if lacking.missing:
                    came = yield from self._fetch(lacking.missing, for_seal=is_decided)
                else:
                    came = yield from self._close_gaps(lacking.gaps, for_seal=is_decided)
                gained += came
                if not came:
                    break
        return gained

    def _reconcile(self) -> Part:
        """Find the differences between the open sets, fetch what we lack, push what he lacks."""
        state = self._state
        session = ReconcileSession(state.open.fingerprint_items(), Role.CLIENT)
        message, epoch, is_first = session.start(), state.epoch, True
        have: list[bytes] = []
        need: list[bytes] = []
        while True:
            reply = yield Ranges(SCOPE_OPEN, epoch, is_first, message)
            if isinstance(reply, Status):
                # A seal came in between on his side: what was open is not any more.
                return 0
            step = session.receive(_expect(reply, Ranges).message)
            have += step.have
            need += step.need
            if step.done or step.reply is None:
                break
            message, is_first = step.reply, False
        gained = yield from self._fetch(state.find_unknown(need), for_seal=False)
        pushed = self._collect(have)
        if pushed.transactions or pushed.evidence:
            reply = yield pushed
            gained += _expect(reply, Taken).count
        if gained:
            self._reach("open sets are made equal by ranges")
        return gained

    def _fetch(self, ids: Sequence[bytes], *, for_seal: bool) -> Part:
        left = self._state.find_unknown(ids)[:WANT_IDS_MAX]
        if not left:
            return 0
        reply = yield Want(pack_ids(left))
        return self._take(_expect(reply, Items), set(left), for_seal=for_seal)

    def _take(self, items: Items, asked: set[bytes], *, for_seal: bool) -> int:
        state = self._state
        known = set(state.open.evidence)
        opened = [self._verifier.open_now(wire) for wire in items.transactions]
        found = {tx.tx_id for tx in opened}
        found |= {state.take_evidence(proof, for_seal=for_seal) for proof in items.evidence}
        if not found <= asked:
            raise PeerFault("unasked_item", f"{len(found - asked)} items", "what was asked for")
        if for_seal:
            state.store_for_seal(opened)
            stored: Iterable[bytes] = ()
        else:
            stored = state.accept(opened, "peer").stored
        self._tell([item for item in stored if item in state.open.transactions])
        self._tell(sorted(state.open.evidence.keys() - known))
        return sum(state.knows(item) for item in found)

    def _fetch_own(self) -> Part:
        """Ask for what our own accounts signed and this disk has lost."""
        state, gained = self._state, 0
        for address, mark in sorted(state.door.signed_up_to.items()):
            first = state.next_link(address)[0]
            if first <= mark:
                gained += yield from self._take_chain(address, first, mark, for_seal=False)
        if gained:
            self._reach("an own chain comes back from peers")
        return gained

    def _fetch_links(self) -> Part:
        return (yield from self._close_gaps(self._state.open.find_gaps(LINKS_MAX), for_seal=False))

    def _close_gaps(self, gaps: Sequence[Gap], *, for_seal: bool) -> Part:
        gained = 0
        for gap in gaps:
            if self._state.knows(gap.missing):
                continue
            if gap.first == gap.last:
                gained += yield from self._fetch([gap.missing], for_seal=for_seal)
            else:
                gained += yield from self._take_chain(
                    gap.author, gap.first, gap.last, for_seal=for_seal
                )
        return gained

    def _take_chain(self, author: bytes, first: int, last: int, *, for_seal: bool) -> Part:
        reply = yield GetChain(author, first, last)
        wires = _expect(reply, Items).transactions
        run = [self._verifier.open_now(wire) for wire in wires]
        unknown = self._state.find_unknown([tx.tx_id for tx in run])
        if for_seal:
            self._state.store_for_seal(run)
        else:
            self._state.accept(run, "peer")
        return len(unknown) - len(self._state.find_unknown(unknown))

    def _collect(self, ids: Sequence[bytes]) -> Items:
        journal = self._state.store.journal
        wires = [wire for item in ids if (wire := journal.wire(item)) is not None]
        proofs = [proof for item in ids if (proof := journal.evidence_proof(item)) is not None]
        return Items(tuple(wires), tuple(proofs))


def _expect(reply: Any, kind: type[Any]) -> Any:
    if not isinstance(reply, kind):
        raise PeerFault("wrong_reply", type(reply).__name__, kind.__name__)
    return reply
