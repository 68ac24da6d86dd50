"""Votes are committed to before any is shown: when they open, and what it costs to hide one."""

from dataclasses import replace

import pytest

from protocol.dispute_records import Choice, DisputeType
from protocol.fees import STAKE_SHARE_LOST
from protocol.invariants import check_whole_state
from protocol.kinds.reveal_vote import compute_vote_commitment
from protocol.params import SCALE
from protocol.phases import TaskStatus as At
from protocol.phases import VoteState
from protocol.records import Task, VoteCommitment
from protocol.reputation import PENALTY_POINTS, Violation
from protocol.tables import VOTE_COMMITMENTS, validation_key
from tests.support.builders import STAKE, a_hash, a_vote, an_address
from tests.support.court import a_court, close, hear, object_to, seat_panel
from tests.support.tasks import a_judged_task, a_shown_task
from tests.support.world import World
from tests.test_protocol.test_dispute_moves import leaves

LOST = STAKE // 2 * STAKE_SHARE_LOST[Violation.NOT_REVEALED] // SCALE
"""What a vote costs that is never shown."""


def a_world() -> World:
    world = World()
    world.settle_cast()
    return world


def commitment_of(world: World, task_id: bytes, who: str, miner: str = "bob") -> VoteCommitment:
    """Return somebody's commitment to a vote in the first round."""
    key = validation_key(world.submission_id(task_id, miner), an_address(who), 0)
    return world.require(VOTE_COMMITMENTS, key)


def are_votes_open(world: World, task_id: bytes) -> bool:
    """Tell whether the next epoch takes votes that are shown."""
    return world.epoch + 1 > world.task(task_id).lifecycle.validation_deadline


# --------------------------------------------------------------------------- when votes open


def test_once_the_whole_panel_is_bound_votes_open_at_the_next_epoch() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    before = world.task(task_id).lifecycle
    votes = [world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)]
    world.seal(*votes[:4])
    assert world.task(task_id).lifecycle == before
    world.seal(votes[4])
    times = world.task(task_id).lifecycle
    assert times.validation_deadline == world.epoch < before.validation_deadline
    assert times.finalize_deadline == world.epoch + world.params.finalize_epochs
    world.seal(*map(world.show, votes))
    assert world.rulings == {}
    assert world.task(task_id).status is At.COMPLETED


def test_a_vote_is_not_shown_in_the_epoch_of_the_last_commitment() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    *most, last = (world.vote(who, task_id, "bob", 80) for who in world.panel(task_id))
    world.seal(*most)
    hasty = world.show(most[0])
    world.seal(last, hasty)
    assert world.code_of(hasty) == "too_early"
    assert are_votes_open(world, task_id)


def test_the_windows_before_an_early_opening_are_over_too() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    assert world.epoch < world.task(task_id).lifecycle.reveal_deadline
    world.seal(*(world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)))
    times = world.task(task_id).lifecycle
    assert times.submission_deadline < times.reveal_deadline < times.validation_deadline


@pytest.mark.parametrize("absent", [1, 5])
def test_where_somebody_is_not_bound_votes_open_at_the_deadline(absent: int) -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    deadline = world.task(task_id).lifecycle.validation_deadline
    world.seal(*(world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)[absent:]))
    world.pass_until(deadline - 1)
    assert not are_votes_open(world, task_id)
    world.seal()
    assert are_votes_open(world, task_id)
    assert world.task(task_id).lifecycle.validation_deadline == deadline


def test_who_is_bound_on_one_of_two_answers_is_waited_for() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob", "carol"])
    panel = world.panel(task_id)
    world.seal(
        *(world.vote(who, task_id, "bob", 80) for who in panel),
        *(world.vote(who, task_id, "carol", 80) for who in panel[1:]),
    )
    assert not are_votes_open(world, task_id)
    world.seal(world.vote(panel[0], task_id, "carol", 80))
    assert are_votes_open(world, task_id)


def test_an_answer_that_was_never_shown_needs_no_votes() -> None:
    world = a_world()
    task_id = world.open_task()
    world.collect_answers(task_id, ["bob", "carol"])
    world.reveal_answers(task_id, ["bob"])
    world.pass_until(world.task(task_id).lifecycle.reveal_deadline + 1)
    world.seal(*(world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)))
    assert are_votes_open(world, task_id)


@pytest.mark.parametrize("reason", ["left", "caught"])
def test_nobody_waits_for_a_member_who_cannot_commit(reason: str) -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    gone, *rest = world.panel(task_id)
    if reason == "left":
        world.seal(leaves(world, gone))
    else:
        world.seal(evidence=[(an_address(gone), world.account(gone).next_seq)])
    world.seal(*(world.vote(who, task_id, "bob", 80) for who in rest))
    assert are_votes_open(world, task_id)


