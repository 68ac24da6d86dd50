"""Agreement: one value whatever is lost, repeated, late or lied about; and one in the end."""

import random
from dataclasses import replace

import pytest

from protocol.agreement import Agreement
from protocol.agreement_effects import (
    Build,
    Dissent,
    Effect,
    Examine,
    Finish,
    Fold,
    Schedule,
    Tell,
    Verdict,
)
from protocol.ballot_box import BallotBox
from protocol.ballots import Ballot, Proposal, SealVote, Step
from protocol.plan import complete
from protocol.seals import check_seal, compute_sealers_hash, sign_seal
from protocol.secret_box import SecretBox
from protocol.sharing import Opening
from tests.support.agreeing import (
    AGREED,
    DEALT,
    EPOCH,
    NETWORK,
    OFFERED,
    OPENINGS,
    PREV,
    SEALERS,
    SECRET,
    SIGNERS,
    VALUES,
    Assembly,
    Member,
    a_ballot,
    a_box,
    a_content,
    a_plan,
    a_proposal,
    find_contradictions,
    list_lies,
    proposer_of,
    quicken,
    scramble,
    value_of,
)
from tests.support.builders import a_hash, a_signer, an_address
from tests.support.exploring import back

ONE, TWO = VALUES
SEEDS = 150


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch.setattr)


def test_four_who_hear_one_another_agree_in_the_first_round() -> None:
    assembly = Assembly()
    assembly.spread()
    assert {one.agreement.round for one in assembly.members.values()} == {0}
    assert assembly.decided() == {value_of(assembly.members[proposer_of(0)].wish)}
    for one in assembly.members.values():
        assert one.seal is not None
        check_seal(NETWORK, one.seal, PREV, EPOCH, SEALERS, SEALERS)


@pytest.mark.parametrize("missing", range(4))
def test_three_agree_whoever_is_missing(missing: int) -> None:
    assembly = Assembly(set(range(4)) - {missing})
    assembly.settle()
    assert len(assembly.decided()) == 1
    assert all(one.seal is not None for one in assembly.members.values())


def test_two_of_four_never_decide() -> None:
    assembly = Assembly((1, 2))
    assembly.settle()
    assert assembly.decided() == set()
    assert {one.agreement.round for one in assembly.members.values()} == {0}, "nor spin in rounds"


def test_one_sealer_alone_decides_at_once_and_says_each_thing_once() -> None:
    alone = SIGNERS[0]
    sealers = (alone.address,)
    plan = replace(a_plan(ONE), sealers_next=compute_sealers_hash(sealers), deals=())
    agreement = Agreement(BallotBox(NETWORK, EPOCH, PREV, sealers, sealers), alone)
    assert Build(0) in agreement.start()
    effects = agreement.offer(0, plan)
    assert effects.pop() == Fold(plan, None), "nobody has a secret from himself"
    content = complete(NETWORK, plan, None, a_hash("state"))
    effects += agreement.conclude(plan, content.state_root)
    words = [effect.message for effect in effects if isinstance(effect, Tell)]
    assert [type(word) for word in words] == [Proposal, Ballot, Ballot, SealVote]
    assert isinstance(effects[-1], Finish)
    check_seal(NETWORK, effects[-1].seal, PREV, EPOCH, sealers, sealers)
    assert effects[-1].seal.votes == (sign_seal(NETWORK, content, alone),), "as it always was"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_under_any_schedule_with_a_liar_there_is_one_decision_and_in_the_end_it_comes(
    seed: int,
) -> None:
    rng = random.Random(seed)
    liar = rng.randrange(4)
    honest = [place for place in range(4) if place != liar]
    assembly = Assembly(honest, rng.choice(("ABAB", "AABB", "BAAB")))
    scramble(assembly, rng, 100 + rng.randrange(200), list_lies(liar, 6))
    assert len(assembly.decided()) <= 1
    assembly.settle()
    assert len(assembly.decided()) == 1
    assert all(one.seal is not None for one in assembly.members.values())
    assert find_contradictions(assembly.members.values()) == []


