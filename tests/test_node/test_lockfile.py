"""One node per data directory."""

import json
import os
from pathlib import Path

import pytest

from node.exits import Exit, find_exit
from node.lockfile import DataDirError, LockInfo, NodeLock, is_held, read_lock


def acquire(folder: Path) -> NodeLock:
    return NodeLock.acquire(folder / "home" / "node.lock", started_ms=1_234, version="0.1.0")


def test_the_lock_tells_who_runs_and_where_it_answers(tmp_path: Path) -> None:
    path = tmp_path / "home" / "node.lock"
    assert read_lock(path) is None
    with acquire(tmp_path) as lock:
        assert read_lock(path) == LockInfo(os.getpid(), 1_234, "", "0.1.0")
        lock.publish_rpc_url("http://127.0.0.1:7031")
        lock.publish_rpc_url("http://[::1]:1")
        assert read_lock(path) == LockInfo(os.getpid(), 1_234, "http://[::1]:1", "0.1.0")
        assert path.stat().st_mode & 0o777 == 0o600
    assert read_lock(path) is None


def test_a_second_node_is_refused_with_the_process_that_holds_the_directory(tmp_path: Path) -> None:
    with acquire(tmp_path):
        with pytest.raises(DataDirError) as caught:
            acquire(tmp_path)
        assert caught.value.code == "data_dir_in_use"
        assert f"process {os.getpid()}" in caught.value.found
        assert find_exit(caught.value) is Exit.DATA_DIR_IN_USE
        assert read_lock(tmp_path / "home" / "node.lock") is not None
    acquire(tmp_path).close()


def test_what_a_killed_node_left_behind_has_not_to_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "home" / "node.lock"
    acquire(tmp_path).close()
    dead = {"pid": 2**22 + 1, "started_ms": 1, "rpc_url": "http://127.0.0.1:1", "version": "0.0.9"}
    path.write_text(json.dumps(dead) + " " * 100)
    assert read_lock(path) is None
    with acquire(tmp_path):
        info = read_lock(path)
        assert info is not None
        assert info.pid == os.getpid()
        assert info.rpc_url == ""


@pytest.mark.parametrize(
    "content",
    [
        "",
        "123",
        "{}",
        '{"pid": 0, "started_ms": 1, "rpc_url": "", "version": ""}',
        '{"pid": true, "started_ms": 1, "rpc_url": "", "version": ""}',
        '{"pid": 99999999999999999999999, "started_ms": 1, "rpc_url": "", "version": ""}',
        '{"pid": 1, "started_ms": 1, "rpc_url": "", "version": "", "more": 1}',
        "\x00" * 64,
    ],
)
def test_a_lock_file_that_cannot_be_read_names_nobody(tmp_path: Path, content: str) -> None:
    path = tmp_path / "home" / "node.lock"
    acquire(tmp_path).close()
    path.write_text(content)
    assert read_lock(path) is None
    acquire(tmp_path).close()


def test_whether_a_node_really_runs_is_asked_of_the_kernel(tmp_path: Path) -> None:
    path = tmp_path / "home" / "node.lock"
    assert not is_held(path)
    with acquire(tmp_path):
        assert is_held(path)
        left = path.read_bytes()
    path.write_bytes(left)
    assert read_lock(path) is not None
    assert not is_held(path)
    acquire(tmp_path).close()


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    lock = acquire(tmp_path)
    lock.close()
    with acquire(tmp_path) as second:
        lock.close()
        assert read_lock(tmp_path / "home" / "node.lock") == second.info
