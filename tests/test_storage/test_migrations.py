"""Databases of older schemas open, wherever the new release is killed on its way to its own."""

import json
from pathlib import Path

import pytest

from node.version import VERSION
from protocol.hashing import HASH_BYTES, compute_content_hash
from protocol.schema import encode_record
from storage import migrations
from storage.engine import TABLES, Batch
from storage.errors import Corrupt, FormatTooNew, Full
from storage.indexes import INDEX_TABLE
from storage.memory import MemoryEngine
from storage.meta import META
from storage.migrations import MIGRATIONS, SCHEMA, SCHEMA_KEY, migrate, read_schema
from storage.rocks import RocksEngine
from storage.salvage import salvage
from storage.scrub import scrub
from storage.store import Store
from tests.support.builders import a_genesis
from tests.support.engines import WatchedEngine
from tests.support.golden import BLOB_SIZES, build_store, load_golden, make_blobs, read_rows

ADDED = {
    "blob_pieces": 2,
    "tombstones": 3,
    "fraud_reports": 4,
    **dict.fromkeys(("changes", "charters", "licences"), 5),
    "ai_vote_commitments": 6,
}
"""Tables by the schema that added them."""
OLD_SCHEMAS = range(1, SCHEMA)


def make_old_folder(path: Path, schema: int = 1) -> dict[str, dict[bytes, bytes]]:
    """Write the golden database of a schema to a folder; return its rows."""
    tables = tuple(table for table in TABLES if ADDED.get(table, 1) <= schema)
    engine = RocksEngine(path, network=a_genesis().network, tables=tables)
    load_golden(schema, engine)
    rows = {table: dict(engine.scan(table)) for table in tables}
    engine.close()
    return rows


def check_is_whole(store: Store, schema: int = 1) -> None:
    """Check that a store has all that a golden database holds, each byte in its new place."""
    golden = MemoryEngine()
    load_golden(schema, golden)
    before, after = read_rows(golden), read_rows(store.engine)
    assert read_schema(store.engine) == SCHEMA
    # Indexes have a version of their own; the scrub compares them with the rows.
    same = set(TABLES) - {"blobs", "blob_pieces", "meta", INDEX_TABLE}
    assert {table: after[table] for table in same} == {table: before[table] for table in same}
    names = before["meta"].keys() - {b"indexes", SCHEMA_KEY}
    assert {name: after["meta"][name] for name in names} == {
        name: before["meta"][name] for name in names
    }
    blobs, found = ({**rows["blobs"], **rows["blob_pieces"]} for rows in (before, after))
    assert found == blobs
    assert {len(key) for key in after["blobs"]} == {HASH_BYTES}
    assert [found for found in scrub(store) if found is not None] == []
    for size, data in zip(BLOB_SIZES, make_blobs(), strict=True):
        assert store.journal.blob(compute_content_hash(data[:size])) == data[:size]


@pytest.mark.parametrize("schema", OLD_SCHEMAS)
def test_a_golden_database_opens_with_all_that_it_held(schema: int) -> None:
    engine = MemoryEngine()
    load_golden(schema, engine)
    assert read_schema(engine) == schema
    check_is_whole(Store(engine, a_genesis()), schema)


@pytest.mark.parametrize("schema", OLD_SCHEMAS)
def test_a_migration_that_is_done_is_not_done_again(schema: int) -> None:
    engine = MemoryEngine()
    load_golden(schema, engine)
    assert migrate(engine) == SCHEMA - schema
    before = read_rows(engine)
    assert migrate(engine) == 0
    assert read_rows(engine) == before
    assert migrate(build_store().engine) == 0


def test_killed_at_any_batch_it_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # A batch for each piece of a blob: as many places to be killed at as there can be.
    monkeypatch.setattr(migrations, "BATCH_BYTES_MAX", 1)
    kills = 0
    while True:
        engine = WatchedEngine(MemoryEngine())
        load_golden(1, engine)
        engine.writes_left = kills
        try:
            Store(engine, a_genesis())
        except Full:
            kills += 1
        else:
            break
        # Behind the last step stands the rebuild of the indexes, which begins anew when killed.
        assert read_schema(engine) in range(1, SCHEMA + 1)
        engine.writes_left = None
        check_is_whole(Store(engine, a_genesis()))
    assert kills > len(BLOB_SIZES)


def test_killed_at_every_start_it_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "BATCH_BYTES_MAX", 1)
    engine = WatchedEngine(MemoryEngine())
    load_golden(1, engine)
    kills = 0
    for _ in range(1_000):
        engine.writes_left = 2
        try:
            migrate(engine)
            break
        except Full:
            kills += 1
    assert 5 < kills < 100
    engine.writes_left = None
    check_is_whole(Store(engine, a_genesis()))


