"""T12 to T15 and every step of a dispute: each happens, and nothing moves before its time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.dispute_records import ARBITER_STAKE_MIN, PANEL_SIZES, Choice
from protocol.invariants import check_whole_state
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.params import MINIMAL, PRESETS
from protocol.phases import (
    DISPUTE_STEPS,
    MOVES,
    ROUNDS_MAX,
    DisputeStatus,
    RewardState,
    SubmissionStatus,
    TaskStatus,
    Trigger,
)
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from protocol.tables import DISPUTES, REWARDS, dispute_key, reward_key
from protocol.transactions import SignedTransaction
from tests.support.builders import (
    ARBITERS,
    CAST,
    COIN,
    STAKE,
    VALIDATORS,
    a_genesis,
    an_address,
)
from tests.support.court import (
    a_court,
    a_court_genesis,
    appeal,
    arbiters,
    arbitrate,
    case_of,
    close,
    hear,
    object_to,
    seat_panel,
    settle_court,
    withdraw,
)
from tests.support.tasks import a_judged_task, a_shown_task
from tests.support.world import World

At = TaskStatus
In = DisputeStatus
GUILTY = "bob"


class WatchedWorld(World):
    """A world that keeps every state in which a seal left the first dispute of its first task."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.states: list[DisputeStatus | None] = [None]

    def seal(self, *given: Any, **named: Any) -> Any:
        """End the epoch and look."""
        outcome = super().seal(*given, **named)
        for change in outcome.changes:
            if change.table is DISPUTES and change.after.status is not self.states[-1]:
                self.states.append(change.after.status)
        return outcome


def object_when(world: World, status: TaskStatus) -> bytes:
    """Return a task to which somebody objects in this phase."""
    if status is At.ANSWERS_SUBMITTED:
        task_id = world.open_task()
        world.collect_answers(task_id, ["bob", "carol"])
        world.seal(world.reveal("bob", task_id))
        assert world.task(task_id).status is status
        world.seal(object_to(world, "alice", task_id), world.reveal("carol", task_id))
        return task_id
    task_id = (a_judged_task if status is At.COMPLETED else a_shown_task)(world)
    world.seal(object_to(world, "alice", task_id))
    return task_id


def judge(world: World, task_id: bytes, choice: Choice) -> None:
    """Have the whole first panel want the same."""
    changes: dict[str, Any] = {}
    if choice is Choice.OVERTURN:
        changes["submissions"] = (world.submission_id(task_id, GUILTY),)
    if choice is Choice.SPLIT:
        changes["share"] = 2_500
    panel = seat_panel(world, task_id)
    world.seal(*(arbitrate(world, who, task_id, choice, **changes) for who in panel))


# -------------------------------------------------------------------------------- moves of tasks

BEFORE = (At.ANSWERS_SUBMITTED, At.UNDER_VALIDATION, At.COMPLETED)
LEADS_TO: dict[tuple[TaskStatus, Choice | None], TaskStatus] = {
    (At.ANSWERS_SUBMITTED, None): At.UNDER_VALIDATION,
    (At.ANSWERS_SUBMITTED, Choice.UPHOLD): At.UNDER_VALIDATION,
    (At.ANSWERS_SUBMITTED, Choice.OVERTURN): At.UNDER_VALIDATION,
    (At.ANSWERS_SUBMITTED, Choice.REVALIDATE): At.UNDER_VALIDATION,
    (At.ANSWERS_SUBMITTED, Choice.VOID): At.CANCELLED,
    (At.UNDER_VALIDATION, None): At.UNDER_VALIDATION,
    (At.UNDER_VALIDATION, Choice.UPHOLD): At.UNDER_VALIDATION,
    (At.UNDER_VALIDATION, Choice.OVERTURN): At.UNDER_VALIDATION,
    (At.UNDER_VALIDATION, Choice.REVALIDATE): At.UNDER_VALIDATION,
    (At.UNDER_VALIDATION, Choice.VOID): At.CANCELLED,
    (At.COMPLETED, None): At.COMPLETED,
    (At.COMPLETED, Choice.UPHOLD): At.COMPLETED,
    (At.COMPLETED, Choice.OVERTURN): At.COMPLETED,
    (At.COMPLETED, Choice.SPLIT): At.COMPLETED,
    (At.COMPLETED, Choice.REVALIDATE): At.UNDER_VALIDATION,
    (At.COMPLETED, Choice.VOID): At.CANCELLED,
}
"""Where a verdict takes a task, by the phase it was disputed in; None is no verdict in time."""


