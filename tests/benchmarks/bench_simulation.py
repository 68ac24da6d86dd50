"""Simulation: seeds a second of each layer on one core, and how much faster than life they are.

The limit is what the product's own work would allow: seals folded and written a second by one
state, divided by the seals that the peers of a run take in. What is above it in a run are the
messages, the conversations, the provisional state and the judge.
"""

from time import perf_counter, process_time

from devnet.sim.batch import run_piece
from devnet.sim.plan import CORE, NODE
from tests.benchmarks.common import report
from tests.support.chains import a_state, seal

COUNTS = {CORE: 150, NODE: 12}
FIRST = 500_000
SEALS = 300
EPOCH_MS = 1_000


def measure_seals() -> float:
    """Return how many empty epochs a second one state ends and writes."""
    state = a_state()
    started_s = process_time()
    for _ in range(SEALS):
        seal(state)
    return SEALS / (process_time() - started_s)


def measure(layer: str) -> None:
    """Run seeds of a layer and report them."""
    count = COUNTS[layer]
    run_piece(layer, FIRST - 1, 1)
    started_s = perf_counter()
    tally = run_piece(layer, FIRST, count)
    wall_s = perf_counter() - started_s
    epochs = tally.counts["virtual_ms"] / EPOCH_MS / count
    report(
        f"simulation_{layer}",
        count / tally.cpu_s,
        "seeds_per_cpu_second",
        measure_seals() / epochs,
        "one peer's empty seals of a run",
        virtual_to_cpu=tally.counts["virtual_ms"] / 1_000 / tally.cpu_s,
        virtual_to_wall=tally.counts["virtual_ms"] / 1_000 / wall_s,
        messages_per_cpu_second=tally.counts["messages"] / tally.cpu_s,
        failed=tally.failed,
    )


if __name__ == "__main__":
    for one in (CORE, NODE):
        measure(one)
