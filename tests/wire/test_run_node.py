"""Real nodes in real processes: from a publication to a claimed reward, and every way to end."""

import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from node.exits import Exit
from node.lockfile import read_lock
from node.rpc.client import RpcError
from protocol.records import ROLE_VALIDATOR
from tests.support.builders import (
    COIN,
    VALIDATORS,
    a_registration,
    a_vote,
    a_vote_commitment,
    an_address,
    name_of,
)
from tests.support.processes import LightAccount, NodeProcess, a_quick_genesis

pytestmark = pytest.mark.wire

SOURCE = Path(__file__).read_bytes()
TERMS: dict[str, Any] = {
    "task_type": {"type": "code_analysis", "language": "python", "complexity": "simple"},
    "title": "Analyse this test",
    "description": "Count what is in this file.",
    "reward": str(10 * COIN),
    "stake_required": str(COIN),
    # People are given a minute to answer.
    "submission_epochs": 16,
}


@pytest.fixture
def nodes() -> Iterator[list[NodeProcess]]:
    started: list[NodeProcess] = []
    yield started
    for one in started:
        one.kill()


def worker_flags() -> list[str]:
    return ["--roles.miner", "--worker.command", f"{sys.executable} -m node.workers.solver"]


async def test_a_task_goes_from_one_node_through_another_to_a_claimed_reward(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    genesis = a_quick_genesis()
    alice = NodeProcess(tmp_path / "alice", genesis, "alice")
    bob = NodeProcess(tmp_path / "bob", genesis, "bob")
    nodes += [alice, bob]
    alice.start("--sealer.enabled")
    await alice.wait_up()
    bob.start("--p2p.bootstrap", alice.address, *worker_flags())
    await bob.wait_up()
    # What is signed before the first seal is heard may be too old for the next one.
    await bob.wait(lambda: bob.call("sync_status")["peers_equal"] == 1)
    jury = [LightAccount(name, bob, genesis) for name in VALIDATORS[:3]]
    for juror in jury:
        juror.register(a_registration(roles=ROLE_VALIDATOR))
    await alice.wait(lambda: len(alice.call("miner_list", role="validator")["items"]) == 3)
    await alice.wait(lambda: is_final_miner(alice, an_address("bob").hex()))

    published = alice.call("task_publish", terms=TERMS, data="0x" + SOURCE.hex())
    task_id = published["task_id"]
    assert alice.call("tx_wait", tx_id=published["tx_id"])["state"] == "applied"

    def sealed_status() -> Any:
        known = [one["task_id"] for one in bob.call("task_list")["items"]]
        return bob.call("task_get", task_id=task_id)["sealed_status"] if task_id in known else None

    await bob.wait(lambda: sealed_status() == "under_validation")
    (answer,) = bob.call("task_answers", task_id=task_id)["items"]
    assert answer["miner"] == an_address("bob").hex()
    content = bob.call("answer_get", submission_id=answer["submission_id"])["content"]
    assert b"functions" in bytes.fromhex(content.removeprefix("0x"))
    vote = a_vote(bytes.fromhex(answer["submission_id"]), 95)
    for juror in jury:
        bound = a_vote_commitment(genesis.network, name_of(juror.signer.address), vote)
        juror.submit("validate_answer", bound, bytes.fromhex(task_id))
    # When all of them are bound votes open, long before the end of the window.
    await bob.wait(lambda: are_votes_open(bob, task_id))
    for juror in jury:
        juror.submit("reveal_vote", vote, bytes.fromhex(task_id))
    await bob.wait(lambda: sealed_status() == "completed")

    def states() -> set[str]:
        (distribution,) = alice.call("task_get", task_id=task_id)["rewards"]
        mine = [one for one in distribution["entries"] if one["recipient"] == answer["miner"]]
        return {one["state"] for one in mine}

    await alice.wait(lambda: states() == {"claimed"})
    await alice.wait(lambda: not alice.call("task_get", task_id=task_id)["provisional"])
    for one in (alice, bob):
        report = one.call("check_run")
        assert (report["ok"], report["broken"]) == (True, [])
    assert await bob.end() == Exit.OK
    assert await alice.end() == Exit.OK


def are_votes_open(through: NodeProcess, task_id: str) -> bool:
    deadline = through.call("task_get", task_id=task_id)["validation_deadline"]
    return bool(through.call("state_root")["epoch"] >= deadline)


def is_final_miner(through: NodeProcess, address: str) -> bool:
    try:
        return not through.call("miner_get", address=address)["provisional"]
    except RpcError:
        return False


async def test_a_node_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    genesis = a_quick_genesis()
    alice = NodeProcess(tmp_path / "alice", genesis, "alice")
    nodes.append(alice)
    alice.start("--sealer.enabled")
    await alice.wait_up()
    published = alice.call("task_publish", terms=TERMS, data="0x" + SOURCE.hex())
    assert alice.call("tx_wait", tx_id=published["tx_id"])["state"] == "applied"
    epoch = alice.call("node_status")["epoch"]
    assert await alice.end(signal.SIGKILL) == -signal.SIGKILL
    alice.start("--sealer.enabled")
    await alice.wait_up()
    status = alice.call("node_status")
    assert status["epoch"] >= epoch
    task = alice.call("task_get", task_id=published["task_id"])
    assert (task["sealed_status"], task["has_data"]) == ("published", True)
    assert alice.call("check_run")["ok"]
    await alice.wait(lambda: alice.call("node_status")["epoch"] > epoch)


async def test_a_stop_through_the_rpc_ends_the_process_with_success(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    watcher = NodeProcess(tmp_path / "watcher", a_quick_genesis())
    nodes.append(watcher)
    watcher.start()
    await watcher.wait_up()
    assert watcher.call("node_stop") is True
    assert await watcher.wait_end() == Exit.OK
    assert read_lock(watcher.paths.lock) is None
    assert "node_stopped" in watcher.log.read_text()


async def test_the_port_of_the_rpc_lets_nobody_in_without_the_token(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    watcher = NodeProcess(tmp_path / "watcher", a_quick_genesis())
    nodes.append(watcher)
    watcher.start()
    await watcher.wait_up()
    info = read_lock(watcher.paths.lock)
    assert info is not None
    token = watcher.paths.rpc_token
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    call = {"jsonrpc": "2.0", "id": 1, "method": "node_stop"}
    with httpx2.Client(trust_env=False) as client:
        assert client.post(f"{info.rpc_url}/rpc", json=call).status_code == 401
        rebound = client.post(
            f"{info.rpc_url}/rpc",
            json=call,
            headers={
                "Host": "evil.example",
                "Authorization": f"Bearer {token.read_text().strip()}",
            },
        )
        assert rebound.status_code == 403
        assert client.get(f"{info.rpc_url}/health/ready").json()["ready"] is True
    assert watcher.call("node_info")["account"] is None


async def test_a_port_that_is_taken_is_said_in_one_line(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for place, flag in enumerate(["--rpc.port", "--p2p.listen"]):
            value = str(port) if flag == "--rpc.port" else f"/ip4/127.0.0.1/tcp/{port}"
            peer = NodeProcess(tmp_path / f"n{place}", a_quick_genesis())
            nodes.append(peer)
            peer.start(flag, value)
            assert await peer.wait_end() == Exit.PORT_IN_USE
            assert peer.log.read_text().splitlines()[-1].startswith("minesync: port_in_use")


async def test_a_database_of_another_network_is_refused(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    peer = NodeProcess(tmp_path / "peer", a_quick_genesis("one"))
    nodes.append(peer)
    peer.start()
    await peer.wait_up()
    assert await peer.end() == Exit.OK
    peer.paths.genesis.write_bytes(a_quick_genesis("other").to_bytes())
    peer.start()
    assert await peer.wait_end() == Exit.WRONG_NETWORK


async def test_a_role_without_a_worker_is_said_in_one_line(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    peer = NodeProcess(tmp_path / "peer", a_quick_genesis(), "bob")
    nodes.append(peer)
    peer.start("--roles.miner")
    assert await peer.wait_end() == Exit.USAGE
    assert "worker_missing" in peer.log.read_text()


async def test_who_is_no_sealer_yet_says_so_and_goes_on_as_any_other(
    tmp_path: Path, nodes: list[NodeProcess]
) -> None:
    peer = NodeProcess(tmp_path / "peer", a_quick_genesis(), "bob")
    nodes.append(peer)
    peer.start("--sealer.enabled")
    await peer.wait_up()
    await peer.wait(lambda: "sealer_unseated" in peer.log.read_text())
    assert peer.call("node_status")["epoch"] == 0
    assert await peer.end() == Exit.OK
