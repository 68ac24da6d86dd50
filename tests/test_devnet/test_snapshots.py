"""Snapshots of a devnet at rest: what comes back, what is refused, where a kill may fall."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.founding import found_devnet
from devnet.layout import Devnet
from devnet.manifests.lineup import NodePlan
from devnet.manifests.tables import NodeTable
from devnet.snapshots.album import list_names
from devnet.snapshots.keeper import load_snapshot, save_snapshot
from devnet.snapshots.swap import hold_snapshots, recover
from devnet.watch.events import read_events
from node.cli import run_command
from node.exits import Exit
from node.high_water import HighWater
from node.lockfile import DataDirError, NodeLock
from node.network import read_genesis
from protocol.errors import BlamedError
from storage.errors import WrongNetwork
from storage.store import Store

SEED = 7


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A devnet whose peers have run: each has a database and a signing mark."""
    devnet = found_devnet(tmp_path_factory.mktemp("template") / "net", 3, SEED)
    genesis = read_genesis(devnet.genesis_path)
    for peer in devnet.roster.peers:
        Store.open(devnet.data_paths(peer.name).database, genesis).close()
        sign(devnet, peer.name, 4)
    devnet.published_path.write_text("{}\n")
    return devnet.root


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only a power cut could show costs what everybody else on this machine wrote."""
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture
def devnet(template: Path, tmp_path: Path) -> Devnet:
    shutil.copytree(template, tmp_path / "net")
    devnet = Devnet.load(tmp_path / "net")
    # With its own paths.
    devnet.forget_processes()
    return devnet


def sign(devnet: Devnet, name: str, seq: int) -> None:
    """Raise the signing mark of a peer, as its author does."""
    mark = HighWater(devnet.data_paths(name).signed_seq)
    mark.raise_to(bytes.fromhex(devnet.peer(name).account), seq)
    mark.close()


def read_mark(devnet: Devnet, name: str) -> int | None:
    mark = HighWater(devnet.data_paths(name).signed_seq)
    found = mark.get(bytes.fromhex(devnet.peer(name).account))
    mark.close()
    return found


def add_n4(devnet: Devnet) -> None:
    plan = NodePlan("n4", NodeTable(), group="", seals=False, dials=("n1",))
    ProcessCluster(devnet).add(plan)


def read_tree(devnet: Devnet) -> dict[str, bytes]:
    """Return all that belongs to the state of a devnet."""
    own = (devnet.root / "snapshots", devnet.root / "logs", devnet.events_path)
    return {
        str(path.relative_to(devnet.root)): path.read_bytes()
        for path in sorted(devnet.root.rglob("*"))
        if path.is_file()
        and path.suffix != ".lock"
        and not any(path == one or one in path.parents for one in own)
    }


async def test_all_peers_go_back_together_and_one_that_came_later_is_gone(devnet: Devnet) -> None:
    saved = read_tree(devnet)
    await save_snapshot(ProcessCluster(devnet), "base")
    for name in devnet.names:
        sign(devnet, name, 9)
    devnet.published_path.write_text("{}\n{}\n")
    add_n4(devnet)
    after = await load_snapshot(ProcessCluster(devnet), "base")
    assert after.devnet.names == ("n1", "n2", "n3")
    assert read_tree(after.devnet) == saved
    assert {read_mark(after.devnet, name) for name in after.devnet.names} == {4}
    for name in after.devnet.names:
        # They open: no lock, and no file of the later state, is left among theirs.
        genesis = read_genesis(after.devnet.genesis_path)
        Store.open(after.devnet.data_paths(name).database, genesis).close()


async def test_a_peer_that_was_removed_comes_back(devnet: Devnet) -> None:
    add_n4(devnet)
    await save_snapshot(ProcessCluster(devnet), "four")
    ProcessCluster(devnet).remove("n4")
    after = await load_snapshot(ProcessCluster(devnet), "four")
    assert after.devnet.names == ("n1", "n2", "n3", "n4")
    assert after.devnet.data_paths("n4").identity.exists()


async def test_a_snapshot_can_be_loaded_again_and_after_another_one(devnet: Devnet) -> None:
    await save_snapshot(ProcessCluster(devnet), "one")
    sign(devnet, "n1", 5)
    await save_snapshot(ProcessCluster(devnet), "two")
    for name, mark in (("one", 4), ("two", 5), ("one", 4)):
        after = await load_snapshot(ProcessCluster(Devnet.load(devnet.root)), name)
        assert read_mark(after.devnet, "n1") == mark
    loads = [event for event in read_events(devnet.events_path) if event.name == "snapshot_load"]
    assert [dict(event.facts)["snapshot"] for event in loads] == ["one", "two", "one"]


async def test_a_devnet_that_was_moved_gets_its_own_paths(devnet: Devnet, tmp_path: Path) -> None:
    await save_snapshot(ProcessCluster(devnet), "base")
    moved = devnet.root.rename(tmp_path / "moved")
    await load_snapshot(ProcessCluster(Devnet.load(moved)), "base")
    peers = json.loads((moved / "devnet.json").read_text())["peers"]
    assert peers["n1"]["data_dir"] == str(moved / "n1")


# ----------------------------------------------------------------------------- what is refused


def folder_of(devnet: Devnet) -> Path:
    return devnet.root / "snapshots" / "base"


def change_index(devnet: Devnet, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder_of(devnet) / "snapshot.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def flip_byte(devnet: Devnet) -> None:
    path = folder_of(devnet) / "state" / "n2" / "signed_seq"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(bytes(data))


def link_out(devnet: Devnet) -> None:
    path = folder_of(devnet) / "state" / "n2" / "identity.key"
    path.unlink()
    path.symlink_to(devnet.root / "n1" / "identity.key")


def lose_node(devnet: Devnet) -> None:
    def change(document: dict[str, Any]) -> None:
        document["nodes"].remove("n3")

    change_index(devnet, change)


def set_field(name: str, value: Any) -> Callable[[Devnet], None]:
    return lambda devnet: change_index(devnet, lambda document: document.update({name: value}))


def set_path(path: str) -> Callable[[Devnet], None]:
    return lambda devnet: change_index(
        devnet, lambda document: document["files"].update({path: {"size": 0, "sha256": ""}})
    )


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        pytest.param(flip_byte, "snapshot_damaged", id="a byte"),
        pytest.param(link_out, "snapshot_damaged", id="a link"),
        pytest.param(lose_node, "snapshot_damaged", id="a node less"),
        pytest.param(
            lambda devnet: (folder_of(devnet) / "state" / "n1" / "identity.key").unlink(),
            "snapshot_damaged",
            id="a file less",
        ),
        pytest.param(
            lambda devnet: (folder_of(devnet) / "state" / "n1" / "more").touch(),
            "snapshot_damaged",
            id="a file more",
        ),
        pytest.param(
            lambda devnet: (folder_of(devnet) / "snapshot.json").unlink(),
            "snapshot_damaged",
            id="no index",
        ),
        pytest.param(
            lambda devnet: shutil.rmtree(folder_of(devnet) / "state"),
            "snapshot_damaged",
            id="no state",
        ),
        pytest.param(set_path("../../n1/x"), "snapshot_damaged", id="a path that climbs"),
        pytest.param(set_path("/etc/x"), "snapshot_damaged", id="a path from the root"),
        pytest.param(set_field("files", {"x": 1}), "snapshot_damaged", id="another type"),
        pytest.param(set_field("made_ms", True), "snapshot_damaged", id="a flag for a number"),
        pytest.param(set_field("more", 1), "snapshot_damaged", id="a field more"),
        pytest.param(set_field("format", "minesync-snapshot/9"), "unknown_format", id="format"),
        pytest.param(set_field("network", "00" * 8), "wrong_network", id="another network"),
    ],
)
async def test_what_is_no_snapshot_of_this_devnet_is_refused_and_changes_nothing(
    devnet: Devnet, spoil: Callable[[Devnet], None], code: str
) -> None:
    await save_snapshot(ProcessCluster(devnet), "base")
    sign(devnet, "n1", 6)
    before = read_tree(devnet)
    spoil(devnet)
    with pytest.raises(DevnetError) as caught:
        await load_snapshot(ProcessCluster(devnet), "base")
    assert caught.value.code == code
    assert read_tree(devnet) == before
    assert recover(devnet.root) == ""


async def test_a_database_of_another_network_is_refused_unopened(
    devnet: Devnet, tmp_path: Path
) -> None:
    other = found_devnet(tmp_path / "other", 1, SEED + 1)
    database = devnet.data_paths("n3").database
    shutil.rmtree(database)
    Store.open(database, read_genesis(other.genesis_path)).close()
    await save_snapshot(ProcessCluster(devnet), "base")
    with pytest.raises(WrongNetwork, match="wrong_network"):
        await load_snapshot(ProcessCluster(devnet), "base")


async def test_a_snapshot_of_another_devnet_is_refused(devnet: Devnet, tmp_path: Path) -> None:
    other = found_devnet(tmp_path / "other", 3, SEED + 1)
    await save_snapshot(ProcessCluster(other), "base")
    shutil.copytree(other.root / "snapshots", devnet.root / "snapshots")
    with pytest.raises(DevnetError, match="wrong_network"):
        await load_snapshot(ProcessCluster(devnet), "base")


async def test_a_database_in_memory_cannot_be_kept(devnet: Devnet) -> None:
    ProcessCluster(devnet).reconfigure("n2", {"store.engine": "memory"})
    with pytest.raises(DevnetError, match="state_in_memory: found n2"):
        await save_snapshot(ProcessCluster(devnet), "base")
    assert list_names(devnet.root) == []


async def test_neither_is_done_while_somebody_runs_a_node_by_hand(devnet: Devnet) -> None:
    await save_snapshot(ProcessCluster(devnet), "base")
    with NodeLock.acquire(devnet.data_paths("n2").lock, started_ms=0, version="x"):
        before = read_tree(devnet)
        for deed, name in ((save_snapshot, "more"), (load_snapshot, "base")):
            with pytest.raises(DataDirError, match="data_dir_in_use"):
                await deed(ProcessCluster(devnet), name)
        assert read_tree(devnet) == before
    assert list_names(devnet.root) == ["base"]


async def test_one_at_a_time(devnet: Devnet) -> None:
    with hold_snapshots(devnet.root), pytest.raises(DevnetError, match="snapshots_busy"):
        await save_snapshot(ProcessCluster(devnet), "base")


async def test_what_a_killed_save_left_is_no_snapshot_and_goes_with_the_next(
    devnet: Devnet,
) -> None:
    left = devnet.root / "snapshots" / ".draftother" / "state"
    left.mkdir(parents=True, mode=0o700)
    (devnet.root / "snapshots").chmod(0o700)
    assert list_names(devnet.root) == []
    await save_snapshot(ProcessCluster(devnet), "base")
    assert [one.name for one in (devnet.root / "snapshots").iterdir()] == ["base"]


async def test_a_save_that_fails_leaves_nothing(devnet: Devnet) -> None:
    (devnet.root / "n2" / "link").symlink_to("nowhere")
    with pytest.raises(DevnetError, match="not_a_file"):
        await save_snapshot(ProcessCluster(devnet), "base")
    assert list_names(devnet.root) == []
    assert list((devnet.root / "snapshots").iterdir()) == []


def test_the_folders_of_a_devnet_are_no_names_for_nodes(devnet: Devnet) -> None:
    plan = NodePlan("snapshots", NodeTable(), group="", seals=False, dials=())
    with pytest.raises(DevnetError, match="peer_exists"):
        ProcessCluster(devnet).add(plan)


# ------------------------------------------------------------------------------- interruptions


class Killed(BaseException):
    """Stands for the end of the process: nobody catches it."""


class Fuse:
    """A call to the system that kills when so many, of all fuses, have been made."""

    calls = 0

    def __init__(self, real: Callable[..., Any], last: int) -> None:
        self._real = real
        self._last = last

    def __call__(self, *words: Any, **more: Any) -> Any:
        if Fuse.calls == self._last:
            raise Killed
        Fuse.calls += 1
        return self._real(*words, **more)


async def test_wherever_a_load_ends_one_of_the_two_states_stands(
    devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rename and every unlink of the swap is once the last thing that happens."""
    for name in devnet.names:
        # Nobody looks into them, and each takes a while to copy.
        shutil.rmtree(devnet.data_paths(name).database)
    old = read_tree(devnet)
    await save_snapshot(ProcessCluster(devnet), "base")
    for name in devnet.names:
        sign(devnet, name, 9)
    add_n4(devnet)
    later = read_tree(devnet)
    await save_snapshot(ProcessCluster(devnet), "later")
    said: list[str] = []
    for last in range(100):
        with monkeypatch.context() as patch:
            for name in ("rename", "replace", "unlink"):
                patch.setattr(os, name, Fuse(getattr(os, name), last))
            # What a process does when it dies: nothing.
            patch.setattr("devnet.snapshots.keeper.discard", lambda _root: None)
            Fuse.calls = 0
            try:
                await load_snapshot(ProcessCluster(Devnet.load(devnet.root)), "base")
            except Killed:
                pass
            else:
                break
        said.append(recover(devnet.root))
        assert recover(devnet.root) == ""
        stands = read_tree(Devnet.load(devnet.root))
        wanted = later if "old state" in said[-1] else old
        assert [path for path in {*stands, *wanted} if stands.get(path) != wanted.get(path)] == []
        await load_snapshot(ProcessCluster(Devnet.load(devnet.root)), "later")
        assert read_tree(Devnet.load(devnet.root)) == later
    assert any("old state stands" in line for line in said)
    assert sum("now its state stands" in line for line in said) >= len(devnet.names) + 3


