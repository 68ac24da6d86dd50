"""Gossip: small batches of transactions, or only their ids when they are many. A hint, never a log.

Rules:
1. A message that fails the stateless check goes no further. So does one that nobody here would
   store, or that tells what is known: what a peer relays costs all the others, and reconciliation
   brings what a cautious peer held back.
2. Nothing in a message says truly who made it. Whom it names is asked, but only so often.
"""

from collections.abc import Callable, Iterable
from itertools import islice

import structlog
import trio

from node.buggify import buggify
from node.sealing import check_set
from node.state_manager import StateManager
from node.sync.budget import Bucket, Buckets
from node.sync.peers import SyncReason
from node.transport.base import Transport, TransportError
from node.verifier import Verifier
from protocol.ballots import Ballot, DoubleBallot, Proposal, SealVote, Word
from protocol.chains import read_evidence
from protocol.charter import find_charter
from protocol.charter_records import LEAD_EPOCHS
from protocol.errors import PeerFault, Rejected
from protocol.hashing import HASH_BYTES
from protocol.messages import (
    GOSSIP_BYTES_MAX,
    GOSSIP_SEAL_IDS_MAX,
    Announcement,
    BallotNotice,
    DealNotice,
    DoubleBallotNotice,
    EvidenceNotice,
    OpeningNotice,
    ProposalNotice,
    SealedIds,
    SealNotice,
    SealVoteNotice,
    Transactions,
    decode_gossip_message,
    encode_message,
    pack_ids,
    unpack_ids,
)
from protocol.schema import encode_record
from protocol.seals import Seal, check_signatures, compute_set_root
from protocol.sharing import Deal, Opening
from protocol.transactions import SignedTransaction
from storage.errors import Full

log = structlog.get_logger("gossip")

BATCH_BYTES_MAX = 48 * 1024
FULL_MAX = 256
"""Waiting transactions above which only ids are told: a burst travels faster when pulled."""
OUTBOX_MAX = 65_536
NOTICES_MAX = 256
ANNOUNCED_IDS_PER_S = 20_000.0
ANNOUNCED_IDS_MAX = 131_072.0
"""Ids that one forwarder may make us ask for; beyond it reconciliation finds them."""
RELAYED_ANNOUNCEMENTS_PER_S = 200.0
RELAYED_ANNOUNCEMENTS_MAX = 1_000.0
"""Announcements passed on: nothing in them can be checked, so a liar would be heard everywhere."""
RELAYED_WORDS_PER_S = 100.0
RELAYED_WORDS_MAX = 500.0
"""Words of one sealer passed on; an honest one says six in an epoch, and two a round."""
PROPOSAL_BYTES_MAX = GOSSIP_BYTES_MAX - 256
"""Of a proposal with the ids of its set; where deals take the room, ids are asked for."""

Nudge = Callable[[str, SyncReason, tuple[bytes, ...]], bool]


