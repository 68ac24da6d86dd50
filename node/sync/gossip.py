"""Gossip: small batches of transactions, or only their ids when they are many. A hint, never a log.

What a peer relays it must have been able to check without any state, so a message that fails the
stateless check is refused and blames its forwarder; what the state thinks of it is no reason to.
"""

from collections.abc import Callable, Iterable

import structlog
import trio

from node.state_manager import StateManager
from node.sync.peers import SyncReason
from node.transport.base import Transport, TransportError
from node.verifier import Verifier
from protocol.chains import read_evidence
from protocol.errors import PeerFault, Rejected
from protocol.messages import (
    GOSSIP_SEAL_IDS_MAX,
    Announcement,
    EvidenceNotice,
    SealedIds,
    SealNotice,
    Transactions,
    decode_gossip_message,
    encode_message,
    pack_ids,
    unpack_ids,
)
from protocol.seals import Seal
from protocol.transactions import SignedTransaction

log = structlog.get_logger("gossip")

BATCH_BYTES_MAX = 48 * 1024
FULL_MAX = 256
"""Waiting transactions above which only ids are told: a burst travels faster when pulled."""
OUTBOX_MAX = 65_536

Nudge = Callable[[str, SyncReason, tuple[bytes, ...]], None]


class Gossip:
    """Tells peers of what is new here and takes in what they tell.

    Args:
        state: the one door.
        verifier: shared with the sync streams.
        delay_s: how long transactions wait to travel together.
        nudge: asks the sync manager to speak with a peer now, about these ids.
    """

    def __init__(
        self, state: StateManager, verifier: Verifier, delay_s: float, nudge: Nudge
    ) -> None:
        self._state = state
        self._verifier = verifier
        self._delay_s = delay_s
        self._nudge = nudge
        self._outbox: list[SignedTransaction] = []
        self._learnt: list[bytes] = []
        self._notices: list[bytes] = []
        self._wake = trio.Event()

    # -------------------------------------------------------------------------------- out

    def tell_nowait(self, transactions: Iterable[SignedTransaction]) -> None:
        """Tell the peers of our own new transactions."""
        self._outbox.extend(transactions)
        # Beyond the bound the oldest are left to reconciliation.
        del self._outbox[:-OUTBOX_MAX]
        self._wake.set()

    def announce_nowait(self, ids: Iterable[bytes]) -> None:
        """Tell the peers the ids of what we learnt by reconciliation."""
        self._learnt.extend(ids)
        del self._learnt[:-OUTBOX_MAX]
        self._wake.set()

    def tell_seal_nowait(self, sealed: SealedIds) -> None:
        """Tell the peers of a new seal."""
        if sealed.ids is not None and len(sealed.ids) > GOSSIP_SEAL_IDS_MAX * 32:
            sealed = SealedIds(sealed.seal, None)
        self._notices.append(encode_message(SealNotice(sealed)))
        self._wake.set()

    def tell_evidence_nowait(self, proof: bytes) -> None:
        """Tell the peers of an equivocation."""
        self._notices.append(encode_message(EvidenceNotice(proof)))
        self._wake.set()

    async def run_out(self, transport: Transport) -> None:
        """Send what waits, together; never returns."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await trio.sleep(self._delay_s)
            messages, self._notices = self._notices, []
            messages += self._drain(transport.name)
            for message in messages:
                try:
                    await transport.publish(message)
                except TransportError as error:
                    log.info("publish_failed", code=error.code)

    def _drain(self, origin: str) -> list[bytes]:
        outbox, self._outbox = self._outbox, []
        learnt, self._learnt = self._learnt, []
        messages = []
        if len(outbox) > FULL_MAX:
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
        """Tell whether a message may be relayed: the stateless check, nothing of the state."""
        try:
            message = decode_gossip_message(data)
            match message:
                case Transactions():
                    for wire in message.wires:
                        self._verifier.open_now(wire)
                case Announcement():
                    unpack_ids(message.ids, GOSSIP_SEAL_IDS_MAX)
                case SealNotice():
                    Seal.from_bytes(message.sealed.seal)
                case EvidenceNotice():
                    read_evidence(self._state.intake, message.proof)
        except (PeerFault, Rejected) as error:
            log.debug("gossip_refused", code=error.code)
            return False
        return True

    async def run_in(self, transport: Transport) -> None:
        """Take in what peers tell; never returns."""
        async for gossip in transport.gossip:
            try:
                self._take(str(gossip.sender), decode_gossip_message(gossip.data))
            except (PeerFault, Rejected) as error:
                log.info("gossip_not_taken", code=error.code, peer=str(gossip.sender)[-8:])

    def _take(self, sender: str, message: object) -> None:
        state = self._state
        match message:
            case Transactions():
                opened = [self._verifier.open_now(wire) for wire in message.wires]
                accepted = state.accept(opened, sender)
                for evidence_id in accepted.evidence:
                    self._tell_found(evidence_id)
                if any(code == "too_far_ahead" for _, code in accepted.refused):
                    self._nudge(sender, SyncReason.SEAL_AHEAD, ())
                elif state.open.missing_links(1):
                    self._nudge(sender, SyncReason.MISSING_LINK, ())
            case Announcement():
                unknown = [i for i in unpack_ids(message.ids) if not state.knows(i)]
                if unknown:
                    self._nudge(message.origin, SyncReason.ANNOUNCED, tuple(unknown))
                    if message.origin != sender:
                        self._nudge(sender, SyncReason.ANNOUNCED, ())
            case SealNotice():
                self._take_seal(sender, message.sealed)
            case EvidenceNotice():
                state.accept_evidence(message.proof)

    def _take_seal(self, sender: str, sealed: SealedIds) -> None:
        seal = Seal.from_bytes(sealed.seal)
        if seal.content.epoch <= self._state.epoch:
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
