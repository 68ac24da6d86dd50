"""Acceptance checks of clean-up: what must stay, whatever is asked for."""

import random
from collections.abc import Mapping

from protocol.phases import RewardState, TaskStatus
from protocol.tables import ALL, REWARDS, TASKS
from storage.store import Store
from storage.tombstones import TOMBSTONES
from tests.support.acceptance_storage import Ground
from tests.support.builders import a_genesis
from tests.support.stored import StoredWorld, play_randomly
from tests.support.twin_stores import clean_up

EPOCHS = 60
SEED = 5
RETENTION_MAX = (1 << 63) - 1
_OVER = (TaskStatus.EXPIRED, TaskStatus.CANCELLED, TaskStatus.COMPLETED)
_OWED = (RewardState.LOCKED, RewardState.CLAIMABLE)

Tables = Mapping[str, Mapping[bytes, bytes]]


def a_retention_beyond_the_past_drops_nothing(ground: Ground) -> None:
    store = Store(ground.engine, a_genesis())
    play_randomly(StoredWorld(store), random.Random(SEED), EPOCHS)
    before = read_tables(store)
    epoch = store.head.epoch
    for retention in (epoch, epoch + 1, 1_000_000, RETENTION_MAX):
        clean_up(store, retention)
        assert read_tables(store) == before
    assert store.pruned.rows == 0


def a_task_that_is_not_over_keeps_every_row(ground: Ground) -> None:
    store = Store(ground.engine, a_genesis())
    world, chance = StoredWorld(store), random.Random(SEED)
    play_randomly(world, chance, EPOCHS)
    while not find_owing(world):
        play_randomly(world, chance, 1)
    before = read_tables(store)
    kept = find_unfinished(world)
    clean_up(store)
    after = read_tables(store)
    for name, rows in before.items():
        gone = {key: row for key, row in rows.items() if key not in after[name]}
        for task_id in kept:
            assert not any(task_id in key or task_id in row for key, row in gone.items())
    # Otherwise nothing was proved.
    assert kept
    assert store.pruned.tasks == len(after[TOMBSTONES]) > 0


def find_unfinished(world: StoredWorld) -> set[bytes]:
    """Return the tasks that are open or disputed, have money in escrow or owe somebody some."""
    tasks = {key: row for (name, key), row in world.view.rows.items() if name == TASKS.name}
    return find_owing(world) | {
        key
        for key, task in tasks.items()
        if task.status not in _OVER
        or task.pool.escrowed
        or (task.status is TaskStatus.COMPLETED and not task.settled)
    }


def find_owing(world: StoredWorld) -> set[bytes]:
    """Return the tasks of which somebody can still claim something, now or later."""
    rewards = [row for (name, _), row in world.view.rows.items() if name == REWARDS.name]
    return {row.task_id for row in rewards if any(one.state in _OWED for one in row.entries)}


def read_tables(store: Store) -> Tables:
    """Return the rows of the sealed state and the tombstones."""
    names = [*(table.name for table in ALL), TOMBSTONES]
    return {name: dict(store.engine.scan(name)) for name in names}