@pytest.mark.parametrize("status", BEFORE, ids=lambda status: status.name)
def test_an_objection_interrupts_a_task(status: TaskStatus) -> None:
    world = a_court()
    task_id = object_when(world, status)
    task, case = world.task(task_id), case_of(world, task_id)
    move = task.lifecycle.transitions[-1]
    assert (move.from_status, move.to_status) == (status, At.DISPUTED)
    assert (move.trigger, move.tx) == (Trigger.DISPUTE_OPENED, case.dispute_id)
    assert (case.status_before, case.status, case.round) == (status, In.PENDING, 0)
    assert case.opened_at == world.epoch == move.epoch
    check_whole_state(world.view.rows)


@pytest.mark.parametrize(
    ("status", "choice"), LEADS_TO, ids=lambda one: "NOTHING" if one is None else one.name
)
def test_every_verdict_leads_a_task_where_the_table_says(
    status: TaskStatus, choice: Choice | None
) -> None:
    world = a_court()
    task_id = object_when(world, status)
    if choice is not None:
        judge(world, task_id, choice)
    case = close(world, task_id)
    task = world.task(task_id)
    move = task.lifecycle.transitions[-1]
    assert case.status is (In.EXPIRED if choice is None else In.RESOLVED_FINAL)
    assert (move.from_status, move.to_status) == (At.DISPUTED, LEADS_TO[(status, choice)])
    assert (move.trigger, move.epoch) == (Trigger.DISPUTE_RESOLVED, world.epoch)
    assert task.status is move.to_status
    assert task.lifecycle.round == 1
    check_whole_state(world.view.rows)
    end_by_itself(world, task_id)


def end_by_itself(world: World, task_id: bytes) -> None:
    """Let all windows of a task pass; nobody does anything, and it ends."""
    for _ in range(30):
        world.seal()
    task = world.task(task_id)
    assert task.settled or task.status in (At.EXPIRED, At.CANCELLED)
    assert world.view.due_tasks(world.epoch + 1_000) == []


def test_the_table_of_verdicts_has_every_move_of_disputes() -> None:
    made = {(At.DISPUTED, target) for target in LEADS_TO.values()}
    made |= {(status, At.DISPUTED) for status, _ in LEADS_TO}
    numbers = ("T12", "T13", "T14", "T15")
    assert made == {(move.source, move.target) for move in MOVES if move.number in numbers}


# ------------------------------------------------------------------------------ steps of disputes


def stay_open(world: World) -> None:
    object_when(world, At.COMPLETED)


def sit(world: World) -> None:
    seat_panel(world, object_when(world, At.COMPLETED))


def be_dismissed(world: World) -> None:
    task_id = a_judged_task(world)
    opening = object_to(world, "alice", task_id)
    caught = (an_address("alice"), opening.header.seq + 1)
    world.seal(opening, evidence=[caught])
    world.seal()


def be_withdrawn(world: World) -> None:
    task_id = object_when(world, At.COMPLETED)
    world.seal(withdraw(world, "alice", task_id))


def find_no_panel(world: World) -> None:
    """All but two of the outsiders leave before the lots are drawn."""
    task_id = a_judged_task(world)
    world.seal(*(leaves(world, who) for who in outsiders_of(world, task_id)[2:]))
    world.seal(object_to(world, "alice", task_id))
    world.seal()


def outsiders_of(world: World, task_id: bytes) -> list[str]:
    return [who for who in (*VALIDATORS, *ARBITERS) if who not in world.panel(task_id)]


def leaves(world: World, who: str) -> SignedTransaction:
    return world.sign(who, "adjust_stake", AdjustStake(StakeAction.EXIT, 0))


def be_judged(world: World) -> None:
    judge(world, object_when(world, At.COMPLETED), Choice.UPHOLD)


def find_no_quorum(world: World) -> None:
    task_id = object_when(world, At.COMPLETED)
    hear(world, task_id, [Choice.VOID])
    close(world, task_id)


def be_appealed(world: World) -> None:
    task_id = object_when(world, At.COMPLETED)
    judge(world, task_id, Choice.UPHOLD)
    world.seal(appeal(world, "alice", task_id))


def sit_again(world: World) -> None:
    be_appealed(world)
    world.seal()


def become_final(world: World) -> None:
    task_id = object_when(world, At.COMPLETED)
    judge(world, task_id, Choice.UPHOLD)
    close(world, task_id)