def test_votes_that_have_opened_never_close_again() -> None:
    world = a_court()
    task_id = a_shown_task(world, ["bob"])
    gone, *rest = world.panel(task_id)
    world.seal(leaves(world, gone))
    votes = [world.vote(who, task_id, "bob", 80) for who in rest]
    world.seal(*votes)
    world.seal(world.show(votes[0]))
    # He could register again; what he has seen by now he must not say.
    late = world.vote(gone, task_id, "bob", 80)
    world.seal(late)
    assert world.code_of(late) in ("not_active", "deadline_passed")
    assert are_votes_open(world, task_id)


# ------------------------------------------------------------------------ what a result waits for


def test_a_result_waits_for_every_vote_that_was_committed_to() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    votes = [world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)]
    world.seal(*votes)
    world.seal(*map(world.show, votes[:4]))
    assert world.task(task_id).status is At.UNDER_VALIDATION
    world.seal(world.show(votes[4]))
    assert world.task(task_id).status is At.COMPLETED
    assert world.task(task_id).lifecycle.transitions[-1].tx is not None


def test_at_the_finalize_deadline_those_that_are_shown_decide() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    votes = [world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)]
    world.seal(*votes)
    world.seal(*map(world.show, votes[:3]))
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline)
    assert world.task(task_id).status is At.UNDER_VALIDATION
    world.seal()
    task = world.task(task_id)
    assert task.status is At.COMPLETED
    assert task.lifecycle.transitions[-1].tx is None
    paid = {entry.recipient for entry in world.distribution(task_id).entries}
    hiders = set(map(an_address, world.panel(task_id)[3:]))
    assert paid.isdisjoint(hiders)


def test_nobody_waits_for_a_vote_that_nobody_can_show() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    panel = world.panel(task_id)
    votes = [world.vote(who, task_id, "bob", 80) for who in panel]
    world.seal(*votes)
    world.seal(evidence=[(an_address(panel[0]), world.account(panel[0]).next_seq)])
    world.seal(*map(world.show, votes[1:]))
    assert world.task(task_id).status is At.COMPLETED
    assert commitment_of(world, task_id, panel[0]).state is VoteState.NOT_REVEALED


def test_all_votes_shown_without_a_quorum_leave_time_to_object() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    world.judge(task_id, {"bob": (0, 0, 100, 100, 50)})
    deadline = world.task(task_id).lifecycle.finalize_deadline
    world.pass_until(deadline)
    assert world.task(task_id).status is At.UNDER_VALIDATION
    world.seal()
    assert world.task(task_id).status is At.EXPIRED


# ------------------------------------------------------------------------- what hiding one costs


def hide(world: World, task_id: bytes, hidden: int) -> list[str]:
    """Have the panel commit to votes on all answers, and the first so many show none of theirs."""
    panel = world.panel(task_id)
    miners = ("bob", "carol")
    votes = [world.vote(who, task_id, miner, 80) for who in panel for miner in miners]
    world.seal(*votes)
    world.seal(*map(world.show, votes[2 * hidden :]))
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline + 1)
    return panel


