"""Who judges a task: drawn by a lot that nobody chose, never a party, once it is sealed."""

from collections import Counter

import pytest

from protocol.invariants import check_whole_state
from protocol.phases import TaskStatus as At
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from tests.support.builders import CAST, SOLVERS, a_genesis, an_address
from tests.support.court import a_court
from tests.support.world import World


def a_world() -> World:
    world = World()
    world.settle_cast()
    return world


def awaiting_reveal(world: World, *miners: str) -> bytes:
    task_id = world.open_task()
    world.collect_answers(task_id, miners)
    return task_id


def under_validation(world: World, *miners: str) -> bytes:
    task_id = awaiting_reveal(world, *miners)
    world.reveal_answers(task_id, miners)
    return task_id


def test_validation_opens_without_a_panel_while_the_epoch_is_open() -> None:
    world = a_world()
    task_id = awaiting_reveal(world, "bob")
    reveal = world.reveal("bob", task_id)
    epoch, _ = world.fold([reveal])
    provisional = world.fold_provisionally([reveal])
    sealed = world.fold([reveal])[1]
    before, after = provisional.task(task_id), world.task_of(sealed, task_id)
    assert epoch.beacon is not None
    assert before.status is after.status is At.UNDER_VALIDATION
    assert before.panel == ()
    assert len(after.panel) == 5


def test_a_panel_has_no_party_and_no_more_than_was_asked_for() -> None:
    world = World()
    world.seal(*(world.register(who) for who in CAST))
    task_id = under_validation(world, "bob", "carol")
    panel = world.panel(task_id)
    assert len(panel) == 3 + world.params.panel_spares
    assert {"alice", "bob", "carol"}.isdisjoint(panel)


def test_panels_spread_over_all_validators() -> None:
    # 40 validators, 30 tasks of 5 judges: everybody is drawn about 4 times, nobody always.
    names = tuple(f"judge {i}" for i in range(40))
    world = World(a_genesis(cast=("alice", *SOLVERS, *names)))
    world.seal(
        *(world.register(who, roles=ROLE_SOLVER) for who in SOLVERS),
        *(world.register(who, roles=ROLE_VALIDATOR) for who in names),
    )
    tasks = [world.publish(max_participants=1) for _ in range(30)]
    world.seal(*tasks)
    ids = [tx.header.subject for tx in tasks]
    world.seal(*(world.submit("bob", task_id) for task_id in ids))
    world.pass_until(world.task(ids[0]).lifecycle.submission_deadline)
    world.seal(*(world.reveal("bob", task_id) for task_id in ids))
    panels = [world.task(task_id).panel for task_id in ids]
    assert {len(panel) for panel in panels} == {5}
    drawn = Counter(address for panel in panels for address in panel)
    assert len(drawn) >= 35
    assert max(drawn.values()) <= 10


def test_a_network_with_too_few_validators_lets_the_task_expire() -> None:
    world = World()
    world.seal(*(world.register(who) for who in ("bob", "vera", "viktor")))
    task_id = under_validation(world, "bob")
    assert len(world.task(task_id).panel) == 2
    world.judge(task_id, {"bob": (80, 80)})
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline + 1)
    assert world.task(task_id).status is At.EXPIRED


def test_a_suspended_validator_is_on_no_panel() -> None:
    world = a_world()
    world.seal(evidence=[(an_address("vera"), 1)])
    task_id = under_validation(world, "bob")
    assert "vera" not in world.panel(task_id)
    assert len(world.panel(task_id)) == 4


@pytest.mark.parametrize(
    ("scores", "is_divided"),
    [((80, 80, 80, 80, 80), False), ((80, 80, 80, 87, 73), False), ((80, 80, 80, 80, 72), True)],
)
def test_a_divided_panel_is_joined_by_others_before_anything_is_decided(
    scores: tuple[int, ...], is_divided: bool
) -> None:
    world = a_court()
    task_id = under_validation(world, "bob")
    first = set(world.panel(task_id))
    world.judge(task_id, {"bob": scores})
    task, panel = world.task(task_id), set(world.panel(task_id))
    assert task.status is (At.UNDER_VALIDATION if is_divided else At.COMPLETED)
    assert panel >= first
    assert len(panel) == (20 if is_divided else 5)
    assert {"alice", "bob"}.isdisjoint(panel)
    if is_divided:
        world.pass_until(task.lifecycle.finalize_deadline + 1)
        # The others said nothing, so there is nothing more to decide with.
        assert world.task(task_id).status is At.COMPLETED
        assert len(world.panel(task_id)) == 20
    check_whole_state(world.view.rows)


def test_a_divided_panel_decides_where_there_is_nobody_else() -> None:
    world = a_world()
    task_id = under_validation(world, "bob")
    world.judge(task_id, {"bob": (80, 80, 80, 80, 60)})
    assert world.task(task_id).status is At.COMPLETED


def test_what_is_refused_does_not_hurry_a_task_that_waits_for_its_second_panel() -> None:
    world = a_court()
    task_id = under_validation(world, "bob")
    world.judge(task_id, {"bob": (80, 80, 80, 80, 72)})
    # Nobody else commits, so the votes there are would do as soon as anybody looked at them.
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    before = world.task(task_id)
    refused = world.cancel("eve", task_id)
    world.seal(refused)
    assert world.code_of(refused) == "not_publisher"
    assert world.task(task_id) == before
    world.pass_until(before.lifecycle.finalize_deadline + 1)
    assert world.task(task_id).status is At.COMPLETED