STEPS: dict[tuple[DisputeStatus | None, DisputeStatus], Callable[[World], None]] = {
    (None, In.PENDING): stay_open,
    (In.PENDING, In.UNDER_REVIEW): sit,
    (In.PENDING, In.DISMISSED): be_dismissed,
    (In.PENDING, In.WITHDRAWN): be_withdrawn,
    (In.PENDING, In.EXPIRED): find_no_panel,
    (In.UNDER_REVIEW, In.RESOLVED_APPEALABLE): be_judged,
    (In.UNDER_REVIEW, In.EXPIRED): find_no_quorum,
    (In.RESOLVED_APPEALABLE, In.APPEALED): be_appealed,
    (In.RESOLVED_APPEALABLE, In.RESOLVED_FINAL): become_final,
    (In.APPEALED, In.UNDER_REVIEW): sit_again,
}


def test_every_step_of_the_table_has_an_episode_here() -> None:
    wanted = {(source, target) for source, targets in DISPUTE_STEPS.items() for target in targets}
    assert set(STEPS) == wanted


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1].name)
def test_a_dispute_takes_a_step(step: tuple[DisputeStatus | None, DisputeStatus]) -> None:
    world = settle_court(WatchedWorld(a_court_genesis()))
    STEPS[step](world)
    assert tuple(world.states[-2:]) == step
    check_whole_state(world.view.rows)


def test_a_panel_is_drawn_one_epoch_after_the_opening_and_not_before_the_seal() -> None:
    world = a_court()
    task_id = object_when(world, At.COMPLETED)
    assert case_of(world, task_id).panel == ()
    provisional = world.fold_provisionally([])
    assert case_of(provisional, task_id).status is In.PENDING
    world.seal()
    case = case_of(world, task_id)
    assert (case.status, len(case.panel)) == (In.UNDER_REVIEW, PANEL_SIZES[0])
    assert case.voting_deadline == world.epoch + world.params.dispute_epochs
    assert case.resolution_deadline == world.epoch + world.params.resolution_epochs


def test_no_arbiter_has_less_than_ten_coins_at_stake() -> None:
    params = replace(MINIMAL, miner_stake_min=5 * COIN)
    world = World(a_genesis(params=params, cast=(*CAST, *ARBITERS)))
    world.settle_cast()
    poor, rich = ARBITERS[:8], (*VALIDATORS, *ARBITERS[8:])
    stakes = {who: ARBITER_STAKE_MIN - (who in poor) for who in ARBITERS}
    world.seal(
        *(world.register(who, roles=ROLE_VALIDATOR, stake=stakes[who]) for who in ARBITERS),
    )
    task_id = object_when(world, At.UNDER_VALIDATION)
    panel = seat_panel(world, task_id)
    assert len(panel) == PANEL_SIZES[0]
    assert set(panel) <= set(rich)
    assert all(preset.miner_stake_min >= ARBITER_STAKE_MIN for preset in PRESETS.values())


def test_a_hearing_waits_for_all_votes_or_for_the_end_of_its_window() -> None:
    world = a_court()
    task_id = object_when(world, At.COMPLETED)
    hear(world, task_id, [Choice.UPHOLD, Choice.UPHOLD])
    deadline = case_of(world, task_id).voting_deadline
    assert deadline is not None
    world.pass_until(deadline)
    assert case_of(world, task_id).status is In.UNDER_REVIEW
    world.seal()
    assert case_of(world, task_id).status is In.RESOLVED_APPEALABLE
    assert case_of(world, task_id).judgments[-1].decided_at == world.epoch


def test_a_late_vote_makes_a_quorum_until_the_resolution_deadline() -> None:
    world = a_court()
    task_id = object_when(world, At.COMPLETED)
    hear(world, task_id, [Choice.VOID])
    last = case_of(world, task_id).resolution_deadline
    assert last is not None
    world.pass_until(last - 1)
    assert case_of(world, task_id).status is In.UNDER_REVIEW
    vote = arbitrate(world, arbiters(world, task_id)[1], task_id, Choice.VOID)
    world.seal(vote)
    assert world.code_of(vote) is None
    assert case_of(world, task_id).status is In.RESOLVED_APPEALABLE


def test_nobody_can_appeal_a_moment_too_late_and_the_last_epoch_is_in_time() -> None:
    world = a_court()
    task_id = object_when(world, At.COMPLETED)
    judge(world, task_id, Choice.UPHOLD)
    deadline = case_of(world, task_id).appeal_deadline
    assert deadline is not None
    world.pass_until(deadline - 1)
    world.seal(appeal(world, "bob", task_id))
    assert case_of(world, task_id).status is In.APPEALED


