"""The ballot box: only what sealers said, each once, and no more of it than its bounds."""

from dataclasses import replace

import pytest

from protocol.ballot_box import ROUNDS_KEPT
from protocol.ballots import (
    PROPOSALS_PER_ROUND_MAX,
    SHOWN_ROUNDS,
    Backed,
    Ballot,
    DoubleBallot,
    DoubleSeal,
    Proposal,
    Quorum,
    SealVote,
    Step,
    sign_ballot,
)
from protocol.errors import Rejected
from protocol.plan import SET_IDS_MAX, Plan, compute_plan_hash
from protocol.seals import SealContent, Vote, sign_seal
from tests.support.agreeing import (
    EPOCH,
    NETWORK,
    OFFERED,
    OPENINGS,
    SEALERS,
    SIGNERS,
    VALUES,
    a_ballot,
    a_box,
    a_content,
    a_plan,
    a_proposal,
    proposer_of,
    value_of,
)
from tests.support.builders import a_hash, a_signer
from tests.support.exploring import back

ONE, TWO = VALUES
FIRST = proposer_of(0)


def a_seal_vote(place: int, content: SealContent) -> SealVote:
    return SealVote(content, sign_seal(NETWORK, content, SIGNERS[place]))


def propose(plan: Plan, number: int = 0) -> Proposal:
    """Return a proposal of whatever plan, rightly signed."""
    value = compute_plan_hash(NETWORK, plan)
    signer = SIGNERS[proposer_of(number)]
    return Proposal(sign_ballot(NETWORK, EPOCH, number, Step.PROPOSE, value, signer), plan, None)


PREVOTE = a_ballot(0, 0, Step.PREVOTE, ONE)
PROPOSAL = a_proposal(FIRST, 0, ONE)
PLAN = a_plan(ONE)
CONTENT = a_content(ONE)
FORGED = replace(OFFERED[1], proof=OFFERED[0].proof)
STRANGER = sign_ballot(NETWORK, EPOCH, 0, Step.PREVOTE, value_of(ONE), a_signer("mallory"))
OTHER_EPOCH = sign_ballot(NETWORK, EPOCH + 1, 0, Step.PREVOTE, value_of(ONE), SIGNERS[0])
POLKA = back((0, ONE))
assert POLKA is not None
LATER = a_proposal(proposer_of(1), 1, ONE)


@pytest.mark.parametrize(
    ("word", "code"),
    [
        (replace(PREVOTE, value=value_of(TWO)), "ballot_signature"),
        (replace(PREVOTE, round=1), "ballot_signature"),
        (replace(PREVOTE, step=Step.PRECOMMIT), "ballot_signature"),
        (replace(PREVOTE, signature=bytes(64)), "ballot_signature"),
        (STRANGER, "ballot_sealer"),
        (OTHER_EPOCH, "ballot_epoch"),
        (PROPOSAL.ballot, "ballot_step"),
        (replace(PROPOSAL, plan=a_plan(TWO)), "proposal_value"),
        (replace(PROPOSAL, ballot=a_ballot(FIRST, 0, Step.PREVOTE, ONE)), "proposal_step"),
        (a_proposal((FIRST + 1) % 4, 0, ONE), "proposal_turn"),
        (propose(replace(PLAN, epoch=EPOCH + 1)), "proposal_content"),
        (propose(replace(PLAN, prev=a_hash("elsewhere"))), "proposal_content"),
        (propose(replace(PLAN, sealers_next=a_hash("others"))), "proposal_content"),
        (propose(replace(PLAN, count=SET_IDS_MAX + 1)), "proposal_content"),
        (propose(replace(PLAN, deals=OFFERED[:1])), "proposal_deals"),
        (propose(replace(PLAN, deals=OFFERED[:3])), "proposal_deals"),
        (propose(replace(PLAN, deals=OFFERED[1::-1])), "proposal_deals"),
        (propose(replace(PLAN, deals=OFFERED[:1] * 2)), "proposal_deals"),
        (propose(replace(PLAN, deals=(OFFERED[0], FORGED))), "deal_signature"),
        (replace(PROPOSAL, polka=POLKA.quorum), "proposal_polka"),
        (replace(LATER, polka=Quorum(0, POLKA.quorum.votes[:2])), "quorum_short"),
        (replace(LATER, polka=Quorum(0, POLKA.quorum.votes[::-1])), "quorum_votes"),
        (
            replace(LATER, polka=Quorum(0, (*POLKA.quorum.votes[:2], Vote(SEALERS[3], bytes(64))))),
            "quorum_signature",
        ),
        (POLKA, "quorum_signature"),
        (replace(a_seal_vote(0, CONTENT), content=a_content(TWO)), "seal_signature"),
        (a_seal_vote(0, replace(CONTENT, epoch=EPOCH + 1)), "proposal_content"),
        (a_seal_vote(0, replace(CONTENT, sharing=None)), "seal_sharing"),
        (FORGED, "deal_signature"),
        (replace(OPENINGS[0], epoch=EPOCH + 1), "opening_epoch"),
        (replace(OPENINGS[0], sealer=SEALERS[1]), "opening_signature"),
        (DoubleBallot(PREVOTE, PREVOTE), "double_ballot"),
        (DoubleBallot(PREVOTE, a_ballot(1, 0, Step.PREVOTE, TWO)), "double_ballot"),
        (DoubleBallot(PREVOTE, replace(PREVOTE, value=value_of(TWO))), "double_ballot"),
        (DoubleBallot(OTHER_EPOCH, OTHER_EPOCH), "ballot_epoch"),
        (CONTENT, "ballot_kind"),
    ],
)
def test_what_no_sealer_said_of_this_epoch_stays_out(word: object, code: str) -> None:
    box = a_box()
    before = box.digest()
    with pytest.raises(Rejected) as error:
        box.add(word)
    assert error.value.code == code
    assert box.digest() == before


