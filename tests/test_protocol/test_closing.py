"""When a task closes for good, and that it is archived exactly so many epochs later."""

import pytest

from protocol.closing import compute_archive_epochs, compute_closed_epoch, compute_moved_epoch
from protocol.params import MAINNET, MINIMAL
from protocol.tables import MINERS
from tests.support.builders import CAST, SOLVERS, a_hash, an_address
from tests.support.world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.settle_cast()
    return world


def play_until_settled(world: World) -> bytes:
    task_id = world.open_task()
    world.collect_answers(task_id, SOLVERS[:1])
    world.reveal_answers(task_id, SOLVERS[:1])
    world.judge(task_id, {SOLVERS[0]: (80, 80, 80)})
    world.settle(task_id)
    return task_id


def test_a_task_that_is_open_has_not_closed(world: World) -> None:
    task_id = world.open_task()
    assert world.view.closed_at(task_id) is None
    world.collect_answers(task_id, SOLVERS[:1])
    assert world.view.closed_at(task_id) is None


def test_a_cancelled_and_an_expired_task_close_at_once(world: World) -> None:
    cancelled, expired = world.open_task(), world.open_task()
    world.seal(world.cancel("alice", cancelled))
    assert world.view.closed_at(cancelled) == world.epoch
    deadline = world.task(expired).lifecycle.submission_deadline
    world.pass_until(deadline)
    assert world.view.closed_at(expired) is None
    world.pass_until(deadline + 1)
    assert world.view.closed_at(expired) == deadline + 1


def test_a_completed_task_closes_with_its_last_claim(world: World) -> None:
    task_id = play_until_settled(world)
    assert compute_moved_epoch(world.task(task_id)) == world.epoch
    entries = world.distribution(task_id).entries
    names = {an_address(who): who for who in CAST}
    for entry in entries:
        assert world.view.closed_at(task_id) is None
        world.seal()
        world.seal(world.claim(names[entry.recipient], task_id, entry))
    assert world.view.closed_at(task_id) == world.epoch
    world.pass_until(world.epoch + 3)
    assert world.view.closed_at(task_id) == world.epoch - 3


def test_a_task_whose_distribution_is_unknown_has_closed_if_its_escrow_is_empty(
    world: World,
) -> None:
    task_id = world.open_task()
    world.seal(world.cancel("alice", task_id))
    assert compute_closed_epoch(world.task(task_id), None) == world.epoch


def test_who_is_late_by_one_epoch_meets_the_archive(world: World) -> None:
    task_id = world.open_task()
    world.seal(world.cancel("alice", task_id))
    world.pass_until(world.epoch + compute_archive_epochs(world.params) - 1)
    last, late = world.cancel("alice", task_id), world.submit("carol", task_id)
    world.seal(last)
    world.seal(late)
    assert (world.code_of(last), world.code_of(late)) == ("wrong_phase", "task_archived")


def test_what_is_no_task_is_never_archived(world: World) -> None:
    bob = an_address("bob")
    assert world.view.get(MINERS, bob) is not None
    assert world.view.closed_at(bob) is None
    assert world.view.closed_at(a_hash("nothing")) is None


def test_whatever_was_signed_before_the_closing_is_judged_by_its_own_rules() -> None:
    for params in (MAINNET, MINIMAL):
        assert compute_archive_epochs(params) >= params.late_epochs
        assert compute_archive_epochs(params) >= params.resolution_epochs
