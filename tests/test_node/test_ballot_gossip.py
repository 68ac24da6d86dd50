"""What sealers say, on its way: passed on once, if a sealer said it, and only so much of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.rpc.sealing_view import show_sealing
from node.state_manager import StateManager
from node.sync.gossip import PROPOSAL_BYTES_MAX, RELAYED_WORDS_MAX, Gossip
from node.sync.server import Server
from node.verifier import Verifier
from protocol.ballot_box import ROUNDS_KEPT
from protocol.ballots import (
    Ballot,
    DoubleBallot,
    DoubleSeal,
    Proposal,
    SealVote,
    Shown,
    Step,
    choose_proposer,
    sign_ballot,
)
from protocol.genesis import Genesis
from protocol.keys import Signer
from protocol.messages import (
    GOSSIP_BYTES_MAX,
    BallotNotice,
    Ballots,
    DealNotice,
    DoubleBallotNotice,
    GetBallots,
    GetSet,
    OpeningNotice,
    ProposalNotice,
    SealedIds,
    SealNotice,
    SealVoteNotice,
    SetIds,
    decode_gossip_message,
    encode_message,
    pack_ids,
)
from protocol.plan import Plan, complete, compute_plan_hash
from protocol.schema import encode_record
from protocol.seals import Seal, SealContent, sign_seal
from protocol.sharing import Deal, build_deal, build_opening, compute_deal_hash
from tests.support.chains import a_state, publish
from tests.support.council import SEALERS, a_council_genesis
from tests.support.peers import a_genesis, a_signer, wait_until
from tests.support.scripted import a_village, have_nothing

GENESIS = a_council_genesis()
SIGNERS = {a_signer(name).address: a_signer(name) for name in SEALERS}
ALICE = a_signer("alice")


class Hearer:
    """A peer's gossip, without a network."""

    def __init__(self, genesis: Genesis = GENESIS, delay_s: float = 0.0) -> None:
        self.state: StateManager = a_state(genesis)
        verifier = Verifier(self.state.intake, is_threaded=False)
        self.gossip = Gossip(self.state, verifier, delay_s, lambda *nudge: False)
        self.server = Server(self.state, verifier)

    def relays(self, message: object) -> bool:
        return self.gossip.validate(encode_message(message))

    def hears(self, message: object, sender: str = "sender") -> None:
        self.gossip._take(sender, decode_gossip_message(encode_message(message)))


def say(state: StateManager, number: int = 0, step: Step = Step.PREVOTE, **changes: Any) -> Ballot:
    """Return a nil of alice, or something near it."""
    epoch = changes.pop("epoch", state.epoch + 1)
    ballot = sign_ballot(state.network, epoch, number, step, None, changes.pop("signer", ALICE))
    return replace(ballot, **changes)


def deal(state: StateManager, signer: Signer) -> Deal:
    """Return what a sealer deals for the epoch after the next."""
    return build_deal(state.network, state.epoch + 2, GENESIS.sealers, signer)


def propose(state: StateManager, time_ms: int = 0) -> tuple[Proposal, Plan, bytes]:
    """Return what the proposer of the first round may say, and the ids that belong to it."""
    deals = [deal(state, SIGNERS[one]) for one in GENESIS.sealers[:2]]
    plan = state.draft(time_ms, deals)
    signer = SIGNERS[choose_proposer(GENESIS.sealers, plan.epoch, 0)]
    value = compute_plan_hash(state.network, plan)
    ballot = sign_ballot(state.network, plan.epoch, 0, Step.PROPOSE, value, signer)
    return Proposal(ballot, plan, None), plan, pack_ids(state.find_set(plan) or ())


def conclude(state: StateManager, plan: Plan) -> SealContent:
    """Return what a plan leads to in the first epoch, which has no secret."""
    root = state.fold(plan.set_root, None).state_root
    return complete(state.network, plan, None, root)


async def test_a_word_of_a_sealer_is_relayed_once_and_a_false_one_never() -> None:
    hearer = Hearer()
    state = hearer.state
    for false in (
        say(state, signature=bytes(64)),
        say(state, round=1),
        say(state, epoch=2),
        say(state, signer=a_signer("mallory")),
    ):
        assert not hearer.relays(BallotNotice(false))
    assert hearer.relays(BallotNotice(say(state)))
    assert not hearer.relays(BallotNotice(say(state)))
    box = state.ballots.box
    assert box.find_ballot(ALICE.address, 0, Step.PREVOTE) == say(state), "and taken in"


async def test_where_one_sealer_is_a_quorum_nobody_has_anything_to_say() -> None:
    hearer = Hearer(a_genesis())
    assert not hearer.relays(BallotNotice(say(hearer.state)))


