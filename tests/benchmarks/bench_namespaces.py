"""What a devnet in network namespaces costs and keeps: its start, a rate, a loss, a cut.

Needs root on Linux; elsewhere it says what is missing and measures nothing.
"""

import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import trio

from devnet.cluster import ProcessCluster
from devnet.conditions import parse_condition
from devnet.facts import wait_for
from devnet.faults import heal, partition, set_links
from devnet.founding import found, make_manifest
from devnet.manifests.lineup import PLAIN, LinkPlan
from devnet.manifests.tables import LOOPBACK, NAMESPACES
from devnet.roster import PeerSpec
from node.transport.fault_rules import LinkRule
from tests.benchmarks.common import report
from tests.benchmarks.setting import a_folder
from tests.support.spaces import explain_lack, measure_rate, read_drops, send_packets

SEED = 1
RATES = ((25_000, 150_000), (250_000, 1_500_000))
"""Bytes a second, and how many are sent."""
OPEN_BYTES = 100_000_000
LOSSES = (10, 50, 200)
PACKETS = 20_000
CUT_EPOCHS = 4
PATIENCE_S = 60.0


def make_cluster(root: Path, count: int, network: str) -> ProcessCluster:
    """Return a devnet that does not run yet."""
    manifest = make_manifest(count, SEED)
    manifest = replace(manifest, devnet=replace(manifest.devnet, network=network))
    return ProcessCluster(found(root, manifest), guarded=True)


async def measure_start_s(root: Path, count: int, network: str) -> float:
    """Return how long a devnet takes until every node is ready and has met another."""
    cluster = make_cluster(root, count, network)
    begun = perf_counter()
    try:
        await cluster.start()
        return perf_counter() - begun
    finally:
        await cluster.stop()
        cluster.end_now()


async def measure_links(cluster: ProcessCluster) -> None:
    """Report rates and losses between two nodes, beside their own little traffic."""
    first, second = cluster.devnet.roster.peers[:2]
    pairs = [("n1", "n2"), ("n2", "n1")]
    open_rate = measure_between(first, second, OPEN_BYTES)
    for rate, size in RATES:
        await set_links(cluster, pairs, LinkPlan(LinkRule(bandwidth=rate)))
        found_rate = measure_between(first, second, size)
        limit = f"the rate that was asked for; without one: {open_rate * 8e-6:.0f} Mbit/s"
        report("namespaces_rate", found_rate * 8e-3, "kbit/s", rate * 8e-3, limit)
    for loss in LOSSES:
        await set_links(cluster, pairs, LinkPlan(loss=loss))
        before = read_drops(cluster.devnet.roster.switch)["way_1_2"]
        send_packets(first.namespace, second.host, PACKETS)
        lost = read_drops(cluster.devnet.roster.switch)["way_1_2"] - before
        limit = "the share that was asked for"
        report("namespaces_loss", 100 * lost / PACKETS, "%", loss / 10, limit, packets=PACKETS)
    await set_links(cluster, pairs, PLAIN)


def measure_between(first: PeerSpec, second: PeerSpec, size: int) -> float:
    """Return the bytes a second of one TCP connection from one node's namespace to another's."""
    return measure_rate(first.namespace, second.namespace, second.host, size)


async def measure_cut(cluster: ProcessCluster) -> None:
    """Report how long a cut takes to be in force, and the time from healing to equal roots."""
    begun = perf_counter()
    await partition(cluster, [["n1", "n2"], ["n3"]])
    cut_ms = (perf_counter() - begun) * 1e3
    last = int((await cluster.remote("n1").call("node_status"))["epoch"])
    await expect(cluster, f"epoch >= {last + CUT_EPOCHS} on n1")
    begun = perf_counter()
    await heal(cluster)
    await expect(cluster, f"epoch >= {last + CUT_EPOCHS} and peers == 2 and converged")
    healed_s = perf_counter() - begun
    limit = "epochs, a second each, that the cut lasted"
    report("namespaces_heal", healed_s, "s", float(CUT_EPOCHS), limit, cut_ms=cut_ms)


async def expect(cluster: ProcessCluster, text: str) -> None:
    """Wait until a condition holds."""
    finding = await wait_for(cluster, parse_condition(text), PATIENCE_S)
    if not finding.ok:
        raise SystemExit(f"{text}: {finding.detail}")


async def run() -> None:
    with a_folder() as folder:
        for count in (3, 5):
            loopback_s = await measure_start_s(folder / f"loopback{count}", count, LOOPBACK)
            own_s = await measure_start_s(folder / f"namespaces{count}", count, NAMESPACES)
            limit = "the same nodes on loopback"
            report("namespaces_start", own_s, "s", loopback_s, limit, nodes=count)
        cluster = make_cluster(folder / "links", 3, NAMESPACES)
        try:
            await cluster.start()
            await measure_links(cluster)
            await measure_cut(cluster)
        finally:
            await cluster.stop()
            cluster.end_now()


if __name__ == "__main__":
    lack = explain_lack()
    if lack:
        print(lack, file=sys.stderr)
    else:
        trio.run(run)
