"""What becomes of the money of authors who sign no more: who was caught, and who has left."""

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


def test_what_an_equivocator_is_owed_the_publisher_takes_back() -> None:
    world = a_world()
    task_id = a_judged_task(world, ["bob"])
    world.settle(task_id)
    entry = world.entries_of(task_id, "bob")[0]
    early = world.claim("alice", task_id, entry)
    world.seal(early)
    assert world.code_of(early) == "not_recipient"
    catch(world, "bob")
    before = world.balance("alice")
    stranger = world.claim("carol", task_id, entry)
    world.seal(world.claim("alice", task_id, entry), stranger)
    assert world.code_of(stranger) == "not_recipient"
    assert world.balance("alice") == before + entry.amount - world.params.claim_fee
    revoked = world.entries_of(task_id, "bob")[0]
    assert (revoked.state, revoked.claim_tx) == (RewardState.REVOKED, None)
    assert world.miner("bob").earned == 0
    again = world.claim("alice", task_id, entry)
    world.seal(again)
    assert world.code_of(again) == "not_claimable"
    check_whole_state(world.view.rows)


def test_the_stakes_of_an_equivocators_answers_and_votes_come_back_as_those_of_anybody() -> None:
    world = a_world()
    task_id = a_shown_task(world, ["bob"])
    voters = world.panel(task_id)
    world.seal(*(world.vote(who, task_id, "bob", 90) for who in voters[:3]))
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
