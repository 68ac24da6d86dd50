"""What gossip passes on, what it takes in, and whom it makes us ask."""

from dataclasses import replace

import pytest
import trio

from node.state_manager import StateManager
from node.sync.gossip import (
    ANNOUNCED_IDS_MAX,
    NOTICES_MAX,
    OUTBOX_MAX,
    RELAYED_ANNOUNCEMENTS_MAX,
    RELAYED_ANNOUNCEMENTS_PER_S,
    Gossip,
)
from node.sync.peers import SyncReason
from node.verifier import REMEMBERED_BYTES_MAX, REMEMBERED_MAX, Verifier
from protocol.chains import build_evidence
from protocol.errors import Rejected
from protocol.keys import Signer
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
)
from protocol.transactions import SignedTransaction, sign_transaction
from tests.support.chains import a_state, publish, publish_chain, seal
from tests.support.peers import a_signer, some_terms

BOB, CAROL = a_signer("bob"), a_signer("carol")
STRANGER = Signer(bytes(32))


class Hearer:
    """A peer's gossip, without a network: what it would relay, and whom it nudges."""

    def __init__(self, *connected: str) -> None:
        self.state: StateManager = a_state()
        self.connected = connected
        self.nudges: list[tuple[str, SyncReason, int]] = []
        verifier = Verifier(self.state.intake, is_threaded=False)
        self.gossip = Gossip(self.state, verifier, 0.0, self.nudge)

    def nudge(self, peer: str, reason: SyncReason, ids: tuple[bytes, ...]) -> bool:
        if peer in self.connected:
            self.nudges.append((peer, reason, len(ids)))
        return peer in self.connected

    def relays(self, message: object) -> bool:
        return self.gossip.validate(encode_message(message))

    def hears(self, message: object, sender: str = "sender") -> None:
        self.gossip._take(sender, decode_gossip_message(encode_message(message)))


def batch(*transactions: SignedTransaction) -> Transactions:
    return Transactions(tuple(tx.wire for tx in transactions))


def fork(tx: SignedTransaction, signer: Signer = BOB) -> SignedTransaction:
    return sign_transaction(tx.header, some_terms(title="Fork"), signer)


# ------------------------------------------------------------------------------------ relaying


async def test_what_is_new_is_relayed_and_what_is_known_is_not() -> None:
    hearer = Hearer()
    first, second = publish_chain(hearer.state, BOB, 2)
    assert hearer.relays(batch(first))
    hearer.state.accept([first], None)
    assert not hearer.relays(batch(first))
    assert hearer.relays(batch(first, second)), "one of them is new"
    assert hearer.relays(batch(fork(first))), "this is half of an equivocation"


async def test_what_no_account_signed_is_not_relayed_in_whatever_company() -> None:
    hearer = Hearer()
    tx, junk = publish(hearer.state, BOB), publish(hearer.state, STRANGER)
    assert not hearer.relays(batch(junk))
    assert not hearer.relays(batch(tx, junk))


async def test_what_a_caught_author_signs_further_is_not_relayed() -> None:
    hearer = Hearer()
    chain = publish_chain(hearer.state, BOB, 3)
    hearer.state.accept([chain[1], fork(chain[1])], None)
    assert not hearer.relays(batch(chain[2]))
    assert hearer.relays(batch(chain[0]))


async def test_what_comes_too_early_for_us_is_relayed() -> None:
    hearer = Hearer()
    assert hearer.relays(batch(publish(hearer.state, BOB, epoch=9)))


async def test_a_seal_is_relayed_once_its_signatures_are_those_of_the_sealers() -> None:
    hearer, sealer = Hearer(), a_state()
    sealed, ids = seal(sealer)
    notice = SealNotice(SealedIds(sealed.to_bytes(), pack_ids(ids)))
    unsigned = replace(sealed, votes=())
    forged = replace(sealed, content=replace(sealed.content, time_ms=5))
    for bad in (unsigned, forged):
        assert not hearer.relays(SealNotice(SealedIds(bad.to_bytes(), b"")))
    assert hearer.relays(notice)
    hearer.hears(notice)
    assert hearer.state.epoch == 1
    assert hearer.relays(notice), "others may not have it yet"
    seal(hearer.state)
    assert not hearer.relays(notice), "old news"


async def test_a_true_seal_carries_no_false_ids_to_others() -> None:
    hearer, sealer = Hearer(), a_state()
    sealer.accept(publish_chain(sealer, BOB, 3), None)
    sealed, ids = seal(sealer)
    data = sealed.to_bytes()
    assert hearer.relays(SealNotice(SealedIds(data, pack_ids(ids))))
    assert hearer.relays(SealNotice(SealedIds(data, None)))
    for wrong in (ids[::-1], ids[:2], [*ids, ids[0]], [*ids[:2], bytes(32)], []):
        assert not hearer.relays(SealNotice(SealedIds(data, pack_ids(wrong))))


async def test_evidence_is_relayed_only_if_it_bars_more_than_what_is_known() -> None:
    hearer = Hearer()
    chain = publish_chain(hearer.state, BOB, 5)
    proofs = [build_evidence(tx, fork(tx)).to_bytes() for tx in chain]
    assert hearer.relays(EvidenceNotice(proofs[3]))
    hearer.hears(EvidenceNotice(proofs[3]))
    assert not hearer.relays(EvidenceNotice(proofs[3]))
    assert not hearer.relays(EvidenceNotice(proofs[4]))
    assert hearer.relays(EvidenceNotice(proofs[2]))
    junk = publish(hearer.state, STRANGER)
    proof = build_evidence(junk, fork(junk, STRANGER)).to_bytes()
    assert not hearer.relays(EvidenceNotice(proof))