@pytest.mark.parametrize(
    "word",
    [
        PREVOTE,
        PROPOSAL,
        replace(LATER, polka=POLKA.quorum),
        a_seal_vote(0, CONTENT),
        DoubleBallot(PREVOTE, a_ballot(0, 0, Step.PREVOTE, TWO)),
        OFFERED[3],
        OPENINGS[3],
    ],
    ids=lambda word: type(word).__name__,
)
def test_a_word_is_news_once(word: object) -> None:
    box = a_box()
    before = box.digest()
    assert box.add(word)
    assert box.digest() != before
    assert not box.add(word)


def test_a_sealer_that_says_two_things_is_counted_once_and_convicted() -> None:
    box = a_box()
    other = a_ballot(0, 0, Step.PREVOTE, TWO)
    assert box.add(PREVOTE)
    assert box.add(other), "proof is news"
    assert box.count(0, Step.PREVOTE) == {value_of(ONE): 1}
    assert box.doubles == {SEALERS[0]: DoubleBallot(PREVOTE, other)}
    assert not box.add(a_ballot(0, 0, Step.PREVOTE, None)), "one proof is enough"
    elsewhere = a_box()
    assert elsewhere.add(box.doubles[SEALERS[0]])
    assert not box.add(box.doubles[SEALERS[0]])


def test_a_sealer_that_signs_two_seals_is_counted_once_and_convicted() -> None:
    box = a_box()
    one, other = a_seal_vote(0, a_content(ONE)), a_seal_vote(0, a_content(TWO))
    assert box.add(one)
    assert not box.add(one)
    assert box.add(other), "proof is news"
    assert box.find_seal_vote(SEALERS[0]) == one
    assert box.double_seals == {SEALERS[0]: DoubleSeal(one, other)}
    assert not box.add(other), "one proof is enough"


def test_nobody_is_convicted_by_a_seal_that_he_did_not_sign() -> None:
    box = a_box()
    one, other = a_seal_vote(0, a_content(ONE)), a_seal_vote(1, a_content(TWO))
    assert box.add(one)
    forged = replace(other, vote=replace(other.vote, sealer=SEALERS[0]))
    with pytest.raises(Rejected, match="seal_signature"):
        box.add(forged)
    assert box.double_seals == {}


def test_a_proposer_with_two_plans_is_convicted_and_both_are_kept() -> None:
    box = a_box()
    box.add(PROPOSAL)
    assert box.add(a_proposal(FIRST, 0, TWO))
    assert SEALERS[FIRST] in box.doubles
    assert box.find_plan(value_of(ONE)) == a_plan(ONE)
    assert box.find_plan(value_of(TWO)) == a_plan(TWO)
    assert box.find_proposal(0) == PROPOSAL, "the first counts"


