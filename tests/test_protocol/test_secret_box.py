"""The secret box: deals and openings that were checked, each once; and who is looked at no more."""

from dataclasses import replace

import pytest

from protocol import secret_box
from protocol.errors import Rejected
from protocol.secret_box import SecretBox
from protocol.sharing import Deal, build_deal, check_deal, compute_deal_hash, compute_opening_hash
from tests.support.agreeing import (
    AGREED,
    DEALT,
    EPOCH,
    FICKLE,
    NETWORK,
    OFFERED,
    OPENINGS,
    SEALERS,
    SECRET,
    SIGNERS,
    a_plan,
)
from tests.support.builders import a_signer


def a_secret_box(agreed: tuple[bytes, ...] = AGREED) -> SecretBox:
    return SecretBox(NETWORK, EPOCH, SEALERS, SEALERS, agreed)


def code_of(box: SecretBox, deal: Deal) -> str:
    with pytest.raises(Rejected) as error:
        box.add_deal(deal)
    return error.value.code


def test_a_deal_for_the_next_epoch_is_news_once() -> None:
    box = a_secret_box()
    assert box.choose_deals() is None
    assert box.add_deal(OFFERED[2])
    assert not box.add_deal(OFFERED[2])
    assert box.choose_deals() is None, "one may be a liar's"
    assert box.add_deal(OFFERED[0])
    assert box.choose_deals() == (OFFERED[0], OFFERED[2])
    assert not box.add_deal(OFFERED[1]), "no more than are needed"
    assert box.deal(SIGNERS[3]) is None, "nor from this sealer"
    assert box.show_deals() == (OFFERED[0], OFFERED[2])


def test_of_two_deals_of_one_dealer_the_first_stands_and_a_proposal_may_bring_the_other() -> None:
    box = a_secret_box()
    assert FICKLE[0] != OFFERED[0]
    assert FICKLE[0].dealer == OFFERED[0].dealer
    assert box.add_deal(OFFERED[0])
    assert not box.add_deal(FICKLE[0])
    box.check_offered((FICKLE[0], OFFERED[1]))
    assert box.offered == {SEALERS[0]: OFFERED[0], SEALERS[1]: OFFERED[1]}


def test_a_deal_for_this_epoch_is_known_by_its_hash_alone() -> None:
    box = a_secret_box()
    assert code_of(box, build_deal(NETWORK, EPOCH, SEALERS, SIGNERS[0])) == "deal_unknown"
    assert code_of(box, replace(DEALT[0], shares=DEALT[1].shares)) == "deal_unknown"
    assert box.find_agreed() is None
    assert box.add_deal(DEALT[1])
    assert box.list_agreed() == (DEALT[1],)
    assert box.add_deal(DEALT[0])
    assert not box.add_deal(DEALT[0])
    assert box.find_agreed() == DEALT, "in the order of the seal"


@pytest.mark.parametrize(
    ("deal", "code"),
    [
        (build_deal(NETWORK, EPOCH + 2, SEALERS, SIGNERS[0]), "deal_epoch"),
        (build_deal(NETWORK, EPOCH + 1, SEALERS, a_signer("mallory")), "deal_dealer"),
        (replace(OFFERED[0], signature=OFFERED[1].signature), "deal_signature"),
    ],
)
def test_what_is_no_deal_for_these_epochs_stays_out(deal: Deal, code: str) -> None:
    box = a_secret_box()
    assert code_of(box, deal) == code
    assert box.show_deals() == ()


