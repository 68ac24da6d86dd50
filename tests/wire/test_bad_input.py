"""What an operator gets wrong, on real nodes: one line, the right exit code, nothing changed."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.exits import Exit, find_exit
from node.rpc.client import RpcError
from tests.support.builders import COIN
from tests.support.processes import NodeProcess, a_quick_genesis

pytestmark = pytest.mark.wire

TERMS: dict[str, Any] = {
    "task_type": {"type": "general_task", "category": "misc"},
    "title": "Sort these words",
    "description": "Put the words of the input in order.",
    "reward": str(10 * COIN),
}


@pytest.fixture
def nodes() -> Iterator[list[NodeProcess]]:
    started: list[NodeProcess] = []
    yield started
    for one in started:
        one.kill()


def look(root: Path) -> dict[str, str]:
    """Return what is in a data directory, but for the lock that every start writes."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "node.lock"
    }


def refuse(peer: NodeProcess, method: str, **params: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        peer.call(method, **params)
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "flags", "code"),
    [
        ("signed_seq", b"x" * 128, (), Exit.KEY),
        ("identity.key", b"short", (), Exit.KEY),
        ("genesis.cbor", b"\x85\x01", (), Exit.USAGE),
        ("config.toml", b"this is [no toml", (), Exit.USAGE),
        ("db/MARKER", b"nonsense", (), Exit.WRONG_NETWORK),
        ("note", b"", ("--roles.miner",), Exit.USAGE),
        ("note", b"", ("--roles.account", "00" * 32), Exit.KEY),
    ],
)
async def test_what_is_damaged_or_missing_is_one_line_and_changes_nothing(
    tmp_path: Path,
    nodes: list[NodeProcess],
    name: str,
    content: bytes,
    flags: tuple[str, ...],
    code: Exit,
) -> None:
    peer = NodeProcess(tmp_path / "peer", a_quick_genesis(), "bob")
    nodes.append(peer)
    place = peer.paths.root / name
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.write_bytes(content)
    place.chmod(0o600)
    before = look(peer.paths.root)
    peer.start(*flags)
    assert await peer.wait_end() == code
    lines = [line for line in peer.log.read_text().splitlines() if line.startswith("minesync: ")]
    assert len(lines) == 1
    assert ": found " in lines[0]
    assert ", wanted " in lines[0]
    assert "Traceback" not in peer.log.read_text()
    after = look(peer.paths.root)
    assert {name: after.get(name) for name in before} == before
    marks = {"signed_seq", "sealed_epoch", "sealer_diary.0", "sealer_diary.1"}
    assert not set(after) - set(before) - marks


async def test_a_peer_of_another_network_is_named_and_kept_away(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    here = NodeProcess(tmp_path / "here", a_quick_genesis("here"))
    there = NodeProcess(tmp_path / "there", a_quick_genesis("there"))
    nodes += [here, there]
    for peer in (here, there):
        peer.start()
        await peer.wait_up()
    address = there.address
    # Whoever is first to read the other's greeting hangs up, so one of them may learn no more.
    refusal = refuse(here, "net_peer_add", address=address)
    assert refusal.code in ("wrong_network", "peer_hung_up")
    assert "network" in refusal.wanted
    if refusal.code == "wrong_network":
        assert find_exit(refusal) == Exit.WRONG_NETWORK
    for peer in (here, there):
        await wait_alone(peer)
        assert peer.log.read_text().count("peer_fault") <= 1
        assert peer.call("node_status")["ready"]
    assert "wrong_network" in here.log.read_text() + there.log.read_text()


async def wait_alone(peer: NodeProcess) -> None:
    await peer.wait(lambda: peer.call("net_peers")["items"] == [])


async def test_a_database_older_than_the_signing_mark_signs_once_peers_have_caught_it_up(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    genesis = a_quick_genesis()
    alice = NodeProcess(tmp_path / "alice", genesis, "alice")
    bob = NodeProcess(tmp_path / "bob", genesis, "bob")
    nodes += [alice, bob]
    alice.start("--sealer.enabled")
    await alice.wait_up()
    bob.start("--p2p.bootstrap", alice.address)
    await bob.wait_up()
    bob.call("task_publish", terms=TERMS, data="")
    assert await bob.end() == Exit.OK
    shutil.copytree(bob.paths.database, tmp_path / "yesterday")
    bob.start("--p2p.bootstrap", alice.address)
    await bob.wait_up()
    later = bob.call("task_publish", terms=TERMS, data="")
    await alice.wait(lambda: len(alice.call("task_list")["items"]) == 2)
    assert await bob.end() == Exit.OK
    shutil.rmtree(bob.paths.database)
    shutil.copytree(tmp_path / "yesterday", bob.paths.database)

    bob.start()
    await bob.wait_up()
    refusal = refuse(bob, "task_publish", terms=TERMS, data="")
    assert refusal.code == "own_chain_behind"
    bob.call("net_peer_add", address=alice.address)
    await bob.wait(lambda: bob.call("sync_status")["peers_equal"] == 1)
    assert bob.call("task_get", task_id=later["task_id"])["task_id"] == later["task_id"]
    again = bob.call("task_publish", terms=TERMS, data="")
    assert bob.call("tx_wait", tx_id=again["tx_id"])["state"] == "applied"
