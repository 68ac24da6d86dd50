"""Every move of the table that tasks make without a dispute, and what each does to the money."""

from collections.abc import Callable

import pytest

from protocol.invariants import check_whole_state
from protocol.phases import MOVES, SubmissionStatus, TaskStatus, Trigger
from tests.support.builders import BALANCE, COIN, STAKE
from tests.support.world import World

At = TaskStatus
Ends = tuple[TaskStatus | None, TaskStatus, Trigger]


def a_world() -> World:
    world = World()
    world.settle_cast()
    return world


def answered(world: World, *miners: str, places: int = 3) -> bytes:
    """Return a task that these miners answered, with its submission window still open."""
    task_id = world.open_task(max_participants=places)
    world.seal(*(world.submit(who, task_id) for who in miners))
    return task_id


def awaiting_reveal(world: World, *miners: str) -> bytes:
    """Return a task whose answers these miners can reveal in the next epoch."""
    task_id = answered(world, *miners)
    world.pass_until(world.task(task_id).lifecycle.submission_deadline)
    return task_id


def under_validation(world: World, *miners: str) -> bytes:
    """Return a task whose panel can vote in the next epoch."""
    task_id = awaiting_reveal(world, *miners)
    world.reveal_answers(task_id, miners)
    return task_id


def publish(world: World) -> bytes:
    return world.open_task()


def first_answer(world: World) -> bytes:
    return answered(world, "bob")


def cancel(world: World) -> bytes:
    task_id = publish(world)
    world.seal(world.cancel("alice", task_id))
    return task_id


def nobody_answers(world: World) -> bytes:
    task_id = publish(world)
    world.pass_until(world.task(task_id).lifecycle.submission_deadline + 1)
    return task_id


def all_places_taken(world: World) -> bytes:
    return answered(world, "bob", "carol", places=2)


def submission_window_ends(world: World) -> bytes:
    task_id = answered(world, "bob")
    world.pass_until(world.task(task_id).lifecycle.submission_deadline + 1)
    return task_id


def all_revealed(world: World) -> bytes:
    return under_validation(world, "bob", "carol")


def reveal_window_ends(world: World) -> bytes:
    task_id = awaiting_reveal(world, "bob", "carol")
    world.seal(world.reveal("bob", task_id))
    world.pass_until(world.task(task_id).lifecycle.reveal_deadline + 1)
    return task_id


def nothing_revealed(world: World) -> bytes:
    task_id = awaiting_reveal(world, "bob", "carol")
    world.pass_until(world.task(task_id).lifecycle.reveal_deadline + 1)
    return task_id


def all_decided(world: World) -> bytes:
    task_id = under_validation(world, "bob")
    world.judge(task_id, {"bob": (80, 82, 78)})
    return task_id


def some_decided(world: World) -> bytes:
    task_id = under_validation(world, "bob", "carol")
    world.judge(task_id, {"bob": (80, 82, 78), "carol": (70,)})
    return task_id


def one_vote_never_shown(world: World) -> bytes:
    task_id = under_validation(world, "bob")
    votes = [world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)]
    world.seal(*votes)
    world.seal(*map(world.show, votes[1:]))
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline + 1)
    return task_id


def no_quorum(world: World) -> bytes:
    task_id = under_validation(world, "bob", "carol")
    world.judge(task_id, {"bob": (80, 82)})
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline + 1)
    return task_id


REACHED: dict[Ends, Callable[[World], bytes]] = {
    (At.PUBLISHED, At.IN_PROGRESS, Trigger.PARTICIPANT_ACTION): first_answer,
    (At.PUBLISHED, At.CANCELLED, Trigger.PUBLISHER_CANCELLED): cancel,
    (At.PUBLISHED, At.EXPIRED, Trigger.TIME_EXPIRY): nobody_answers,
    (At.IN_PROGRESS, At.ANSWERS_SUBMITTED, Trigger.PARTICIPANT_ACTION): all_places_taken,
    (At.IN_PROGRESS, At.ANSWERS_SUBMITTED, Trigger.TIME_EXPIRY): submission_window_ends,
    (At.ANSWERS_SUBMITTED, At.UNDER_VALIDATION, Trigger.PARTICIPANT_ACTION): all_revealed,
    (At.ANSWERS_SUBMITTED, At.UNDER_VALIDATION, Trigger.TIME_EXPIRY): reveal_window_ends,
    (At.ANSWERS_SUBMITTED, At.EXPIRED, Trigger.TIME_EXPIRY): nothing_revealed,
    (At.UNDER_VALIDATION, At.COMPLETED, Trigger.VALIDATION_COMPLETE): all_decided,
    (At.UNDER_VALIDATION, At.EXPIRED, Trigger.TIME_EXPIRY): no_quorum,
}

