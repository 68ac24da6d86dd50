"""Acceptance checks of storage: indexes, kills, repeats, restores, figures, flags, keys."""

import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from node.events import Broadcast
from node.state_manager import StateManager
from protocol.chains import build_evidence
from protocol.closing import compute_archive_epochs
from protocol.fold import Change
from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from protocol.tables import MINERS, TASKS
from storage.backup import make_backup
from storage.commit import stage_changes
from storage.engine import Batch, Engine
from storage.errors import Full
from storage.keys import encode_key
from storage.rebuild import find_missing_keys, find_stale_keys
from storage.restore import restore
from storage.rocks import RocksEngine
from storage.store import Store
from tests.support.builders import a_genesis, a_hash, a_signer, an_address
from tests.support.engines import WatchedEngine
from tests.support.golden import read_rows
from tests.support.opinions import an_analysis, some_metrics
from tests.support.store_program import live_through
from tests.support.stored import StoredWorld, play_randomly
from tests.support.twin_stores import check_rows, check_whole, clean_up, delete_blob, empty
from tests.support.world import World

LIVES = range(28, 36)
"""Seeds; in some of these lives an opinion is replaced, which few lives come to."""
DATA = b"x" * 70_000
IMAGE_EVERY = 5
"""Of so many kills one is looked at through a copy of the files, which must be opened."""


@dataclass(frozen=True)
class Ground:
    """Where a check of storage runs.

    Attributes:
        engine: a new one, of one kind.
        folder: for whatever else it needs.
    """

    engine: Engine
    folder: Path


def indexes_are_what_the_rows_say(folder: Path) -> None:
    live_through(LIVES, folder)


# ---------------------------------------------------------------------------- kill between writes


def a_kill_leaves_before_or_after(ground: Ground) -> None:
    genesis = a_genesis()
    moments = []
    for _ in live_an_hour(Store(ground.engine, genesis)):
        moments.append(read_rows(ground.engine))
    killed = 0
    while True:
        empty(ground.engine)
        engine = WatchedEngine(ground.engine)
        store = Store(engine, genesis)
        engine.writes_left = killed
        try:
            for _ in live_an_hour(store):
                pass
        except Full:
            killed += 1
        else:
            break
        assert read_rows(ground.engine) in moments
        check_whole(Store(ground.engine, genesis))
        if isinstance(ground.engine, RocksEngine) and killed % IMAGE_EVERY == 0:
            check_files_of_a_killed_process(ground.engine, ground.folder / f"image {killed}")
    assert killed >= len(moments) - 1


def check_files_of_a_killed_process(engine: RocksEngine, image: Path) -> None:
    """Open the files as a process that is killed now would leave them, and compare all rows."""
    shutil.copytree(engine.path, image)
    with closing(RocksEngine(image, network=a_genesis().network)) as copy:
        assert read_rows(copy) == read_rows(engine)
        check_whole(Store(copy, a_genesis()))


def live_an_hour(store: Store) -> Iterator[None]:
    """Change a new store in every way there is; yield after each."""
    world = StoredWorld(store)
    yield
    offers = [world.register("bob"), world.publish(), world.publish("eve")]
    store.put_transactions(offers)
    yield
    world.seal(*offers)
    yield
    fork = world.sign("eve", "cancel_task", CancelTask("one"))
    store.put_transactions([fork])
    yield
    rival = world.sign("eve", "cancel_task", CancelTask("other"), seq=fork.header.seq)
    store.put_evidence(build_evidence(fork, rival))
    yield
    store.bury([fork.tx_id])
    yield
    answer = world.submit("bob", offers[1].header.subject)
    store.put_transactions([answer])
    yield
    world.seal(answer, evidence=[(fork.header.author, fork.header.seq)])
    yield
    one, other = (world.sign("mallory", "cancel_task", CancelTask(why), seq=0) for why in "ab")
    proof = build_evidence(one, other)
    store.put_evidence(proof)
    yield
    store.drop_evidence([proof.evidence_id])
    yield
    store.put_blob(compute_content_hash(DATA), DATA)
    yield
    delete_blob(store, compute_content_hash(DATA))
    yield
    for risk in (9_000, 2_000):
        store.local.put_analysis(an_analysis("answer", risk))
        yield
    store.local.put_metrics(some_metrics(1))
    yield
    store.meta_put("peers", b"some")
    yield


# --------------------------------------------------------------------------------------- the rest


def twice_has_one_effect(ground: Ground) -> None:
    genesis = a_genesis()
    state = StateManager(genesis, Store(ground.engine, genesis), Broadcast())
    world = World(genesis)
    tx = world.publish()
    assert state.accept([tx], None).stored == (tx.tx_id,)
    for repeated in ([tx], [tx, tx]):
        told = state.accept(repeated, None)
        assert (told.stored, told.evidence, told.refused) == ((), (), ())
    state.store.put_transactions([tx, tx])
    assert (state.store.totals.stored, state.open.count) == (1, 1)
    state.seal(a_signer("sealer"), time_ms=0)
    root = state.state_root
    left = state.store.queries.account(an_address("alice"))
    # Again after the seal, after a restart, and in the next epoch.
    for _ in range(2):
        assert state.accept([tx], None).stored == ()
        state.store.put_transactions([tx])
        state = StateManager(genesis, Store(ground.engine, genesis), Broadcast())
    state.seal(a_signer("sealer"), time_ms=0)
    assert len(state.store.queries.tasks().items) == 1
    assert state.store.queries.account(an_address("alice")) == left
    assert (state.state_root, state.store.totals.stored) == (root, 1)
    check_whole(state.store)


