"""Sealers that changed, at rest: every way in that checks seals asks those of their epoch."""

from dataclasses import replace
from pathlib import Path

import pytest

from protocol.charter import find_charter
from protocol.charter_records import LEAD_EPOCHS, Change
from protocol.keys import Signer
from protocol.phases import ChangeStatus
from protocol.seals import Seal, sign_seal
from protocol.tables import BY_NAME
from storage.backup import make_backup
from storage.engine import Batch
from storage.journal import SEALS
from storage.memory import MemoryEngine
from storage.replay import replay
from storage.restore import restore, verify_backup
from storage.salvage import salvage
from storage.scrub import scrub
from storage.store import Store
from tests.support.builders import a_signer, name_of
from tests.support.governing import (
    SEALERS,
    a_change,
    a_governed_genesis,
    admit,
    back,
    dismiss,
    sealers_of,
    set_to,
)
from tests.support.stored import StoredWorld

GENESIS = a_governed_genesis()
LATER = ("saul", "selma", "simon", "stella")


def live(store: Store) -> tuple[StoredWorld, list[Change]]:
    """Return a history in which stella was admitted and sara dismissed, and fees changed."""
    world = StoredWorld(store)
    changes = [
        a_change(world, admit("stella"), 3),
        a_change(world, set_to("claim_fee", 7), 4),
        a_change(world, dismiss("sara"), 5),
    ]
    world.seal(*(back(world, who, change) for change in changes for who in SEALERS))
    world.pass_until(changes[-1].effective_at + 2)
    assert sealers_of(world) == sorted(LATER)
    open_still = a_change(world, set_to("claim_fee", 8), 40)
    world.seal(back(world, "stella", open_still), world.publish())
    return world, [*changes, open_still]


def resign(store: Store, epoch: int, signers: list[Signer]) -> None:
    """Put the same seal in place of one, signed by others."""
    data = store.journal.seal(epoch)
    assert data is not None
    content = Seal.from_bytes(data).content
    signers.sort(key=lambda signer: signer.address)
    votes = tuple(sign_seal(GENESIS.network, content, signer) for signer in signers)
    key = next(key for key, value in store.engine.scan(SEALS) if value.endswith(data))
    batch = Batch()
    value = store.engine.get(SEALS, key)
    assert value is not None
    batch.put(SEALS, key, value.removesuffix(data) + Seal(content, votes).to_bytes())
    store.engine.write(batch, sync=True)


def test_the_store_knows_the_charter_and_the_open_changes_as_the_dictionary_does() -> None:
    world, changes = live(Store(MemoryEngine(), GENESIS))
    store = world.store
    for ahead in range(LEAD_EPOCHS + 1):
        epoch = world.epoch + ahead
        found = find_charter(store.view, GENESIS, epoch)
        assert found == find_charter(world.view, GENESIS, epoch)
    for (name, key), row in world.view.rows.items():
        assert store.view.get(BY_NAME[name], key) == row
    assert list(store.view.open_changes()) == world.view.open_changes()
    assert len(store.view.open_changes()) == 1
    listed = store.queries.changes().items
    assert [case.status for case in listed] == [ChangeStatus.OPEN, *[ChangeStatus.ADOPTED] * 3]
    assert {case.change for case in listed} == set(changes)
    pages = [store.queries.changes(1)]
    while (cursor := pages[-1].cursor) is not None:
        pages.append(store.queries.changes(1, cursor))
    assert tuple(page.items[0] for page in pages) == listed
    assert [line for line in scrub(store) if line is not None] == []


def test_a_replay_goes_on_past_every_change_of_sealers() -> None:
    world, _ = live(Store(MemoryEngine(), GENESIS))
    audit = Store.in_memory(GENESIS)
    done = replay(world.store.journal, audit)
    assert (done.epoch, done.stopped) == (world.epoch, None)
    assert audit.head.state_root == world.store.head.state_root


@pytest.mark.parametrize(
    ("past", "names", "code"),
    [
        (0, ("sara", "saul", "selma", "simon"), "seal_votes"),
        (0, ("saul", "selma"), "seal_quorum"),
        (-1, ("saul", "selma", "simon"), "seal_quorum"),
        (-3, ("saul", "selma", "simon", "stella"), "seal_votes"),
    ],
    ids=["one who was dismissed", "too few", "too few of five", "one who is not admitted yet"],
)
def test_a_replay_stops_at_a_seal_that_those_of_its_epoch_did_not_sign(
    past: int, names: tuple[str, ...], code: str
) -> None:
    world, changes = live(Store(MemoryEngine(), GENESIS))
    epoch = changes[2].effective_at + past
    resign(world.store, epoch, [a_signer(name) for name in names])
    done = replay(world.store.journal, Store.in_memory(GENESIS))
    assert done.epoch == epoch - 1
    assert done.stopped is not None
    assert done.stopped.startswith(code)


def test_a_replay_stops_at_a_seal_that_names_others_for_the_next_epoch() -> None:
    world, changes = live(Store(MemoryEngine(), GENESIS))
    epoch = changes[0].effective_at - 1
    store = world.store
    data = store.journal.seal(epoch)
    assert data is not None
    content = replace(Seal.from_bytes(data).content, sealers_next=bytes(32))
    signers = sorted((a_signer(name) for name in SEALERS), key=lambda one: one.address)
    votes = tuple(sign_seal(GENESIS.network, content, signer) for signer in signers)
    key = next(key for key, value in store.engine.scan(SEALS) if value.endswith(data))
    value = store.engine.get(SEALS, key)
    assert value is not None
    batch = Batch()
    batch.put(SEALS, key, value.removesuffix(data) + Seal(content, votes).to_bytes())
    store.engine.write(batch, sync=True)
    done = replay(store.journal, Store.in_memory(GENESIS))
    assert done.epoch == epoch - 1
    assert done.stopped is not None
    assert done.stopped.startswith("seal_sealers")


def test_a_backup_of_a_network_that_changed_its_sealers_is_restored(tmp_path: Path) -> None:
    world, _ = live(Store.open(tmp_path / "db", GENESIS))
    store = world.store
    backup = make_backup(store, tmp_path / "backups").path
    verify_backup(backup, GENESIS, tmp_path / "work")
    restore(backup, tmp_path / "restored", GENESIS)
    again = Store.open(tmp_path / "restored", GENESIS)
    try:
        assert again.head.state_root == store.head.state_root
        charter = find_charter(again.view, GENESIS, again.head.epoch + 1)
        assert sorted(map(name_of, charter.sealers)) == sorted(LATER)
    finally:
        again.close()
        store.close()


def test_a_salvage_replays_past_every_change_of_sealers(tmp_path: Path) -> None:
    world, _ = live(Store.open(tmp_path / "db", GENESIS))
    root = world.store.head.state_root
    world.store.close()
    saved = salvage(tmp_path / "db", GENESIS)
    try:
        assert (saved.replayed.epoch, saved.replayed.stopped) == (world.epoch, None)
        assert saved.store.head.state_root == root
    finally:
        saved.store.close()
