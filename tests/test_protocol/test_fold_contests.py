"""Contests inside one epoch: places, copies, money and evidence; who gets it and who does not."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.phases import MinerStatus
from protocol.task_types import Difficulty
from tests.support.builders import BALANCE, COIN, VALIDATORS, a_genesis, an_address
from tests.support.world import World


def a_world() -> World:
    world = World()
    world.settle_cast()
    return world


def test_the_last_place_goes_to_one_of_two_and_the_other_learns_to_whom() -> None:
    world = a_world()
    task_id = world.open_task(max_participants=1)
    both = [world.submit("bob", task_id), world.submit("carol", task_id)]
    world.seal(*both)
    codes = [world.code_of(tx) for tx in both]
    assert sorted(codes, key=str) == [None, "task_full"]
    winner, loser = both[codes.index(None)], both[codes.index("task_full")]
    assert world.rulings[loser.tx_id].lost_to == winner.tx_id
    assert [one.miner for one in world.task(task_id).participants] == [winner.header.author]


def test_the_last_place_does_not_depend_on_who_wrote_first() -> None:
    world = a_world()
    task_id = world.open_task(max_participants=1)
    both = [world.submit("bob", task_id), world.submit("carol", task_id)]
    assert world.fold(both)[1] == world.fold(reversed(both))[1]


def test_a_copied_commitment_fails_at_reveal() -> None:
    world = a_world()
    task_id = world.open_task()
    original = world.submit("bob", task_id)
    copied = world.submit("carol", task_id, commitment=original.payload.commitment)
    world.seal(original, copied)
    assert world.rulings == {}
    world.pass_until(world.task(task_id).lifecycle.submission_deadline)
    place = world.task(task_id).participants
    mine = next(one.submission_id for one in place if one.miner == an_address("carol"))
    shown = world.reveal("bob", task_id)
    world.seal(shown)
    stolen = world.reveal(
        "carol",
        task_id,
        submission_id=mine,
        content_hash=shown.payload.content_hash,
        salt=shown.payload.salt,
        content=shown.payload.content,
    )
    world.seal(stolen)
    assert world.code_of(stolen) == "wrong_opening"


def test_a_refused_transaction_takes_its_seq_but_not_its_money() -> None:
    world = a_world()
    stake = world.submit("eve", world.open_task())
    world.seal(stake)
    assert world.code_of(stake) == "not_registered"
    assert world.balance("eve") == BALANCE
    assert world.account("eve").next_seq == 1
    assert world.account("eve").head == stake.tx_id


def test_earlier_debits_of_the_epoch_count_whether_or_not_they_apply() -> None:
    world = a_world()
    terms = {"difficulty": 3, "reward": 499 * COIN, "stake_required": 30 * COIN}
    first = world.publish("eve", **terms)
    refused = world.publish("eve", **{**terms, "required_reviewers": 2})
    third = world.publish("eve")
    world.seal(first, refused, third)
    codes = [world.code_of(tx) for tx in (first, refused, third)]
    assert codes == [None, "too_few_reviewers", "unfunded"]


def test_a_dear_transaction_does_not_stop_a_cheap_one_behind_it() -> None:
    world = a_world()
    terms = {"difficulty": 3, "stake_required": 30 * COIN}
    first = world.publish("eve", reward=499 * COIN, **terms)
    too_dear = world.publish("eve", reward=500 * COIN, **terms)
    second = world.publish("eve", reward=480 * COIN, **terms)
    cheap = world.register("eve")
    world.seal(first, too_dear, second, cheap)
    codes = [world.code_of(tx) for tx in (first, too_dear, second, cheap)]
    assert codes == [None, "unfunded", None, None]


@pytest.mark.parametrize(
    "terms",
    [
        {"reward": 5 * COIN},
        {"reward": 15 * COIN - 1},
        {"reward": 500 * COIN, "difficulty": Difficulty.EXPERT, "stake_required": 30 * COIN},
        {"submission_epochs": 4},
        {"submission_epochs": 1_000},
        {"required_reviewers": len(VALIDATORS)},
        {"consensus_threshold": 5_001},
        {"consensus_threshold": 10_000},
        {"max_participants": 255},
    ],
)
def test_terms_on_the_border_are_still_inside(terms: dict[str, Any]) -> None:
    world = a_world()
    tx = world.publish(**terms)
    world.seal(tx)
    assert world.code_of(tx) is None


def test_the_fee_of_a_task_counts_the_input_that_it_announces() -> None:
    world = a_world()
    small, large = world.publish(), world.publish("eve", data_bytes=1 << 20)
    world.seal(small, large)
    extra = world.balance("alice") - world.balance("eve")
    size = (1 << 20) + len(large.body) - len(small.body)
    assert abs(extra - world.params.publish_fee_per_kib * size // 1_024) <= 100


def test_the_last_coin_can_be_spent() -> None:
    world = World(a_genesis(balance=11 * COIN))
    tx = world.register("bob")
    world.seal(tx)
    assert world.code_of(tx) is None
    assert world.balance("bob") == 0
    one_less = World(a_genesis(balance=11 * COIN - 1))
    tx = one_less.register("bob")
    one_less.seal(tx)
    assert one_less.code_of(tx) == "unfunded"


def test_the_weight_of_a_vote_is_what_the_last_seal_says_of_the_voter() -> None:
    genesis = a_genesis()
    world = World(replace(genesis, params=replace(genesis.params, epochs_per_day=1)))
    world.settle_cast()
    task_id = world.open_task(max_participants=1)
    world.collect_answers(task_id, ["bob"])
    world.reveal_answers(task_id, ["bob"])
    first, second = world.panel(task_id)[:2]
    votes = [world.vote(first, task_id, "bob", 80)]
    world.seal(*votes)
    # Registered in epoch 1, voting in epoch 8: seven idle days of one epoch each.
    assert world.miner(first).last_active == 8
    votes.append(world.vote(second, task_id, "bob", 80))
    world.seal(votes[1])
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    world.seal(*map(world.show, votes))
    # What it weighs is fixed by the commitment, however late the vote is shown.
    assert world.validation(task_id, first, "bob").weight == 1_000 * 9_316 // 10_000
    assert world.validation(task_id, second, "bob").weight == 1_000 * 9_222 // 10_000


def test_credits_of_an_epoch_cannot_be_spent_in_it() -> None:
    world = a_world()
    terms = {"difficulty": 3, "reward": 499 * COIN, "stake_required": 30 * COIN}
    first, second = world.publish("eve", **terms), world.publish("eve", **terms)
    world.seal(first, second)
    refund = world.cancel("eve", first.header.subject)
    early = world.publish("eve", **terms)
    world.seal(refund, early)
    late = world.publish("eve", **terms)
    world.seal(late)
    assert [world.code_of(tx) for tx in (refund, early, late)] == [None, "unfunded", None]


def test_evidence_bars_suspends_and_costs_reputation_once() -> None:
    world = a_world()
    author = an_address("bob")
    world.seal(evidence=[(author, 3), (author, 2)])
    assert world.account("bob").barred_from == 2
    assert world.miner("bob").reputation.score == 0
    assert world.miner("bob").status is MinerStatus.SUSPENDED
    standing = world.miner("bob").reputation
    world.seal(evidence=[(author, 1)])
    assert world.account("bob").barred_from == 1
    assert world.miner("bob").reputation == standing
