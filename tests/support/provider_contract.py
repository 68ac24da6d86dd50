"""What every provider of a devnet promises. The same checks run in virtual time and on processes.

The network of each check: three validators that all know each other, of which n1 ends the epochs.
"""

from collections.abc import Awaitable, Callable

import pytest

from devnet.conditions import parse_condition
from devnet.errors import DevnetError
from devnet.facts import wait_for
from devnet.faults import (
    add,
    begin_outage,
    end_outage,
    heal,
    kill,
    partition,
    pause,
    remove,
    restart,
    resume,
    set_clock,
    set_links,
    start,
    stop,
)
from devnet.manifests.lineup import PLAIN, LinkPlan, NodePlan
from devnet.manifests.tables import LOOPBACK, DevnetTable, Manifest, NodeTable
from devnet.provider import DOWN, PAUSED, UP, Provider
from node.outages import DISCONNECT, DISK_FULL, DROP_TOPIC
from node.rpc.client import RpcError
from node.transport.fault_rules import LinkRule

SEED = 7
HOUR_MS = 3_600_000
SOON_S = 60.0
SILENT_S = 0.5
FROZEN_S = 4.0
"""Four epochs."""

Promise = Callable[[Provider], Awaitable[None]]


def make_three(provider: str, network: str = LOOPBACK) -> Manifest:
    """Return the manifest of the network that the checks use."""
    nodes = {name: NodeTable(role="validator") for name in ("n1", "n2", "n3")}
    devnet = DevnetTable(name="three", provider=provider, network=network, seed=SEED)
    return Manifest(devnet=devnet, node=nodes)


async def expect(provider: Provider, text: str) -> None:
    """Wait until a condition holds."""
    finding = await wait_for(provider, parse_condition(text), SOON_S)
    assert finding.ok, f"{text}: {finding.detail}"


async def read(provider: Provider, name: str, method: str, field: str) -> int:
    return int((await provider.remote(name).call(method))[field])


async def nodes_run_and_agree(provider: Provider) -> None:
    assert provider.read_states() == {"n1": UP, "n2": UP, "n3": UP}
    await expect(provider, "epoch >= 2 and ready and peers == 2 and converged and money")
    assert "minesync_epoch" in await provider.remote("n2").read_metrics()


async def a_killed_node_is_gone_and_comes_back_on_its_data(provider: Provider) -> None:
    await expect(provider, "epoch >= 2")
    before = await read(provider, "n2", "node_status", "epoch")
    await kill(provider, "n2")
    assert provider.read_states()["n2"] == DOWN
    with pytest.raises(RpcError):
        await provider.remote("n2").call("node_status")
    await expect(provider, "peers == 1")
    await provider.start(["n2"], meets=False)
    assert await read(provider, "n2", "node_status", "epoch") >= before - 1
    await expect(provider, "peers == 2 and converged")


async def a_stopped_node_starts_again_with_other_options(provider: Provider) -> None:
    await stop(provider, "n3")
    assert provider.read_states()["n3"] == DOWN
    await start(provider, "n3")
    right = await read(provider, "n3", "node_info", "started_ms")
    await restart(provider, "n3", {"dev.clock_offset_ms": HOUR_MS})
    wrong = await read(provider, "n3", "node_info", "started_ms")
    assert HOUR_MS <= wrong - right < 2 * HOUR_MS
    await expect(provider, "peers == 2 and converged")


async def a_frozen_node_is_silent_and_stays_linked(provider: Provider) -> None:
    await pause(provider, "n3")
    assert provider.read_states() == {"n1": UP, "n2": UP, "n3": PAUSED}
    with pytest.raises(DevnetError, match="peer_silent"):
        await provider.remote("n3").call("node_status", limit_s=SILENT_S)
    await expect(provider, "epoch >= 3 on n1 and peers == 2 on n1, n2")
    await resume(provider, "n3")
    assert provider.read_states()["n3"] == UP
    await expect(provider, "converged and peers == 2")


async def a_frozen_sealer_ends_no_epoch(provider: Provider) -> None:
    await pause(provider, "n1")
    last = await read(provider, "n2", "node_status", "epoch")
    later = parse_condition(f"epoch >= {last + 3} on n2")
    assert not (await wait_for(provider, later, FROZEN_S)).ok
    await resume(provider, "n1")
    await expect(provider, f"epoch >= {last + 3} on n2 and converged")


async def a_partition_parts_until_it_is_healed(provider: Provider) -> None:
    await partition(provider, [["n1", "n2"], ["n3"]])
    await expect(provider, "peers == 1 on n1, n2 and peers == 0 on n3")
    await expect(provider, "epoch >= 3 on n1, n2 and not equal epoch")
    await heal(provider)
    await expect(provider, "peers == 2 and converged")