@pytest.mark.parametrize(("hidden", "status"), [(1, At.COMPLETED), (5, At.EXPIRED)])
def test_a_hidden_vote_costs_a_part_of_its_stake_and_reputation_once(
    hidden: int, status: At
) -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob", "carol"])
    before = {who: world.balance(who) for who in ("alice", *world.panel(task_id))}
    panel = hide(world, task_id, hidden)
    assert world.task(task_id).status is status
    for who in panel[:hidden]:
        for miner in ("bob", "carol"):
            one = commitment_of(world, task_id, who, miner)
            assert (one.state, one.stake, one.forfeited) == (VoteState.NOT_REVEALED, 0, LOST)
        assert world.miner(who).forfeited == 2 * LOST
        assert world.miner(who).reputation.score == 1_000 - PENALTY_POINTS[Violation.NOT_REVEALED]
        assert world.balance(who) == before[who] - 2 * (world.params.validate_fee + LOST)
    refund = world.task(task_id).pool.refunded
    assert world.balance("alice") == before["alice"] + hidden * 2 * (LOST // 2) + refund
    check_whole_state(world.view.rows)


def test_hiding_a_vote_costs_more_than_none_and_more_than_a_bad_one() -> None:
    silent, far, hiding = (a_world() for _ in range(3))
    standings = []
    for world, behaviour in ((silent, "silent"), (far, "far"), (hiding, "hiding")):
        task_id = a_shown_task(world, ["bob"])
        odd, *rest = world.panel(task_id)
        votes = [world.vote(who, task_id, "bob", 80) for who in rest]
        if behaviour != "silent":
            votes.insert(0, world.vote(odd, task_id, "bob", 0))
        world.seal(*votes)
        world.pass_until(world.task(task_id).lifecycle.validation_deadline)
        world.seal(*map(world.show, votes[behaviour == "hiding" :]))
        world.pass_until(world.task(task_id).lifecycle.finalize_deadline + 1)
        world.settle(task_id)
        standings.append((world.balance(odd), world.miner(odd).reputation.score))
    not_voting, being_far, withholding = standings
    assert withholding[0] < being_far[0] < not_voting[0]
    assert withholding[1] < being_far[1] < not_voting[1]


# -------------------------------------------------------------------------------- across disputes


def resume(world: World, task_id: bytes, choice: Choice) -> Task:
    """Have alice object and the court say this; return the task as it goes on."""
    world.seal(object_to(world, "alice", task_id))
    hear(world, task_id, [choice] * 3)
    close(world, task_id)
    return world.task(task_id)


def test_a_dispute_among_commitments_leaves_them_and_the_whole_window() -> None:
    world = a_court()
    task_id = a_shown_task(world, ["bob"])
    panel = world.panel(task_id)
    world.seal(*(world.vote(who, task_id, "bob", 80) for who in panel[:4]))
    times = resume(world, task_id, Choice.UPHOLD).lifecycle
    assert times.validation_deadline == world.epoch + world.params.validation_epochs
    world.seal(world.vote(panel[4], task_id, "bob", 80))
    world.seal(*map(world.show, world.hidden_votes(task_id)))
    assert world.task(task_id).status is At.COMPLETED


def test_a_dispute_among_shown_votes_lets_nobody_commit_again() -> None:
    world = a_court()
    task_id = a_shown_task(world, ["bob"])
    panel = world.panel(task_id)
    votes = [world.vote(who, task_id, "bob", 80) for who in panel[:4]]
    world.seal(*votes)
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    world.seal(world.show(votes[0]))
    times = resume(world, task_id, Choice.UPHOLD).lifecycle
    assert times.finalize_deadline == world.epoch + world.params.finalize_epochs
    copied = world.vote(panel[4], task_id, "bob", 80)
    world.seal(copied, *map(world.show, votes[1:]))
    assert world.code_of(copied) == "deadline_passed"
    assert world.task(task_id).status is At.COMPLETED


@pytest.mark.parametrize("choice", [Choice.REVALIDATE, Choice.VOID])
def test_a_verdict_that_makes_all_votes_void_gives_hidden_stakes_back(choice: Choice) -> None:
    world = a_court()
    task_id = a_shown_task(world, ["bob"])
    panel = world.panel(task_id)
    before = {who: world.balance(who) for who in panel}
    votes = [world.vote(who, task_id, "bob", 80) for who in panel]
    world.seal(*votes)
    world.seal(world.show(votes[0]))
    resume(world, task_id, choice)
    for who in panel[1:]:
        assert commitment_of(world, task_id, who).state is VoteState.VOID
        assert world.balance(who) == before[who] - world.params.validate_fee
        assert world.miner(who).reputation.score == 1_000
    check_whole_state(world.view.rows)


def test_a_vote_of_the_last_round_cannot_be_shown_in_the_next() -> None:
    world = a_court()
    task_id = a_shown_task(world, ["bob"])
    votes = [world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)]
    world.seal(*votes)
    resume(world, task_id, Choice.REVALIDATE)
    late = world.show(votes[0])
    world.seal(late)
    assert world.code_of(late) == "not_committed"


def test_what_the_guilty_have_not_shown_is_forfeited_with_the_rest() -> None:
    world = a_court()
    task_id = a_shown_task(world)
    liar = world.panel(task_id)[0]
    lie, hidden = (world.vote(liar, task_id, miner, 0) for miner in ("bob", "carol"))
    world.seal(lie, hidden)
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    world.seal(world.show(lie))
    world.seal(object_to(world, "bob", task_id, type=DisputeType.VALIDATION_ACCURACY))
    hear(world, task_id, [Choice.OVERTURN] * 3, validators=(an_address(liar),))
    close(world, task_id)
    lost = STAKE // 2 * STAKE_SHARE_LOST[Violation.FALSE_VALIDATION] // SCALE
    one = commitment_of(world, task_id, liar, "carol")
    assert (one.state, one.stake, one.forfeited) == (VoteState.VOID, 0, lost)
    assert world.miner(liar).forfeited == 2 * lost
    check_whole_state(world.view.rows)


def test_arbiters_vote_in_the_open_as_before() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    assert len(seat_panel(world, task_id)) == 3
    hear(world, task_id, [Choice.UPHOLD] * 3)
    assert close(world, task_id).judgments[0].choice is Choice.UPHOLD


# ------------------------------------------------------------------------------- the commitment


def test_a_commitment_binds_to_network_validator_round_and_every_word() -> None:
    vote = a_vote(a_hash("answer"), 80, reasoning="clear")
    base = compute_vote_commitment(b"network1", an_address("vera"), 0, vote)
    others = [
        compute_vote_commitment(b"network2", an_address("vera"), 0, vote),
        compute_vote_commitment(b"network1", an_address("viktor"), 0, vote),
        compute_vote_commitment(b"network1", an_address("vera"), 1, vote),
        *(
            compute_vote_commitment(b"network1", an_address("vera"), 0, replace(vote, **change))
            for change in (
                {"submission_id": a_hash("another")},
                {"score": 81},
                {"reasoning": "unclear"},
                {"salt": bytes(32)},
            )
        ),
    ]
    assert len({base, *others}) == len(others) + 1