def test_a_third_plan_is_kept_only_if_two_sealers_voted_for_it() -> None:
    plans = [replace(PLAN, time_ms=number) for number in range(4)]
    box = a_box()
    taken = [box.add(propose(plan)) for plan in plans]
    assert taken == [True, True, False, False]
    value = compute_plan_hash(NETWORK, plans[3])
    for signer in SIGNERS[:2]:
        box.add(sign_ballot(NETWORK, EPOCH, 0, Step.PREVOTE, value, signer))
    forged = replace(PROPOSAL.ballot, value=value)
    with pytest.raises(Rejected, match="ballot_signature"):
        box.add(replace(propose(plans[3]), ballot=forged))
    assert box.add(propose(plans[3]))
    assert box.find_plan(value) == plans[3]


def test_who_names_far_rounds_pushes_out_his_own_words_only() -> None:
    box = a_box()
    for place in (1, 2, 3):
        box.add(a_ballot(place, 0, Step.PREVOTE, ONE))
    for number in range(0, 4 * 100, 4):
        box.add(a_ballot(0, number, Step.PREVOTE, ONE))
        box.add(a_ballot(0, number, Step.PRECOMMIT, None))
        if proposer_of(number) == 0:
            box.add(a_proposal(0, number, ONE))
    kept = [number for number in range(400) if box.find_ballot(SEALERS[0], number, Step.PREVOTE)]
    assert len(kept) == ROUNDS_KEPT
    assert not box.add(a_ballot(0, 1, Step.PREVOTE, ONE)), "too old for him"
    assert box.count(0, Step.PREVOTE) == {value_of(ONE): 3}
    assert box.reached_round() == 0, "one of four cannot hurry the others"
    box.add(a_ballot(1, 5, Step.PREVOTE, None))
    assert box.reached_round() == 5


def test_what_a_box_shows_brings_an_empty_one_to_the_same_and_keeps_its_bounds() -> None:
    box = a_box()
    for number in range(ROUNDS_KEPT):
        for name in VALUES:
            box.add(a_proposal(proposer_of(number), number, name))
        for place in range(4):
            for step in (Step.PREVOTE, Step.PRECOMMIT):
                box.add(a_ballot(place, number, step, VALUES[place % 2]))
    for place in range(4):
        box.add(a_seal_vote(place, CONTENT))
    shown = box.show()
    assert len(shown.proposals) <= SHOWN_ROUNDS * PROPOSALS_PER_ROUND_MAX
    other = a_box()
    for word in shown.list_words():
        other.add(word)
    assert other.digest() == box.digest()
    assert other.find_seal() == box.find_seal()


def test_a_decision_needs_a_quorum_of_one_round_or_more_signatures_than_there_are_liars() -> None:
    box = a_box()
    box.add(PROPOSAL)
    for place, number in ((0, 0), (1, 0), (2, 1), (3, 1)):
        box.add(a_ballot(place, number, Step.PRECOMMIT, ONE))
    assert box.find_decided() is None, "precommits of two rounds do not add up"
    box.add(a_ballot(2, 0, Step.PRECOMMIT, ONE))
    assert box.find_decided() == PLAN
    assert isinstance(box.decision, Backed)
    elsewhere = a_box()
    assert elsewhere.add(box.decision)
    assert elsewhere.find_decided() == PLAN
    signed = a_box()
    signed.add(PROPOSAL)
    signed.add(a_seal_vote(0, CONTENT))
    assert signed.find_decided() is None
    signed.add(a_seal_vote(1, CONTENT))
    assert signed.find_decided() == PLAN
    assert signed.find_seal() is None
    signed.add(a_seal_vote(3, CONTENT))
    seal = signed.find_seal()
    assert seal is not None
    assert [vote.sealer for vote in seal.votes] == [SEALERS[0], SEALERS[1], SEALERS[3]]


def test_a_proposal_is_news_again_when_it_brings_a_later_polka() -> None:
    box = a_box()
    assert box.add(LATER)
    assert POLKA is not None
    assert box.add(replace(LATER, polka=POLKA.quorum)), "somebody had cut it off"
    assert not box.add(LATER)
    found = box.find_proposal(1)
    assert found is not None
    assert found.polka == POLKA.quorum
    assert isinstance(found.ballot, Ballot)