async def test_a_proposal_brings_its_own_ids_or_goes_nowhere() -> None:
    giver, hearer = Hearer(), Hearer()
    tx = publish(giver.state, a_signer("bob"))
    giver.state.accept([tx], None)
    proposal, plan, ids = propose(giver.state)
    assert ids == tx.tx_id
    assert not hearer.relays(ProposalNotice("giver", proposal, bytes(32)))
    assert hearer.state.ballots.box.find_proposal(0) is None
    notice = ProposalNotice("giver", proposal, ids)
    assert hearer.relays(notice)
    hearer.hears(notice, "forwarder")
    assert hearer.state.find_set(plan) == [tx.tx_id]
    assert hearer.state.ballots.find_holders(plan.set_root) == ("giver", "forwarder")
    reply = await hearer.server.answer(GetSet(plan.set_root, 0), "asker")
    assert reply == SetIds(plan.set_root, 0, ids)
    none = await hearer.server.answer(GetSet(bytes(32), 0), "asker")
    assert none == SetIds(bytes(32), 0, b"")


async def test_a_proposal_whose_deals_take_the_room_travels_without_its_ids(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    giver = Hearer()
    giver.state.accept([publish(giver.state, a_signer("bob"))], None)
    proposal, _, ids = propose(giver.state)
    size = len(encode_record(proposal))
    for room, told in ((size + len(ids), ids), (size + len(ids) - 1, None), (0, None)):
        monkeypatch.setattr("node.sync.gossip.PROPOSAL_BYTES_MAX", room)
        giver.gossip.tell_word_nowait(proposal)
        notice = decode_gossip_message(giver.gossip._notices.pop())
        assert notice == ProposalNotice("", proposal, told)
    longest = ProposalNotice("x" * 128, proposal, ids)
    overhead = len(encode_message(longest)) - size - len(ids)
    assert PROPOSAL_BYTES_MAX + overhead <= GOSSIP_BYTES_MAX


async def test_a_deal_is_relayed_once_and_a_bad_one_never_nor_any_other_of_its_dealer() -> None:
    hearer = Hearer()
    state = hearer.state
    good, other = deal(state, ALICE), deal(state, a_signer("bob"))
    unsigned = replace(other, shares=good.shares)
    signature = a_signer("bob").sign(compute_deal_hash(state.network, unsigned))
    for bad in (
        replace(good, dealer=other.dealer),
        replace(good, epoch=3),
        unsigned,
        replace(unsigned, signature=signature),
    ):
        assert not hearer.relays(DealNotice(bad))
    assert hearer.relays(DealNotice(good))
    assert not hearer.relays(DealNotice(good))
    assert not hearer.relays(DealNotice(other)), "he signed a bad one: looking at more is dear"
    assert state.ballots.box.secrets.offered == {ALICE.address: good}
    proposal = propose(state)[0]
    assert hearer.relays(ProposalNotice("", proposal, None)), "a proposal may bring it yet"
    assert state.ballots.box.find_proposal(0) == proposal


async def test_where_nothing_was_dealt_nobody_deals_or_opens() -> None:
    hearer = Hearer(a_genesis())
    assert not hearer.relays(DealNotice(deal(hearer.state, ALICE)))
    opening = build_opening(hearer.state.network, 1, [], GENESIS.sealers, ALICE)
    assert opening is not None
    for one in (hearer, Hearer()):
        assert not one.relays(OpeningNotice(opening))


async def test_who_contradicts_itself_is_told_of_everywhere_and_kept_over_a_restart() -> None:
    hearer = Hearer()
    state = hearer.state
    value = compute_plan_hash(state.network, propose(state)[1])
    other = sign_ballot(state.network, 1, 0, Step.PREVOTE, value, ALICE)
    assert hearer.relays(BallotNotice(say(state)))
    assert hearer.relays(BallotNotice(other))
    hearer.hears(BallotNotice(other))
    assert not hearer.relays(BallotNotice(other))
    proof = DoubleBallot(say(state), other)
    restarted = a_state(GENESIS, state.store)
    assert restarted.ballots.list_convicted() == {ALICE.address: proof}
    elsewhere = Hearer()
    assert elsewhere.relays(DoubleBallotNotice(proof))
    elsewhere.hears(DoubleBallotNotice(proof))
    assert elsewhere.state.ballots.list_convicted() == {ALICE.address: proof}


async def test_who_signs_two_seals_is_told_of_everywhere_and_kept_over_a_restart() -> None:
    giver, hearer = Hearer(), Hearer()
    content = conclude(giver.state, propose(giver.state)[1])
    later = replace(content, time_ms=content.time_ms + 1)
    votes = [SealVote(one, sign_seal(GENESIS.network, one, ALICE)) for one in (content, later)]
    for vote in votes:
        assert hearer.relays(SealVoteNotice(vote)), "both travel, so that everybody has the proof"
        hearer.hears(SealVoteNotice(vote))
    assert not hearer.relays(SealVoteNotice(votes[1]))
    restarted = a_state(GENESIS, hearer.state.store)
    assert restarted.ballots.list_double_seals() == {ALICE.address: DoubleSeal(*votes)}
    (shown,) = [
        one for one in show_sealing(restarted, 0)["items"] if one["address"] == ALICE.address.hex()
    ]
    assert (shown["signed_two_at"], shown["contradicted_at"]) == (1, None)


async def test_a_sealer_that_floods_is_relayed_up_to_a_bound_and_others_are_not_hurt(
    autojump_clock: MockClock,
) -> None:
    hearer = Hearer()
    state = hearer.state
    words = [BallotNotice(say(state, number)) for number in range(int(RELAYED_WORDS_MAX) + 50)]
    relayed = sum(hearer.relays(word) for word in words)
    assert relayed == RELAYED_WORDS_MAX
    kept = [
        number
        for number in range(len(words))
        if state.ballots.box.find_ballot(ALICE.address, number, Step.PREVOTE)
    ]
    assert len(kept) == ROUNDS_KEPT
    assert hearer.relays(BallotNotice(say(state, signer=a_signer("bob"))))
    await trio.sleep(60)
    assert hearer.relays(BallotNotice(say(state, len(words))))


async def test_one_seal_is_relayed_and_not_every_quorum_of_its_signatures() -> None:
    hearer = Hearer()
    state = hearer.state
    content = conclude(state, propose(state)[1])
    votes = sorted(
        (sign_seal(state.network, content, one) for one in SIGNERS.values()),
        key=lambda vote: vote.sealer,
    )
    seals = [Seal(content, tuple(votes[:place] + votes[place + 1 :])) for place in range(4)]
    notices = [SealNotice(SealedIds(seal.to_bytes(), b"")) for seal in seals]
    assert hearer.relays(notices[0])
    hearer.hears(notices[0])
    assert state.epoch == 1
    assert [hearer.relays(notice) for notice in notices] == [True, False, False, False]


class Wire:
    """Hears what is published, and when."""

    name = "self"

    def __init__(self) -> None:
        self.heard: list[tuple[float, object]] = []

    async def publish(self, data: bytes) -> None:
        self.heard.append((trio.current_time(), decode_gossip_message(data)))


async def test_a_word_does_not_wait_for_transactions_to_travel_with(
    autojump_clock: MockClock,
) -> None:
    hearer = Hearer(delay_s=10.0)
    wire: Any = Wire()
    state = hearer.state
    content = conclude(state, propose(state)[1])
    seal_vote = SealVote(content, sign_seal(state.network, content, ALICE))
    dealt = deal(state, ALICE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hearer.gossip.run_out, wire)
        begun_s = trio.current_time()
        hearer.gossip.tell_nowait([publish(state, a_signer("bob"))])
        await trio.sleep(1)
        for word in (say(state), propose(state)[0], seal_vote, dealt):
            hearer.gossip.tell_word_nowait(word)
        await trio.sleep(1)
        kinds = [type(message).__name__ for _, message in wire.heard]
        words = ["BallotNotice", "DealNotice", "ProposalNotice", "SealVoteNotice"]
        assert sorted(kinds) == [*words, "Transactions"]
        assert {at_s - begun_s for at_s, _ in wire.heard} == {1.0}
        nursery.cancel_scope.cancel()
    assert SealVoteNotice(seal_vote) in [message for _, message in wire.heard]


async def test_a_box_is_shown_to_whoever_has_another_of_the_same_epoch() -> None:
    giver, asker = Hearer(), Hearer()
    giver.relays(BallotNotice(say(giver.state)))
    own = asker.state.ballots.box.digest()
    reply = await giver.server.answer(GetBallots(1, own), "asker")
    assert isinstance(reply, Ballots)
    assert asker.state.ballots.take_shown(reply.shown) == [say(giver.state)]
    equal = asker.state.ballots.box.digest()
    assert await giver.server.answer(GetBallots(1, equal), "asker") == Ballots(1, Shown())
    assert await giver.server.answer(GetBallots(2, own), "asker") == Ballots(1, Shown())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda state: Ballots(1, Shown(ballots=(say(state, signature=bytes(64)),))), "ballot_"),
        (lambda state: Ballots(1, Shown(ballots=(say(state, epoch=3),))), "ballot_epoch"),
        (lambda state: SetIds(bytes(32), 0, b""), "wrong_reply"),
    ],
)
async def test_who_shows_what_no_sealer_said_is_blamed(
    tmp_path: Path, autojump_clock: MockClock, answer: Any, code: str
) -> None:
    async with a_village(tmp_path, GENESIS) as village:
        victim = await village.add("alice")

        def reply(request: object) -> object:
            is_asked = isinstance(request, GetBallots)
            return answer(victim.state) if is_asked else have_nothing(request)

        await village.add_liar("liar", reply)
        await village.connect("alice", "liar")
        record = victim.sync.book.get("liar")
        await wait_until(lambda: record.faults > 0)
        assert record.last_fault_code.startswith(code)
