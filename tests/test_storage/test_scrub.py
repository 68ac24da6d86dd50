"""The scrub finds what the quick check at open cannot see, and nothing in a sound store."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from protocol.tables import ACCOUNTS, TASKS
from storage.engine import Batch
from storage.errors import StorageError
from storage.indexes import INDEX_TABLE
from storage.journal import CHAINS, SEALS, TRANSACTIONS
from storage.range_leaves import TABLE as LEAVES
from storage.scrub import scrub
from storage.store import Store
from tests.support.builders import a_genesis, a_hash
from tests.support.stored import StoredWorld, play_randomly

DATA = b"x" * 70_000


@pytest.fixture
def world(store: Store) -> StoredWorld:
    """A store with a history, evidence and a blob."""
    world = StoredWorld(store)
    for number in range(8):
        play_randomly(world, random.Random(number), 1)
    place = world.equivocate("eve", "cancel_task", CancelTask("a"), CancelTask("b"))
    world.seal(evidence=[place])
    store.put_blob(compute_content_hash(DATA), DATA)
    return world


def find_faults(store: Store) -> list[str]:
    return [line for line in scrub(store) if line is not None]


def delete(store: Store, table: str, key: bytes) -> None:
    batch = Batch()
    batch.delete(table, key)
    store.engine.write(batch, sync=False)


def delete_first(store: Store, table: str) -> None:
    delete(store, table, next(iter(store.engine.scan(table)))[0])


def put(store: Store, table: str, key: bytes, value: bytes) -> None:
    batch = Batch()
    batch.put(table, key, value)
    store.engine.write(batch, sync=False)


def swap_ids(store: Store) -> None:
    key, ids = next(iter(store.engine.scan(SEALS, b"i", b"j")))
    put(store, SEALS, key, ids[:-32] + a_hash("another"))


FAULTS: dict[str, tuple[str, Callable[[Store], None]]] = {
    "a lost row": ("rows: ", lambda store: delete_first(store, TASKS.name)),
    "a lost account": ("rows: ", lambda store: delete_first(store, ACCOUNTS.name)),
    "an undecodable row": ("row_damaged", lambda store: put(store, TASKS.name, b"k", b"\xff")),
    "a lost index key": ("indexes: no ", lambda store: delete_first(store, INDEX_TABLE)),
    "a stray index key": ("indexes: stale ", lambda store: put(store, INDEX_TABLE, b"x", b"")),
    "a lost transaction": ("seals: ", lambda store: delete_first(store, TRANSACTIONS)),
    "a lost link": ("transactions: ", lambda store: delete_first(store, CHAINS)),
    "a spoilt transaction": (
        "transaction_damaged",
        lambda store: put(store, TRANSACTIONS, store.journal.sealed_ids(1)[0], b"\xff"),
    ),
    "other sealed ids": ("seals: ", swap_ids),
    "a lost seal": (
        "seals: no seal",
        lambda store: delete(store, SEALS, b"s" + (2).to_bytes(8, "big")),
    ),
    "a spoilt leaf": (
        "range_leaf",
        lambda store: put(store, LEAVES, next(iter(store.engine.scan(LEAVES)))[0], b"\xff"),
    ),
    "a spoilt blob": (
        "blobs: ",
        lambda store: put(store, "blob_pieces", compute_content_hash(DATA) + bytes(8), b"y"),
    ),
}


def test_a_sound_store_has_no_faults_and_places_to_pause(world: StoredWorld) -> None:
    steps = list(scrub(world.store))
    assert set(steps) == {None}
    assert len(steps) > 5


@pytest.mark.parametrize(("wanted", "spoil"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_and_named(
    world: StoredWorld, wanted: str, spoil: Callable[[Store], None]
) -> None:
    spoil(world.store)
    assert any(wanted in line for line in find_faults(world.store))


def test_seals_committed_between_two_steps_are_no_faults(world: StoredWorld) -> None:
    findings = []
    for number, line in enumerate(scrub(world.store)):
        findings.append(line)
        if number < 20:
            play_randomly(world, random.Random(100 + number), 1)
    assert [line for line in findings if line is not None] == []


def test_a_checkpoint_of_a_store_is_a_store(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "db", a_genesis())
    world = StoredWorld(store)
    play_randomly(world, random.Random(1), 6)
    store.checkpoint(tmp_path / "backup")
    root = store.head.state_root
    play_randomly(world, random.Random(2), 2)
    store.close()
    restored = Store.open(tmp_path / "backup", a_genesis())
    assert restored.head.state_root == root
    assert find_faults(restored) == []
    restored.close()


def test_a_store_in_memory_has_no_files_to_copy(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no_files"):
        Store.in_memory(a_genesis()).checkpoint(tmp_path / "backup")
