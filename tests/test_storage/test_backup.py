"""A backup holds what was signed: made beside writes, checked whole, restored to the same state."""

import hashlib
import itertools
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from protocol import codec
from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from protocol.schema import encode_record
from storage.backup import STEP_ITEMS, BackupWriter, make_backup
from storage.backup_folder import (
    BLOB,
    FORMAT,
    FREE_TX,
    ITEMS,
    MANIFEST,
    SEALED_TX,
    Backup,
    Manifest,
    find_backup,
    list_backups,
    prune_backups,
    read_manifest,
)
from storage.errors import Corrupt, FormatTooNew, InUse, StorageError, WrongNetwork
from storage.restore import check_stream, restore, verify_backup
from storage.scrub import scrub
from storage.store import Store
from tests.support.builders import a_genesis
from tests.support.stored import StoredWorld, play_randomly

DATA = b"x" * 70_000
MANIFEST_FLIPS = range(0, 250, 7)


@pytest.fixture
def world(store: Store) -> StoredWorld:
    """A store with a history, sealed and unsealed evidence, open transactions, a blob."""
    return live(store)


def live(store: Store) -> StoredWorld:
    world = StoredWorld(store)
    for number in range(10):
        play_randomly(world, random.Random(number), 1)
    world.seal(evidence=[world.equivocate("eve", "cancel_task", CancelTask("a"), CancelTask("b"))])
    world.equivocate("mallory", "cancel_task", CancelTask("a"), CancelTask("b"))
    store.put_blob(compute_content_hash(DATA), DATA)
    opened = world.publish()
    store.put_transactions([opened])
    return world


def write_manifest(backup: Backup, manifest: Manifest) -> None:
    data = encode_record(manifest)
    (backup.path / MANIFEST).write_bytes(data + hashlib.sha256(data).digest())


def rewrite(backup: Backup, items: list[tuple[int, bytes]]) -> None:
    """Write other items under a manifest that fits them: what only a check of each one finds."""
    assert backup.manifest is not None
    payloads = [codec.encode(list(item)) for item in items]
    stream = b"".join(len(one).to_bytes(4, "big") + one for one in payloads)
    (backup.path / ITEMS).write_bytes(stream)
    digest = hashlib.sha256(stream).digest()
    write_manifest(backup, replace(backup.manifest, items_bytes=len(stream), digest=digest))


def read_items(backup: Backup) -> list[tuple[int, bytes]]:
    data = (backup.path / ITEMS).read_bytes()
    items, place = [], 0
    while place < len(data):
        end = place + 4 + int.from_bytes(data[place : place + 4], "big")
        kind, value = codec.decode(data[place + 4 : end])
        items.append((kind, value))
        place = end
    return items


