"""What a node of a devnet saw lately: every transaction and every seal, bounded, for this run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from node.config import DevConfig
from node.events import Stored
from node.lookout import SIGHTINGS_MAX, Lookout
from node.rpc.methods.dev_look import SIGHTINGS_SHOWN_MAX
from node.transport.memory import MemoryNetwork
from tests.support.builders import a_genesis
from tests.support.rpc import QUICK, ServedPeer, a_served_peer
from tests.support.waiting import wait_until
from tests.test_node.test_rpc_methods import publish


async def look_until(served: ServedPeer, count: int, **params: Any) -> dict[str, Any]:
    """Return a reply once so many things were seen."""
    reply: dict[str, Any] = {}
    with trio.fail_after(10):
        while (reply := await served.call("dev_look", **params))["count"] < count:
            await trio.testing.wait_all_tasks_blocked()
    return reply


async def test_transactions_and_seals_are_seen_with_their_time(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        await publish(served)
        served.seal()
        reply = await look_until(served, 2)
        ((tx_id, stored_ms),) = reply["stored"]
        ((epoch, root, sealed_ms),) = reply["sealed"]
        assert (await served.call("tx_get", tx_id=tx_id))["kind"] == "publish_task"
        assert (epoch, root) == (1, (await served.call("node_status"))["state_root"])
        assert stored_ms <= sealed_ms <= served.peer.clock.now_ms()


async def test_what_was_told_is_not_told_again_in_one_run(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        await publish(served)
        first = await look_until(served, 1)
        place = {"run": first["run"], "after": first["next"]}
        assert (await served.call("dev_look", **place))["stored"] == []
        served.seal()
        reply = await look_until(served, 2, **place)
        assert (len(reply["stored"]), len(reply["sealed"])) == (0, 1)
        # A run that is over: all of this one is new to whoever asks.
        other = {"run": first["run"] + 1, "after": first["next"]}
        assert (await served.call("dev_look", **other))["stored"] == first["stored"]


async def test_old_sightings_give_way(tmp_path: Path) -> None:
    async with a_served_peer(tmp_path) as served:
        state = served.peer.state
        lookout = Lookout(state, served.peer.clock)
        for place in range(SIGHTINGS_MAX + 5):
            lookout._take(Stored((place.to_bytes(32, "big"),), None))
        assert lookout.count == SIGHTINGS_MAX + 5
        seen = lookout.list_from(0, SIGHTINGS_SHOWN_MAX)
        assert [seen[0].number, len(seen)] == [5, SIGHTINGS_SHOWN_MAX]
        assert [one.number for one in lookout.list_from(SIGHTINGS_MAX, 99)] == list(
            range(SIGHTINGS_MAX, SIGHTINGS_MAX + 5)
        )
        assert lookout.list_from(SIGHTINGS_MAX + 99, 99) == []


async def test_the_rules_and_links_of_the_moment_are_shown(tmp_path: Path) -> None:
    genesis, network = a_genesis(), MemoryNetwork()
    async with (
        a_served_peer(tmp_path, name="alice", genesis=genesis, network=network) as alice,
        a_served_peer(tmp_path, name="bob", genesis=genesis, network=network) as bob,
    ):
        (address,) = (await alice.call("net_addresses"))["items"]
        await bob.call("net_peer_add", address=address)
        await wait_until(lambda: bool(alice.peer.transport.peers()))
        assert (await bob.call("dev_look"))["peers"] == ["alice"]
        await bob.call("dev_partition", peers=["alice"])
        reply = await bob.call("dev_look")
        assert (reply["peers"], reply["cut"]) == ([], ["alice"])
        assert (await alice.call("dev_look"))["cut"] == []


async def test_a_node_without_faults_keeps_no_lookout(tmp_path: Path) -> None:
    config = replace(QUICK, dev=DevConfig(faults=False))
    async with a_served_peer(tmp_path, config=config) as served:
        assert served.peer.lookout is None
