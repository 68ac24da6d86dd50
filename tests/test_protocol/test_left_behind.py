"""What becomes of the money of authors who sign no more: who was caught, and who has left."""

import pytest

from protocol.invariants import check_whole_state
from protocol.kinds.adjust_stake import AdjustStake, StakeAction, compute_exit_epochs
from protocol.params import SCALE
from protocol.phases import MinerStatus, RewardState
from protocol.transactions import SignedTransaction
from tests.support.builders import COIN, an_address
from tests.support.tasks import a_judged_task, a_shown_task
from tests.support.world import World


def a_world() -> World:
    world = World()
    world.settle_cast()
    return world


def adjust(world: World, who: str, action: StakeAction, amount: int = 0) -> SignedTransaction:
    return world.sign(who, "adjust_stake", AdjustStake(action, amount))


def catch(world: World, who: str) -> None:
    """Seal evidence against somebody, from his next seq on."""
    world.seal(evidence=[(an_address(who), world.account(who).next_seq)])


def test_the_registration_stake_of_an_equivocator_is_forfeited_once() -> None:
    world = a_world()
    stake, ledger = world.miner("bob").stake, world.ledger
    catch(world, "bob")
    burned = stake * world.params.burned_share // SCALE
    miner = world.miner("bob")
    assert (miner.status, miner.stake, miner.forfeited) == (MinerStatus.SUSPENDED, 0, stake)
    assert world.ledger.burned - ledger.burned == burned
    assert world.ledger.treasury - ledger.treasury == stake - burned
    world.seal(evidence=[(an_address("bob"), 0)])
    assert world.miner("bob").forfeited == stake
    check_whole_state(world.view.rows)


def find_owed(world: World, task_id: bytes, who: str) -> int:
    """Return what somebody can claim of a task."""
    entries = world.entries_of(task_id, who)
    return sum(one.amount for one in entries if one.state is RewardState.CLAIMABLE)


