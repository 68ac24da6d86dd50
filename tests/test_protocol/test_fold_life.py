"""A task's whole life, from publication to the last claim, with every coin of it accounted for."""

from protocol.fees import compute_publish_fee, compute_submit_fee
from protocol.invariants import check_whole_state
from protocol.phases import MinerStatus, RewardState, SubmissionStatus, TaskStatus, Trigger
from protocol.records import RewardRole
from protocol.task_types import Difficulty
from tests.support.builders import BALANCE, COIN, SOLVERS, VALIDATORS
from tests.support.world import World

FEE_OF_VOTE = 250_000
FEE_OF_CLAIM = 100_000
ENTRY_COST = 11 * COIN
"""Registration and the stake behind it."""


def run_life() -> tuple[World, bytes, dict[str, int]]:
    """Play the life of one task; return the world, the task and the fees of those who take part."""
    world = World()
    params = world.params
    world.settle_cast()
    publication = world.publish()
    task_id = publication.header.subject
    fees = {
        "alice": compute_publish_fee(params, Difficulty.BEGINNER, len(publication.body), 10 * COIN)
    }
    world.seal(publication)
    commitments = {who: world.submit(who, task_id) for who in SOLVERS}
    for who, tx in commitments.items():
        fees[who] = compute_submit_fee(params, len(tx.body))
    world.seal(*commitments.values())
    world.pass_until(world.task(task_id).lifecycle.submission_deadline)
    world.reveal_answers(task_id, SOLVERS)
    world.judge(task_id, {"bob": (90, 91, 93), "carol": (60, 60, 60), "dave": (20, 20, 20)})
    for who in world.panel(task_id)[:3]:
        fees[who] = 3 * FEE_OF_VOTE
    world.settle(task_id)
    claims = [
        (who, entry) for who in (*SOLVERS, *VALIDATORS) for entry in world.entries_of(task_id, who)
    ]
    world.seal(*(world.claim(who, task_id, entry) for who, entry in claims))
    for who, _ in claims:
        fees[who] += FEE_OF_CLAIM
    return world, task_id, fees


def test_a_task_lives_from_publication_to_the_last_claim() -> None:
    world, task_id, _ = run_life()
    task = world.task(task_id)
    assert world.rulings == {}
    assert task.status is TaskStatus.COMPLETED
    assert task.settled
    assert task.winner == world.submission_id(task_id, "bob")
    assert [(move.to_status, move.epoch, move.trigger) for move in task.lifecycle.transitions] == [
        (TaskStatus.IN_PROGRESS, 3, Trigger.PARTICIPANT_ACTION),
        (TaskStatus.ANSWERS_SUBMITTED, 3, Trigger.PARTICIPANT_ACTION),
        (TaskStatus.UNDER_VALIDATION, 7, Trigger.PARTICIPANT_ACTION),
        (TaskStatus.COMPLETED, 14, Trigger.VALIDATION_COMPLETE),
    ]
    assert all(move.tx is not None for move in task.lifecycle.transitions)
    statuses = [world.submission(task_id, who).status for who in SOLVERS]
    assert statuses == [
        SubmissionStatus.APPROVED,
        SubmissionStatus.REJECTED,
        SubmissionStatus.REJECTED,
    ]
    assert [world.submission(task_id, who).score for who in SOLVERS] == [91, 60, 20]
    check_whole_state(world.view.rows)


def test_every_coin_of_a_life_is_where_the_rules_put_it() -> None:
    world, task_id, fees = run_life()
    first, second, third, *idle = world.panel(task_id)
    # 10 coins: 6.5 to the winner, 1.5 to the other two by score, 1.5 to the validators by merit
    # 47 : 48 : 46, 0.5 to the network. Dave's answer is wrong and costs him 0.3 of his stake, half
    # of which goes to Alice.
    gains = {
        "alice": -10 * COIN + 150_000_000,
        "bob": 6_500_000_000,
        "carol": 1_125_000_000,
        "dave": 375_000_000 - 300_000_000,
        first: 500_000_000,
        second: 510_638_298,
        third: 489_361_702,
        idle[0]: 0,
        idle[1]: 0,
    }
    for who, gain in gains.items():
        entry_cost = 0 if who == "alice" else ENTRY_COST
        assert world.balance(who) == BALANCE - entry_cost - fees.get(who, 0) + gain, who
    taken = sum(fees.values()) + 8 * COIN + 500_000_000 + 150_000_000
    assert world.ledger.treasury + world.ledger.burned == taken
    assert world.ledger.escrowed == 0
    assert world.ledger.staked == 8 * 10 * COIN
    assert world.ledger.supply == 11 * BALANCE


