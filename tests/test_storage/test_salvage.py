"""A damaged store: the original is kept, what is readable is replayed, the rest waits for peers."""

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import InvariantBroken
from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from storage.engine import Batch
from storage.errors import Corrupt, InUse, StorageError, WrongNetwork
from storage.journal import SEALS, TRANSACTIONS
from storage.replay import replay
from storage.salvage import salvage
from storage.scrub import scrub
from storage.store import Store
from tests.support.builders import a_genesis
from tests.support.damage import FILE_DAMAGE, LOG_DAMAGE, find_largest_table, find_log, flip_middle
from tests.support.stored import StoredWorld, play_randomly

Roots = dict[int, bytes]


def live(path: Path) -> tuple[StoredWorld, Roots]:
    """Return an open store with a history, an open transaction, evidence, a blob, local records."""
    store = Store.open(path, a_genesis())
    world = StoredWorld(store)
    roots = {0: store.head.state_root}
    for number in range(12):
        play_randomly(world, random.Random(number), 1)
        roots[store.head.epoch] = store.head.state_root
    place = world.equivocate("eve", "cancel_task", CancelTask("a"), CancelTask("b"))
    world.seal(evidence=[place])
    roots[store.head.epoch] = store.head.state_root
    store.put_transactions([world.publish()])
    store.put_blob(compute_content_hash(b"x" * 70_000), b"x" * 70_000)
    store.meta_put("note", b"of ours")
    return world, roots


@pytest.fixture
def crashed(tmp_path: Path) -> tuple[Path, Roots]:
    """The folder of a store that was killed, and every state root it had."""
    world, roots = live(tmp_path / "live")
    shutil.copytree(tmp_path / "live", tmp_path / "db")
    world.store.close()
    return tmp_path / "db", roots


@pytest.fixture
def at_rest(tmp_path: Path) -> tuple[Path, Roots]:
    """The folder of a store that was closed in order, and every state root it had."""
    world, roots = live(tmp_path / "db")
    world.store.close()
    return tmp_path / "db", roots


def read_hashes(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.parametrize("damage", LOG_DAMAGE.values(), ids=LOG_DAMAGE)
def test_a_salvage_replays_a_prefix_and_keeps_the_original(
    crashed: tuple[Path, Roots], damage: Callable[[Path], None]
) -> None:
    path, roots = crashed
    damage(find_log(path))
    with pytest.raises(Corrupt):
        Store.open(path, a_genesis())
    before = read_hashes(path)
    saved = salvage(path, a_genesis())
    store = saved.store
    assert store.needs_repair is not None
    assert store.head.state_root == roots[store.head.epoch]
    assert saved.replayed.epoch == store.head.epoch
    assert [line for line in scrub(store) if line] == []
    assert read_hashes(saved.aside) == before
    store.close()
    again = Store.open(path, a_genesis())
    assert again.needs_repair is not None
    assert again.head.state_root == roots[again.head.epoch]
    again.close()


@pytest.mark.parametrize("damage", FILE_DAMAGE.values(), ids=FILE_DAMAGE)
def test_whatever_is_missing_a_salvage_gives_a_sound_store(
    at_rest: tuple[Path, Roots], damage: Callable[[Path], None]
) -> None:
    path, roots = at_rest
    damage(path)
    saved = salvage(path, a_genesis())
    assert saved.store.head.state_root == roots[saved.store.head.epoch]
    assert saved.store.needs_repair is not None
    saved.store.close()
    assert not path.with_name(path.name + ".salvage").exists()


def test_a_salvage_of_what_is_whole_brings_everything(at_rest: tuple[Path, Roots]) -> None:
    path, roots = at_rest
    before = Store.open(path, a_genesis())
    totals, items = before.totals, list(before.journal.open_items())
    before.close()
    saved = salvage(path, a_genesis())
    store = saved.store
    assert (saved.replayed.epoch, saved.replayed.stopped) == (max(roots), None)
    assert store.head.state_root == roots[max(roots)]
    assert list(store.journal.open_items()) == items
    assert store.totals == totals
    assert store.journal.blob(compute_content_hash(b"x" * 70_000)) == b"x" * 70_000
    assert store.meta_get("note") == b"of ours"
    store.close()


def test_a_rotten_block_costs_only_what_hangs_on_it(at_rest: tuple[Path, Roots]) -> None:
    path, roots = at_rest
    flip_middle(find_largest_table(path))
    saved = salvage(path, a_genesis())
    assert saved.store.head.state_root == roots[saved.store.head.epoch]
    saved.store.close()


def test_a_salvage_under_a_running_node_changes_nothing(tmp_path: Path) -> None:
    world, _ = live(tmp_path / "db")
    with pytest.raises(InUse):
        salvage(tmp_path / "db", a_genesis())
    play_randomly(world, random.Random(1), 1)
    world.store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db"]


def test_a_salvage_of_another_network_changes_nothing(at_rest: tuple[Path, Roots]) -> None:
    path, _ = at_rest
    before = read_hashes(path)
    with pytest.raises(WrongNetwork):
        salvage(path, a_genesis(name="another"))
    assert read_hashes(path) == before


def test_a_replay_into_memory_is_an_audit(at_rest: tuple[Path, Roots]) -> None:
    path, roots = at_rest
    source = Store.open(path, a_genesis())
    target = Store.in_memory(a_genesis())
    result = replay(source.journal, target)
    assert (result.epoch, result.stopped) == (max(roots), None)
    assert target.head.state_root == source.head.state_root
    assert target.totals.sealed == source.totals.sealed
    source.close()


def test_a_replay_stops_where_the_journal_is_not_what_was_signed(
    at_rest: tuple[Path, Roots],
) -> None:
    path, roots = at_rest
    source = Store.open(path, a_genesis())
    world_epoch = max(roots)
    spoilt: list[tuple[str, bytes, bytes]] = []
    for epoch in (2, 4, 6):
        spoilt.append((SEALS, b"s" + epoch.to_bytes(8, "big"), b"\xff" * 50))
    ids = source.journal.sealed_ids(3)
    wire = source.journal.wire(source.journal.sealed_ids(1)[0])
    assert wire is not None
    spoilt.append((TRANSACTIONS, ids[0], wire))
    spoilt.append((TRANSACTIONS, ids[0], wire[:-1] + bytes([wire[-1] ^ 1])))
    for table, key, value in spoilt:
        before = source.engine.get(table, key)
        assert before is not None
        batch = Batch()
        batch.put(table, key, value)
        source.engine.write(batch, sync=False)
        target = Store.in_memory(a_genesis())
        result = replay(source.journal, target)
        assert result.stopped is not None
        assert result.epoch < world_epoch
        assert target.head.state_root == roots[result.epoch]
        batch = Batch()
        batch.put(table, key, before)
        source.engine.write(batch, sync=False)
    source.close()


def test_a_set_that_folds_to_another_state_is_our_own_mistake(store: Store) -> None:
    world = StoredWorld(store)
    world.seal(world.publish())
    other = Store.in_memory(a_genesis())
    # A state that is not the genesis: the same set must now lead elsewhere.
    other.head.rows_hash.add_row("ledger", b"", b"one row more")
    with pytest.raises(InvariantBroken):
        replay(store.journal, other)


def test_a_folder_that_is_no_database_is_not_salvaged(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "file").write_bytes(b"kept")
    with pytest.raises(StorageError):
        salvage(tmp_path / "db", a_genesis())
    assert (tmp_path / "db" / "file").read_bytes() == b"kept"