def test_a_dispute_goes_through_three_panels_of_different_people_and_no_more() -> None:
    world = a_court()
    task_id = object_when(world, At.COMPLETED)
    seated: list[str] = []
    for hearing, size in enumerate(PANEL_SIZES):
        panel = seat_panel(world, task_id)
        assert len(panel) == size
        assert not set(panel) & {*seated, *world.panel(task_id), "alice", "bob", "carol"}
        seated += panel
        world.seal(*(arbitrate(world, who, task_id, Choice.UPHOLD) for who in panel))
        if hearing + 1 < len(PANEL_SIZES):
            assert case_of(world, task_id).status is In.RESOLVED_APPEALABLE
            world.seal(appeal(world, "alice", task_id))
    case = case_of(world, task_id)
    assert (case.status, case.hearing, len(case.judgments)) == (In.RESOLVED_FINAL, 2, 3)
    assert case.closed_at == world.epoch


def test_an_appeal_that_nobody_hears_leaves_the_judgment_as_it_was() -> None:
    world = a_court()
    task_id = object_when(world, At.COMPLETED)
    judge(world, task_id, Choice.VOID)
    world.seal(appeal(world, "alice", task_id))
    case = close(world, task_id)
    assert (case.status, len(case.judgments)) == (In.RESOLVED_FINAL, 1)
    assert world.task(task_id).status is At.CANCELLED


def test_an_appeal_for_which_nobody_is_left_ends_at_once_with_the_judgment() -> None:
    world = World()
    world.seal(
        world.register("bob", roles=ROLE_SOLVER),
        *(world.register(who, roles=ROLE_VALIDATOR) for who in VALIDATORS),
    )
    task_id = a_judged_task(world, ["bob"])
    outsiders = ("carol", "dave", "eve")
    world.seal(*(world.register(who, roles=ROLE_VALIDATOR) for who in outsiders))
    world.seal(object_to(world, "alice", task_id))
    assert sorted(seat_panel(world, task_id)) == sorted(outsiders)
    world.seal(*(arbitrate(world, who, task_id, Choice.VOID) for who in outsiders))
    before = world.balance("bob")
    world.seal(appeal(world, "bob", task_id))
    world.seal()
    case = case_of(world, task_id)
    assert (case.status, case.hearing, case.panel) == (In.RESOLVED_FINAL, 1, ())
    assert world.task(task_id).status is At.CANCELLED
    # Nobody heard it, so nobody knows whether he was wrong: his deposit comes back.
    assert world.balance("bob") == before - world.params.validate_fee + STAKE
    check_whole_state(world.view.rows)


def test_a_task_can_be_disputed_three_times_and_pays_at_last() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    for round_ in range(ROUNDS_MAX):
        world.seal(object_to(world, "alice", task_id))
        close(world, task_id)
        assert world.task(task_id).lifecycle.round == round_ + 1
    world.settle(task_id)
    for round_ in range(ROUNDS_MAX):
        old = world.require(REWARDS, reward_key(task_id, round_))
        assert {entry.state for entry in old.entries} == {RewardState.REVOKED}
    entry = world.entries_of(task_id, "bob")[0]
    world.seal(world.claim("bob", task_id, entry, round=ROUNDS_MAX))
    assert world.entries_of(task_id, "bob")[0].state is RewardState.CLAIMED
    check_whole_state(world.view.rows)


def test_a_dispute_does_not_keep_anybody_from_showing_his_answer() -> None:
    world = a_court()
    task_id = world.open_task()
    world.collect_answers(task_id, ["bob", "carol"])
    world.seal(object_to(world, "alice", task_id))
    reveals = [world.reveal(who, task_id) for who in ("bob", "carol")]
    world.seal(*reveals)
    assert [world.code_of(tx) for tx in reveals] == [None, None]
    assert world.task(task_id).status is At.DISPUTED
    times = world.task(task_id).lifecycle
    assert case_of(world, task_id).pending_until == times.reveal_deadline
    close(world, task_id)
    assert {world.submission(task_id, who).status for who in ("bob", "carol")} == {
        SubmissionStatus.UNDER_REVIEW
    }
    assert world.submission(task_id, "bob").forfeited == 0


def test_a_disputed_task_has_one_dispute_in_each_round() -> None:
    world = a_court()
    task_id = object_when(world, At.COMPLETED)
    close(world, task_id)
    world.seal(object_to(world, "bob", task_id))
    first, second = (world.require(DISPUTES, dispute_key(task_id, i)) for i in range(2))
    assert first.dispute_id != second.dispute_id
    assert (first.closed_at is None, second.closed_at) == (False, None)
