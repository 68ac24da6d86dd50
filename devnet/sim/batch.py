"""Many seeds, several processes, one line: what a batch of runs found and how much it tried."""

import gc
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from devnet.errors import DevnetError
from devnet.sim.generate import make_plan
from devnet.sim.plan import CORE, NUMBER_MAX
from devnet.sim.run import Failure, run_plan
from devnet.sim.witness import list_sometimes
from node.telemetry import configure_silently
from node.version import VERSION

LAYER_NAMES = {"core": "L1", "node": "L2"}
CHUNKS = {"core": 40, "node": 4}
"""Seeds that a process takes at a time."""
SOMETIMES_SEEDS = {"core": 5_000, "node": 400}
"""From so many seeds on a batch that has not reached everything has failed."""
PROCESSES_MAX = 64
SEEDS_MAX = 10_000_000
FAILURES_KEPT = 100
YEAR_MS = 365.25 * 86_400_000

OnProgress = Callable[["Tally"], None]


@dataclass(slots=True)
class Tally:
    """What a batch, or a piece of one, came to.

    Attributes:
        failures: (seed, failure) of runs that failed, the first of them.
        failed: how many failed.
        cpu_s: processor time of the runs.
    """

    layer: str
    seeds: int = 0
    failed: int = 0
    failures: list[tuple[int, Failure]] = field(default_factory=list)
    reached: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    peers: list[int] = field(default_factory=list)
    liars_percent: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0

    def add(self, other: "Tally") -> None:
        """Take another piece in."""
        self.seeds += other.seeds
        self.failed += other.failed
        self.failures = sorted(self.failures + other.failures, key=lambda one: one[0])
        del self.failures[FAILURES_KEPT:]
        self.reached.update(other.reached)
        self.counts.update(other.counts)
        self.peers = sorted({*self.peers, *other.peers})
        self.liars_percent = max(self.liars_percent, other.liars_percent)
        self.cpu_s += other.cpu_s

    @property
    def missed(self) -> tuple[str, ...]:
        """What no run of the batch reached."""
        return tuple(name for name in list_sometimes(self.layer) if not self.reached[name])

    @property
    def is_good(self) -> bool:
        """Whether nothing failed and, of a large batch, everything was reached."""
        is_large = self.seeds >= SOMETIMES_SEEDS[self.layer]
        return not self.failed and not (is_large and self.missed)

    def describe(self, first: int, commit: str) -> str:
        """Return the one line of a batch."""
        wanted = len(list_sometimes(self.layer))
        counts = self.counts
        peers = f"{self.peers[0]}-{self.peers[-1]}" if self.peers else "0"
        return (
            f"SIM layer={LAYER_NAMES[self.layer]} commit={commit}"
            f" seeds={first}..{first + max(0, self.seeds - 1)} fail={self.failed}"
            f" nodes={peers} byz<={self.liars_percent}%"
            f" sim_years={counts['virtual_ms'] / YEAR_MS:.6f}"
            f" crashes={counts['crashes']} partitions={counts['cuts']}"
            f" msgs={counts['messages']} sometimes={wanted - len(self.missed)}/{wanted}"
            f" cpu={self.cpu_s:.1f}s wall={self.wall_s:.1f}s"
        )


def run_piece(layer: str, first: int, count: int) -> Tally:
    """Run `count` seeds in this process."""
    configure_silently()
    tally = Tally(layer)
    started_s = time.process_time()
    gc.collect()
    gc.freeze()
    # Runs make many objects and few cycles; looking for those costs more than it frees.
    gc.disable()
    for seed in range(first, first + count):
        plan = make_plan(layer, seed)
        report = run_plan(plan)
        tally.seeds += 1
        tally.reached.update(report.reached)
        tally.counts.update(report.counts)
        tally.peers = sorted({*tally.peers, plan.peers})
        liars = sum(1 for habit in plan.habits if habit)
        tally.liars_percent = max(tally.liars_percent, 100 * liars // plan.peers)
        if report.failure is not None:
            tally.failed += 1
            tally.failures.append((seed, report.failure))
        gc.collect(0 if seed % 64 else 2)
    gc.enable()
    tally.cpu_s = time.process_time() - started_s
    return tally


def run_batch(
    layer: str,
    first: int,
    count: int,
    *,
    processes: int,
    limit_s: float | None = None,
    on_progress: OnProgress = lambda tally: None,
) -> Tally:
    """Run a batch; stop early at the limit, or once too many runs have failed.

    Args:
        layer: `core` or `node`.
        first: the first seed.
        count: how many seeds.
        processes: that share the work.
        limit_s: wall time after which no further piece is begun.
        on_progress: told of the batch so far after each piece.

    Raises:
        DevnetError: `bad_count`, `bad_seed`.
    """
    if not 1 <= count <= SEEDS_MAX or not 1 <= processes <= PROCESSES_MAX:
        found = f"{count} seeds, {processes} processes"
        wanted = f"up to {SEEDS_MAX} seeds, {PROCESSES_MAX} processes"
        raise DevnetError("bad_count", found, wanted)
    if not 0 <= first <= NUMBER_MAX - count:
        raise DevnetError("bad_seed", first, f"0 to {NUMBER_MAX - count}")
    total = Tally(layer)
    started_s = time.monotonic()
    pieces = _cut_pieces(layer, first, count)
    if processes == 1:
        for begin, size in pieces:
            total.add(run_piece(layer, begin, size))
            total.wall_s = time.monotonic() - started_s
            on_progress(total)
            if limit_s is not None and total.wall_s >= limit_s:
                break
        return total
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running: set[Future[Tally]] = set()
        try:
            while True:
                is_late = limit_s is not None and time.monotonic() - started_s >= limit_s
                while len(running) < 2 * processes and not is_late:
                    piece = next(pieces, None)
                    if piece is None:
                        break
                    running.add(pool.submit(run_piece, layer, *piece))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    total.add(one.result())
                total.wall_s = time.monotonic() - started_s
                on_progress(total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return total


def _cut_pieces(layer: str, first: int, count: int) -> Iterator[tuple[int, int]]:
    size = CHUNKS[layer]
    for begin in range(first, first + count, size):
        yield begin, min(size, first + count - begin)


def find_commit() -> str:
    """Return the commit that runs, if this is a checkout, else the version."""
    root = Path(__file__).resolve().parents[2]
    words = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return VERSION
    return ran.stdout.strip() if ran.returncode == 0 else VERSION


assert set(CHUNKS) == set(LAYER_NAMES) == set(SOMETIMES_SEEDS) == {CORE, "node"}
