"""Every rule of the life of a task and every step of a dispute: what shows it, and what is refused.

The tables name functions of the modules beside this one: tests, episodes (which a test walks through
one by one) and deeds (each of which a test sees refused with its code). What moves by time is refused
too early. No kind takes an answer back, so T5 is in the table of moves and nowhere else.

| move | accepted | refused counterpart |
|---|---|---|
| T0 | test_fold_contests.test_terms_on_the_border_are_still_inside | test_fold_refusals.unfunded_publication |
| T1 | test_fold_moves.first_answer | test_fold_refusals.answer_by_the_publisher |
| T1' | test_rule_table.test_a_further_answer_takes_a_place_and_makes_no_move | test_fold_refusals.answer_without_a_place |
| T2 | test_fold_moves.cancel | test_fold_refusals.cancellation_after_an_answer |
| T3 | test_fold_moves.nobody_answers | test_fold_moves.test_every_window_stays_open_through_the_epoch_of_its_deadline |
| T4 | test_fold_moves.submission_window_ends | test_fold_refusals.reveal_while_answers_come_in |
| T5 | test_phases.test_every_row_of_the_table_is_found_by_its_ends_and_each_of_its_causes | test_rule_table.test_no_task_with_an_answer_expires_in_progress |
| T6 | test_fold_moves.all_revealed | test_fold_refusals.early_reveal |
| T7 | test_fold_moves.reveal_window_ends | test_fold_moves.test_every_window_stays_open_through_the_epoch_of_its_deadline |
| T8 | test_fold_moves.nothing_revealed | test_fold_refusals.late_reveal |
| T9 | test_fold_moves.test_the_epoch_of_a_deadline_is_still_in_time | test_fold_refusals.vote_from_outside_the_panel |
| T9' | test_fold_moves.test_once_all_votes_are_shown_a_task_completes_with_what_is_decided | test_fold_refusals.shown_vote_while_others_commit |
| T10 | test_fold_moves.all_decided | test_fold_moves.test_all_votes_of_an_epoch_are_heard_before_the_verdict |
| T11 | test_fold_moves.no_quorum | test_fold_moves.test_at_the_very_end_a_majority_of_the_panel_decides_whatever_was_asked_for |
| T12 | test_dispute_moves.test_an_objection_interrupts_a_task | test_dispute_refusals.objection_to_an_open_offer |
| T13 | test_dispute_moves.test_every_verdict_leads_a_task_where_the_table_says | test_dispute_refusals.vote_after_the_judgment |
| T14 | test_dispute_effects.test_another_panel_judges_again_and_the_earlier_votes_are_void | test_dispute_refusals.vote_by_a_convicted_validator |
| T15 | test_dispute_effects.test_a_void_task_gives_the_reward_and_the_stakes_of_the_innocent_back | test_dispute_effects.test_a_tie_upholds |

| step of a dispute | accepted | refused counterpart |
|---|---|---|
| none to pending | test_dispute_moves.stay_open | test_dispute_refusals.second_objection |
| pending to under_review | test_dispute_moves.sit | test_dispute_refusals.vote_before_the_panel |
| pending to dismissed | test_dispute_moves.be_dismissed | test_rule_table.test_a_disputer_caught_once_the_panel_sits_is_judged_like_any_other |
| pending to withdrawn | test_dispute_moves.be_withdrawn | test_dispute_refusals.withdrawal_from_the_court |
| pending to expired | test_dispute_moves.find_no_panel | test_rule_table.test_three_outsiders_are_enough_for_a_panel |
| under_review to resolved_appealable | test_dispute_moves.be_judged | test_dispute_refusals.second_vote |
| under_review to expired | test_dispute_moves.find_no_quorum | test_dispute_moves.test_a_late_vote_makes_a_quorum_until_the_resolution_deadline |
| resolved_appealable to appealed | test_dispute_moves.be_appealed | test_dispute_refusals.late_appeal |
| resolved_appealable to resolved_final | test_dispute_moves.become_final | test_dispute_moves.test_nobody_can_appeal_a_moment_too_late_and_the_last_epoch_is_in_time |
| appealed to under_review | test_dispute_moves.sit_again | test_dispute_refusals.vote_for_another_hearing |
"""  # noqa: E501

import importlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from protocol.dispute_records import ARBITERS_MIN
from protocol.phases import DISPUTE_STEPS, MOVES, STAYS, DisputeStatus, TaskStatus, get_label
from tests.support.builders import ARBITERS, VALIDATORS, an_address
from tests.support.court import a_court, arbiters, case_of, object_to
from tests.support.tasks import a_judged_task
from tests.support.world import World
from tests.test_protocol import test_dispute_refusals, test_fold_refusals
from tests.test_protocol.test_dispute_moves import STEPS, leaves
from tests.test_protocol.test_fold_moves import REACHED

ROW = re.compile(r"^\| ([^|]+) \| ([a-z_.]+) \| ([a-z_.]+) \|$", re.MULTILINE)
ROWS = {rule: (accepted, refused) for rule, accepted, refused in ROW.findall(__doc__ or "")}
EPISODES = (*REACHED.values(), *STEPS.values())
DEEDS = [case.deed for case in (*test_fold_refusals.CASES, *test_dispute_refusals.CASES)]


def find(place: str) -> Callable[..., Any]:
    """Return what a cell of the table names.

    Raises:
        AttributeError: there is nothing of that name.
    """
    module, name = place.split(".")
    found: Callable[..., Any] = getattr(
        importlib.import_module(f"tests.test_protocol.{module}"), name
    )
    return found


def test_the_table_has_every_move_and_every_step_once() -> None:
    moves = {move.number for move in MOVES} | {stay.number for stay in STAYS}
    steps = {
        f"{get_label(source)} to {get_label(target)}"
        for source, targets in DISPUTE_STEPS.items()
        for target in targets
    }
    assert set(ROWS) == moves | steps
    assert len(ROW.findall(__doc__ or "")) == len(ROWS)


@pytest.mark.parametrize("rule", ROWS)
def test_what_a_row_names_is_run_by_some_test(rule: str) -> None:
    accepted, refused = (find(place) for place in ROWS[rule])
    assert accepted is not refused
    assert accepted.__name__.startswith("test_") or accepted in EPISODES
    assert refused.__name__.startswith("test_") or refused in DEEDS


# ------------------------------------------------------------------- what no other test shows


def test_a_further_answer_takes_a_place_and_makes_no_move() -> None:
    world = World()
    world.settle_cast()
    task_id = world.open_task()
    world.seal(world.submit("bob", task_id))
    before = world.task(task_id)
    world.seal(world.submit("carol", task_id))
    after = world.task(task_id)
    assert before.status is after.status is TaskStatus.IN_PROGRESS
    assert len(after.participants) == 2
    assert after.lifecycle == before.lifecycle


def test_no_task_with_an_answer_expires_in_progress() -> None:
    world = World()
    world.settle_cast()
    task_id = world.open_task()
    world.seal(world.submit("bob", task_id))
    refused = world.cancel("alice", task_id)
    world.seal(refused)
    assert world.code_of(refused) == "wrong_phase"
    world.pass_until(world.task(task_id).lifecycle.submission_deadline + 1)
    assert world.task(task_id).status is TaskStatus.ANSWERS_SUBMITTED


def test_a_disputer_caught_once_the_panel_sits_is_judged_like_any_other() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    world.seal()
    world.seal(evidence=[(an_address("alice"), world.account("alice").next_seq)])
    case = case_of(world, task_id)
    assert (case.status, len(case.panel)) == (DisputeStatus.UNDER_REVIEW, ARBITERS_MIN)
    assert case.bond > 0


def test_three_outsiders_are_enough_for_a_panel() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    drawn = world.panel(task_id)
    outsiders = [who for who in (*VALIDATORS, *ARBITERS) if who not in drawn]
    world.seal(*(leaves(world, who) for who in outsiders[ARBITERS_MIN:]))
    world.seal(object_to(world, "alice", task_id))
    world.seal()
    assert sorted(arbiters(world, task_id)) == sorted(outsiders[:ARBITERS_MIN])
