"""A devnet of 20 processes and one of 100 nodes in virtual time: start, memory, and a 50/50 cut.

Both halves publish while they are apart; only one of them has the node that ends the epochs. After
the cut every node must come to the state root of the first epoch that ends then, and keep all that
was acknowledged. `bench_devnet_scale sim 40` runs one of them at another size.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import psutil
import trio

from devnet.checks import run_checks, survey_devnet
from devnet.cluster import ProcessCluster
from devnet.commands.common import with_devnet
from devnet.conditions import parse_condition
from devnet.facts import wait_for
from devnet.faults import heal, partition
from devnet.founding import found, make_manifest
from devnet.layout import Devnet
from devnet.load import Workload, publish_all
from devnet.manifests.tables import OBSERVER, PROCESS, PROVIDERS, SIM
from devnet.provider import Provider
from devnet.virtual.cluster import VirtualCluster, run_virtual
from node.network import read_genesis
from tests.benchmarks.bench_idle_memory import MIB, measure_bare_mib
from tests.benchmarks.common import report
from tests.benchmarks.setting import a_folder

COUNTS = {PROCESS: 20, SIM: 100}
IMPORTS = "import node.assembly"
START_LIMITS = {
    PROCESS: "as many interpreters that import the node, all at once",
    SIM: "as many networks of one node, one after the other",
}
MEMORY_LIMIT = "interpreters that imported the node and did nothing, one for each process"
SEED = 1
TASKS = 8
CUT_EPOCHS = 10
WORKERS_MAX = 10
"""Five validators and five miners: with more miners the work grows, not the network."""
PATIENCE_S = 300.0


def make(root: Path, provider: str, count: int) -> Devnet:
    """Make the directory of a devnet; whoever is not needed for the work only keeps the state."""
    manifest = with_devnet(make_manifest(count, SEED), provider=provider)
    tables = {
        name: table if place < WORKERS_MAX else replace(table, role=OBSERVER)
        for place, (name, table) in enumerate(manifest.node.items())
    }
    return found(root, replace(manifest, node=tables))


def measure_bare_starts_s(count: int) -> float:
    """Return how long so many interpreters take that only import the node, all at once."""
    begun_s = perf_counter()
    each = [subprocess.Popen([sys.executable, "-c", IMPORTS]) for _ in range(count)]
    for one in each:
        one.wait()
    return perf_counter() - begun_s


def measure_lone_starts_s(folder: Path, count: int) -> float:
    """Return how long so many networks of one node would take, one after the other."""

    async def begin(cluster: VirtualCluster) -> float:
        begun_s = perf_counter()
        await cluster.start()
        return perf_counter() - begun_s

    return run_virtual(make(folder / "lone", SIM, 1), begin) * count


async def wait(provider: Provider, condition: str) -> None:
    """Wait until a condition holds, in the language of manifests."""
    finding = await wait_for(provider, parse_condition(condition), PATIENCE_S)
    assert finding.ok, finding.detail


async def read_epoch(provider: Provider, name: str) -> int:
    """Return the last epoch that a node has sealed."""
    return int((await provider.remote(name).call("node_status"))["epoch"])


def read_memory_mib(provider: Provider) -> float:
    """Return what all nodes hold: of their processes, workers too, or of this one."""
    if isinstance(provider, ProcessCluster):
        found = [psutil.Process(ref.pid) for ref in provider.find_running().values()]
        found += [child for one in found for child in one.children(recursive=True)]
    else:
        found = [psutil.Process()]
    return sum(one.memory_info().rss for one in found) / MIB


async def work(provider: Provider, start_limit_s: float, memory_limit_mib: float) -> None:
    """Start, cut, publish, heal; report what each took."""
    names = provider.devnet.names
    kind = provider.devnet.roster.provider
    label = {"provider": kind, "nodes": len(names)}
    params = read_genesis(provider.devnet.genesis_path).params
    begun_s = perf_counter()
    await provider.start()
    took_s = perf_counter() - begun_s
    report("devnet_start", took_s, "s", start_limit_s, START_LIMITS[kind], **label)
    await partition(provider, (names[::2], names[1::2]))
    publications = Workload.of_devnet(provider.devnet, SEED, params).iterate(TASKS)
    done = await publish_all(provider, publications, lambda publication, result: None)
    cut_at = await read_epoch(provider, names[0])
    await wait(provider, f"epoch >= {cut_at + CUT_EPOCHS} on {names[0]}")
    behind = await read_epoch(provider, names[1])
    begun_s, begun_virtual_s = perf_counter(), trio.current_time()
    await heal(provider)
    target = await read_epoch(provider, names[0]) + 1
    await wait(provider, f"epoch >= {target}")
    healed_s, wall_s = trio.current_time() - begun_virtual_s, perf_counter() - begun_s
    verdicts = run_checks(await survey_devnet(provider))
    report(
        "devnet_heal",
        healed_s,
        "s",
        params.epoch_ms / 1_000,
        "one epoch",
        **label,
        wall_s=wall_s,
        epochs_behind=target - 1 - behind,
        published=len(done),
        failed_checks=[one.name for one in verdicts if not one.ok],
    )
    memory_mib = read_memory_mib(provider)
    report("devnet_memory", memory_mib, "MiB", memory_limit_mib, MEMORY_LIMIT, **label)


def measure(provider: str, count: int) -> None:
    """Measure one devnet."""
    bare_mib = measure_bare_mib(IMPORTS)
    with a_folder() as folder:
        devnet = make(folder / "net", provider, count)
        if provider == PROCESS:
            trio.run(run_processes, devnet, measure_bare_starts_s(count), bare_mib * count)
        else:
            start_s = measure_lone_starts_s(folder, count)
            run_virtual(devnet, lambda cluster: work(cluster, start_s, bare_mib))


async def run_processes(devnet: Devnet, start_s: float, memory_mib: float) -> None:
    """Measure a devnet of processes and end it."""
    cluster = ProcessCluster(devnet, guarded=True)
    try:
        await work(cluster, start_s, memory_mib)
        await cluster.stop()
    finally:
        cluster.end_now()


if __name__ == "__main__":
    chosen = sys.argv[1:2] or PROVIDERS
    for one in chosen:
        measure(one, int(sys.argv[2]) if sys.argv[2:] else COUNTS[one])
