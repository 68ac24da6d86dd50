"""The ballot box: only what sealers said, each once, and no more of it than its bounds."""

from dataclasses import replace

import pytest

from protocol.ballot_box import ROUNDS_KEPT, BallotBox
from protocol.ballots import (
    PROPOSALS_PER_ROUND_MAX,
    SET_IDS_MAX,
    SHOWN_ROUNDS,
    Backed,
    Ballot,
    DoubleBallot,
    Proposal,
    Quorum,
    SealVote,
    Step,
    sign_ballot,
)
from protocol.errors import Rejected
from protocol.seals import SealContent, Vote, compute_seal_hash, sign_seal
from tests.support.agreeing import (
    EPOCH,
    NETWORK,
    PREV,
    SEALERS,
    SIGNERS,
    VALUES,
    a_ballot,
    a_content,
    a_proposal,
    list_shown,
    proposer_of,
    value_of,
)
from tests.support.builders import a_hash, a_signer
from tests.support.exploring import back

ONE, TWO = VALUES
FIRST = proposer_of(0)


def a_box() -> BallotBox:
    return BallotBox(NETWORK, EPOCH, PREV, SEALERS, SEALERS)


def a_seal_vote(place: int, content: SealContent) -> SealVote:
    return SealVote(content, sign_seal(NETWORK, content, SIGNERS[place]))


def propose(content: SealContent, number: int = 0) -> Proposal:
    """Return a proposal of whatever content, rightly signed."""
    value = compute_seal_hash(NETWORK, content)
    signer = SIGNERS[proposer_of(number)]
    return Proposal(sign_ballot(NETWORK, EPOCH, number, Step.PROPOSE, value, signer), content, None)


PREVOTE = a_ballot(0, 0, Step.PREVOTE, ONE)
PROPOSAL = a_proposal(FIRST, 0, ONE)
CONTENT = a_content(ONE)
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
        (replace(PROPOSAL, content=a_content(TWO)), "proposal_value"),
        (replace(PROPOSAL, ballot=a_ballot(FIRST, 0, Step.PREVOTE, ONE)), "proposal_step"),
        (a_proposal((FIRST + 1) % 4, 0, ONE), "proposal_turn"),
        (propose(replace(CONTENT, epoch=EPOCH + 1)), "proposal_content"),
        (propose(replace(CONTENT, prev=a_hash("elsewhere"))), "proposal_content"),
        (propose(replace(CONTENT, sealers_next=a_hash("others"))), "proposal_content"),
        (propose(replace(CONTENT, count=SET_IDS_MAX + 1)), "proposal_content"),
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


def test_a_proposer_with_two_contents_is_convicted_and_both_are_kept() -> None:
    box = a_box()
    box.add(PROPOSAL)
    assert box.add(a_proposal(FIRST, 0, TWO))
    assert SEALERS[FIRST] in box.doubles
    assert box.find_content(value_of(ONE)) == a_content(ONE)
    assert box.find_content(value_of(TWO)) == a_content(TWO)
    assert box.find_proposal(0) == PROPOSAL, "the first counts"


def test_a_third_content_is_kept_only_if_two_sealers_voted_for_it() -> None:
    contents = [replace(CONTENT, time_ms=number) for number in range(4)]
    box = a_box()
    taken = [box.add(propose(content)) for content in contents]
    assert taken == [True, True, False, False]
    value = compute_seal_hash(NETWORK, contents[3])
    for signer in SIGNERS[:2]:
        box.add(sign_ballot(NETWORK, EPOCH, 0, Step.PREVOTE, value, signer))
    forged = replace(PROPOSAL.ballot, value=value)
    with pytest.raises(Rejected, match="ballot_signature"):
        box.add(replace(propose(contents[3]), ballot=forged))
    assert box.add(propose(contents[3]))
    assert box.find_content(value) == contents[3]


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
    for word in list_shown(shown):
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
    assert box.find_decided() == CONTENT
    assert isinstance(box.decision, Backed)
    elsewhere = a_box()
    assert elsewhere.add(box.decision)
    assert elsewhere.find_decided() == CONTENT
    signed = a_box()
    signed.add(a_seal_vote(0, CONTENT))
    assert signed.find_decided() is None
    signed.add(a_seal_vote(1, CONTENT))
    assert signed.find_decided() == CONTENT
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