async def test_announcements_are_relayed_at_a_bounded_rate(autojump_clock: object) -> None:
    hearer = Hearer()

    def count(tries: int) -> int:
        return sum(hearer.relays(Announcement("liar", n.to_bytes(32, "big"))) for n in range(tries))

    most = int(RELAYED_ANNOUNCEMENTS_MAX)
    assert count(most + 500) == most
    await trio.sleep(1)
    assert count(most) == RELAYED_ANNOUNCEMENTS_PER_S
    assert not hearer.relays(Announcement("liar", b""))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x81\x18\x63", bytes(70_000)])
async def test_what_is_no_message_is_not_relayed(data: bytes) -> None:
    assert not Hearer().gossip.validate(data)


# ------------------------------------------------------------------------------------- nudging


async def test_a_link_that_lacks_asks_the_sender_but_old_gaps_do_not() -> None:
    hearer = Hearer("sender")
    chain = publish_chain(hearer.state, BOB, 3)
    hearer.hears(batch(chain[2]))
    assert hearer.nudges == [("sender", SyncReason.MISSING_LINK, 0)]
    # Bob's gap may never close; it must not make every message of Carol's a reason to ask.
    hearer.hears(batch(*publish_chain(hearer.state, CAROL, 3)))
    assert len(hearer.nudges) == 1


async def test_announced_ids_are_asked_of_the_one_named_or_else_of_the_one_who_told() -> None:
    near, far = Hearer("sender", "origin"), Hearer("sender")
    for hearer in (near, far):
        hearer.hears(Announcement("origin", bytes(range(64))))
    assert near.nudges == [
        ("origin", SyncReason.ANNOUNCED, 2),
        ("sender", SyncReason.ANNOUNCED, 0),
    ]
    assert far.nudges == [("sender", SyncReason.ANNOUNCED, 2)]


async def test_one_forwarder_can_make_us_ask_only_so_often(autojump_clock: object) -> None:
    hearer = Hearer("victim", "honest")
    for number in range(500):
        ids = b"".join(
            (number * GOSSIP_SEAL_IDS_MAX + place).to_bytes(32, "big")
            for place in range(GOSSIP_SEAL_IDS_MAX)
        )
        hearer.hears(Announcement("victim", ids), sender="liar")
    asked = sum(count for _, _, count in hearer.nudges)
    assert asked <= ANNOUNCED_IDS_MAX
    hearer.hears(Announcement("honest", bytes(32)), sender="another")
    assert hearer.nudges[-1] == ("honest", SyncReason.ANNOUNCED, 1), "he has a share of his own"


async def test_after_an_alarm_seals_nudge_nobody() -> None:
    hearer, sealer = Hearer("sender"), a_state()
    hearer.state.alarm = "diverged"
    sealed, ids = seal(sealer)
    hearer.hears(SealNotice(SealedIds(sealed.to_bytes(), pack_ids(ids))))
    assert hearer.nudges == []
    assert hearer.state.epoch == 0


# --------------------------------------------------------------------------------------- out


async def test_what_waits_to_be_told_is_bounded_and_told_once() -> None:
    gossip = Hearer().gossip
    ids = [number.to_bytes(32, "big") for number in range(OUTBOX_MAX + 10)]
    gossip.announce_nowait(ids)
    gossip.announce_nowait(ids[-20:])
    for _ in range(NOTICES_MAX + 10):
        gossip.tell_evidence_nowait(b"proof")
    assert len(gossip._notices) == NOTICES_MAX
    messages = [decode_gossip_message(data) for data in gossip._drain("me")]
    told = b"".join(message.ids for message in messages)
    assert told == pack_ids(ids[-OUTBOX_MAX:])


# ---------------------------------------------------------------------------------- verifying


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    state = a_state()
    verifier = Verifier(state.intake)
    terms = replace(some_terms(), description="x" * 2_000)
    header = publish(state, BOB).header
    size = len(sign_transaction(header, terms, BOB).body)
    count = REMEMBERED_BYTES_MAX // size + 20
    assert count < REMEMBERED_MAX, "the bytes are the bound here"
    for number in range(count):
        tx = sign_transaction(header, replace(terms, title=f"Task {number}"), BOB)
        verifier.open_now(tx.wire)
    assert sum(len(tx.body) for tx in verifier._passed.values()) <= REMEMBERED_BYTES_MAX
    assert verifier._passed_bytes == sum(len(tx.body) for tx in verifier._passed.values())


@pytest.mark.parametrize("is_threaded", [False, True])
async def test_a_bad_copy_is_found_among_good_ones_and_poisons_none(is_threaded: bool) -> None:
    state = a_state()
    verifier = Verifier(state.intake, is_threaded=is_threaded)
    chain = publish_chain(state, BOB, 70)
    bad = replace(chain[66], signature=chain[65].signature)
    with pytest.raises(Rejected, match="bad_signature"):
        await verifier.open_many([tx.wire for tx in (*chain[:66], bad)])
    opened = await verifier.open_many([tx.wire for tx in chain])
    assert [tx.tx_id for tx in opened] == [tx.tx_id for tx in chain]
    with pytest.raises(Rejected, match="bad_signature"):
        await verifier.open_many([bad.wire] * 6)
    with pytest.raises(Rejected, match="bad_signature"):
        verifier.open_now(bad.wire)


async def test_what_was_verified_on_a_thread_is_not_verified_again() -> None:
    state = a_state()
    verifier = Verifier(state.intake)
    chain = publish_chain(state, BOB, 20)
    opened = await verifier.open_many([tx.wire for tx in chain])
    assert all(verifier.open_now(tx.wire) is tx for tx in opened)