NOT_BY_TASKS_ALONE = ("T0", "T5", "T12", "T13", "T14", "T15")
"""T0 is no transition of a row, T5 needs an answer to be withdrawn, the rest are disputes."""


def test_every_move_of_the_table_has_an_episode_here() -> None:
    wanted = {
        (move.source, move.target, trigger)
        for move in MOVES
        if move.number not in NOT_BY_TASKS_ALONE
        for trigger in move.triggers
    }
    assert set(REACHED) == wanted


@pytest.mark.parametrize("ends", REACHED, ids=lambda ends: f"{ends[0].name}-{ends[1].name}")
def test_a_move_is_made_and_recorded(ends: Ends) -> None:
    world = a_world()
    task = world.task(REACHED[ends](world))
    last = task.lifecycle.transitions[-1]
    assert (last.from_status, last.to_status, last.trigger) == ends
    assert task.status is last.to_status
    assert last.epoch == world.epoch
    by_time = ends[2] is Trigger.TIME_EXPIRY
    assert (last.tx is None) == by_time
    check_whole_state(world.view.rows)


def test_once_all_votes_are_shown_a_task_completes_with_what_is_decided() -> None:
    world = a_world()
    task_id = some_decided(world)
    task = world.task(task_id)
    assert task.status is At.COMPLETED
    assert task.lifecycle.completed_at == task.lifecycle.validation_deadline + 1
    assert world.submission(task_id, "bob").status is SubmissionStatus.APPROVED
    undecided = world.submission(task_id, "carol")
    assert undecided.status is SubmissionStatus.REQUIRES_EXPERT_REVIEW
    assert undecided.score is None
    world.settle(task_id)
    assert world.submission(task_id, "carol").forfeited == 0
    assert world.submission(task_id, "carol").stake == 0
    assert world.miner("carol").reputation.tasks == 0


def test_a_late_quorum_completes_until_the_finalize_deadline() -> None:
    world = a_world()
    task_id = under_validation(world, "bob", "carol")
    times = world.task(task_id).lifecycle
    votes = [world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)[:3]]
    world.seal(*votes)
    world.pass_until(times.finalize_deadline - 1)
    assert world.task(task_id).status is At.UNDER_VALIDATION
    last = [world.show(tx) for tx in votes]
    world.seal(*last)
    task = world.task(task_id)
    assert task.status is At.COMPLETED
    assert task.lifecycle.transitions[-1].tx in [tx.tx_id for tx in last]
    assert world.submission(task_id, "carol").status is SubmissionStatus.REQUIRES_EXPERT_REVIEW


def test_the_epoch_of_a_deadline_is_still_in_time() -> None:
    world = a_world()
    task_id = publish(world)
    times = world.task(task_id).lifecycle
    world.pass_until(times.submission_deadline - 1)
    commitment = world.submit("bob", task_id)
    world.seal(commitment)
    assert world.epoch == times.submission_deadline
    assert world.code_of(commitment) is None
    world.pass_until(times.reveal_deadline - 1)
    reveal = world.reveal("bob", task_id)
    world.seal(reveal)
    assert world.epoch == times.reveal_deadline
    assert world.code_of(reveal) is None
    world.pass_until(times.validation_deadline - 1)
    votes = [world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)[:3]]
    world.seal(*votes)
    assert world.epoch == times.validation_deadline
    world.pass_until(times.finalize_deadline - 1)
    shown = [world.show(vote) for vote in votes]
    world.seal(*shown)
    assert world.epoch == times.finalize_deadline
    assert [world.code_of(tx) for tx in (*votes, *shown)] == [None] * 6
    assert world.task(task_id).status is At.COMPLETED


def test_every_window_stays_open_through_the_epoch_of_its_deadline() -> None:
    # Each time somebody acted before, so that the window is open for a second one.
    world = a_world()
    task_id = answered(world, "bob")
    times = world.task(task_id).lifecycle
    world.pass_until(times.submission_deadline - 1)
    last_answer = world.submit("carol", task_id)
    world.seal(last_answer)
    world.seal(world.reveal("bob", task_id))
    world.pass_until(times.reveal_deadline - 1)
    last_reveal = world.reveal("carol", task_id)
    world.seal(last_reveal)
    panel = world.panel(task_id)
    votes = [world.vote(who, task_id, "bob", 80) for who in panel[:3]]
    world.seal(*votes)
    world.pass_until(times.validation_deadline - 1)
    last_vote = world.vote(panel[0], task_id, "carol", 80)
    world.seal(last_vote)
    world.seal(*map(world.show, votes))
    world.pass_until(times.finalize_deadline - 1)
    assert world.task(task_id).status is At.UNDER_VALIDATION
    last_shown = world.show(last_vote)
    world.seal(last_shown)
    task = world.task(task_id)
    assert (task.status, task.lifecycle.completed_at) == (At.COMPLETED, world.epoch)
    entry = world.entries_of(task_id, "bob")[0]
    world.pass_until(world.epoch + world.params.dispute_epochs - 1)
    early_claim = world.claim("bob", task_id, entry)
    world.seal(early_claim)
    assert world.epoch == task.lifecycle.dispute_deadline
    in_time = (last_answer, last_reveal, last_vote, last_shown)
    assert [world.code_of(tx) for tx in in_time] == [None] * 4
    assert world.code_of(early_claim) == "not_claimable"


