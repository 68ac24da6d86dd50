"""Two peers through their RPC: meeting, being equal, being cut apart, and workers under orders."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.roles.desk import WorkerDesk
from node.transport.memory import MemoryNetwork
from tests.support.builders import COIN, a_genesis
from tests.support.market import FakeWorker
from tests.support.rpc import RpcRefused, ServedPeer, a_served_peer
from tests.support.waiting import wait_until


async def publish(served: ServedPeer, title: str) -> str:
    terms = {
        "task_type": {"type": "general_task", "category": "misc"},
        "title": title,
        "description": "Put the words in order.",
        "reward": str(10 * COIN),
    }
    return str((await served.call("task_publish", terms=terms, data=""))["task_id"])


def are_equal(*peers: ServedPeer) -> bool:
    return len({served.peer.state.status() for served in peers}) == 1


async def test_peers_that_are_told_of_each_other_become_equal(tmp_path: Path) -> None:
    genesis, network = a_genesis(), MemoryNetwork()
    async with (
        a_served_peer(tmp_path, name="alice", genesis=genesis, network=network) as alice,
        a_served_peer(tmp_path, name="bob", genesis=genesis, network=network) as bob,
    ):
        task_id = await publish(alice, "Before they met")
        (address,) = (await alice.call("net_addresses"))["items"]
        assert (await bob.call("net_peer_add", address=address))["peer"] == "alice"
        await wait_until(lambda: are_equal(alice, bob))
        assert (await bob.call("task_get", task_id=task_id))["status"] == "published"
        alice.seal()
        await wait_until(lambda: bob.peer.state.epoch == 1 and are_equal(alice, bob))
        await wait_until(lambda: bob.peer.sync.book.get("alice").equal)
        (peer,) = (await bob.call("net_peers"))["items"]
        assert (peer["peer"], peer["state"]) == ("alice", "equal")
        status = await bob.call("sync_status")
        assert (status["peers"], status["behind"]) == (1, 0)


async def test_a_peer_that_is_not_there_cannot_be_added(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        with pytest.raises(RpcRefused) as caught:
            await served.call("net_peer_add", address="/memory/nobody/p2p/nobody")
        assert (caught.value.name, caught.value.number) == ("dial_failed", 3001)
        with pytest.raises(RpcRefused) as caught:
            await served.call("net_peer_add", address="/ip4/1.2.3.4/udp/1")
        assert caught.value.name == "invalid_params"


async def test_a_cut_parts_peers_and_healing_makes_them_equal_again(tmp_path: Path) -> None:
    genesis, network = a_genesis(), MemoryNetwork()
    async with (
        a_served_peer(tmp_path, name="alice", genesis=genesis, network=network) as alice,
        a_served_peer(tmp_path, name="bob", genesis=genesis, network=network) as bob,
    ):
        (address,) = (await alice.call("net_addresses"))["items"]
        await bob.call("net_peer_add", address=address)
        await wait_until(lambda: bool(bob.peer.transport.peers()))
        assert (await bob.call("dev_partition", peers=["alice"]))["cut"] == ["alice"]
        assert (await bob.call("net_peers"))["items"] == []
        here, there = await publish(alice, "On this side"), await publish(bob, "On that side")
        with pytest.raises(RpcRefused, match="no_such_task"):
            await bob.call("task_get", task_id=here)
        assert (await bob.call("dev_heal"))["cut"] == []
        await wait_until(lambda: are_equal(alice, bob) and alice.peer.state.open.count == 2)
        assert (await alice.call("task_get", task_id=there))["title"] == "On that side"
        assert (await bob.call("dev_partition", peers=["alice"], one_way=True))["deaf"] == ["alice"]
        unheard = await publish(alice, "Unheard")
        with pytest.raises(RpcRefused, match="no_such_task"):
            await bob.call("task_get", task_id=unheard)
        assert (await bob.call("dev_heal"))["deaf"] == []
        await wait_until(lambda: are_equal(alice, bob) and alice.peer.state.open.count == 3)
        link = await bob.call("dev_link", peer_name="alice", latency_ms=10, ways="in")
        assert (link["peer"], link["latency_ms"], link["ways"]) == ("alice", 10, "in")


async def test_a_wall_clock_can_be_put_wrong_while_the_node_runs(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path, name="alice") as alice:
        right = (await alice.call("dev_clock", offset_ms=0))["now_ms"]
        wrong = (await alice.call("dev_clock", offset_ms=86_400_000))["now_ms"]
        assert 86_400_000 <= wrong - right < 86_400_000 + 60_000


async def test_a_banned_peer_is_named_and_not_dialled(tmp_path: Path) -> None:
    genesis, network = a_genesis(), MemoryNetwork()
    async with (
        a_served_peer(tmp_path, name="alice", genesis=genesis, network=network) as alice,
        a_served_peer(tmp_path, name="bob", genesis=genesis, network=network) as bob,
    ):
        (address,) = (await alice.call("net_addresses"))["items"]
        bob.peer.sync.book.blame("alice", "wrong_network", trio.current_time())
        with pytest.raises(RpcRefused) as caught:
            await bob.call("net_peer_add", address=address)
        assert caught.value.name == "wrong_network"
        assert (await bob.call("net_peers"))["items"] == []


def test_a_worker_is_given_only_the_types_that_the_operator_chose() -> None:
    worker = FakeWorker(kinds=("general_task", "code_analysis"))
    desk = WorkerDesk(worker, "solver", "python solve.py", ("code_analysis",))
    assert desk.kinds == ("code_analysis",)
    assert desk.can_take("code_analysis")
    assert not desk.can_take("general_task")


async def test_workers_obey_the_operator(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        worker = FakeWorker()
        desk = WorkerDesk(worker, "solver", "python solve.py")
        peer = replace(served.peer, solver=desk)
        operated = ServedPeer(peer)
        status = await operated.call("worker_status")
        assert (status["order"], status["state"], status["command"]) == (
            "taking",
            "up",
            "python solve.py",
        )
        assert (await operated.call("worker_pause"))["order"] == "paused"
        assert not desk.can_take("general_task")
        assert (await operated.call("worker_finish"))["order"] == "finishing"
        assert (await operated.call("worker_resume"))["order"] == "taking"
        assert desk.can_take("general_task")
        assert worker.resets == 1
        worker.is_up = False
        checks = (await operated.call("node_status"))["checks"]
        assert checks["worker_solver"]["ok"] is False
