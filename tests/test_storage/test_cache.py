"""The row cache keeps what was used last, within its bound, and what was written last."""

import random

from protocol.closing import compute_archive_epochs
from protocol.tables import TASKS
from storage.cache import ENTRY_BYTES, RowCache
from storage.memory import MemoryEngine
from storage.store import Store
from tests.support.builders import a_genesis, a_hash
from tests.support.engines import WatchedEngine
from tests.support.stored import StoredWorld, play_randomly
from tests.support.twin_stores import clean_up


def place(number: int) -> tuple[str, bytes]:
    return "table", number.to_bytes(4, "big")


def test_what_was_put_is_found_and_counted() -> None:
    cache = RowCache()
    assert cache.hit_share == 0
    assert cache.find(place(1)) == (False, None)
    cache.put(place(1), "row", 10)
    cache.put(place(2), None, 0)
    assert cache.find(place(1)) == (True, "row")
    assert cache.find(place(2)) == (True, None)
    assert (cache.hits, cache.misses) == (2, 1)
    assert cache.hit_share == 2 / 3


def test_the_least_recently_used_leaves_first() -> None:
    cache = RowCache(3 * (ENTRY_BYTES + 10))
    for number in range(3):
        cache.put(place(number), number, 10)
    cache.find(place(0))
    cache.put(place(3), 3, 10)
    assert [cache.find(place(number))[0] for number in range(4)] == [True, False, True, True]


def test_rewriting_one_row_evicts_nobody() -> None:
    cache = RowCache(3 * (ENTRY_BYTES + 10))
    for number in range(3):
        cache.put(place(number), number, 10)
    for _ in range(10):
        cache.put(place(2), 2, 10)
    assert len(cache) == 3


def test_a_row_larger_than_the_bound_is_not_kept_and_its_old_copy_goes() -> None:
    cache = RowCache(1_000)
    cache.put(place(1), "small", 10)
    cache.put(place(1), "large", 2_000)
    assert cache.find(place(1)) == (False, None)
    assert cache.size_bytes == 0
    cache = RowCache(0)
    cache.put(place(1), "any", 0)
    assert len(cache) == 0


def test_the_bound_holds_through_any_use() -> None:
    chance = random.Random(1)
    cache = RowCache(10_000)
    model: dict[tuple[str, bytes], int] = {}
    for step in range(5_000):
        number = chance.randrange(200)
        if chance.random() < 0.5:
            cache.update([(place(number), step, chance.randrange(2_000))])
            model[place(number)] = step
        else:
            is_known, row = cache.find(place(number))
            assert not is_known or row == model[place(number)]
        assert cache.size_bytes <= 10_000
    cache.clear()
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_what_was_forgotten_is_unknown_and_counts_no_more() -> None:
    cache = RowCache()
    for number in range(3):
        cache.put(place(number), number, 10)
    for number in (0, 2, 7):
        cache.forget(place(number))
    assert [cache.find(place(number))[0] for number in range(3)] == [False, True, False]
    assert cache.size_bytes == ENTRY_BYTES + 10


def test_that_there_is_no_row_is_told_without_asking_again() -> None:
    engine = WatchedEngine(MemoryEngine())
    store = Store(engine, a_genesis())
    for _ in range(5):
        assert store.queries.task(a_hash("nobody")) is None
    before = engine.rows
    assert store.queries.task(a_hash("nobody")) is None
    assert engine.rows == before
    # And no longer, once there is one.
    world = StoredWorld(store)
    offer = world.publish()
    assert store.queries.task(offer.header.subject) is None
    world.seal(offer)
    assert store.queries.task(offer.header.subject) == world.task(offer.header.subject)


def test_the_hit_rate_is_the_share_of_reads_that_the_engine_never_saw() -> None:
    engine = WatchedEngine(MemoryEngine())
    store = Store(engine, a_genesis())
    play_randomly(StoredWorld(store), random.Random(1), 6)
    tasks = [task.task_id for task in store.queries.tasks().items]
    cache = store.rows.cache = RowCache()
    engine.rows = 0
    for task_id in 4 * tasks:
        store.queries.task(task_id)
    assert engine.rows == cache.misses == len(tasks) > 3
    assert cache.hits == 3 * len(tasks)
    assert cache.hit_share == 0.75


def test_an_evicted_row_is_read_again_and_the_bound_holds_in_a_store() -> None:
    engine = WatchedEngine(MemoryEngine())
    store = Store(engine, a_genesis())
    world = StoredWorld(store)
    play_randomly(world, random.Random(1), 6)
    cache = store.rows.cache = RowCache(1_000)
    tasks = sorted(task.task_id for task in store.queries.tasks().items)
    assert sum(len(store.engine.get("ai_task_states", key) or b"") for key in tasks) > 1_000
    for task_id in 2 * tasks:
        assert store.queries.task(task_id) == world.task(task_id)
        assert cache.size_bytes <= 1_000
    assert 0 < len(cache) < len(tasks)


def test_the_cache_tells_of_no_row_that_a_clean_up_dropped() -> None:
    store = Store.in_memory(a_genesis())
    world = StoredWorld(store)
    task_id = world.open_task()
    world.seal(world.cancel("alice", task_id))
    world.pass_until(world.epoch + compute_archive_epochs(store.genesis.params))
    assert store.queries.task(task_id) == world.task(task_id)
    assert store.rows.cache.find((TASKS.name, task_id))[0]
    clean_up(store)
    assert store.queries.task(task_id) is None
    assert store.queries.tasks().items == ()
