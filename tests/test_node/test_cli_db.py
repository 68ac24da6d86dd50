"""`minesync db` on a data directory at rest: what it shows, what it finds, what it makes whole."""

import os
import random
from pathlib import Path

import pytest

from node.exits import Exit
from node.high_water import HighWater
from node.lockfile import NodeLock
from storage.engine import Batch
from storage.indexes import INDEX_TABLE
from storage.migrations import SCHEMA
from storage.rocks import RocksEngine
from storage.store import Store
from tests.support.builders import a_genesis, an_address
from tests.support.damage import flip_middle
from tests.support.golden import load_golden
from tests.support.stored import StoredWorld, play_randomly
from tests.test_node.test_cli import Shell, shell

__all__ = ["shell"]


@pytest.fixture
def home(shell: Shell, tmp_path: Path) -> Shell:
    """A data directory with a history, and no node that runs."""
    file = tmp_path / "genesis"
    file.write_bytes(a_genesis().to_bytes())
    shell.read("init", "--genesis", str(file), "--unencrypted")
    store = Store.open(shell.paths.database, a_genesis())
    play_randomly(StoredWorld(store), random.Random(3), 6)
    store.close()
    return shell


def spoil(home: Shell, table: str, key: bytes, value: bytes | None) -> None:
    store = Store.open(home.paths.database, a_genesis())
    batch = Batch()
    if value is None:
        batch.delete(table, key)
    else:
        batch.put(table, key, value)
    store.engine.write(batch, sync=True)
    store.close()


def test_info_shows_head_counts_and_tables(home: Shell) -> None:
    data = home.read("db", "info")
    assert (data["epoch"], data["network"]) == (6, a_genesis().network.hex())
    assert data["columns"]["transactions"]["bytes"] > 0
    text = home.run("db", "info").out
    assert data["state_root"] in text
    assert "ai_task_states" in text


def test_a_sound_database_is_verified_and_checked(home: Shell) -> None:
    for command in ("verify", "check"):
        data = home.read("db", command)
        assert (data["ok"], data["faults"]) == (True, [])
        assert "whole, at epoch 6" in home.run("db", command).out
    assert home.read("db", "check")["rules_checked"] > 5


def test_a_stray_index_key_is_found_by_both(home: Shell) -> None:
    spoil(home, INDEX_TABLE, b"x", b"")
    for command in ("verify", "check"):
        outcome = home.run("db", command)
        assert outcome.code == Exit.STORAGE_DAMAGED
        assert "indexes: stale 78" in outcome.out


def test_compact_tells_bytes_before_and_after_for_every_table(home: Shell) -> None:
    data = home.read("db", "compact")
    assert data["bytes_before"] > 0
    assert set(data["columns"]) >= {"transactions", "ai_task_states", "meta"}
    assert "bytes after" in home.run("db", "compact").out


def test_a_destroyed_database_comes_back_from_a_backup(home: Shell, tmp_path: Path) -> None:
    root = home.read("db", "info")["state_root"]
    made = home.read("db", "backup")
    assert (made["number"], made["state_root"]) == (1, root)
    home.read("db", "backup", "--keep", "1")
    listed = home.read("db", "backup", "list")["items"]
    assert [item["number"] for item in listed] == [2]
    assert home.read("db", "backup", "verify")["ok"] is True
    mark = HighWater(home.paths.signed_seq)
    mark.raise_to(an_address("alice"), 99)
    mark.close()
    assert "folder_not_empty" in home.refuse(Exit.FAILED, "db", "restore", "2")
    home.paths.database.rename(tmp_path / "destroyed")
    assert home.read("db", "restore", "2")["state_root"] == root
    assert home.read("db", "info")["state_root"] == root
    assert home.read("db", "verify")["ok"] is True
    mark = HighWater(home.paths.signed_seq)
    assert mark.get(an_address("alice")) == 99
    mark.close()