def lock(member: Member, number: int, name: str) -> None:
    """Let a sealer see a polka, which it precommits."""
    member.hear(a_proposal(proposer_of(number), number, name))
    for place in range(4):
        if place != member.place:
            member.hear(a_ballot(place, number, Step.PREVOTE, name))
    locked = member.agreement.diary.locked
    assert locked is not None
    assert (locked.quorum.round, locked.plan) == (number, a_plan(name))


def move_on(member: Member, number: int) -> None:
    """Let a sealer see that others are in a later round."""
    for place in range(4):
        if place != member.place:
            member.hear(a_ballot(place, number, Step.PRECOMMIT, None))


def last_ballot(member: Member) -> Ballot:
    return [word for word in member.sent if isinstance(word, Ballot)][-1]


def test_a_lock_survives_a_restart() -> None:
    member = Member(0, ONE)
    lock(member, 0, ONE)
    said = list(member.sent)
    member.restart()
    assert sorted(map(repr, member.sent[len(said) :])) == sorted(map(repr, said)), "nothing new"
    member.hear(a_proposal(proposer_of(1), 1, TWO))
    for place in (1, 2):
        member.hear(a_ballot(place, 1, Step.PREVOTE, TWO))
    assert member.agreement.round == 1
    assert last_ballot(member).value is None, "another value without a polka is voted down"


@pytest.mark.parametrize(
    ("locked_in", "polka_of", "is_free"),
    [(0, 1, True), (1, 1, True), (1, 0, False), (1, None, False)],
)
def test_a_polka_frees_from_a_lock_unless_the_lock_is_later(
    locked_in: int, polka_of: int | None, is_free: bool
) -> None:
    member = Member(0, ONE)
    move_on(member, locked_in)
    lock(member, locked_in, ONE)
    move_on(member, 2)
    proposal = a_proposal(proposer_of(2), 2, TWO)
    backed = back(None if polka_of is None else (polka_of, TWO))
    member.hear(replace(proposal, polka=None if backed is None else backed.quorum))
    assert last_ballot(member).round == 2
    assert last_ballot(member).value == (value_of(TWO) if is_free else None)


def test_a_sealer_that_was_killed_says_nothing_else_in_a_step_it_spoke_in() -> None:
    member = Member(0, ONE)
    member.expire((Step.PROPOSE, 0))
    assert last_ballot(member).value is None
    member.restart()
    member.hear(a_proposal(proposer_of(0), 0, ONE))
    assert find_contradictions([member]) == []
    assert all(ballot.value is None for ballot in member.sent if isinstance(ballot, Ballot))


def test_what_it_cannot_verify_it_does_not_vote_for() -> None:
    agreement = Agreement(a_box(), SIGNERS[0])
    agreement.start()
    agreement.box.add(a_proposal(proposer_of(0), 0, ONE))
    effects = agreement.advance()
    assert effects == [Examine(a_plan(ONE))], "it looks first"
    assert list_said(agreement.judge(a_plan(ONE), Verdict.ILLEGAL)) == [(Step.PREVOTE, None)]


def list_said(effects: list[Effect]) -> list[tuple[Step, bytes | None]]:
    ballots = [effect.message for effect in effects if isinstance(effect, Tell)]
    return [(one.step, one.value) for one in ballots if isinstance(one, Ballot)]


def test_a_set_that_never_arrives_is_voted_down_after_the_time_out() -> None:
    agreement = Agreement(a_box(), SIGNERS[0])
    agreement.start()
    agreement.box.add(a_proposal(proposer_of(0), 0, ONE))
    agreement.advance()
    assert list_said(agreement.expire(Step.PROPOSE, 0)) == [(Step.PREVOTE, None)]


