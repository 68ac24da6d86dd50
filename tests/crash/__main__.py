"""python -m tests.crash: every kind of crash, one report, exit code 1 if a part of it failed."""

import argparse
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.crash.kills import kill_hasty_writers, kill_stores
from tests.crash.nodes import kill_nodes
from tests.crash.power import cut_power
from tests.crash.report import Tally

SEED_BITS = 32
STORE_CYCLES, NODE_CYCLES, CUTS = 2_000, 100, 25
QUICK = 40
"""What `--quick` divides by; nothing is left out."""
CONTROLS = 20


def read_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seed", type=int, help="of everything drawn; shown in the report")
    parser.add_argument("--store-cycles", type=int, help=f"kills of a store: {STORE_CYCLES}")
    parser.add_argument("--node-cycles", type=int, help=f"kills of a node: {NODE_CYCLES}")
    parser.add_argument("--cuts", type=int, help=f"power cuts, and as many as control: {CUTS}")
    parser.add_argument("--quick", action="store_true", help=f"a {QUICK}th of each")
    parser.add_argument("--folder", type=Path, help="where to work; kept. Else a temporary one")
    return parser.parse_args()


def run(folder: Path, options: argparse.Namespace) -> Iterator[Tally]:
    """Run the parts one after the other; a part of which no cycle is wanted is left out."""
    seed = secrets.randbits(SEED_BITS) if options.seed is None else options.seed
    stores = choose(options.store_cycles, STORE_CYCLES, options)
    nodes = choose(options.node_cycles, NODE_CYCLES, options)
    cuts = choose(options.cuts, CUTS, options)
    parts: tuple[tuple[str, int, Callable[[Path, int, int], Tally]], ...] = (
        ("stores", stores, kill_stores),
        ("hasty", CONTROLS if stores else 0, kill_hasty_writers),
        ("nodes", nodes, kill_nodes),
        ("cuts", cuts, partial(cut_power, is_synced=True)),
        ("unsynced", cuts, partial(cut_power, is_synced=False)),
    )
    for name, count, part in parts:
        if count:
            yield part(folder / name, seed, count)


def choose(given: int | None, usual: int, options: argparse.Namespace) -> int:
    """Return how many cycles a part has."""
    if given is not None:
        return max(0, given)
    return -(-usual // QUICK) if options.quick else usual


def main() -> int:
    """Run the harness and print its report; return the exit code."""
    options = read_arguments()
    tallies = []
    with tempfile.TemporaryDirectory(prefix="minesync-crash-") as temporary:
        for tally in run(options.folder or Path(temporary), options):
            print(*tally.to_lines(), sep="\n", flush=True)
            tallies.append(tally)
    return int(any(tally.is_failure for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
