"""The real engine and its folder: crashes, damage, strangers. Nothing is lost in silence.

A copy of the files of an open database is what a kill would have left on disk.
"""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from storage.engine import TABLES, Batch
from storage.errors import Corrupt, Full, InUse, StorageError, WrongNetwork
from storage.errors import FormatTooNew as TooNew
from storage.rocks import RocksEngine
from tests.support.damage import (
    FILE_DAMAGE,
    LOG_DAMAGE,
    cut_tail,
    find_largest_table,
    find_log,
    flip_middle,
)

NETWORK = b"testnet0"
TABLE, OTHER = "transactions", "ai_submissions"
BATCHES, BATCH_ROWS = 6, 200


def write_batch(engine: RocksEngine, number: int, *, sync: bool = True) -> None:
    batch = Batch()
    for row in range(BATCH_ROWS):
        key = number.to_bytes(2, "big") + row.to_bytes(2, "big") + b"key of a row"
        batch.put(TABLE, key, os.urandom(200))
        batch.put(OTHER, key, b"beside it")
    engine.write(batch, sync=sync)


def count_rows(engine: RocksEngine) -> tuple[int, int]:
    return len(list(engine.scan(TABLE))), len(list(engine.scan(OTHER)))


def open_engine(path: Path) -> RocksEngine:
    return RocksEngine(path, network=NETWORK)


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """The folder of a database that was killed after six synced batches, all still in the log."""
    engine = open_engine(tmp_path / "live")
    for number in range(BATCHES):
        write_batch(engine, number)
    shutil.copytree(tmp_path / "live", tmp_path / "db")
    engine.close()
    return tmp_path / "db"


@pytest.fixture
def at_rest(tmp_path: Path) -> Path:
    """The folder of a database that was closed in order, all in table files."""
    engine = open_engine(tmp_path / "db")
    for number in range(BATCHES):
        write_batch(engine, number)
    engine.close()
    return tmp_path / "db"


def read_everything(path: Path) -> tuple[int, int]:
    engine = open_engine(path)
    try:
        return count_rows(engine)
    finally:
        engine.close()


def test_all_synced_batches_survive_a_kill(crashed: Path) -> None:
    assert read_everything(crashed) == (BATCHES * BATCH_ROWS, BATCHES * BATCH_ROWS)


def test_a_torn_unsynced_batch_is_gone_whole(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "live")
    write_batch(engine, 0)
    write_batch(engine, 1, sync=False)
    for cut in (1, 7, 137, 200):
        image = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "live", image)
        cut_tail(find_log(image), cut)
        assert read_everything(image) == (BATCH_ROWS, BATCH_ROWS)
    engine.close()


def test_a_database_reopens_with_all_it_had(at_rest: Path) -> None:
    engine = open_engine(at_rest)
    write_batch(engine, BATCHES)
    engine.close()
    rows = (BATCHES + 1) * BATCH_ROWS
    assert read_everything(at_rest) == (rows, rows)


@pytest.mark.parametrize("damage", LOG_DAMAGE.values(), ids=LOG_DAMAGE)
def test_a_damaged_log_is_never_opened_in_silence(
    crashed: Path, damage: Callable[[Path], None]
) -> None:
    damage(find_log(crashed))
    # A refused open must not heal the folder into a shorter truth either.
    for _ in range(2):
        with pytest.raises(Corrupt):
            open_engine(crashed)


