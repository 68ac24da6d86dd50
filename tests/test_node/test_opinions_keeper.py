"""The keeper: what a seal touched is looked at again, and late or early gives the same opinions."""

import random
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from node.events import Broadcast, Sealed
from node.opinions import keeper
from node.opinions.keeper import OpinionKeeper
from node.opinions.risk import RULESET
from node.state_manager import StateManager
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.phases import TaskStatus
from protocol.tables import SUBMISSIONS, TASKS
from storage.local_records import IndicatorType, Recommendation
from storage.local_tables import ANALYTICS, BEHAVIOUR, FRAUD
from storage.rebuild import find_missing_keys, find_stale_keys
from storage.store import Store
from tests.support.builders import SOLVERS, a_commitment, a_genesis, a_hash, an_address
from tests.support.stored import StoredWorld, play_randomly


def a_keeper(store: Store) -> OpinionKeeper:
    return OpinionKeeper(StateManager(store.genesis, store, Broadcast()))


def read_opinions(store: Store) -> Any:
    tables = [
        list(store.rows.scan(FRAUD)),
        list(store.rows.scan(BEHAVIOUR)),
        list(store.rows.scan(ANALYTICS)),
    ]
    flagged = [one.submission_id for one in store.local.flagged().items]
    return tables, flagged, store.local.metrics_latest()


def a_judged_task(world: StoredWorld) -> bytes:
    """A task that bob and carol answered and that is settled."""
    task_id = world.open_task(max_participants=2)
    world.collect_answers(task_id, ["bob", "carol"])
    world.reveal_answers(task_id, ["bob", "carol"])
    world.judge(task_id, {"bob": (90, 90, 90), "carol": (80, 80, 80)})
    world.settle(task_id)
    return task_id