def a_restored_store_is_what_it_was(ground: Ground) -> None:
    genesis = a_genesis()
    store = Store(ground.engine, genesis)
    world = StoredWorld(store)
    world.settle_cast()
    play_randomly(world, random.Random(3), 10)
    store.put_blob(compute_content_hash(DATA), DATA)
    store.put_transactions([world.publish()])
    backup = make_backup(store, ground.folder / "backups")
    head, totals, rows = store.head, store.totals, dict(world.view.rows)
    # What the cache holds from here on is of later epochs.
    play_randomly(world, random.Random(4), 3)
    assert world.view.rows != rows
    for task in store.queries.tasks().items:
        assert store.queries.task(task.task_id) == task
    empty(ground.engine)
    store.close()
    restore(backup.path, ground.folder / "restored", genesis)
    with closing(Store.open(ground.folder / "restored", genesis)) as restored:
        assert restored.head.seal_hash == head.seal_hash
        assert restored.head.state_root == head.state_root
        assert restored.totals == totals
        assert restored.journal.blob(compute_content_hash(DATA)) == DATA
        for _ in range(2):
            check_rows(restored, rows)
        cache = restored.rows.cache
        assert cache.hits == cache.misses == len(rows)
        check_whole(restored)


def figures_are_above_zero_after_use(ground: Ground) -> None:
    store = Store(ground.engine, a_genesis())
    world = StoredWorld(store)
    play_randomly(world, random.Random(5), 6)
    store.put_blob(compute_content_hash(DATA), DATA)
    for task in store.queries.tasks().items:
        assert store.queries.task(task.task_id) is not None
    assert delete_blob(store, compute_content_hash(DATA)) == len(DATA)
    task_id = world.open_task()
    world.seal(world.cancel("alice", task_id))
    world.pass_until(world.epoch + compute_archive_epochs(store.genesis.params))
    assert clean_up(store).tasks > 0
    assert store.pruned.size_bytes > 0
    report = store.report_performance()
    writes = {line.table: line for line in report.operations if line.operation == "write"}
    assert {"transactions", "seals", "meta", TASKS.name, "ai_index_mappings"} <= writes.keys()
    assert {line.operation for line in report.operations} == {"get", "get_many", "scan", "write"}
    for line in report.operations:
        assert line.calls > 0
        assert sum(line.buckets) > 0
        assert line.p99_ns >= line.p50_ns > 0
        assert line.spent_ns > 0
    assert all(line.rows and line.size_bytes for line in writes.values())
    assert report.cache.hits > 0
    assert report.cache.size_bytes > 0
    assert store.rows.cache.hit_share > 0
    assert report.properties["transactions"]["keys"] > 0
    assert report.properties["transactions"]["bytes"] > 0


def a_lower_analysis_takes_an_answer_off_the_list(ground: Ground) -> None:
    store = Store(ground.engine, a_genesis())
    for risk, listed in [
        (9_000, [9_000]),
        (2_000, []),
        (7_001, [7_001]),
        (7_000, []),
        (8_000, [8_000]),
        (0, []),
    ]:
        store.local.put_analysis(an_analysis("answer", risk))
        assert [one.overall_risk for one in store.local.flagged().items] == listed
        assert store.local.progress.flagged == len(listed)
        assert list(find_missing_keys(store.engine)) == []
        assert list(find_stale_keys(store.engine)) == []
        found = store.local.analysis(a_hash("answer"))
        assert found is not None
        assert found.overall_risk == risk


def a_name_with_a_colon_never_lies_under_another(ground: Ground) -> None:
    store = Store(ground.engine, a_genesis())
    world = StoredWorld(store)
    world.seal(*(world.register(who) for who in ("bob", "carol")))
    batch = Batch()
    changes = []
    for who, slug in (("bob", "a"), ("carol", "a:b")):
        row = world.miner(who)
        changes.append(Change(MINERS, row.address, row, replace(row, specializations=(slug,))))
    updates, _ = stage_changes(batch, changes)
    store.engine.write(batch, sync=True)
    store.rows.cache.update(updates)
    for slug, who in (("a", "bob"), ("a:b", "carol")):
        found = store.queries.miners_by_specialization(slug).items
        assert [miner.address for miner in found] == [an_address(who)]
    for shorter, longer in [("a", "a:b"), ("a:", "a:b"), ("a", "a\x00b"), ("", "a")]:
        prefix = encode_key("tasks_by_category", shorter)
        assert not encode_key("tasks_by_category", longer, a_hash("task")).startswith(prefix)