def test_another_root_that_one_signed_is_his_own_and_that_two_signed_is_an_alarm() -> None:
    member = Member(0, ONE)
    agreement, plan = member.agreement, a_plan(ONE)
    lock(member, 0, ONE)
    for place in (1, 2, 3):
        agreement.box.add(a_ballot(place, 0, Step.PRECOMMIT, ONE))
    agreement.box.add(OPENINGS[1])
    assert agreement.advance()[-1] == Fold(plan, SECRET)
    signed = a_content(ONE)
    agreement.box.add(SealVote(signed, sign_seal(NETWORK, signed, SIGNERS[1])))
    effects = agreement.conclude(plan, a_hash("another state"))
    dissent = Dissent(signed, a_hash("another state"))
    assert isinstance(effects[-1], Tell), "it signs what it found"
    assert dissent not in effects
    agreement.box.add(SealVote(signed, sign_seal(NETWORK, signed, SIGNERS[2])))
    assert dissent in agreement.advance()
    assert dissent not in agreement.advance(), "told once"
    agreement.box.add(SealVote(signed, sign_seal(NETWORK, signed, SIGNERS[3])))
    assert isinstance(agreement.advance()[-1], Finish), "the others need it for nothing"


def test_who_renounced_votes_against_everything_and_proposes_nothing() -> None:
    place = proposer_of(1)
    agreement = Agreement(a_box(), SIGNERS[place])
    agreement.start()
    agreement.renounce()
    agreement.box.add(a_proposal(proposer_of(0), 0, ONE))
    assert list_said(agreement.advance()) == [(Step.PREVOTE, None)]
    agreement.expire(Step.PREVOTE, 0)
    assert agreement.expire(Step.PRECOMMIT, 0) == [Schedule(Step.PROPOSE, 1)]


def test_whoever_hears_two_signatures_of_four_signs_too_and_one_is_not_enough() -> None:
    member = Member(0, TWO)
    signed = [word for word in list_lies(2, 0) if isinstance(word, SealVote)]
    member.hear(signed[0])
    assert member.agreement.decided is None
    member.hear(next(word for word in list_lies(3, 0) if isinstance(word, SealVote)))
    assert member.agreement.decided is None, "of what it does not know it cannot keep the deals"
    member.hear(a_proposal(proposer_of(0), 0, ONE))
    assert member.agreement.decided == a_plan(ONE)
    member.hear(OPENINGS[2])
    assert isinstance(member.sent[-1], SealVote)
    assert member.seal is not None


def test_a_decision_is_shown_again_after_a_restart_to_those_who_missed_it() -> None:
    assembly = Assembly((0, 1, 2))
    lonely = assembly.members[0]
    others = [one for one in assembly.members.values() if one is not lonely]
    for one in others:
        one.hear(a_proposal(proposer_of(0), 0, ONE))
    lonely.hear(a_proposal(proposer_of(0), 0, ONE))
    for step in (Step.PREVOTE, Step.PRECOMMIT):
        for place in (1, 2, 3):
            lonely.hear(a_ballot(place, 0, step, ONE))
    assert lonely.agreement.decided is not None
    lonely.restart()
    assert lonely.seal is None
    assert lonely.box.show().decision is not None
    assembly.settle()
    assert assembly.decided() == {value_of(ONE)}
    assert all(one.seal is not None for one in assembly.members.values())


def list_opened(member: Member) -> list[object]:
    return [word for word in member.sent if isinstance(word, Opening)]


def test_nobody_opens_a_share_before_the_plan_is_decided() -> None:
    member = Member(0, ONE)
    lock(member, 0, ONE)
    member.hear(OPENINGS[1])
    for place in (1, 2):
        member.hear(a_ballot(place, 0, Step.PRECOMMIT, ONE))
        is_decided = member.agreement.decided is not None
        assert bool(list_opened(member)) == is_decided == (place == 2)