async def a_cut_in_one_way_leaves_one_side_unheard(provider: Provider) -> None:
    await partition(provider, [["n1", "n2"], ["n3"]], one_way=True)
    last = await read(provider, "n3", "node_status", "epoch")
    await expect(provider, f"epoch >= {last + 3} on n1, n2")
    assert await read(provider, "n3", "node_status", "epoch") <= last + 1
    await heal(provider)
    await expect(provider, f"epoch >= {last + 3} and converged")


async def links_can_be_slow_and_clear_again(provider: Provider) -> None:
    pairs = [("n1", "n2"), ("n2", "n1")]
    slow = LinkPlan(LinkRule(latency_ms=50, jitter_ms=20, bandwidth=100_000))
    await set_links(provider, pairs, slow)
    last = await read(provider, "n2", "node_status", "epoch")
    await expect(provider, f"epoch >= {last + 2}")
    await set_links(provider, pairs, PLAIN)
    await expect(provider, "converged")


async def a_wrong_clock_decides_nothing(provider: Provider) -> None:
    await set_clock(provider, "n1", 24 * HOUR_MS)
    await set_clock(provider, "n2", -24 * HOUR_MS)
    last = await read(provider, "n3", "node_status", "epoch")
    await expect(provider, f"epoch >= {last + 2} and converged and invariants")


async def a_disconnected_node_is_alone_until_it_may_dial(provider: Provider) -> None:
    await begin_outage(provider, "n3", DISCONNECT)
    await expect(provider, "peers == 1 on n1, n2 and peers == 0 on n3")
    last = await read(provider, "n3", "node_status", "epoch")
    await expect(provider, f"epoch >= {last + 2} on n1, n2")
    await end_outage(provider, "n3", DISCONNECT)
    await expect(provider, "peers == 2 and converged")


async def without_gossip_a_node_keeps_up_all_the_same(provider: Provider) -> None:
    await begin_outage(provider, "n3", DROP_TOPIC)
    last = await read(provider, "n1", "node_status", "epoch")
    await expect(provider, f"epoch >= {last + 3} on n3 and peers == 2")
    await end_outage(provider, "n3", DROP_TOPIC)
    await expect(provider, "ready and converged")


async def a_full_disk_takes_nothing_until_there_is_room(provider: Provider) -> None:
    await begin_outage(provider, "n3", DISK_FULL)
    status = await provider.remote("n3").call("node_status")
    assert not status["ready"]
    assert "disk_full" in status["checks"]["disk"]["read_only"]
    last = status["epoch"]
    await expect(provider, f"epoch >= {last + 3} on n1, n2 and peers == 2")
    assert await read(provider, "n3", "node_status", "epoch") == last
    await end_outage(provider, "n3", DISK_FULL)
    await expect(provider, f"ready and epoch >= {last + 3} and converged and invariants")


async def nodes_come_and_go(provider: Provider) -> None:
    dials = provider.devnet.names
    plan = NodePlan("n9", NodeTable(role="observer"), group="", seals=False, dials=dials)
    spec = await add(provider, plan)
    assert (spec.name, spec.key) == ("n9", "spare1")
    assert provider.read_states()["n9"] == UP
    await expect(provider, "peers == 3 and epoch >= 1 and converged")
    await remove(provider, "n9")
    assert provider.devnet.names == dials
    with pytest.raises(DevnetError, match="unknown_peer"):
        provider.remote("n9")
    await expect(provider, "peers == 2")


async def what_cannot_be_done_is_refused(provider: Provider) -> None:
    for deed in (kill, pause, resume, stop, start, restart, remove):
        with pytest.raises(DevnetError, match="unknown_peer"):
            await deed(provider, "n7")
    with pytest.raises(DevnetError, match="already_running"):
        await provider.start(["n1"])
    with pytest.raises(DevnetError, match="already_running"):
        provider.remove("n1")
    with pytest.raises(DevnetError, match="peer_exists"):
        provider.add(NodePlan("n1", NodeTable(), group="", seals=False, dials=()))
    await stop(provider, "n2")
    for deed in (kill, pause, resume):
        with pytest.raises(DevnetError, match="not_running"):
            await deed(provider, "n2")
    assert provider.read_states() == {"n1": UP, "n2": DOWN, "n3": UP}


CONTRACT: tuple[Promise, ...] = (
    nodes_run_and_agree,
    a_killed_node_is_gone_and_comes_back_on_its_data,
    a_stopped_node_starts_again_with_other_options,
    a_frozen_node_is_silent_and_stays_linked,
    a_frozen_sealer_ends_no_epoch,
    a_partition_parts_until_it_is_healed,
    a_cut_in_one_way_leaves_one_side_unheard,
    links_can_be_slow_and_clear_again,
    a_wrong_clock_decides_nothing,
    a_disconnected_node_is_alone_until_it_may_dial,
    without_gossip_a_node_keeps_up_all_the_same,
    a_full_disk_takes_nothing_until_there_is_room,
    nodes_come_and_go,
    what_cannot_be_done_is_refused,
)