@pytest.mark.parametrize("schema", OLD_SCHEMAS)
def test_a_folder_is_copied_before_it_is_changed(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "db"
    rows = make_old_folder(path, schema)
    store = Store.open(path, a_genesis())
    check_is_whole(store, schema)
    store.close()
    copy = RocksEngine(tmp_path / f"db.schema-{schema}", network=a_genesis().network)
    assert read_schema(copy) == schema
    assert {table: found for table, found in read_rows(copy).items() if found} == {
        table: found for table, found in rows.items() if found
    }
    copy.close()
    store = Store.open(path, a_genesis())
    check_is_whole(store, schema)
    store.close()


def test_a_copy_that_was_not_finished_is_made_again(tmp_path: Path) -> None:
    make_old_folder(tmp_path / "db")
    half = tmp_path / "db.schema-1"
    half.mkdir()
    marker = json.loads((tmp_path / "db" / "MARKER").read_text())
    (half / "MARKER").write_text(json.dumps({**marker, "state": "creating"}))
    Store.open(tmp_path / "db", a_genesis()).close()
    assert json.loads((half / "MARKER").read_text())["state"] == "ready"


def test_a_copy_that_is_whole_is_never_written_over(tmp_path: Path) -> None:
    make_old_folder(tmp_path / "db")
    engine = RocksEngine(tmp_path / "db", network=a_genesis().network)
    migrations.keep_copy(engine, a_genesis().network)
    marker = tmp_path / "db.schema-1" / "MARKER"
    before = marker.stat()
    migrations.keep_copy(engine, a_genesis().network)
    assert marker.stat() == before
    engine.close()


def test_a_later_schema_is_refused_with_the_release_to_install() -> None:
    store = build_store()
    row = migrations._SchemaRow(SCHEMA + 1, "7.8.9")
    batch = Batch()
    batch.put(META, SCHEMA_KEY, encode_record(row))
    store.engine.write(batch, sync=True)
    before = read_rows(store.engine)
    with pytest.raises(FormatTooNew, match=r"schema_too_new.*7\.8\.9"):
        Store(store.engine, a_genesis())
    assert read_rows(store.engine) == before


def test_a_later_release_is_named_though_it_added_tables(tmp_path: Path) -> None:
    path, network = tmp_path / "db", a_genesis().network
    Store.open(path, a_genesis()).close()
    later = RocksEngine(path, network=network, tables=(*TABLES, "of_tomorrow"))
    batch = Batch()
    batch.put("of_tomorrow", b"k", b"v")
    batch.put(META, SCHEMA_KEY, encode_record(migrations._SchemaRow(SCHEMA + 1, "7.8.9")))
    later.write(batch, sync=True)
    later.close()
    with pytest.raises(FormatTooNew, match=r"schema_too_new.*7\.8\.9"):
        Store.open(path, a_genesis())
    later = RocksEngine(path, network=network, tables=(*TABLES, "of_tomorrow"))
    assert later.get("of_tomorrow", b"k") == b"v"
    later.close()


def test_a_number_that_cannot_be_read_is_damage() -> None:
    store = build_store()
    batch = Batch()
    batch.put(META, SCHEMA_KEY, b"2")
    store.engine.write(batch, sync=True)
    with pytest.raises(Corrupt, match="meta_damaged"):
        Store(store.engine, a_genesis())


def test_no_schema_names_a_release_that_is_still_to_come() -> None:
    def parse(release: str) -> list[int]:
        return [int(part) for part in release.split(".")]

    releases = [parse(one.release) for one in MIGRATIONS]
    assert releases == sorted(releases)
    assert releases[-1] <= parse(VERSION)


def test_a_salvage_of_an_old_database_keeps_its_blobs(tmp_path: Path) -> None:
    make_old_folder(tmp_path / "db")
    # Its seals are not replayed: by the rules of then, votes were open, and they were counted.
    damage = Batch()
    engine = RocksEngine(tmp_path / "db", network=a_genesis().network)
    for key, _ in engine.scan("seals"):
        damage.delete("seals", key)
    engine.write(damage, sync=True)
    engine.close()
    store = salvage(tmp_path / "db", a_genesis()).store
    assert read_schema(store.engine) == SCHEMA
    for size, data in zip(BLOB_SIZES, make_blobs(), strict=True):
        assert store.journal.blob(compute_content_hash(data[:size])) == data[:size]
    store.close()
