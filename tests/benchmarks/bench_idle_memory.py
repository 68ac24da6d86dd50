"""Memory of an idle node: a whole peer of a devnet of one, after its epochs have begun to pass."""

import subprocess
import sys

import psutil
import trio

from devnet.cluster import ProcessCluster
from devnet.founding import found_devnet
from devnet.observe import Observer
from tests.benchmarks.common import report
from tests.benchmarks.setting import a_folder

EPOCHS = 10
SEED = 1
MIB = 1 << 20


def measure_bare_mib(imports: str) -> float:
    """Return the resident memory of an interpreter that did nothing but import."""
    program = f"import psutil\n{imports}\nprint(psutil.Process().memory_info().rss)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return int(found.stdout) / MIB


async def run() -> None:
    with a_folder() as folder:
        cluster = ProcessCluster(found_devnet(folder / "devnet", 2, SEED), guarded=True)
        try:
            await cluster.start()
            observer = Observer(cluster)
            with trio.fail_after(60):
                while True:
                    views = await observer.look_at_peers()
                    if all(view.epoch >= EPOCHS for view in views):
                        break
                    await trio.sleep(0.5)
            refs = cluster.find_running().values()
            resident = [psutil.Process(ref.pid).memory_info().rss / MIB for ref in refs]
        finally:
            await cluster.stop()
            cluster.end_now()
    report(
        "idle_memory",
        max(resident),
        "MiB",
        measure_bare_mib("import libp2p, rocksdict"),
        "an interpreter that imported libp2p and rocksdict and did nothing",
        nodes=len(resident),
        least_mib=min(resident),
    )


if __name__ == "__main__":
    trio.run(run)