class Gossip:
    """Tells peers of what is new here and takes in what they tell.

    Args:
        state: the one door.
        verifier: shared with the sync streams.
        delay_s: how long transactions wait to travel together.
        nudge: asks the sync manager to speak with a peer now, about these ids; False if it cannot.
    """

    def __init__(
        self, state: StateManager, verifier: Verifier, delay_s: float, nudge: Nudge
    ) -> None:
        self._state = state
        self._verifier = verifier
        self._delay_s = delay_s
        self._nudge = nudge
        self._outbox: list[SignedTransaction] = []
        # Without values: a set that remembers the order, so that nothing is told twice in one go.
        self._learnt: dict[bytes, None] = {}
        self._notices: list[bytes] = []
        self._is_urgent = trio.Event()
        self._wake = trio.Event()
        self._asked = Buckets(ANNOUNCED_IDS_PER_S, ANNOUNCED_IDS_MAX)
        self._relayed: Bucket | None = None
        self._relayed_words = Buckets(RELAYED_WORDS_PER_S, RELAYED_WORDS_MAX)
        self._origin = ""

    # -------------------------------------------------------------------------------- out

    def tell_nowait(self, transactions: Iterable[SignedTransaction]) -> None:
        """Tell the peers of our own new transactions."""
        self._outbox.extend(transactions)
        # Beyond the bound the oldest are left to reconciliation.
        del self._outbox[:-OUTBOX_MAX]
        if buggify("outbox_full"):
            self._outbox.clear()
        self._wake.set()

    def announce_nowait(self, ids: Iterable[bytes]) -> None:
        """Tell the peers the ids of what we learnt by reconciliation."""
        for item in ids:
            self._learnt[item] = None
        if not self._learnt:
            return
        for item in list(islice(self._learnt, max(0, len(self._learnt) - OUTBOX_MAX))):
            del self._learnt[item]
        self._wake.set()

    def tell_seal_nowait(self, sealed: SealedIds) -> None:
        """Tell the peers of a new seal."""
        if sealed.ids is not None and len(sealed.ids) > GOSSIP_SEAL_IDS_MAX * 32:
            sealed = SealedIds(sealed.seal, None)
        self._notify(SealNotice(sealed))

    def tell_evidence_nowait(self, proof: bytes) -> None:
        """Tell the peers of an equivocation."""
        self._notify(EvidenceNotice(proof))

    def tell_word_nowait(self, word: Word) -> None:
        """Tell the peers what a sealer says, at once: others wait for it."""
        match word:
            case Ballot():
                self._notify(BallotNotice(word))
            case Proposal():
                ids = self._state.find_set(word.plan)
                left = PROPOSAL_BYTES_MAX - len(encode_record(word))
                room = min(GOSSIP_SEAL_IDS_MAX, left // HASH_BYTES)
                packed = pack_ids(ids) if ids is not None and len(ids) <= room else None
                self._notify(ProposalNotice(self._origin, word, packed))
            case SealVote():
                self._notify(SealVoteNotice(word))
            case DoubleBallot():
                self._notify(DoubleBallotNotice(word))
            case Deal():
                self._notify(DealNotice(word))
            case Opening():
                self._notify(OpeningNotice(word))
        self._is_urgent.set()

    def _notify(self, notice: object) -> None:
        self._notices.append(encode_message(notice))
        del self._notices[:-NOTICES_MAX]
        self._wake.set()

    async def run_out(self, transport: Transport) -> None:
        """Send what waits, together; never returns."""
        self._origin = transport.name
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            with trio.move_on_after(self._delay_s):
                await self._is_urgent.wait()
            self._is_urgent = trio.Event()
            messages, self._notices = self._notices, []
            messages += self._drain(transport.name)
            for message in messages:
                try:
                    await transport.publish(message)
                except TransportError as error:
                    log.info("publish_failed", code=error.code)

    def _drain(self, origin: str) -> list[bytes]:
        outbox, self._outbox = self._outbox, []
        learnt, self._learnt = list(self._learnt), {}
        messages = []
        if len(outbox) > FULL_MAX or buggify("announce_only"):
            learnt += [tx.tx_id for tx in outbox]
            outbox = []
        batch: list[bytes] = []
        size = 0
        for tx in outbox:
            wire = tx.wire
            if batch and size + len(wire) > BATCH_BYTES_MAX:
                messages.append(encode_message(Transactions(tuple(batch))))
                batch, size = [], 0
            batch.append(wire)
            size += len(wire)
        if batch:
            messages.append(encode_message(Transactions(tuple(batch))))
        for start in range(0, len(learnt), GOSSIP_SEAL_IDS_MAX):
            ids = pack_ids(learnt[start : start + GOSSIP_SEAL_IDS_MAX])
            messages.append(encode_message(Announcement(origin, ids)))
        return messages

    # --------------------------------------------------------------------------------- in

    def validate(self, data: bytes) -> bool:
        """Tell whether a message may be taken in and relayed; refusing it blames nobody."""
        try:
            return self._is_worth_telling(decode_gossip_message(data))
        except (PeerFault, Rejected) as error:
            log.debug("gossip_refused", code=error.code)
            return False

    def _is_worth_telling(self, message: object) -> bool:
        state = self._state
        match message:
            case Transactions():
                opened = [self._verifier.open_now(wire) for wire in message.wires]
                codes = [state.door.find_refusal(tx) for tx in opened]
                # Nobody stores what no account signed, so nobody honest tells of it.
                return "unknown_account" not in codes and any(
                    code in (None, "too_far_ahead") for code in codes
                )
            case Announcement():
                ids = unpack_ids(message.ids, GOSSIP_SEAL_IDS_MAX)
                if self._relayed is None:
                    self._relayed = Bucket(RELAYED_ANNOUNCEMENTS_PER_S, RELAYED_ANNOUNCEMENTS_MAX)
                return bool(ids) and self._relayed.take_nowait(1)
            case SealNotice():
                seal = Seal.from_bytes(message.sealed.seal)
                return self._is_seal_news(message.sealed, seal) and _fits(message.sealed, seal)
            case EvidenceNotice():
                return state.door.is_news(read_evidence(state.intake, message.proof))
            case BallotNotice():
                return self._is_word_news(message.ballot, message.ballot.sealer)
            case ProposalNotice():
                return self._is_proposal_news(message)
            case SealVoteNotice():
                return self._is_word_news(message.seal_vote, message.seal_vote.vote.sealer)
            case DoubleBallotNotice():
                return self._is_word_news(message.proof, message.proof.first.sealer)
            case DealNotice():
                return self._is_word_news(message.deal, message.deal.dealer)
            case OpeningNotice():
                return self._is_word_news(message.opening, message.opening.sealer)
        return False

    def _is_seal_news(self, sealed: SealedIds, seal: Seal) -> bool:
        """Tell whether a seal is one to pass on.

        Any quorum of its signatures makes it another message, and one of them is enough. Who seals
        an epoch far ahead cannot be known here: a seal of the latest sealers known is told on, as a
        hint that there is more to fetch, and one of others is not, though nobody is blamed for it.

        Raises:
            Rejected: `seal_…`.
        """
        state, epoch = self._state, seal.content.epoch
        if epoch <= state.epoch:
            return epoch == state.epoch and sealed.seal == state.store.journal.seal(epoch)
        known = min(epoch, state.epoch + LEAD_EPOCHS)
        sealers = find_charter(state.store.view, state.genesis, known).sealers
        check_signatures(state.network, seal, sealers)
        return True

    def _is_proposal_news(self, message: ProposalNotice) -> bool:
        plan = message.proposal.plan
        ids = None if message.ids is None else unpack_ids(message.ids, GOSSIP_SEAL_IDS_MAX)
        if ids is not None:
            check_set(plan, ids)
        is_news = self._is_word_news(message.proposal, message.proposal.ballot.sealer)
        # With the word, or the sealer of this node would ask everybody in between.
        self._state.ballots.note_holders(plan.set_root, (message.origin,))
        if ids is not None and self._state.find_set(plan) is None:
            self._state.ballots.put_set(plan.set_root, ids)
        return is_news

    def _is_word_news(self, word: Word, sealer: bytes) -> bool:
        """Take a sealer's word in, which checks it, and tell whether to pass it on."""
        if not self._state.ballots.take(word):
            return False
        return self._relayed_words.of(sealer.hex()).take_nowait(1)

    async def run_in(self, transport: Transport) -> None:
        """Take in what peers tell; never returns."""
        async for gossip in transport.gossip:
            try:
                for _ in range(1 + buggify("heard_twice")):
                    self._take(str(gossip.sender), decode_gossip_message(gossip.data))
            except (PeerFault, Rejected, Full) as error:
                # What a full disk has no room for comes again by reconciliation.
                log.info("gossip_not_taken", code=error.code, peer=str(gossip.sender)[-8:])

    def _take(self, sender: str, message: object) -> None:
        match message:
            case Transactions():
                opened = [self._verifier.open_now(wire) for wire in message.wires]
                self._take_transactions(sender, opened)
            case Announcement():
                self._take_announcement(sender, message)
            case SealNotice():
                self._take_seal(sender, message.sealed)
            case EvidenceNotice():
                self._state.accept_evidence(message.proof)
            case ProposalNotice():
                # The word itself was taken in when it was judged.
                holders = (message.origin, sender)
                self._state.ballots.note_holders(message.proposal.plan.set_root, holders)
        box = self._state.ballots.box
        if box.doubles or box.double_seals:
            self._state.ballots.keep_proofs()

    def _take_transactions(self, sender: str, opened: list[SignedTransaction]) -> None:
        state = self._state
        accepted = state.accept(opened, sender)
        for evidence_id in accepted.evidence:
            self._tell_found(evidence_id)
        if any(code == "too_far_ahead" for _, code in accepted.refused):
            self._nudge(sender, SyncReason.SEAL_AHEAD, ())
        elif state.open.is_any_waiting(accepted.stored):
            self._nudge(sender, SyncReason.MISSING_LINK, ())

    def _take_announcement(self, sender: str, message: Announcement) -> None:
        unknown = tuple(self._state.find_unknown(unpack_ids(message.ids)))
        if not unknown or not self._asked.of(sender).take_nowait(len(unknown)):
            return
        if not self._nudge(message.origin, SyncReason.ANNOUNCED, unknown):
            # Whoever passed this on has it by now, or will have it soon.
            self._nudge(sender, SyncReason.ANNOUNCED, unknown)
        elif message.origin != sender:
            self._nudge(sender, SyncReason.ANNOUNCED, ())

    def _take_seal(self, sender: str, sealed: SealedIds) -> None:
        seal = Seal.from_bytes(sealed.seal)
        if seal.content.epoch <= self._state.epoch or self._state.alarm is not None:
            return
        is_next = seal.content.epoch == self._state.epoch + 1
        if is_next and sealed.ids is not None:
            ids = unpack_ids(sealed.ids)
            if self._state.apply_seal(seal, ids).applied:
                return
        self._nudge(sender, SyncReason.SEAL_AHEAD, ())

    def _tell_found(self, evidence_id: bytes) -> None:
        proof = self._state.store.journal.evidence_proof(evidence_id)
        if proof is not None:
            self.tell_evidence_nowait(proof)


def _fits(sealed: SealedIds, seal: Seal) -> bool:
    """Tell whether ids that travel with a seal are those it signed, in the one order.

    Without this, one true seal would carry any number of false messages to everybody.
    """
    if sealed.ids is None:
        return True
    ids = unpack_ids(sealed.ids, GOSSIP_SEAL_IDS_MAX)
    if len(ids) != seal.content.count or ids != sorted(set(ids)):
        return False
    return compute_set_root(ids) == seal.content.set_root