@pytest.mark.parametrize("is_settled", [True, False], ids=["settled", "not settled"])
def test_what_an_equivocator_is_owed_goes_back_to_the_publisher_by_itself(is_settled: bool) -> None:
    world = a_world()
    task_id = a_judged_task(world, ["bob"])
    if is_settled:
        world.settle(task_id)
        assert find_owed(world, task_id, "bob") > 0
    refund = world.distribution(task_id).refund
    before, amount = world.balance("alice"), world.entries_of(task_id, "bob")[0].amount
    catch(world, "bob")
    if not is_settled:
        world.settle(task_id)
        before += refund
    revoked = world.entries_of(task_id, "bob")[0]
    assert (revoked.state, revoked.claim_tx) == (RewardState.REVOKED, None)
    assert world.balance("alice") == before + amount
    assert world.miner("bob").earned == 0
    late = world.claim("alice", task_id, revoked)
    world.seal(late)
    assert world.code_of(late) == "not_recipient"
    check_whole_state(world.view.rows)


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one by one"])
def test_what_nobody_could_take_back_goes_where_fees_go(together: bool) -> None:
    world = a_world()
    task_id = a_judged_task(world, ["bob"])
    world.settle(task_id)
    balance, ledger = world.balance("alice"), world.ledger
    owed = find_owed(world, task_id, "bob")
    places = [(an_address(who), world.account(who).next_seq) for who in ("alice", "bob")]
    if together:
        world.seal(evidence=places)
    else:
        world.seal(evidence=places[:1])
        world.seal(evidence=places[1:])
    stake = world.params.miner_stake_min
    burned = sum(one * world.params.burned_share // SCALE for one in (owed, stake))
    assert world.balance("alice") == balance
    assert world.ledger.burned - ledger.burned == burned
    assert world.ledger.treasury - ledger.treasury == owed + stake - burned
    assert ledger.escrowed - world.ledger.escrowed == owed
    check_whole_state(world.view.rows)


def test_a_claim_of_the_epoch_in_which_its_author_is_caught_comes_too_late() -> None:
    world = a_world()
    task_id = a_judged_task(world, ["bob"])
    world.settle(task_id)
    claim = world.claim("bob", task_id, world.entries_of(task_id, "bob")[0])
    world.seal(claim, evidence=[(an_address("bob"), claim.header.seq + 1)])
    assert world.code_of(claim) == "not_claimable"
    check_whole_state(world.view.rows)


def test_who_is_barred_cannot_register_with_what_he_signed_before() -> None:
    world = a_world()
    late = world.register("eve")
    world.seal(evidence=[(an_address("eve"), late.header.seq + 1)])
    before = world.ledger.staked
    world.seal(late)
    assert world.code_of(late) == "barred"
    assert world.ledger.staked == before


def test_who_registers_in_the_epoch_in_which_he_is_caught_loses_that_stake() -> None:
    world = a_world()
    tx = world.register("eve")
    before = world.ledger.staked
    world.seal(tx, evidence=[(an_address("eve"), tx.header.seq + 1)])
    assert world.code_of(tx) is None
    assert (world.miner("eve").status, world.miner("eve").stake) == (MinerStatus.SUSPENDED, 0)
    assert world.ledger.staked == before


def test_the_stakes_of_an_equivocators_answers_and_votes_come_back_as_those_of_anybody() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    world.judge(task_id, {"bob": (90, 90, 90)})
    catch(world, "bob")
    before = world.balance("bob")
    world.settle(task_id)
    assert world.submission(task_id, "bob").stake == 0
    assert world.balance("bob") == before + COIN


def test_a_deposit_adds_to_the_stake() -> None:
    world = a_world()
    stake, before, staked = world.miner("bob").stake, world.balance("bob"), world.ledger.staked
    world.seal(*(adjust(world, "bob", StakeAction.DEPOSIT, amount) for amount in (5, 7)))
    assert world.miner("bob").stake == stake + 12
    assert world.balance("bob") == before - 12
    assert world.ledger.staked == staked + 12


def test_who_leaves_takes_part_no_more_and_has_his_stake_back_after_the_window() -> None:
    world = a_world()
    stake, before = world.miner("vera").stake, world.balance("vera")
    world.seal(adjust(world, "vera", StakeAction.EXIT))
    left_at = world.epoch
    assert world.miner("vera").status is MinerStatus.EXITING
    assert "vera" not in world.panel(a_shown_task(world, ["bob"]))
    world.pass_until(left_at + compute_exit_epochs(world.params))
    world.seal(adjust(world, "vera", StakeAction.WITHDRAW))
    miner = world.miner("vera")
    assert (miner.status, miner.stake) == (MinerStatus.EXITED, 0)
    assert world.balance("vera") == before + stake
    check_whole_state(world.view.rows)


def test_leaving_and_taking_back_in_one_epoch_is_no_way_round_the_window() -> None:
    world = a_world()
    world.pass_until(world.epoch + 100)
    moves = [adjust(world, "bob", one) for one in (StakeAction.EXIT, StakeAction.WITHDRAW)]
    world.seal(*moves)
    assert world.code_of(moves[0]) is None
    assert world.code_of(moves[1]) in ("too_early", "not_exiting")
    assert world.miner("bob").stake == world.params.miner_stake_min


def test_a_claim_while_leaving_starts_the_window_anew() -> None:
    world = a_world()
    task_id = a_judged_task(world, ["bob"])
    world.settle(task_id)
    world.seal(adjust(world, "bob", StakeAction.EXIT))
    first = world.epoch + compute_exit_epochs(world.params)
    world.seal(world.claim("bob", task_id, world.entries_of(task_id, "bob")[0]))
    world.pass_until(first)
    early = adjust(world, "bob", StakeAction.WITHDRAW)
    world.seal(early)
    assert world.code_of(early) == "too_early"
    assert world.miner("bob").status is MinerStatus.EXITING


def test_who_comes_back_keeps_his_history() -> None:
    world = a_world()
    task_id = a_judged_task(world, ["bob"])
    world.settle(task_id)
    world.seal(world.claim("bob", task_id, world.entries_of(task_id, "bob")[0]))
    old = world.miner("bob")
    world.seal(adjust(world, "bob", StakeAction.EXIT))
    world.pass_until(world.epoch + compute_exit_epochs(world.params))
    world.seal(adjust(world, "bob", StakeAction.WITHDRAW))
    world.seal(world.register("bob", roles=2, stake=11 * COIN))
    miner = world.miner("bob")
    assert (miner.status, miner.stake, miner.roles) == (MinerStatus.ACTIVE, 11 * COIN, 2)
    assert (miner.earned, miner.reputation) == (old.earned, old.reputation)
    assert miner.registered_at == world.epoch