@pytest.mark.parametrize("seed", range(3))
async def test_opinions_formed_late_equal_those_formed_in_time(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = StoredWorld(Store.in_memory(a_genesis()))
    world.settle_cast()
    store, chance = world.store, random.Random(seed)
    in_time = a_keeper(store)
    for _ in range(45):
        play_randomly(world, chance, 1)
        await in_time.catch_up()
    wanted = read_opinions(store)
    assert all(wanted[0])
    assert list(find_missing_keys(store.engine)) == []
    for span in (keeper.SPAN_EPOCHS_MAX, 0):
        monkeypatch.setattr(keeper, "SPAN_EPOCHS_MAX", span)
        assert set(store.local.clear_steps(RULESET)) == {None}
        assert read_opinions(store) != wanted
        await a_keeper(store).catch_up()
        assert read_opinions(store) == wanted
    assert list(find_stale_keys(store.engine)) == []


@pytest.mark.parametrize("seed", range(2))
async def test_the_figures_are_what_the_rows_say(seed: int) -> None:
    world = StoredWorld(Store.in_memory(a_genesis()))
    play_randomly(world, random.Random(seed), 40)
    await a_keeper(world.store).catch_up()
    metrics = world.store.local.metrics_latest()
    assert metrics is not None
    rows = world.view.rows
    tasks = [row for (name, _), row in rows.items() if name == TASKS.name]
    assert metrics.epoch == world.epoch
    assert metrics.tasks == len(tasks)
    for status in TaskStatus:
        wanted = sum(task.status is status for task in tasks)
        assert metrics.statuses[status] == wanted, status
    assert metrics.submissions == sum(name == SUBMISSIONS.name for name, _ in rows)
    assert metrics.settled == sum(task.settled for task in tasks)
    assert metrics.transactions == world.store.totals.sealed
    assert metrics.state_root == world.store.head.state_root


async def test_an_idle_epoch_costs_one_row_of_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    world = StoredWorld(Store.in_memory(a_genesis()))
    world.settle_cast()
    a_judged_task(world)
    late = a_keeper(world.store)
    await late.catch_up()
    store, written = world.store, []
    write = store.engine.write

    def spy(batch: Any, *, sync: bool) -> None:
        written.append([table for table, _, _ in batch.operations])
        write(batch, sync=sync)

    for _ in range(5):
        world.seal()
        monkeypatch.setattr(store.engine, "write", spy)
        await late.catch_up()
        monkeypatch.setattr(store.engine, "write", write)
    assert written == [["ai_network_metrics"]] * 5


async def test_a_settled_task_shows_in_analytics_and_behaviour() -> None:
    world = StoredWorld(Store.in_memory(a_genesis()))
    world.settle_cast()
    task_id = a_judged_task(world)
    await a_keeper(world.store).catch_up()
    local = world.store.local
    analytics, pattern = local.analytics(an_address("bob")), local.behavior(an_address("bob"))
    assert analytics is not None
    assert pattern is not None
    assert (analytics.approved, analytics.rejected) == (1, 0)
    assert analytics.earned == sum(one.amount for one in world.entries_of(task_id, "bob"))
    assert analytics.types[0].slug == "general_task"
    assert (pattern.qualities, pattern.sample_count, sum(pattern.hours)) == ((90,), 1, 1)
    assert local.analytics(an_address("dave")) is None


async def test_an_equivocator_is_flagged_and_no_root_hears_of_it() -> None:
    worlds = [StoredWorld(Store.in_memory(a_genesis())) for _ in range(2)]
    for world in worlds:
        world.settle_cast()
        task_id = world.open_task()
        world.seal(world.submit("bob", task_id))
    watcher, blind = worlds
    keeper_ = a_keeper(watcher.store)
    await keeper_.catch_up()
    assert watcher.store.local.flagged().items == ()
    network = watcher.network
    for world in worlds:
        offers = [
            SubmitAnswer(a_commitment(network, task_id, name), 10**9, 80, 1_000)
            for name in ("bob", "carol")
        ]
        world.seal(evidence=[world.equivocate("bob", "submit_answer", *offers)])
    await keeper_.catch_up()
    (analysis,) = watcher.store.local.flagged().items
    assert analysis.miner == an_address("bob")
    assert analysis.recommendation is Recommendation.REJECT
    assert IndicatorType.EQUIVOCATION in {one.kind for one in analysis.indicators}
    latest = watcher.store.local.metrics_latest()
    assert latest is not None
    assert latest.flagged == 1
    assert blind.store.local.metrics_latest() is None
    assert watcher.store.head.state_root == blind.store.head.state_root


async def test_opinions_of_a_state_that_was_taken_back_are_formed_anew() -> None:
    world = StoredWorld(Store.in_memory(a_genesis()))
    world.settle_cast()
    a_judged_task(world)
    await a_keeper(world.store).catch_up()
    wanted = read_opinions(world.store)
    latest = world.store.local.metrics_latest()
    assert latest is not None
    older = StoredWorld(Store.in_memory(a_genesis()))
    older.settle_cast()
    older.store.local.put_metrics(latest)
    await a_keeper(older.store).catch_up()
    now = older.store.local.metrics_latest()
    assert now is not None
    assert now.epoch == older.epoch < latest.epoch
    assert wanted != read_opinions(older.store)


async def test_the_keeper_follows_the_seals() -> None:
    world = StoredWorld(Store.in_memory(a_genesis()))
    broadcast = Broadcast()
    state = StateManager(world.genesis, world.store, broadcast)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(OpinionKeeper(state).run)
        await wait_all_tasks_blocked()
        world.settle_cast()
        broadcast.tell_nowait(Sealed(world.epoch))
        await wait_all_tasks_blocked()
        metrics = world.store.local.metrics_latest()
        assert metrics is not None
        assert metrics.epoch == world.epoch
        assert metrics.registrations == len(SOLVERS) + 5
        nursery.cancel_scope.cancel()
    assert world.store.local.analysis(a_hash("none")) is None