def test_an_answer_stays_hidden_through_the_last_epoch_in_which_it_could_be_copied() -> None:
    world = a_world()
    task_id = answered(world, "bob", places=1)
    world.pass_until(world.task(task_id).lifecycle.submission_deadline - 1)
    early = world.reveal("bob", task_id)
    world.seal(early)
    in_time = world.reveal("bob", task_id)
    world.seal(in_time)
    assert [world.code_of(early), world.code_of(in_time)] == ["too_early", None]


def test_one_epoch_after_a_deadline_is_too_late() -> None:
    world = a_world()
    task_id = awaiting_reveal(world, "bob", "carol")
    times = world.task(task_id).lifecycle
    late = world.submit("dave", task_id)
    world.seal(late, world.reveal("bob", task_id))
    world.pass_until(times.reveal_deadline)
    late_reveal = world.reveal("carol", task_id)
    world.seal(late_reveal)
    panel = world.panel(task_id)
    vote = world.vote(panel[1], task_id, "bob", 80)
    world.seal(vote)
    world.pass_until(times.validation_deadline)
    late_vote = world.vote(panel[0], task_id, "bob", 80)
    world.seal(late_vote)
    world.pass_until(times.finalize_deadline)
    late_shown = world.show(vote)
    world.seal(late_shown)
    codes = [world.code_of(tx) for tx in (late, late_reveal, late_vote, late_shown)]
    assert codes == ["deadline_passed"] * 4


def test_all_votes_of_an_epoch_are_heard_before_the_verdict() -> None:
    # Three votes would decide; two more of the same epoch keep it open, whatever their order.
    world = a_world()
    task_id = under_validation(world, "bob")
    world.judge(task_id, {"bob": (80, 80, 80, 0, 0)})
    assert world.rulings == {}
    assert world.task(task_id).status is At.UNDER_VALIDATION


@pytest.mark.parametrize(
    ("scores", "status", "score"),
    [
        ((80, 80, 80), At.COMPLETED, 80),
        ((80, 80, 80, 0, 0), At.COMPLETED, 80),
        ((80, 80), At.EXPIRED, None),
        ((80, 80, 0, 0), At.EXPIRED, None),
    ],
    ids=["silence", "dissent", "too few", "no majority"],
)
def test_at_the_very_end_a_majority_of_the_panel_decides_whatever_was_asked_for(
    scores: tuple[int, ...], status: At, score: int | None
) -> None:
    world = a_world()
    task_id = world.open_task(required_reviewers=5, consensus_threshold=10_000)
    world.collect_answers(task_id, ["bob"])
    world.reveal_answers(task_id, ["bob"])
    world.judge(task_id, {"bob": scores})
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline)
    assert world.task(task_id).status is At.UNDER_VALIDATION
    world.pass_until(world.epoch + 1)
    assert world.task(task_id).status is status
    if score is not None:
        assert world.submission(task_id, "bob").score == score


def test_expiry_without_quorum_gives_everything_back() -> None:
    world = a_world()
    task_id = under_validation(world, "bob", "carol")
    before = world.balance("alice")
    voters = world.panel(task_id)[:2]
    world.judge(task_id, {"bob": (80, 0), "carol": (10,)})
    held = {who: world.balance(who) for who in ("bob", "carol", *voters)}
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline + 1)
    assert world.balance("alice") == before + 10 * COIN
    assert world.balance("bob") == held["bob"] + STAKE
    assert world.balance("carol") == held["carol"] + STAKE
    assert world.balance(voters[0]) == held[voters[0]] + STAKE
    assert world.balance(voters[1]) == held[voters[1]] + STAKE // 2
    assert world.ledger.escrowed == 0
    assert world.ledger.staked == 8 * 10 * COIN
    assert world.miner("bob").reputation.score == 1_000