def test_who_signed_a_bad_deal_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Deal] = []

    def check(network: bytes, deal: Deal, epoch: int, sealers: tuple[bytes, ...]) -> None:
        looked_at.append(deal)
        check_deal(network, deal, epoch, sealers)

    monkeypatch.setattr(secret_box, "check_deal", check)
    box = a_secret_box()
    unsigned = replace(OFFERED[0], commitments=OFFERED[1].commitments)
    value = compute_deal_hash(NETWORK, unsigned)
    bad = replace(unsigned, signature=SIGNERS[0].sign(value))
    assert code_of(box, bad) == "deal_proof"
    assert not box.add_deal(bad)
    assert not box.add_deal(OFFERED[0])
    assert looked_at == [bad]
    assert code_of(box, replace(OFFERED[1], signature=bytes(64))) == "deal_signature"
    assert box.add_deal(OFFERED[1]), "nobody is shut out by what another signed in his name"


def test_a_proposal_of_known_deals_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    box = a_secret_box()
    for deal in OFFERED[:2]:
        assert box.add_deal(deal)
    monkeypatch.setattr(secret_box, "check_deal", None)
    box.check_offered(a_plan("one").deals)


def test_an_opening_waits_for_the_deals_and_is_news_once() -> None:
    box = a_secret_box()
    opening = OPENINGS[0]
    assert not box.add_opening(opening), "nobody can check it yet"
    box.recall(DEALT)
    assert box.add_opening(opening)
    assert not box.add_opening(opening)
    assert box.find_secret() is None
    other = OPENINGS[3]
    assert box.add_opening(other)
    assert box.find_secret() == SECRET
    assert not box.add_opening(OPENINGS[1]), "it would show nothing more"
    assert box.open(SIGNERS[1]) is None


def test_boxes_that_have_enough_are_alike_whatever_they_have() -> None:
    boxes = [a_secret_box() for _ in range(3)]
    empty, one, other = boxes
    one.recall(DEALT)
    other.recall(DEALT)
    assert empty.summarize() != one.summarize() == other.summarize()
    for box, first in ((one, 0), (other, 2)):
        box.add_deal(OFFERED[first])
    assert one.summarize() != other.summarize()
    for box, second in ((one, 1), (other, 3)):
        box.add_deal(OFFERED[second])
    assert one.summarize() == other.summarize()
    for box, some in ((one, OPENINGS[:2]), (other, OPENINGS[2:])):
        for opening in some:
            assert box.add_opening(opening)
            assert (one.summarize() == other.summarize()) == (opening is OPENINGS[3])


def test_who_signed_a_false_opening_is_not_looked_at_again() -> None:
    box = a_secret_box()
    box.recall(DEALT)
    opening, other = OPENINGS[0], OPENINGS[1]
    forged = replace(opening, shares=other.shares)
    with pytest.raises(Rejected, match="opening_signature"):
        box.add_opening(forged)
    lie = replace(forged, signature=SIGNERS[0].sign(compute_opening_hash(NETWORK, forged)))
    with pytest.raises(Rejected, match="opening_proof"):
        box.add_opening(lie)
    assert not box.add_opening(lie)
    assert not box.add_opening(opening)
    assert box.add_opening(other)


def test_where_nothing_was_dealt_there_is_nothing_to_open() -> None:
    box = a_secret_box(())
    opening = OPENINGS[0]
    assert box.open(SIGNERS[0]) is None
    with pytest.raises(Rejected, match="opening_unneeded"):
        box.add_opening(opening)
    three = SecretBox(NETWORK, EPOCH, SEALERS[:3], SEALERS[:3], ())
    assert three.wanted == 0
    assert three.choose_deals() == ()
    assert three.deal(SIGNERS[0]) is None
    with pytest.raises(Rejected, match="deal_unneeded"):
        three.add_deal(OFFERED[0])


def test_those_who_join_deal_for_their_first_epoch_and_those_who_leave_do_not() -> None:
    before = (*SEALERS[:3], a_signer("mallory").address)
    box = SecretBox(NETWORK, EPOCH, tuple(sorted(before)), SEALERS, ())
    assert box.deal(a_signer("mallory")) is None
    assert box.deal(SIGNERS[3]) == OFFERED[3]
    assert box.add_deal(OFFERED[3])
    assert box.deal(SIGNERS[3]) is None, "once"