def test_an_older_copy_of_the_files_is_not_taken_for_the_truth(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    write_batch(engine, 0)
    shutil.copytree(tmp_path / "db" / "rocks", tmp_path / "old")
    write_batch(engine, 1)
    engine.close()
    shutil.rmtree(tmp_path / "db" / "rocks")
    shutil.move(tmp_path / "old", tmp_path / "db" / "rocks")
    with pytest.raises(Corrupt, match="acknowledged_lost"):
        open_engine(tmp_path / "db")


def test_a_flipped_bit_in_a_table_file_ends_a_scan_with_an_error(at_rest: Path) -> None:
    flip_middle(find_largest_table(at_rest))
    engine = open_engine(at_rest)
    for is_reverse in (False, True):
        rows = engine.scan(TABLE, reverse=is_reverse)
        with pytest.raises(Corrupt):
            list(rows)
    keys = [key for key, _ in engine.scan(OTHER)]
    with pytest.raises(Corrupt):
        list(map(partial(engine.get, TABLE), keys))
    with pytest.raises(Corrupt):
        engine.get_many(TABLE, keys)
    engine.close()


@pytest.mark.parametrize("damage", FILE_DAMAGE.values(), ids=FILE_DAMAGE)
def test_a_missing_or_damaged_file_refuses_the_open(
    at_rest: Path, damage: Callable[[Path], None]
) -> None:
    damage(at_rest)
    with pytest.raises(Corrupt):
        open_engine(at_rest)


def test_a_second_open_is_refused_and_names_the_process(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    with pytest.raises(InUse, match=r"no node\.lock"):
        open_engine(tmp_path / "db")
    for text in ("4711\n", '{"pid": 4711, "version": "1"}', "start = 1\npid = 4711\n"):
        (tmp_path / "node.lock").write_text(text)
        with pytest.raises(InUse, match="process 4711"):
            open_engine(tmp_path / "db")
    write_batch(engine, 0)
    engine.close()
    assert read_everything(tmp_path / "db") == (BATCH_ROWS, BATCH_ROWS)


def test_a_running_scan_does_not_keep_the_lock(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    write_batch(engine, 0)
    scans = [engine.scan(TABLE), engine.scan(OTHER)]
    next(scans[0])
    engine.close()
    assert read_everything(tmp_path / "db") == (BATCH_ROWS, BATCH_ROWS)


def test_another_network_is_refused(at_rest: Path) -> None:
    with pytest.raises(WrongNetwork, match="wrong_network"):
        RocksEngine(at_rest, network=b"mainnet0")


@pytest.mark.parametrize(
    "marker",
    [
        None,
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"kind": "other", "format": 1, "network": "", "state": "ready"}',
        b'{"kind": "minesync database", "format": true, "network": "", "state": "ready"}',
        b'{"kind": "minesync database", "format": 1, "network": "", "state": "odd"}',
        b" " * 5_000,
    ],
)
def test_a_foreign_folder_is_never_opened(tmp_path: Path, marker: bytes | None) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "somebody's file").write_bytes(b"kept")
    if marker is not None:
        (stranger / "MARKER").write_bytes(marker)
    before = sorted(path.name for path in stranger.iterdir())
    with pytest.raises(WrongNetwork, match="foreign_folder"):
        open_engine(stranger)
    assert sorted(path.name for path in stranger.iterdir()) == before


def test_a_later_format_is_refused(at_rest: Path) -> None:
    marker = at_rest / "MARKER"
    marker.write_bytes(marker.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(TooNew):
        open_engine(at_rest)


def test_tables_of_a_later_release_do_not_hide_its_schema(tmp_path: Path) -> None:
    later = RocksEngine(tmp_path / "db", network=NETWORK, tables=(*TABLES, "of_tomorrow"))
    batch = Batch()
    batch.put("of_tomorrow", b"k", b"v")
    batch.put("meta", b"schema", b"of tomorrow")
    later.write(batch, sync=True)
    later.close()
    engine = open_engine(tmp_path / "db")
    assert engine.get("meta", b"schema") == b"of tomorrow"
    with pytest.raises(KeyError):
        engine.get("of_tomorrow", b"k")
    engine.close()


def test_a_new_table_is_added_to_an_old_database(tmp_path: Path) -> None:
    RocksEngine(tmp_path / "db", network=NETWORK, tables=TABLES[:-1]).close()
    engine = open_engine(tmp_path / "db")
    assert list(engine.scan(TABLES[-1])) == []
    engine.close()


def test_a_kill_inside_the_very_first_open_leaves_a_usable_folder(tmp_path: Path) -> None:
    open_engine(tmp_path / "whole").close()
    marker = (tmp_path / "whole" / "MARKER").read_bytes()
    for leftover in ("", "rocks/000004.log"):
        half = tmp_path / f"half{len(leftover)}"
        (half / "rocks").mkdir(parents=True)
        (half / "MARKER").write_bytes(marker.replace(b"ready", b"creating"))
        if leftover:
            (half / leftover).write_bytes(b"")
        assert read_everything(half) == (0, 0)
        assert read_everything(half) == (0, 0)


@pytest.mark.parametrize("written", [0, 40])
def test_a_kill_before_the_marker_has_its_name_leaves_a_usable_folder(
    tmp_path: Path, written: int
) -> None:
    """The very first thing in the folder is the draft of the marker, whole or in part."""
    half = tmp_path / "half"
    half.mkdir()
    (half / "MARKER.new").write_bytes(b"{" * written)
    assert read_everything(half) == (0, 0)
    assert read_everything(half) == (0, 0)


def test_the_floor_is_on_disk_before_the_marker_says_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut soon after the first start would leave its name without its content."""
    synced: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        sync(descriptor)
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    def note_replace(source: Path, target: Path) -> None:
        replace(source, target)
        synced.append(target.read_text().partition('"state": "')[2].partition('"')[0])

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    engine = open_engine(tmp_path / "db")
    engine.checkpoint(tmp_path / "copy")
    engine.close()
    marks = [name for name in synced if name in ("creating", "FLOOR", "ready")]
    assert marks == ["creating", "FLOOR", "ready"] * 2


def test_a_checkpoint_opens_like_any_database_and_stays_as_it_was(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    write_batch(engine, 0)
    engine.checkpoint(tmp_path / "backups" / "copy")
    write_batch(engine, 1)
    engine.close()
    assert read_everything(tmp_path / "backups" / "copy") == (BATCH_ROWS, BATCH_ROWS)
    assert read_everything(tmp_path / "db") == (2 * BATCH_ROWS, 2 * BATCH_ROWS)


def test_a_checkpoint_into_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_bytes(b"kept")
    with pytest.raises(StorageError, match="folder_not_empty"):
        engine.checkpoint(tmp_path / "full")
    engine.close()
    assert (tmp_path / "full" / "file").read_bytes() == b"kept"


def test_reopen_keeps_everything_and_ends_running_scans(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    write_batch(engine, 0)
    scan = engine.scan(TABLE)
    next(scan)
    engine.reopen()
    write_batch(engine, 1)
    assert count_rows(engine) == (2 * BATCH_ROWS, 2 * BATCH_ROWS)
    with pytest.raises(StorageError):
        list(scan)
    engine.close()


def test_too_little_room_keeps_the_handle_that_serves_reads(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    write_batch(engine, 0)
    with pytest.raises(Full):
        engine.reopen(room_bytes_min=1 << 60)
    assert count_rows(engine) == (BATCH_ROWS, BATCH_ROWS)
    engine.close()


def test_the_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    open_engine(tmp_path / "db").close()
    assert (tmp_path / "db").stat().st_mode & 0o077 == 0
    assert (tmp_path / "db" / "MARKER").stat().st_mode & 0o077 == 0


def test_compaction_gives_back_the_room_of_what_was_deleted(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "db")
    for number in range(BATCHES):
        write_batch(engine, number)
    engine.flush()
    batch = Batch()
    for key, _ in engine.scan(TABLE):
        batch.delete(TABLE, key)
    engine.write(batch, sync=True)
    engine.flush()
    before = engine.properties()[TABLE]["bytes"]
    engine.compact(TABLE)
    assert engine.properties()[TABLE]["bytes"] < before // 10
    assert count_rows(engine) == (0, BATCHES * BATCH_ROWS)
    engine.close()
