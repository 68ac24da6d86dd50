"""Clean-up drops what nobody can ask for any more, and nobody can tell by the state."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from protocol.closing import compute_archive_epochs
from protocol.dispute_records import Choice, EvidenceType
from protocol.errors import Rejected
from protocol.fold import Outcome, fold_epoch
from protocol.hashing import compute_content_hash
from protocol.kinds.open_dispute import Exhibit
from protocol.phases import TaskStatus
from protocol.tables import ALL, RULINGS, TASKS
from protocol.transactions import SignedTransaction
from storage import prune as prune_module
from storage.backup import make_backup
from storage.blobs import BLOBS
from storage.engine import TABLES, Batch
from storage.errors import Full
from storage.indexes import INDEX_TABLE
from storage.memory import MemoryEngine
from storage.prune import Pruner
from storage.restore import restore
from storage.scrub import scrub
from storage.store import Store
from storage.tombstones import TOMBSTONES
from tests.support.builders import CAST, PUBLISHER, SOLVERS, a_genesis, an_address, name_of
from tests.support.court import a_court_genesis, close, hear, object_to, settle_court
from tests.support.engines import WatchedEngine
from tests.support.stored import StoredWorld, play_randomly
from tests.support.tasks import a_judged_task
from tests.support.twin_stores import clean_up
from tests.support.world import Place

RETENTION = compute_archive_epochs(a_genesis().params)
"""The shortest there is."""
EPOCHS = 45
ROW_TABLES = tuple(table.name for table in ALL)


class WitnessedWorld(StoredWorld):
    """A world that also folds each epoch over its store, which must make no difference."""

    def seal(self, *transactions: SignedTransaction, evidence: Sequence[Place] = ()) -> Outcome:
        epoch, wanted = self.fold(transactions, tuple(sorted(evidence)))
        found = fold_epoch(self.store.view, self.genesis, epoch)
        assert found == wanted
        return super().seal(*transactions, evidence=evidence)


def prune(store: Store, retention: int = RETENTION) -> int:
    """Clean up; return how many rows went."""
    before = store.pruned.rows
    return clean_up(store, retention).rows - before


def speak_of_the_past(world: WitnessedWorld, chance: random.Random) -> list[SignedTransaction]:
    """Return what nobody should send: transactions about tasks that are over."""
    said = []
    for (name, task_id), task in sorted(world.view.rows.items()):
        if name != TASKS.name or world.view.closed_at(task_id) is None or chance.random() < 0.7:
            continue
        said.append(world.cancel(PUBLISHER, task_id))
        said.append(world.submit(chance.choice(SOLVERS), task_id))
        if task.status is TaskStatus.COMPLETED:
            said += [
                world.claim(name_of(entry.recipient), task_id, entry)
                for entry in world.distribution(task_id).entries[:1]
            ]
    return said


def find_faults(store: Store) -> list[str]:
    return [line for line in scrub(store) if line is not None]


def find_names(store: Store, name: bytes) -> list[str]:
    """Return the tables in which a key or a value holds a name."""
    tables = [*(table.name for table in ALL), INDEX_TABLE]
    escaped = name.replace(b"\x00", b"\x00\xff")
    return [
        table
        for table in tables
        for key, value in store.engine.scan(table)
        if name in key or name in value or escaped in key
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_peer_that_cleans_up_folds_to_the_same_state(store: Store, seed: int) -> None:
    world, chance = WitnessedWorld(store), random.Random(seed)
    for _ in range(EPOCHS):
        play_randomly(world, chance, 1)
        world.seal(*speak_of_the_past(world, chance))
        if chance.random() < 0.3:
            prune(store)
            assert find_faults(store) == []
    assert store.pruned.tasks > 3
    codes = [ruling.code for ruling in world.rulings.values()]
    assert codes.count("task_archived") > 5


@pytest.mark.parametrize("retention", [0, 1, RETENTION - 1, -1])
def test_a_retention_in_which_a_fold_may_still_ask_is_refused(store: Store, retention: int) -> None:
    with pytest.raises(Rejected, match="retention_too_short"):
        Pruner(store, retention)


def play_one_task(world: StoredWorld, **changes: object) -> bytes:
    """Have a task answered, judged, settled and claimed."""
    task_id = world.open_task(**changes)
    world.collect_answers(task_id, SOLVERS[:2])
    world.reveal_answers(task_id, SOLVERS[:2])
    world.judge(task_id, dict.fromkeys(SOLVERS[:2], (90, 92, 88)))
    world.settle(task_id)
    entries = world.distribution(task_id).entries
    for who in CAST:
        mine = [one for one in entries if one.recipient == an_address(who)]
        if mine:
            world.seal(*(world.claim(who, task_id, one) for one in mine))
    return task_id


def test_nothing_that_names_a_dropped_task_is_left_but_its_tombstone(store: Store) -> None:
    world = StoredWorld(store)
    world.settle_cast()
    task_id = play_one_task(world)
    world.seal(world.cancel(PUBLISHER, task_id))
    answers = [one.submission_id for one in world.task(task_id).participants]
    closed = store.view.closed_at(task_id)
    assert closed == world.epoch - 1
    world.pass_until(world.epoch + RETENTION)
    assert set(find_names(store, task_id)) >= {"ai_task_states", "ai_submissions", "rulings"}
    prune(store)
    assert store.queries.task(task_id) is None
    for name in (task_id, *answers):
        assert find_names(store, name) == []
    assert store.view.closed_at(task_id) == closed
    assert [key for key, _ in store.engine.scan(TOMBSTONES)] == [task_id]


def test_what_was_disputed_goes_with_its_file_and_all_evidence_of_it() -> None:
    store = Store(MemoryEngine(), a_court_genesis())
    world = settle_court(StoredWorld(store))
    task_id = a_judged_task(world)
    proof = compute_content_hash(b"proof")
    store.put_blob(proof, b"proof")
    world.seal(
        object_to(world, "alice", task_id, evidence=(Exhibit(EvidenceType.PRIOR_ART, proof),))
    )
    hear(world, task_id, [Choice.VOID] * 3)
    dispute_id = close(world, task_id).dispute_id
    assert prune(store, RETENTION) == 0
    world.pass_until(world.epoch + RETENTION)
    prune(store, RETENTION)
    assert store.queries.dispute(dispute_id) is None
    assert store.queries.disputes_of_task(task_id).items == ()
    assert [find_names(store, name) for name in (task_id, proof)] == [[], []]
    assert not store.journal.has_blob(proof)
    assert find_faults(store) == []


def test_a_ruling_that_somebody_may_still_look_for_outlives_its_task(store: Store) -> None:
    world = StoredWorld(store)
    world.settle_cast()
    task_id = play_one_task(world)
    world.pass_until(world.epoch + RETENTION)
    late = world.cancel(PUBLISHER, task_id)
    world.seal(late)
    prune(store)
    assert store.queries.task(task_id) is None
    found = store.queries.rulings_of_subject(task_id).items
    assert [(one.tx_id, one.code) for one in found] == [(late.tx_id, "task_archived")]
    world.pass_until(world.epoch + RETENTION + 1)
    prune(store)
    assert list(store.engine.scan(RULINGS.name)) == []


def test_an_input_goes_with_the_last_task_that_names_it(store: Store) -> None:
    world = StoredWorld(store)
    inputs = {text: compute_content_hash(text.encode()) for text in ("own", "shared", "next")}
    for text, content_hash in inputs.items():
        store.put_blob(content_hash, text.encode())
    for text in inputs:
        task_id = world.open_task(data_hash=inputs[text], data_bytes=len(text))
        world.seal(world.cancel(PUBLISHER, task_id))
    world.pass_until(world.epoch + RETENTION)
    living = world.publish(data_hash=inputs["shared"], data_bytes=6)
    world.seal(living)
    store.put_transactions([world.publish(data_hash=inputs["next"], data_bytes=4)])
    prune(store)
    assert store.pruned.tasks == 3
    assert [store.journal.has_blob(inputs[text]) for text in inputs] == [False, True, True]
    assert len(list(store.engine.scan(BLOBS))) == 2


def test_killed_at_any_slice_it_goes_on_from_there() -> None:
    def build() -> tuple[WatchedEngine, StoredWorld]:
        engine = WatchedEngine(MemoryEngine())
        world = StoredWorld(Store(engine, a_genesis()))
        play_randomly(world, random.Random(1), 2 * EPOCHS // 3)
        return engine, world

    engine, world = build()
    prune(world.store)
    wanted = {name: list(engine.scan(name)) for name in (*ROW_TABLES, INDEX_TABLE, TOMBSTONES)}
    pruned = world.store.pruned
    # The same history for each kill: the rows of before, written into a fresh engine.
    before, world = build()
    rows = {name: list(before.scan(name)) for name in TABLES}
    kills = 0
    while True:
        engine = WatchedEngine(MemoryEngine())
        batch = Batch()
        for name, found in rows.items():
            for key, value in found:
                batch.put(name, key, value)
        engine.write(batch, sync=True)
        store = Store(engine, a_genesis())
        engine.writes_left = kills
        try:
            prune(store)
            break
        except Full:
            kills += 1
        engine.writes_left = None
        store = Store(engine, a_genesis())
        assert store.head.state_root == world.store.head.state_root
        assert find_faults(store) == []
        prune(store)
        assert {name: list(engine.scan(name)) for name in wanted} == wanted
        assert store.pruned == pruned
    assert kills > 10


def test_a_slice_is_small_however_much_a_task_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune_module, "SLICE_ROWS", 3)
    world = StoredWorld(Store(MemoryEngine(), a_genesis()))
    world.settle_cast()
    play_one_task(world)
    world.pass_until(world.epoch + RETENTION)
    sizes = []
    before = world.store.pruned
    for _ in Pruner(world.store, RETENTION).steps():
        sizes.append(world.store.pruned.rows - before.rows)
        before = world.store.pruned
    assert sum(sizes) > 3 * 2
    assert max(sizes) == 3


def test_a_backup_of_a_cleaned_store_restores_the_whole_state(store: Store, tmp_path: Path) -> None:
    world = StoredWorld(store)
    play_randomly(world, random.Random(1), EPOCHS)
    prune(store)
    backup = make_backup(store, tmp_path / "backups")
    restore(backup.path, tmp_path / "restored", a_genesis())
    restored = Store.open(tmp_path / "restored", a_genesis())
    assert restored.pruned.tasks == 0
    assert restored.head.state_root == store.head.state_root
    assert prune(restored) == store.pruned.rows
    assert restored.head.state_root == store.head.state_root
    restored.close()


def test_what_was_dropped_is_known_after_a_restart(store: Store) -> None:
    world = StoredWorld(store)
    play_randomly(world, random.Random(1), EPOCHS)
    prune(store)
    assert store.pruned.tasks
    again = Store(store.gate.inner, a_genesis())
    assert again.pruned == store.pruned
    assert again.head.state_root == store.head.state_root
    tombs = [key for key, _ in store.engine.scan(TOMBSTONES)]
    assert [again.view.closed_at(key) for key in tombs] == [
        world.view.closed_at(key) for key in tombs
    ]
    assert prune(again) == 0
