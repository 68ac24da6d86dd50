"""The keeper lets others run: however much there is to do, no turn of it does more than a bit."""

import pytest
import trio

from node.events import Broadcast
from node.opinions import keeper
from node.opinions.keeper import OpinionKeeper
from node.opinions.risk import RULESET
from node.state_manager import StateManager
from protocol.kinds.cancel_task import CancelTask
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from storage import local
from storage.cache import RowCache
from storage.local_tables import FRAUD, LOCAL_TABLES
from storage.memory import MemoryEngine
from storage.store import Store
from tests.support.builders import VALIDATORS, a_genesis
from tests.support.engines import WatchedEngine
from tests.support.stored import StoredWorld

MINERS = tuple(f"miner {number}" for number in range(26))
TASKS = 20
ROWS_PER_TURN_MAX = 2 * local.CLEARED_ROWS
"""Read between two checkpoints: a few milliseconds."""


class Turns(trio.abc.Instrument):
    """Notes what each turn of any task read and wrote."""

    def __init__(self, engine: WatchedEngine) -> None:
        self._engine = engine
        self.rows: list[int] = []
        self.items: list[int] = []

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._engine.rows = self._engine.items = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.rows.append(self._engine.rows)
        self.items.append(self._engine.items)


def a_crowd(engine: WatchedEngine) -> StoredWorld:
    """Return a network of many miners, tasks and answers, one of them an equivocator's."""
    cast = ("alice", *MINERS, *VALIDATORS)
    world = StoredWorld(Store(engine, a_genesis(cast=cast)))
    world.seal(
        *(world.register(who, roles=ROLE_SOLVER) for who in MINERS),
        *(world.register(who, roles=ROLE_VALIDATOR) for who in VALIDATORS),
    )
    offers = [world.publish(max_participants=len(MINERS)) for _ in range(TASKS)]
    world.seal(*offers)
    tasks = [tx.header.subject for tx in offers]
    world.seal(*(world.submit(who, task_id) for task_id in tasks for who in MINERS))
    world.pass_until(world.task(tasks[0]).lifecycle.submission_deadline)
    world.seal(*(world.reveal(who, task_id) for task_id in tasks for who in MINERS))
    cancels = (CancelTask("one"), CancelTask("other"))
    world.seal(evidence=[world.equivocate(MINERS[0], "cancel_task", *cancels)])
    # Every row asked for is read: the worst case, that of a node that has just started.
    world.store.rows.cache = RowCache(0)
    return world


async def watch(engine: WatchedEngine, watched: OpinionKeeper) -> Turns:
    """Let a keeper catch up; return what each of its turns did."""
    turns = Turns(engine)
    engine.rows = engine.items = 0
    trio.lowlevel.add_instrument(turns)
    await watched.catch_up()
    trio.lowlevel.remove_instrument(turns)
    return turns


@pytest.mark.parametrize("span", [keeper.SPAN_EPOCHS_MAX, 0])
async def test_no_turn_of_the_keeper_reads_or_writes_more_than_a_bit(
    span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "SPAN_EPOCHS_MAX", span)
    engine = WatchedEngine(MemoryEngine())
    store = a_crowd(engine).store
    watched = OpinionKeeper(StateManager(store.genesis, store, Broadcast()))
    formed = await watch(engine, watched)
    opinions = sum(1 for table in LOCAL_TABLES for _ in store.engine.scan(table.name))
    assert opinions > len(MINERS) * TASKS
    # As after an upgrade to other rules: everything is dropped and formed anew.
    store.local.progress = local.Progress(local.ROWS_VERSION, RULESET + 1, 0)
    again = await watch(engine, watched)
    # By the rows of a table that has more than one step can hold.
    assert sum(1 for _ in store.engine.scan(FRAUD.name)) > 2 * local.CLEARED_ROWS
    for turns in (formed, again):
        assert sum(turns.rows) > 10 * ROWS_PER_TURN_MAX
        assert max(turns.rows) <= ROWS_PER_TURN_MAX
        assert max(turns.items) <= local.CLEARED_ROWS
    assert sum(again.items) > 2 * opinions
    # What the bound holds off: dropped in one step, all of it is one turn.
    monkeypatch.setattr(local, "CLEARED_ROWS", 1_000_000)
    dropped = []
    for _ in store.local.clear_steps(RULESET):
        dropped.append(engine.items)
        engine.items = 0
    assert max(dropped) > ROWS_PER_TURN_MAX


async def test_others_read_a_list_that_is_whole_while_opinions_are_dropped() -> None:
    engine = WatchedEngine(MemoryEngine())
    store = a_crowd(engine).store
    await OpinionKeeper(StateManager(store.genesis, store, Broadcast())).catch_up()
    one = store.local.analyses(1).items[0]
    seen = set()
    for _ in store.local.clear_steps(RULESET):
        seen.add(len(store.local.analyses(1_000).items))
        assert store.local.progress.flagged == 0 == len(store.local.flagged().items)
        # The cache never tells of a row that is gone.
        known = store.local.analysis(one.submission_id)
        assert known in (one, None)
        assert (known is None) == (store.engine.get(FRAUD.name, one.submission_id) is None)
    assert max(seen) > min(seen) == 0
    assert store.local.progress.ruleset == RULESET