# -------------------------------------------------------------------------------- command line


def test_the_commands_save_list_and_load(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--dir", str(devnet.root)]
    assert run_command(["devnet", "snapshot", "list", *where]) == Exit.OK
    assert run_command(["devnet", "snapshot", "save", "base", *where]) == Exit.OK
    assert run_command(["devnet", "snapshot", "list", "--json", *where]) == Exit.OK
    add_n4(Devnet.load(devnet.root))
    assert run_command(["devnet", "snapshot", "load", "base", *where]) == Exit.OK
    shown = capsys.readouterr().out
    assert "no snapshots" in shown
    assert '"name": "base"' in shown
    assert "base: n1, n2, n3 are as they were" in shown
    assert "gone: n4" in shown


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["save", "Base"], "bad_value"),
        (["save", "../base"], "bad_value"),
        (["load", "bose"], "no_snapshot"),
        (["save", "base"], "snapshot_exists"),
    ],
)
async def test_a_name_that_cannot_be_is_refused(
    devnet: Devnet, words: list[str], code: str
) -> None:
    await save_snapshot(ProcessCluster(devnet), "base")
    with pytest.raises(BlamedError) as caught:
        await {"save": save_snapshot, "load": load_snapshot}[words[0]](
            ProcessCluster(devnet), words[1]
        )
    assert caught.value.code == code


def test_the_next_command_says_what_an_interruption_left(
    devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    (devnet.root / ".swap" / "new").mkdir(parents=True)
    where = ["--dir", str(devnet.root)]
    assert run_command(["devnet", "snapshot", "list", *where]) == Exit.OK
    assert "the old state stands" in capsys.readouterr().err
