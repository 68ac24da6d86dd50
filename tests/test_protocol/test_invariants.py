"""Every invariant is silent on what the fold makes and speaks up when its rule is broken."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import InvariantBroken
from protocol.invariants import ALL, SUM_RULES, ConsistencyChecker, check_whole_state
from protocol.invariants_changes import CHANGE_ROW_RULES, CHANGE_STEP_RULES
from protocol.invariants_disputes import DISPUTE_ROW_RULES, DISPUTE_STEP_RULES
from protocol.invariants_rows import ROW_RULES
from protocol.invariants_steps import STEP_RULES
from protocol.phases import (
    MinerStatus,
    RewardState,
    SubmissionStatus,
    TaskStatus,
    Trigger,
    VoteState,
)
from protocol.records import Transition
from protocol.scene import Scene
from protocol.tables import (
    ACCOUNTS,
    LEDGER,
    LEDGER_KEY,
    MINERS,
    REWARDS,
    RULINGS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    reward_key,
)
from tests.support.builders import an_address
from tests.support.stage import Stage
from tests.support.world import World

# Each function breaks the rule whose name it bears.


def every_move_is_legal_and_follows_the_last(stage: Stage) -> None:
    times = stage.world.task(stage.open).lifecycle
    leap = Transition(
        TaskStatus.UNDER_VALIDATION, TaskStatus.PUBLISHED, 9, Trigger.TIME_EXPIRY, None
    )
    moved = replace(times, transitions=(*times.transitions, leap))
    stage.change(TASKS, stage.open, lifecycle=moved, status=TaskStatus.PUBLISHED)


def windows_follow_one_another(stage: Stage) -> None:
    times = stage.world.task(stage.open).lifecycle
    stage.change(
        TASKS, stage.open, lifecycle=replace(times, reveal_deadline=times.submission_deadline)
    )


def each_escrow_adds_up(stage: Stage) -> None:
    pool = stage.world.task(stage.open).pool
    stage.change(TASKS, stage.open, pool=replace(pool, escrowed=pool.escrowed - 1))


def each_reward_is_divided_without_rest(stage: Stage) -> None:
    stage.change(REWARDS, reward_key(stage.done, 0), network_fee=0)


def rewards_open_when_the_task_settles(stage: Stage) -> None:
    stage.change(TASKS, stage.done, settled=False)


def places_are_taken_once(stage: Stage) -> None:
    places = stage.world.task(stage.open).participants
    stage.change(TASKS, stage.open, participants=(*places, places[0]))


def every_answer_has_its_place(stage: Stage) -> None:
    places = stage.world.task(stage.open).participants
    stage.change(TASKS, stage.open, participants=places[1:])


def nobody_judges_his_own(stage: Stage) -> None:
    stage.change(VALIDATIONS, stage.vote, validator=an_address("alice"))


def a_commitment_shows_what_its_state_says(stage: Stage) -> None:
    stage.change(VOTE_COMMITMENTS, stage.vote_of(stage.silent), state=VoteState.REVEALED)


def a_closed_task_holds_no_stake(stage: Stage) -> None:
    stage.change(SUBMISSIONS, stage.world.submission_id(stage.done, "bob"), stake=1)


def a_reputation_stays_in_its_range(stage: Stage) -> None:
    standing = stage.world.miner("bob").reputation
    stage.change(MINERS, an_address("bob"), reputation=replace(standing, successes=9))


def no_account_is_overdrawn(stage: Stage) -> None:
    stage.change(ACCOUNTS, an_address("bob"), balance=-1)


def nothing_is_removed(stage: Stage) -> None:
    del stage.rows[(MINERS.name, an_address("bob"))]


def what_was_agreed_stays(stage: Stage) -> None:
    terms = stage.world.task(stage.open).terms
    stage.change(TASKS, stage.open, terms=replace(terms, quality_threshold=0))


def an_answer_keeps_its_commitment(stage: Stage) -> None:
    stage.change(SUBMISSIONS, stage.answer("carol"), commitment=bytes(32))


def a_vote_is_bound_before_any_is_shown(stage: Stage) -> None:
    copied = stage.rows[(VALIDATIONS.name, stage.vote)]
    stage.rows[(VALIDATIONS.name, stage.vote_of(stage.idle))] = copied


def a_commitment_takes_legal_steps(stage: Stage) -> None:
    stage.change(VOTE_COMMITMENTS, stage.vote_of(stage.silent), commitment=bytes(32))


def a_vote_is_cast_once(stage: Stage) -> None:
    stage.change(VALIDATIONS, stage.vote, score=81)


def an_entry_is_claimed_once(stage: Stage) -> None:
    again = replace(stage.done_entries[0], claim_tx=bytes(32))
    stage.change(REWARDS, reward_key(stage.done, 0), entries=(again, *stage.done_entries[1:]))


def a_disputed_task_pays_nothing(stage: Stage) -> None:
    stage.change(TASKS, stage.done, status=TaskStatus.DISPUTED)
    claimed = replace(
        stage.done_entries[1], state=RewardState.CLAIMED, claimed_at=99, claim_tx=bytes(32)
    )
    entries = (stage.done_entries[0], claimed, *stage.done_entries[2:])
    stage.change(REWARDS, reward_key(stage.done, 0), entries=entries)


def a_miner_takes_legal_steps(stage: Stage) -> None:
    stage.change(MINERS, an_address("bob"), status=MinerStatus.EXITED, earned=0)


def a_chain_only_grows(stage: Stage) -> None:
    stage.change(ACCOUNTS, an_address("bob"), head=bytes(32))


def who_can_sign_no_more_holds_nothing_up(stage: Stage) -> None:
    stage.change(ACCOUNTS, an_address("bob"), barred_from=9)
    stage.change(MINERS, an_address("bob"), last_active=99)


def money_is_where_the_ledger_says(stage: Stage) -> None:
    stage.change(LEDGER, LEDGER_KEY, staked=stage.world.ledger.staked + 1)


BREACHES: dict[str, Callable[[Stage], None]] = {
    breach.__name__: breach
    for breach in (
        every_move_is_legal_and_follows_the_last,
        windows_follow_one_another,
        each_escrow_adds_up,
        each_reward_is_divided_without_rest,
        rewards_open_when_the_task_settles,
        places_are_taken_once,
        every_answer_has_its_place,
        nobody_judges_his_own,
        a_commitment_shows_what_its_state_says,
        a_closed_task_holds_no_stake,
        a_reputation_stays_in_its_range,
        no_account_is_overdrawn,
        nothing_is_removed,
        what_was_agreed_stays,
        an_answer_keeps_its_commitment,
        a_vote_is_bound_before_any_is_shown,
        a_commitment_takes_legal_steps,
        a_vote_is_cast_once,
        an_entry_is_claimed_once,
        a_disputed_task_pays_nothing,
        a_miner_takes_legal_steps,
        a_chain_only_grows,
        who_can_sign_no_more_holds_nothing_up,
        money_is_where_the_ledger_says,
    )
}


RULES = (*ROW_RULES, *STEP_RULES, *SUM_RULES)
"""Those of disputes have a file of their own."""


def test_every_rule_is_broken_once_here() -> None:
    assert [rule.__name__ for rule in RULES] == list(BREACHES)
    assert set(ALL) == {
        *RULES,
        *DISPUTE_ROW_RULES,
        *DISPUTE_STEP_RULES,
        *CHANGE_ROW_RULES,
        *CHANGE_STEP_RULES,
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_speaks_up_when_it_is_broken_and_only_then(rule: Any) -> None:
    stage = Stage()
    assert list(rule(Scene.of_outcome(stage.world.view, stage.build_outcome()))) == []
    BREACHES[rule.__name__](stage)
    outcome = stage.build_outcome()
    found = list(rule(Scene.of_outcome(stage.world.view, outcome)))
    if not found:
        # What a row says of another that did not change shows when the whole state is looked at.
        found = list(rule(Scene.of_rows(stage.rows)))
    assert found
    with pytest.raises(InvariantBroken):
        ConsistencyChecker().check(stage.world.view, outcome)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_says_its_name_and_where(rule: Any) -> None:
    stage = Stage()
    BREACHES[rule.__name__](stage)
    with pytest.raises(InvariantBroken) as error:
        ConsistencyChecker().check(stage.world.view, stage.build_outcome())
    name, _, rest = str(error.value).partition(": ")
    assert name in BREACHES
    assert rest.startswith(f"epoch {stage.world.epoch + 1}: ")


def test_a_whole_state_is_checked_by_adding_all_of_it_up() -> None:
    stage = Stage()
    check_whole_state(stage.rows)
    stage.change(ACCOUNTS, an_address("eve"), balance=1)
    with pytest.raises(InvariantBroken, match="money_is_where_the_ledger_says"):
        check_whole_state(stage.rows)


def test_a_state_without_a_ledger_is_no_state() -> None:
    rows = dict(World().view.rows)
    check_whole_state(rows)
    del rows[(LEDGER.name, LEDGER_KEY)]
    with pytest.raises(InvariantBroken, match="without a ledger"):
        check_whole_state(rows)


def test_a_ruling_is_never_rewritten() -> None:
    stage = Stage()
    late = stage.world.submit("bob", stage.open)
    stage.world.seal(late)
    stage.rows = dict(stage.world.view.rows)
    key = next(key for name, key in stage.rows if name == RULINGS.name)
    stage.change(RULINGS, key, code="another")
    with pytest.raises(InvariantBroken, match="nothing_is_removed"):
        ConsistencyChecker().check(stage.world.view, stage.build_outcome())


def test_money_that_appears_from_nowhere_is_seen() -> None:
    stage = Stage()
    ledger = stage.world.ledger
    stage.change(ACCOUNTS, an_address("eve"), balance=stage.world.balance("eve") + 1)
    stage.change(LEDGER, LEDGER_KEY, balances=ledger.balances + 1, supply=ledger.supply + 1)
    with pytest.raises(InvariantBroken, match="supply"):
        ConsistencyChecker().check(stage.world.view, stage.build_outcome())


def test_an_answer_cannot_go_back_to_hidden() -> None:
    stage = Stage()
    stage.change(SUBMISSIONS, stage.answer("carol"), status=SubmissionStatus.PENDING)
    with pytest.raises(InvariantBroken):
        ConsistencyChecker().check(stage.world.view, stage.build_outcome())
