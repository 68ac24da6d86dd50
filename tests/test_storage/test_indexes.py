"""Indexes follow from rows: after any history they are what a rebuild from the rows makes."""

import random
from dataclasses import replace

import pytest

from protocol.fold import Change
from protocol.phases import TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from protocol.tables import ALL, CHANGES, CHARTERS, LICENCES, MINERS, TASKS
from protocol.view import StateView
from storage.commit import stage_changes
from storage.engine import Batch, Engine
from storage.errors import Corrupt
from storage.indexes import BY_TABLE, INDEX_TABLE, INDEXES, compute_index_keys
from storage.keys import encode_key
from storage.meta import INDEXES as INDEXES_MARK
from storage.meta import META
from storage.rebuild import find_missing_keys, find_stale_keys, rebuild_indexes
from storage.store import Store
from tests.support.builders import (
    PUBLISHER,
    SOLVERS,
    VALIDATORS,
    a_genesis,
    a_hash,
    an_address,
)
from tests.support.stored import StoredWorld, play_randomly


@pytest.mark.parametrize("seed", range(3))
def test_after_any_history_the_indexes_are_what_the_rows_say(store: Store, seed: int) -> None:
    world = StoredWorld(store)
    for _ in range(4):
        play_randomly(world, random.Random(seed), 6)
        wanted = {
            index_key
            for table in ALL
            for key, data in store.engine.scan(table.name)
            for index_key in compute_index_keys(table, key, table.decode_row(data))
        }
        assert {key for key, _ in store.engine.scan(INDEX_TABLE)} == wanted
        assert list(find_missing_keys(store.engine)) == []
        assert list(find_stale_keys(store.engine)) == []
    names = {key.split(b"\x00")[0][1:].decode() for key, _ in store.engine.scan(INDEX_TABLE)}
    assert {"tasks", "tasks_by_status", "miners_by_role", "submissions_by_task"} <= names


@pytest.mark.parametrize("seed", range(3))
def test_the_store_answers_the_fold_as_the_dictionary_does(store: Store, seed: int) -> None:
    world = StoredWorld(store)
    world.settle_cast()
    chance = random.Random(seed)
    for _ in range(10):
        play_randomly(world, chance, 3)
        view: StateView = store.view
        for (name, key), row in world.view.rows.items():
            table = next(table for table in ALL if table.name == name)
            assert view.get(table, key) == row
        for epoch in range(world.epoch, world.epoch + 15):
            assert view.due_tasks(epoch) == world.view.due_tasks(epoch)
        assert view.validators() == world.view.validators()
        for who in (PUBLISHER, *SOLVERS, *VALIDATORS):
            owing = world.view.owing_tasks(an_address(who))
            assert view.owing_tasks(an_address(who)) == owing
    # Those of changes need sealers who vote: test_changes.py.
    votable = {CHANGES.name, CHARTERS.name, LICENCES.name}
    assert {name for name, _ in world.view.rows} == {table.name for table in ALL} - votable


def test_a_task_is_under_one_status_and_leaves_the_active_ones(store: Store) -> None:
    world = StoredWorld(store)
    task_id = world.open_task()
    assert [task.task_id for task in store.queries.active_tasks()] == [task_id]
    world.seal(world.cancel("alice", task_id))
    found = {
        status: [task.task_id for task in store.queries.tasks_by_status(status).items]
        for status in TaskStatus
    }
    assert {status for status, ids in found.items() if ids} == {TaskStatus.CANCELLED}
    assert list(store.queries.active_tasks()) == []


def test_a_row_that_goes_takes_its_index_keys_with_it(store: Store) -> None:
    world = StoredWorld(store)
    task = world.task(world.open_task())
    keys = compute_index_keys(TASKS, task.task_id, task)
    assert keys <= {key for key, _ in store.engine.scan(INDEX_TABLE)}
    batch = Batch()
    stage_changes(batch, [Change(TASKS, task.task_id, task, None)])
    store.engine.write(batch, sync=False)
    assert list(store.engine.scan(INDEX_TABLE)) == []
    assert list(store.engine.scan(TASKS.name)) == []