def test_a_restored_store_is_the_one_that_was_backed_up(world: StoredWorld, tmp_path: Path) -> None:
    store = world.store
    backup = make_backup(store, tmp_path / "backups")
    manifest = restore(backup.path, tmp_path / "restored", store.genesis)
    assert manifest == backup.manifest
    restored = Store.open(tmp_path / "restored", store.genesis)
    assert restored.head.state_root == store.head.state_root
    assert restored.head.seal_hash == store.head.seal_hash
    assert restored.totals == store.totals
    assert sorted(restored.journal.open_items()) == sorted(store.journal.open_items())
    assert restored.journal.open_evidence() == store.journal.open_evidence()
    assert restored.journal.blob(compute_content_hash(DATA)) == DATA
    assert [line for line in scrub(restored) if line] == []
    restored.close()
    verify_backup(backup.path, store.genesis, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_what_died_in_the_open_set_is_in_a_backup(world: StoredWorld, tmp_path: Path) -> None:
    store = world.store
    dead = [tx.tx_id for tx in store.journal.open_transactions()]
    store.bury(dead)
    backup = make_backup(store, tmp_path / "backups")
    restore(backup.path, tmp_path / "restored", store.genesis)
    restored = Store.open(tmp_path / "restored", store.genesis)
    assert dead
    assert restored.journal.find_stored(dead) == set(dead)
    assert restored.totals.stored == store.totals.stored
    restored.close()


def test_a_backup_beside_writes_is_the_moment_of_its_first_step(
    world: StoredWorld, tmp_path: Path
) -> None:
    store = world.store
    epoch, root, totals = store.head.epoch, store.head.state_root, store.totals
    opened = sorted(store.journal.open_items())
    writer = BackupWriter(store, tmp_path / "backups")
    seeds = iter(range(100, 200))
    for _ in writer.steps():
        play_randomly(world, random.Random(next(seeds)), 1)
    backup = writer.finish()
    assert store.head.epoch > epoch
    restore(backup.path, tmp_path / "restored", store.genesis)
    restored = Store.open(tmp_path / "restored", store.genesis)
    assert (restored.head.epoch, restored.head.state_root) == (epoch, root)
    assert restored.totals == totals
    assert sorted(restored.journal.open_items()) == opened
    restored.close()


def test_a_backup_goes_in_small_steps(world: StoredWorld, tmp_path: Path) -> None:
    writer = BackupWriter(world.store, tmp_path / "backups")
    steps = list(writer.steps())
    writer.finish()
    done = [0, *(step.done for step in steps)]
    assert len(steps) > world.store.head.epoch
    assert all(0 <= later - sooner <= STEP_ITEMS for sooner, later in itertools.pairwise(done))
    totals = world.store.totals
    assert done[-1] == steps[-1].total == totals.stored + totals.evidence


def test_an_empty_store_has_a_backup(store: Store, tmp_path: Path) -> None:
    backup = make_backup(store, tmp_path / "backups")
    restore(backup.path, tmp_path / "restored", store.genesis)
    restored = Store.open(tmp_path / "restored", store.genesis)
    assert restored.head.state_root == store.head.state_root
    restored.close()


def test_backups_are_numbered_listed_and_pruned_by_count(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    assert list_backups(folder) == []
    made = [make_backup(store, folder) for _ in range(4)]
    assert list_backups(folder) == made
    assert prune_backups(folder, 2) == [1, 2]
    assert [backup.number for backup in list_backups(folder)] == [3, 4]
    assert make_backup(store, folder).number == 5
    with pytest.raises(StorageError, match="keep_too_few"):
        prune_backups(folder, 0)


def test_a_backup_given_up_or_killed_is_not_listed_and_swept(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    writer = BackupWriter(store, folder)
    next(writer.steps(), None)
    with pytest.raises(InUse):
        BackupWriter(store, folder)
    with pytest.raises(InUse):
        prune_backups(folder, 1)
    assert list_backups(folder) == []
    writer.abandon()
    assert list(folder.iterdir()) == []
    (folder / "000007.new").mkdir()
    (folder / "000006.old").mkdir()
    (folder / "notes.new").mkdir()
    assert list_backups(folder) == []
    assert make_backup(store, folder).number == 1
    assert sorted(path.name for path in folder.iterdir()) == ["000001", "notes.new"]


def test_a_flipped_byte_anywhere_is_refused(tmp_path: Path) -> None:
    world = live(Store.in_memory(a_genesis()))
    genesis = world.genesis
    backup = make_backup(world.store, tmp_path / "backups")
    chance = random.Random(1)
    size = (backup.path / ITEMS).stat().st_size
    places = [0, 1, 3, 4, 5, size - 1, *(chance.randrange(size) for _ in range(120))]
    for name, offsets in ((ITEMS, places), (MANIFEST, MANIFEST_FLIPS)):
        file = backup.path / name
        whole = file.read_bytes()
        for offset in offsets:
            if offset >= len(whole):
                continue
            spoilt = bytearray(whole)
            spoilt[offset] ^= 1 << chance.randrange(8)
            file.write_bytes(spoilt)
            with pytest.raises(Corrupt, match="backup_damaged"):
                restore(backup.path, tmp_path / "restored", genesis)
        file.write_bytes(whole)
    assert not (tmp_path / "restored").exists()
    restore(backup.path, tmp_path / "restored", genesis)


Spoil = Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]


def _flip(kind: int) -> Spoil:
    def spoil(items: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        place = next(place for place, item in enumerate(items) if item[0] == kind)
        data = items[place][1]
        return [*items[:place], (kind, data[:-1] + bytes([data[-1] ^ 1])), *items[place + 1 :]]

    return spoil


def _drop(kind: int) -> Spoil:
    def spoil(items: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        place = next(place for place, item in enumerate(items) if item[0] == kind)
        return items[:place] + items[place + 1 :]

    return spoil


FORGERIES: dict[str, Spoil] = {
    "a seal with another signature": _flip(1),
    "a sealed transaction with another signature": _flip(SEALED_TX),
    "evidence with another signature": _flip(3),
    "an open transaction with another signature": _flip(FREE_TX),
    "no first seal": _drop(1),
    "a sealed transaction too few": _drop(SEALED_TX),
    "a sealed transaction twice": lambda items: _twice(items, SEALED_TX),
    "a sealed item before any seal": lambda items: [items[1], *items],
    "a seal behind the open set": lambda items: [*items, items[0]],
    "no end": lambda items: items[: len(items) // 3],
    "another kind": lambda items: [*items, (7, b"")],
    "a blob too long": lambda items: [*items, (BLOB, bytes((1 << 20) + 1))],
}


def _twice(items: list[tuple[int, bytes]], kind: int) -> list[tuple[int, bytes]]:
    place = next(place for place, item in enumerate(items) if item[0] == kind)
    return [*items[:place], items[place], *items[place:]]


@pytest.mark.parametrize("spoil", FORGERIES.values(), ids=FORGERIES)
def test_a_checksum_made_anew_does_not_help_a_forger(tmp_path: Path, spoil: Spoil) -> None:
    world = live(Store.in_memory(a_genesis()))
    backup = make_backup(world.store, tmp_path / "backups")
    rewrite(backup, spoil(read_items(backup)))
    check_stream(backup.path, world.genesis)
    with pytest.raises(Corrupt):
        restore(backup.path, tmp_path / "restored", world.genesis)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backups"]


def test_a_manifest_of_another_state_or_a_later_format_is_refused(
    world: StoredWorld, tmp_path: Path
) -> None:
    backup = make_backup(world.store, tmp_path / "backups")
    assert backup.manifest is not None
    write_manifest(backup, replace(backup.manifest, state_root=bytes(32)))
    with pytest.raises(Corrupt, match="manifest"):
        restore(backup.path, tmp_path / "restored", world.genesis)
    write_manifest(backup, replace(backup.manifest, format=FORMAT + 1))
    with pytest.raises(FormatTooNew):
        restore(backup.path, tmp_path / "restored", world.genesis)
    assert find_backup(tmp_path / "backups", 1).fault is not None


def test_a_restore_overwrites_nothing_and_joins_no_other_network(
    store: Store, tmp_path: Path
) -> None:
    backup = make_backup(store, tmp_path / "backups")
    target = tmp_path / "restored"
    with pytest.raises(WrongNetwork):
        restore(backup.path, target, a_genesis(name="another"))
    target.mkdir()
    (target / "file").write_bytes(b"kept")
    with pytest.raises(StorageError, match="folder_not_empty"):
        restore(backup.path, target, store.genesis)
    assert (target / "file").read_bytes() == b"kept"
    with pytest.raises(StorageError, match="no_backup"):
        restore(tmp_path / "nowhere", tmp_path / "other", store.genesis)


def test_links_in_a_backup_are_not_followed(store: Store, tmp_path: Path) -> None:
    backup = make_backup(store, tmp_path / "backups")
    for name in (ITEMS, MANIFEST):
        file = backup.path / name
        file.rename(tmp_path / name)
        file.symlink_to(tmp_path / name)
        with pytest.raises(StorageError):
            restore(backup.path, tmp_path / "restored", store.genesis)
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(StorageError):
            restore(backup.path, tmp_path / "restored", store.genesis)
        file.unlink()
        (tmp_path / name).rename(file)
    assert read_manifest(backup.path) == backup.manifest


def test_a_backup_never_lies_in_the_live_database(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "db", a_genesis())
    (tmp_path / "link").symlink_to(tmp_path / "db")
    for folder in (tmp_path / "db", tmp_path / "db" / "rocks" / "b", tmp_path / "link" / "b"):
        with pytest.raises(StorageError, match="backup_inside_database"):
            make_backup(store, folder)
    store.close()