def test_a_changed_backup_is_refused_by_verify_and_restore(home: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    home.read("db", "backup", "--folder", str(folder))
    flip_middle(folder / "000001" / "ITEMS")
    home.paths.database.rename(tmp_path / "destroyed")
    for words in (("backup", "verify"), ("restore", "1")):
        line = home.refuse(Exit.STORAGE_DAMAGED, "db", *words, "--folder", str(folder))
        assert "backup_damaged" in line
        assert "repair" not in line
    home.refuse(Exit.USAGE, "db", "restore", "nothing")
    assert "no_backup" in home.refuse(Exit.FAILED, "db", "restore", "7")


def test_no_backup_is_made_in_the_live_database(home: Shell) -> None:
    folder = str(home.paths.database / "backups")
    outcome = home.run("db", "backup", "--folder", folder)
    assert outcome.code == Exit.FAILED
    assert "backup_inside_database" in outcome.err


def test_a_repair_keeps_the_damaged_database_aside(home: Shell) -> None:
    assert home.read("db", "repair") == {"damage": "none", "repaired": False}
    flip_middle(home.paths.database / "FLOOR")
    line = home.refuse(Exit.STORAGE_DAMAGED, "db", "info")
    assert "minesync db repair" in line
    data = home.read("db", "repair")
    assert data["repaired"] is True
    assert Path(data["aside"]).is_dir()
    assert "salvaged" in home.read("db", "info")["needs_repair"]
    assert home.read("db", "verify")["ok"] is True
    assert home.read("db", "repair", "--accept")["accepted"] is True
    assert home.read("db", "info")["needs_repair"] is None


def test_what_only_the_scrub_sees_is_repaired_too(home: Shell) -> None:
    spoil(home, INDEX_TABLE, b"x", b"")
    assert home.read("db", "repair")["repaired"] is True
    assert home.read("db", "check")["ok"] is True


@pytest.mark.parametrize("command", ["info", "verify", "check", "compact", "backup", "repair"])
def test_a_database_in_use_names_the_process(home: Shell, command: str) -> None:
    with NodeLock.acquire(home.paths.lock, started_ms=1, version="0.1.0"):
        line = home.refuse(Exit.DATA_DIR_IN_USE, "db", command)
    assert f"process {os.getpid()}" in line


def test_a_directory_without_a_database_says_so(shell: Shell) -> None:
    shell.read("init", "--new-network", "toy", "--unencrypted")
    for command in ("info", "verify", "check", "compact", "backup", "repair"):
        assert "no_database" in shell.refuse(Exit.FAILED, "db", command)
    assert shell.run("db", "backup", "list").out == "no backups\n"
    assert "no_backup" in shell.refuse(Exit.FAILED, "db", "backup", "verify")


def test_pruning_drops_old_tasks_and_keeps_the_database_whole(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "genesis"
    file.write_bytes(a_genesis().to_bytes())
    shell.read("init", "--genesis", str(file), "--unencrypted")
    store = Store.open(shell.paths.database, a_genesis())
    play_randomly(StoredWorld(store), random.Random(3), 40)
    root = store.head.state_root.hex()
    store.close()
    data = shell.read("db", "prune", "--retention", "6")
    assert data["tasks"] > 0
    assert data["rows"] > data["tasks"]
    assert data["dropped_bytes"] > 0
    assert data["disk_bytes_after"] > 0
    info = shell.read("db", "info")
    assert info["state_root"] == root
    assert info["pruned"] == {
        "upto_epoch": 34,
        "tasks": data["tasks"],
        "rows": data["rows"],
        "bytes": data["dropped_bytes"],
    }
    for command in ("verify", "check"):
        assert shell.read("db", command)["ok"] is True
    assert shell.read("db", "prune", "--retention", "6")["tasks"] == 0


def test_a_retention_that_is_too_short_is_refused_with_the_least(home: Shell) -> None:
    result = home.run("db", "prune", "--retention", "1")
    assert result.code != Exit.OK
    assert "retention_too_short" in result.err
    assert "at least 6" in result.err
    assert home.run("db", "prune").code == Exit.USAGE


def test_an_old_database_is_migrated_and_the_copy_named(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "genesis"
    file.write_bytes(a_genesis().to_bytes())
    shell.read("init", "--genesis", str(file), "--unencrypted")
    engine = RocksEngine(shell.paths.database, network=a_genesis().network)
    load_golden(2, engine)
    engine.close()
    data = shell.read("db", "migrate")
    assert (data["schema"], data["migrated_from"]) == (SCHEMA, 2)
    assert Path(data["copy"]).is_dir()
    assert shell.read("db", "migrate") == {"schema": SCHEMA, "migrated_from": None, "copy": None}