def test_a_miner_is_listed_under_each_of_his_roles(store: Store) -> None:
    world = StoredWorld(store)
    world.seal(
        world.register("bob", roles=ROLE_SOLVER),
        world.register("vera", roles=ROLE_VALIDATOR),
        world.register("vito", roles=ROLE_SOLVER | ROLE_VALIDATOR),
    )
    listed = {
        role: {miner.address for miner in store.queries.miners_by_role(role).items}
        for role in (ROLE_SOLVER, ROLE_VALIDATOR)
    }
    assert listed[ROLE_SOLVER] == {an_address("bob"), an_address("vito")}
    assert listed[ROLE_VALIDATOR] == {an_address("vera"), an_address("vito")}


def test_a_new_reputation_moves_a_miner_in_the_list_and_leaves_no_old_place(store: Store) -> None:
    world = StoredWorld(store)
    world.settle_cast()
    before = world.miner("bob").reputation.score
    task_id = world.open_task(max_participants=1)
    world.collect_answers(task_id, ["bob"])
    world.reveal_answers(task_id, ["bob"])
    world.judge(task_id, {"bob": (95, 95, 95)})
    world.settle(task_id)
    assert world.miner("bob").reputation.score > before
    listed = store.queries.top_miners().items
    assert listed[0] == world.miner("bob")
    assert sorted(miner.address for miner in listed) == sorted(
        an_address(who) for who in (*SOLVERS, *VALIDATORS)
    )


def test_a_specialization_given_up_is_listed_no_more(store: Store) -> None:
    world = StoredWorld(store)
    world.seal(world.register("bob", specializations=("code_analysis", "general_task")))
    row = world.miner("bob")
    changed = replace(row, specializations=("general_task",))
    batch = Batch()
    updates, _ = stage_changes(batch, [Change(MINERS, row.address, row, changed)])
    store.engine.write(batch, sync=False)
    store.rows.cache.update(updates)
    assert store.queries.miners_by_specialization("code_analysis").items == ()
    assert store.queries.miners_by_specialization("general_task").items == (changed,)


def test_a_rebuild_removes_what_is_stale_and_adds_what_is_missing(store: Store) -> None:
    world = StoredWorld(store)
    play_randomly(world, random.Random(5), 6)
    before = list(store.engine.scan(INDEX_TABLE))
    batch = Batch()
    for key, _ in before[::3]:
        batch.delete(INDEX_TABLE, key)
    strangers = [
        encode_key("of nobody", 1, a_hash("task")),
        encode_key("tasks", 1, a_hash("task")),
        encode_key("tasks", 1, 2),
        encode_key("tasks"),
        b"no key at all",
    ]
    for key in strangers:
        batch.put(INDEX_TABLE, key, b"")
    store.engine.write(batch, sync=False)
    assert set(find_stale_keys(store.engine)) == set(strangers)
    assert list(find_missing_keys(store.engine)) != []
    assert rebuild_indexes(store.engine) == len(before[::3]) + len(strangers)
    assert list(store.engine.scan(INDEX_TABLE)) == before
    assert rebuild_indexes(store.engine) == 0


def test_indexes_of_another_version_are_rebuilt_at_open(engine: Engine) -> None:
    world = StoredWorld(Store(engine, a_genesis()))
    play_randomly(world, random.Random(5), 6)
    before = list(engine.scan(INDEX_TABLE))
    batch = Batch()
    batch.put(META, INDEXES_MARK, b"\x00")
    for key, _ in before:
        batch.delete(INDEX_TABLE, key)
    engine.write(batch, sync=False)
    Store(engine, a_genesis())
    assert list(engine.scan(INDEX_TABLE)) == before


def test_an_undecodable_row_is_named(store: Store) -> None:
    batch = Batch()
    batch.put(TASKS.name, b"k" * 32, b"\xff")
    store.engine.write(batch, sync=False)
    with pytest.raises(Corrupt, match="row_damaged"):
        store.queries.task(b"k" * 32)


def test_every_index_has_a_name_of_its_own_and_is_found_by_its_table() -> None:
    assert len({index.name for index in INDEXES}) == len(INDEXES)
    assert {index for group in BY_TABLE.values() for index in group} == set(INDEXES)
