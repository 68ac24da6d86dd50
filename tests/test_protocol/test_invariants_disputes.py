"""Every invariant of disputes is silent on what the fold makes, and sees every way to break it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from protocol.invariants import check_whole_state
from protocol.invariants_disputes import DISPUTE_ROW_RULES, DISPUTE_STEP_RULES
from protocol.phases import DisputeStatus, RewardState, SubmissionStatus, TaskStatus
from protocol.scene import Scene
from protocol.tables import (
    DISPUTES,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    dispute_key,
    reward_key,
    validation_key,
)
from tests.support.builders import COIN, an_address
from tests.support.court import case_of
from tests.support.stage import CourtStage

RULES = {rule.__name__: rule for rule in (*DISPUTE_ROW_RULES, *DISPUTE_STEP_RULES)}
Deed = Callable[[CourtStage], None]


@dataclass(frozen=True)
class Breach:
    """What is done, which rule must see it, and what it must say."""

    rule: str
    says: str
    deed: Deed


def heard(**fields: Any) -> Deed:
    """Change the dispute that is in court."""
    return lambda stage: stage.change_dispute(stage.heard, **fields)


def ended(**fields: Any) -> Deed:
    """Change the dispute that has ended."""
    return lambda stage: stage.change_dispute(stage.ended, **fields)


def at_round(number: int) -> Deed:
    def deed(stage: CourtStage) -> None:
        times = replace(stage.world.task(stage.ended).lifecycle, round=number)
        stage.change(TASKS, stage.ended, lifecycle=times)

    return deed


def seated(*names: str) -> Deed:
    return heard(panel=tuple(sorted(map(an_address, names))))


def seat_again(stage: CourtStage) -> None:
    stage.change_dispute(stage.heard, earlier_panels=(an_address(stage.panel[0]),))


def seat_out_of_order(stage: CourtStage) -> None:
    stage.change_dispute(stage.heard, panel=case_of(stage.world, stage.heard).panel[::-1])


def vote_again(stage: CourtStage) -> None:
    votes = case_of(stage.world, stage.heard).votes
    stage.change_dispute(stage.heard, votes=votes * 2)


def vote_from_outside(stage: CourtStage) -> None:
    vote = case_of(stage.world, stage.heard).votes[0]
    votes = (replace(vote, arbiter=an_address("eve")),)
    stage.change_dispute(stage.heard, votes=votes)


def lose_the_dispute(stage: CourtStage) -> None:
    del stage.rows[(DISPUTES.name, dispute_key(stage.heard, 0))]


def leave_court_early(stage: CourtStage) -> None:
    stage.change(TASKS, stage.heard, status=TaskStatus.COMPLETED)


def move_to_another_key(stage: CourtStage) -> None:
    case = stage.rows.pop((DISPUTES.name, dispute_key(stage.heard, 0)))
    stage.rows[(DISPUTES.name, dispute_key(stage.heard, 2))] = case


def spare_the_answer(**fields: Any) -> Deed:
    def deed(stage: CourtStage) -> None:
        key = stage.world.submission_id(stage.ended, "bob")
        stage.change(SUBMISSIONS, key, **fields)

    return deed


def spare_the_vote(stage: CourtStage) -> None:
    answer = stage.world.submission_id(stage.ended, "carol")
    stage.change(VALIDATIONS, validation_key(answer, an_address(stage.liar), 0), stake=COIN)


def pay(find: Callable[[CourtStage], dict[str, Any]]) -> Deed:
    """Change the first entry of the round that the ended dispute began."""

    def deed(stage: CourtStage) -> None:
        key = reward_key(stage.ended, 1)
        entries = stage.rows[(REWARDS.name, key)].entries
        changed = (replace(entries[0], **find(stage)), *entries[1:])
        stage.change(REWARDS, key, entries=changed)

    return deed


def pay_an_earlier_round(stage: CourtStage) -> None:
    key = reward_key(stage.ended, 0)
    entries = stage.rows[(REWARDS.name, key)].entries
    paid = tuple(replace(one, state=RewardState.LOCKED) for one in entries)
    stage.change(REWARDS, key, entries=paid)


def lose_evidence(stage: CourtStage) -> None:
    stage.change_dispute(stage.heard, evidence=())


def raise_the_bond(stage: CourtStage) -> None:
    bond = case_of(stage.world, stage.heard).bond
    stage.change_dispute(stage.heard, bond=bond + 1)


BREACHES = (
    Breach("each_round_is_one_dispute", "round 4", at_round(4)),
    Breach("each_round_is_one_dispute", "no dispute fits round 0", lose_the_dispute),
    Breach("each_round_is_one_dispute", "no dispute fits round 0", at_round(0)),
    Breach("each_round_is_one_dispute", "closed at None", ended(closed_at=None)),
    Breach("a_dispute_is_of_its_task", "of no task", move_to_another_key),
    Breach("a_dispute_is_of_its_task", "has no dispute", leave_court_early),
    Breach("a_dispute_is_of_its_task", "nano locked", ended(bond=1)),
    Breach("a_dispute_is_of_its_task", "0 nano locked", heard(bond=0)),
    Breach("a_dispute_is_of_its_task", "hearing 1", heard(hearing=1)),
    Breach("arbiters_are_outsiders", "a party", seated("alice", "ada", "abel")),
    Breach("arbiters_are_outsiders", "a party", seated("carol", "ada", "abel")),
    Breach("arbiters_are_outsiders", "a member twice", seat_again),
    Breach("arbiters_are_outsiders", "a panel of 4", seated("ada", "abel", "alma", "azra")),
    Breach("arbiters_are_outsiders", "a panel of 3", seat_out_of_order),
    Breach("arbiters_are_outsiders", "2 votes", vote_again),
    Breach("arbiters_are_outsiders", "not one each", vote_from_outside),
    Breach("the_guilty_hold_nothing", "not struck out", spare_the_answer(stake=1)),
    Breach(
        "the_guilty_hold_nothing",
        "not struck out",
        spare_the_answer(status=SubmissionStatus.APPROVED),
    ),
    Breach("the_guilty_hold_nothing", "nano locked", spare_the_vote),
    Breach(
        "the_guilty_are_paid_nothing",
        "somebody guilty",
        pay(lambda stage: {"submission_id": stage.world.submission_id(stage.ended, "bob")}),
    ),
    Breach("an_earlier_round_pays_nothing", "still pays", pay_an_earlier_round),
    Breach(
        "a_dispute_takes_legal_steps",
        "under_review to withdrawn",
        heard(status=DisputeStatus.WITHDRAWN),
    ),
    Breach("a_dispute_takes_legal_steps", "after its end", ended(forfeited=1)),
    Breach("a_dispute_takes_legal_steps", "another dispute", heard(disputer=an_address("eve"))),
    Breach("a_dispute_takes_legal_steps", "out of its file", lose_evidence),
    Breach("a_dispute_takes_legal_steps", "bond grew", raise_the_bond),
)


def test_the_fold_breaks_none() -> None:
    stage = CourtStage()
    check_whole_state(stage.rows)
    assert all(list(rule(Scene.of_rows(stage.rows))) == [] for rule in DISPUTE_ROW_RULES)


def test_every_rule_is_broken_here() -> None:
    assert {breach.rule for breach in BREACHES} == set(RULES)


@pytest.mark.parametrize("breach", BREACHES, ids=lambda one: f"{one.rule}-{one.says}")
def test_an_invariant_sees_every_way_to_break_it(breach: Breach) -> None:
    stage = CourtStage()
    breach.deed(stage)
    rule = RULES[breach.rule]
    found = list(rule(Scene.of_outcome(stage.world.view, stage.build_outcome())))
    found += rule(Scene.of_rows(stage.rows))
    assert any(breach.says in line for line in found), found