def test_an_answer_never_shown_loses_thirty_percent_of_its_stake() -> None:
    world = a_world()
    task_id = nothing_revealed(world)
    assert world.task(task_id).status is At.EXPIRED
    for who in ("bob", "carol"):
        submission = world.submission(task_id, who)
        assert submission.status is SubmissionStatus.NOT_REVEALED
        assert (submission.stake, submission.forfeited) == (0, 300_000_000)
        assert world.miner(who).reputation.score == 950
        assert world.miner(who).forfeited == 300_000_000
    pool = world.task(task_id).pool
    assert (pool.escrowed, pool.refunded) == (0, 10 * COIN)


def test_who_did_not_reveal_is_punished_when_validation_opens() -> None:
    world = a_world()
    task_id = awaiting_reveal(world, "bob", "carol")
    before = world.balance("alice"), world.balance("carol")
    world.seal(world.reveal("bob", task_id))
    world.pass_until(world.task(task_id).lifecycle.reveal_deadline + 1)
    assert world.task(task_id).status is At.UNDER_VALIDATION
    assert world.submission(task_id, "carol").status is SubmissionStatus.NOT_REVEALED
    assert world.balance("alice") - before[0] == 150_000_000
    assert world.balance("carol") - before[1] == STAKE - 300_000_000


def test_a_cancelled_task_gives_the_reward_back_but_not_the_fee() -> None:
    world = a_world()
    tx = world.publish()
    world.seal(tx)
    fee = BALANCE - 10 * COIN - world.balance("alice")
    assert fee > 0
    world.seal(world.cancel("alice", tx.header.subject))
    assert world.balance("alice") == BALANCE - fee


def test_a_reward_nobody_earned_goes_back_to_the_publisher() -> None:
    world = a_world()
    task_id = under_validation(world, "bob")
    world.judge(task_id, {"bob": (60, 60, 60)})
    assert world.task(task_id).winner is None
    before = world.balance("alice")
    world.settle(task_id)
    # Bob took part: he has the participants' pool, the publisher the winners'.
    assert world.balance("alice") == before + 6_500_000_000
    pool = world.task(task_id).pool
    assert (pool.escrowed, pool.paid_out, pool.refunded) == (3 * COIN, COIN // 2, 6_500_000_000)


@pytest.mark.parametrize(
    ("score", "lost"),
    [(29, 300_000_000), (30, 100_000_000), (49, 100_000_000), (50, 0), (70, 0)],
)
def test_what_an_answer_far_below_the_threshold_costs(score: int, lost: int) -> None:
    world = a_world()
    task_id = under_validation(world, "bob")
    world.judge(task_id, {"bob": (score, score, score)})
    world.settle(task_id)
    assert world.submission(task_id, "bob").forfeited == lost
    assert world.miner("bob").forfeited == lost


@pytest.mark.parametrize(
    "episode",
    [publish, *REACHED.values(), some_decided, one_vote_never_shown],
    ids=lambda one: one.__name__,
)
def test_an_open_task_ends_by_itself_with_no_actor(episode: Callable[[World], bytes]) -> None:
    world = a_world()
    task_id = episode(world)
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline + 10)
    task = world.task(task_id)
    assert task.status in (At.EXPIRED, At.CANCELLED) or task.settled
    assert world.ledger.staked == 8 * 10 * COIN
    owed = 0
    if task.settled:
        owed = sum(entry.amount for entry in world.distribution(task_id).entries)
    assert world.ledger.escrowed == owed
    assert world.view.due_tasks(world.epoch + 1_000) == []
    check_whole_state(world.view.rows)


def test_a_task_several_windows_late_moves_through_all_of_them() -> None:
    world = a_world()
    task_id = answered(world, "bob", "carol")
    late = world.task(task_id).lifecycle.finalize_deadline + 100
    moved = world.fold_task_at(task_id, late)
    steps = [(move.from_status, move.to_status) for move in moved.lifecycle.transitions]
    assert steps == [
        (At.PUBLISHED, At.IN_PROGRESS),
        (At.IN_PROGRESS, At.ANSWERS_SUBMITTED),
        (At.ANSWERS_SUBMITTED, At.EXPIRED),
    ]


def test_a_whole_life_fits_into_as_few_epochs_as_the_windows_allow() -> None:
    world = a_world()
    publication = world.publish(max_participants=1)
    task_id = publication.header.subject
    commitment = world.submit("bob", task_id)
    world.seal(publication, commitment)
    assert world.rulings == {}
    assert [move.to_status for move in world.task(task_id).lifecycle.transitions] == [
        At.IN_PROGRESS,
        At.ANSWERS_SUBMITTED,
    ]