def test_a_fifth_of_what_the_network_takes_is_burned() -> None:
    world, _, _ = run_life()
    # Each fee is split on its own and rounds in favour of the treasury.
    taken = world.ledger.treasury + world.ledger.burned
    fees = 8 + 1 + 3 + 9 + 6 + 2
    assert taken // 5 - fees <= world.ledger.burned <= taken // 5


def test_the_distribution_says_who_gets_what_and_when() -> None:
    world, task_id, _ = run_life()
    distribution = world.distribution(task_id)
    roles = [(entry.role, entry.rank, entry.score) for entry in distribution.entries]
    assert roles == [
        (RewardRole.WINNER, 1, 91),
        (RewardRole.PARTICIPANT, 0, 60),
        (RewardRole.PARTICIPANT, 0, 20),
        (RewardRole.VALIDATOR, 0, 0),
        (RewardRole.VALIDATOR, 0, 0),
        (RewardRole.VALIDATOR, 0, 0),
    ]
    assert distribution.computed_at == 14
    assert distribution.claimable_after == 14 + world.params.dispute_epochs
    assert all(entry.state is RewardState.CLAIMED for entry in distribution.entries)
    assert all(entry.claim_tx is not None for entry in distribution.entries)
    pool = world.task(task_id).pool
    assert (pool.escrowed, pool.paid_out, pool.refunded) == (0, 10 * COIN, 0)


def test_a_life_moves_the_standing_of_those_who_took_part() -> None:
    world, task_id, _ = run_life()
    # 91 brings 50 points damped at 1,000; 60 brings 10; 20 costs 10 and another 30 for being wrong.
    assert [world.miner(who).reputation.score for who in SOLVERS] == [1_049, 1_009, 960]
    for who in world.panel(task_id)[:3]:
        standing = world.miner(who).reputation
        assert standing.score == 1_000 + 3 * 9
        assert (standing.votes, standing.accurate_votes) == (3, 3)
    bob, dave = world.miner("bob"), world.miner("dave")
    assert (bob.reputation.tasks, bob.reputation.successes) == (1, 1)
    assert (bob.reputation.quality_sum, bob.earned) == (91, 6_500_000_000)
    assert (dave.reputation.tasks, dave.reputation.successes) == (1, 0)
    assert dave.forfeited == 300_000_000
    assert bob.status is MinerStatus.ACTIVE
    assert bob.last_active == world.epoch


def test_reputation_waits_for_the_end_of_the_dispute_window() -> None:
    world = World()
    world.settle_cast()
    task_id = world.open_task(max_participants=1)
    world.collect_answers(task_id, ["bob"])
    world.reveal_answers(task_id, ["bob"])
    world.judge(task_id, {"bob": (90, 90, 90)})
    assert world.task(task_id).status is TaskStatus.COMPLETED
    assert world.miner("bob").reputation.score == 1_000
    deadline = world.task(task_id).lifecycle.dispute_deadline
    assert deadline is not None
    world.pass_until(deadline)
    assert not world.task(task_id).settled
    assert world.submission(task_id, "bob").stake == COIN
    world.seal()
    assert world.task(task_id).settled
    assert world.submission(task_id, "bob").stake == 0
    assert world.miner("bob").reputation.score == 1_049


def test_a_claim_is_good_in_the_very_epoch_that_settles_the_task() -> None:
    world = World()
    world.settle_cast()
    task_id = world.open_task(max_participants=1)
    world.collect_answers(task_id, ["bob"])
    world.reveal_answers(task_id, ["bob"])
    world.judge(task_id, {"bob": (90, 90, 90)})
    deadline = world.task(task_id).lifecycle.dispute_deadline
    assert deadline is not None
    entry = world.entries_of(task_id, "bob")[0]
    world.pass_until(deadline)
    claim = world.claim("bob", task_id, entry)
    world.seal(claim)
    assert world.code_of(claim) is None
    assert world.miner("bob").earned == entry.amount
