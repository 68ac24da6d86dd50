"""The store: what a seal writes is whole, survives a restart, and is checked at the next open."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import InvariantBroken, Rejected
from protocol.hashing import compute_content_hash
from protocol.lthash import LtHash
from protocol.ranges import Item, VectorView
from protocol.seals import Seal, compute_seal_hash
from protocol.tables import ALL
from protocol.task_types import BLOB_BYTES_MAX
from storage import meta
from storage.engine import TABLES, Batch, Engine
from storage.errors import Corrupt, Full, StorageError, WrongNetwork
from storage.journal import OPEN, SEALS
from storage.memory import MemoryEngine
from storage.range_leaves import TABLE as LEAVES
from storage.store import Store
from tests.support.builders import a_genesis, a_hash
from tests.support.engines import WatchedEngine
from tests.support.stored import StoredWorld, build_seal, compute_rows_hash, play_randomly
from tests.support.world import World


def read_all(engine: Engine) -> dict[str, list[tuple[bytes, bytes]]]:
    return {table: list(engine.scan(table)) for table in TABLES}


def rehash_rows(engine: Engine) -> LtHash:
    rows_hash = LtHash()
    for table in ALL:
        for key, data in engine.scan(table.name):
            rows_hash.add_row(table.name, key, data)
    return rows_hash


def count_rows(engine: Engine) -> int:
    return sum(1 for table in ALL for _ in engine.scan(table.name))


def test_a_new_store_holds_the_genesis(store: Store) -> None:
    genesis = store.genesis
    assert (store.head.epoch, store.head.seal_hash) == (0, genesis.hash)
    assert store.head.state_root == rehash_rows(store.engine).state_root()
    assert store.totals.rows == len(genesis.rows()) == count_rows(store.engine)
    for allocation in genesis.allocations:
        account = store.queries.account(allocation.address)
        assert account is not None
        assert account.balance == allocation.balance
    assert store.queries.ledger().supply == genesis.supply
    assert store.range_view().size() == 0


@pytest.mark.parametrize("seed", range(2))
def test_head_hash_and_counts_follow_every_seal(store: Store, seed: int) -> None:
    world = StoredWorld(store)
    for _ in range(5):
        play_randomly(world, random.Random(seed), 4)
        assert store.head.state_root == rehash_rows(store.engine).state_root()
        assert store.totals.rows == count_rows(store.engine)
        sealed = [tx for epoch in world.history for tx in epoch.transactions]
        assert store.totals.sealed == store.totals.items == len(sealed)
        assert store.range_view().size() == len(sealed)


def test_a_restart_finds_everything_as_it_was(engine: Engine) -> None:
    store = Store(engine, a_genesis())
    world = StoredWorld(store)
    play_randomly(world, random.Random(3), 10)
    store.put_transactions([world.publish(), world.publish()])
    before = read_all(engine)
    again = Store(engine, a_genesis())
    assert read_all(engine) == before
    assert again.totals == store.totals
    assert again.head.state_root == store.head.state_root
    assert again.head.seal_hash == store.head.seal_hash
    view, other = store.range_view(), again.range_view()
    assert list(view.iterate(0, view.size())) == list(other.iterate(0, other.size()))
    assert view.fingerprint(0, view.size()) == other.fingerprint(0, other.size())


def test_the_range_view_shows_sealed_open_and_evidence_as_one_set(store: Store) -> None:
    world = StoredWorld(store)
    play_randomly(world, random.Random(4), 8)
    store.put_transactions(world.publish() for _ in range(40))
    items = [*store.journal.open_items()]
    for epoch in world.history:
        items += [Item(tx.header.epoch, tx.tx_id) for tx in epoch.transactions]
    wanted = VectorView(items)
    view = store.range_view()
    size = wanted.size()
    assert view.size() == size
    assert list(view.iterate(0, size)) == list(wanted.iterate(0, size))
    chance = random.Random(1)
    for _ in range(200):
        begin, end = sorted(chance.choices(range(size + 1), k=2))
        assert view.fingerprint(begin, end) == wanted.fingerprint(begin, end)
    # It stays what it was.
    world.seal()
    store.put_transactions([world.publish()])
    assert view.size() == size


def test_what_the_cache_says_is_what_is_on_disk(store: Store) -> None:
    world = StoredWorld(store)
    for seed in range(4):
        play_randomly(world, random.Random(seed), 4)
        fresh = Store(store.engine, store.genesis)
        for name, key in world.view.rows:
            table = next(table for table in ALL if table.name == name)
            assert store.view.get(table, key) == fresh.view.get(table, key)
    assert store.rows.cache.hit_share > 0


@pytest.mark.parametrize("writes", range(4))
def test_after_a_failed_write_the_store_says_what_is_on_disk(writes: int) -> None:
    engine = WatchedEngine(MemoryEngine())
    store = Store(engine, a_genesis())
    world = StoredWorld(store)
    play_randomly(world, random.Random(1), 3)
    engine.writes_left = writes
    with pytest.raises(Full):
        play_randomly(world, random.Random(2), 4)
    engine.writes_left = None
    again = Store(engine, a_genesis())
    assert again.totals == store.totals
    assert again.head.state_root == store.head.state_root == rehash_rows(engine).state_root()
    assert again.range_view().size() == store.range_view().size()


def test_a_seal_that_does_not_fit_is_refused_whole(store: Store) -> None:
    world = StoredWorld(store)
    tx = world.publish()
    store.put_transactions([tx])
    before = read_all(store.engine)
    outcome = World.seal(world, tx)
    rows_hash = compute_rows_hash(store, outcome)
    ids = [tx.tx_id]
    seal = build_seal(store, ids, rows_hash)
    content = seal.content
    wrong_root = compute_rows_hash(store, outcome)
    wrong_root.add_row("ledger", b"", b"one more")
    attempts: list[tuple[Seal, list[bytes], LtHash]] = [
        (replace(seal, content=replace(content, epoch=2)), ids, rows_hash),
        (seal, ids, wrong_root),
        (seal, [], rows_hash),
        (seal, [tx.tx_id, tx.tx_id], rows_hash),
        (replace(seal, content=replace(content, count=2)), [tx.tx_id, a_hash("x")], rows_hash),
    ]
    for wrong, wrong_ids, wrong_hash in attempts:
        with pytest.raises(InvariantBroken):
            store.commit_epoch(wrong, a_hash("hash"), wrong_ids, outcome, wrong_hash)
        assert read_all(store.engine) == before
    store.commit_epoch(
        seal, compute_seal_hash(store.genesis.network, content), ids, outcome, rows_hash
    )
    assert store.head.epoch == 1


def remove_first(table: str) -> Callable[[Engine], None]:
    def remove(engine: Engine) -> None:
        batch = Batch()
        batch.delete(table, next(iter(engine.scan(table)))[0])
        engine.write(batch, sync=True)

    return remove


def remove_meta(key: bytes) -> Callable[[Engine], None]:
    def remove(engine: Engine) -> None:
        batch = Batch()
        batch.delete(meta.META, key)
        engine.write(batch, sync=True)

    return remove


def replace_head_by_older(engine: Engine) -> None:
    older = MemoryEngine()
    Store(older, a_genesis())
    batch = Batch()
    head = meta.read_head(older)
    assert head is not None
    head.epoch = 3
    meta.stage_head(batch, head)
    engine.write(batch, sync=True)


LOSSES: dict[str, Callable[[Engine], None]] = {
    "an open mark": remove_first(OPEN),
    "a range leaf": remove_first(LEAVES),
    "the totals": remove_meta(meta.TOTALS),
    "the last seal": lambda engine: remove_seal(engine, 3),
    "another head": replace_head_by_older,
}


def remove_seal(engine: Engine, epoch: int) -> None:
    batch = Batch()
    batch.delete(SEALS, b"s" + epoch.to_bytes(8, "big"))
    engine.write(batch, sync=True)


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_what_is_missing_is_seen_at_open(engine: Engine, lose: Callable[[Engine], None]) -> None:
    world = StoredWorld(Store(engine, a_genesis()))
    play_randomly(world, random.Random(1), 3)
    world.store.put_transactions([world.publish()])
    Store(engine, a_genesis())
    lose(engine)
    with pytest.raises(Corrupt):
        Store(engine, a_genesis())


def test_another_genesis_is_refused(engine: Engine) -> None:
    Store(engine, a_genesis())
    with pytest.raises(WrongNetwork):
        Store(engine, a_genesis(name="another"))


def test_a_store_in_a_folder_is_of_its_network(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "db", a_genesis())
    with pytest.raises(StorageError, match="database_in_use"):
        Store.open(tmp_path / "db", a_genesis())
    store.close()
    store.close()
    with pytest.raises(WrongNetwork):
        Store.open(tmp_path / "db", a_genesis(name="another"))
    Store.open(tmp_path / "db", a_genesis()).close()


def test_a_store_that_cannot_be_opened_leaves_no_lock(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "db", a_genesis())
    remove_meta(meta.TOTALS)(store.engine)
    store.close()
    for _ in range(2):
        with pytest.raises(Corrupt):
            Store.open(tmp_path / "db", a_genesis())


def test_blobs_are_found_by_their_hash_whole_and_in_parts(store: Store) -> None:
    blobs = store.journal.blobs
    for size in (0, 1, 65_536, 65_537, 300_000, BLOB_BYTES_MAX):
        data = random.Random(size).randbytes(size)
        content_hash = compute_content_hash(data)
        assert not store.journal.has_blob(content_hash)
        store.put_blob(content_hash, data)
        store.put_blob(content_hash, data)
        assert store.journal.has_blob(content_hash)
        assert store.journal.blob(content_hash) == data
        assert blobs.size(content_hash) == size
        for offset, length in ((0, 10), (65_530, 20), (size - 5, 100), (size, 9), (size + 9, 9)):
            offset = max(0, offset)
            assert blobs.read(content_hash, offset, length) == data[offset : offset + length]


def test_a_blob_that_is_too_long_or_another_is_refused(store: Store) -> None:
    with pytest.raises(Rejected, match="blob_too_long"):
        store.put_blob(a_hash("x"), bytes(BLOB_BYTES_MAX + 1))
    with pytest.raises(Rejected, match="blob_mismatch"):
        store.put_blob(a_hash("x"), b"x" * 10)
    assert store.journal.blob(a_hash("x")) is None
    assert store.journal.blob(b"no hash") is None


def test_a_damaged_blob_is_named_and_a_deleted_one_is_gone(store: Store) -> None:
    data = b"x" * 100_000
    content_hash = compute_content_hash(data)
    store.put_blob(content_hash, data)
    batch = Batch()
    batch.put("blob_pieces", content_hash + bytes(8), b"y" * 65_536)
    store.engine.write(batch, sync=False)
    with pytest.raises(Corrupt, match="blob_damaged"):
        store.journal.blob(content_hash)
    batch = Batch()
    assert store.journal.blobs.stage_delete(batch, content_hash) == 100_000
    store.engine.write(batch, sync=False)
    assert store.journal.blobs.stage_delete(Batch(), content_hash) == 0
    assert list(store.engine.scan("blobs")) == list(store.engine.scan("blob_pieces")) == []


def test_local_records_and_the_repair_mark(store: Store) -> None:
    assert store.meta_get("peers") is None
    store.meta_put("peers", b"1")
    store.meta_put("head", b"not the head")
    assert store.meta_get("peers") == b"1"
    assert store.needs_repair is None
    batch = Batch()
    batch.put(meta.META, meta.NEEDS_REPAIR, b"salvaged")
    store.engine.write(batch, sync=True)
    again = Store(store.engine, store.genesis)
    assert again.needs_repair == "salvaged"
    again.mark_repaired()
    assert again.needs_repair is None