@pytest.mark.parametrize("seed", range(40))
def test_under_any_schedule_nobody_knows_the_secret_before_somebody_honest_knows_the_decision(
    seed: int,
) -> None:
    rng = random.Random(seed)
    liar = rng.randrange(4)
    assembly = Assembly([place for place in range(4) if place != liar])
    decided: set[int] = set()
    moments: set[tuple[bool, bool]] = set()

    def look() -> None:
        members = assembly.members.values()
        decided.update(one.place for one in members if one.agreement.decided is not None)
        opened = {place for place in assembly.members if list_opened(assembly.members[place])}
        assert opened <= decided, "not even who is to be the first"
        # All that was ever said, and the liar's own share: what a coalition of liars holds.
        known = a_box()
        for word in (*(word for one in members for word in list_opened(one)), OPENINGS[liar]):
            known.add(word)
        is_known = known.secrets.find_secret() is not None
        assert is_known == bool(opened)
        moments.add((is_known, bool(decided)))

    scramble(assembly, rng, 250, list_lies(liar, 6), look)
    assert (True, False) not in moments
    assert (False, False) in moments


@pytest.mark.parametrize("silent", range(4))
def test_who_withholds_his_opening_changes_nothing(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud = Assembly()
    loud.settle()
    assembly = Assembly()
    say = SecretBox.open
    monkeypatch.setattr(
        SecretBox,
        "open",
        lambda self, signer: None if signer is SIGNERS[silent] else say(self, signer),
    )
    assembly.settle()
    seals = [one.seal for one in (*assembly.members.values(), *loud.members.values())]
    assert all(seal is not None for seal in seals)
    assert {seal.content for seal in seals if seal is not None} == {seals[0] and seals[0].content}
    assert seals[0] is not None
    assert seals[0].content.secret == SECRET


def test_a_proposer_waits_for_deals_of_which_one_is_honest() -> None:
    place = proposer_of(0)
    agreement = Agreement(a_box(), SIGNERS[place])
    assert Build(0) not in agreement.start()
    assert OFFERED[place] in agreement.box.show().deals, "his own is one"
    agreement.box.add(OFFERED[(place + 1) % 4])
    assert Build(0) in agreement.advance()


def test_a_sealer_deals_once_and_again_the_same_after_a_restart() -> None:
    agreement = Agreement(a_box(), SIGNERS[0])
    assert agreement.deal() == [Tell(OFFERED[0])]
    assert agreement.deal() == []
    assert Tell(OFFERED[0]) in Agreement(a_box(), SIGNERS[0], agreement.diary).start()


def test_who_deals_after_a_restart_still_knows_why_the_plan_is_decided() -> None:
    member = Member(0, ONE)
    lock(member, 0, ONE)
    for place in (1, 2):
        member.hear(a_ballot(place, 0, Step.PRECOMMIT, ONE))
    decision = member.agreement.diary.decision
    assert decision is not None
    restarted = Agreement(a_box(), SIGNERS[0], member.agreement.diary)
    restarted.deal()
    assert restarted.diary.decision == decision
    restarted.start()
    assert restarted.box.decision == decision


def test_who_seals_the_next_epoch_only_deals_for_it_and_says_nothing_else() -> None:
    before = tuple(sorted((*SEALERS[:3], an_address("mallory"))))
    box = BallotBox(NETWORK, EPOCH, PREV, before, SEALERS)
    assert Agreement(box, SIGNERS[3]).start() == [Tell(OFFERED[3])]
    leaving = Agreement(BallotBox(NETWORK, EPOCH, PREV, before, SEALERS), a_signer("mallory"))
    effects = leaving.start()
    assert not any(isinstance(effect, Tell) for effect in effects)
    assert Schedule(Step.PROPOSE, 0) in effects, "but seals with the others"


def test_the_deals_of_an_epoch_come_back_from_the_diary_or_from_their_dealers() -> None:
    lost = BallotBox(NETWORK, EPOCH, PREV, SEALERS, SEALERS, AGREED)
    Agreement(lost, SIGNERS[0]).start()
    assert lost.secrets.list_agreed() == (), "none of them was his"
    diary = Agreement(a_box(), SIGNERS[0])
    diary.advance()
    Agreement(lost, SIGNERS[0], diary.diary).start()
    assert lost.secrets.find_agreed() == DEALT
    empty = BallotBox(NETWORK, EPOCH, PREV, SEALERS, SEALERS, AGREED)
    for place in (1, 2):
        Agreement(empty, SIGNERS[place]).start()
    assert empty.secrets.find_agreed() == DEALT
