"""Figures of a history: who had which state root, how fast transactions and seals got around."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from devnet.watch.history import History, SealSeen

RATE_WINDOW_MS = 5_000
DELAY_STEPS_MS = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""Upper ends of the bins of a histogram; one more takes what is slower."""


@dataclass(frozen=True, slots=True)
class Propagation:
    """How long transactions took from the first peer that had them to the last.

    Attributes:
        delays_ms: of those that every peer was seen to store, sorted.
        unseen: how many were not seen on every peer (yet).
    """

    delays_ms: tuple[int, ...]
    unseen: int

    def quantile_ms(self, percent: int) -> int:
        """Return what so many percent of the delays do not exceed; 0 without any."""
        if not self.delays_ms:
            return 0
        place = -(-len(self.delays_ms) * percent // 100) - 1
        return self.delays_ms[max(0, place)]


def rank_roots(roots: Iterable[str]) -> dict[str, int]:
    """Return the place of each state root: 0 for the one that most peers have.

    Peers of one root are shown in one colour, and the most common root has the first colour.
    """
    counts = Counter(root for root in roots if root)
    ranked = sorted(counts, key=lambda root: (-counts[root], root))
    return {root: place for place, root in enumerate(ranked)}


def compute_propagation(history: History, names: Sequence[str]) -> Propagation:
    """Return how transactions got around among the peers of these names that ever had one."""
    wanted = {peer for seen in history.arrivals.values() for peer in seen}.intersection(names)
    delays: list[int] = []
    unseen = 0
    for seen in history.arrivals.values():
        times = [at_ms for peer, at_ms in seen.items() if peer in wanted]
        if len(times) == len(wanted):
            delays.append(max(times) - min(times))
        else:
            unseen += 1
    return Propagation(tuple(sorted(delays)), unseen)


def bin_delays(delays_ms: Iterable[int]) -> list[tuple[str, int]]:
    """Return the bins of a histogram of delays, each with its label and its count."""
    labels = [f"≤ {show_ms(step)}" for step in DELAY_STEPS_MS]
    labels.append(f"> {show_ms(DELAY_STEPS_MS[-1])}")
    counts = [0] * len(labels)
    for delay_ms in delays_ms:
        place = sum(delay_ms > step for step in DELAY_STEPS_MS)
        counts[place] += 1
    return list(zip(labels, counts, strict=True))


def compute_rates(history: History, at_ms: int) -> dict[str, float]:
    """Return how many transactions a second each peer stored lately."""
    counts: Counter[str] = Counter()
    for seen in history.arrivals.values():
        for peer, stored_ms in seen.items():
            counts[peer] += at_ms - RATE_WINDOW_MS < stored_ms <= at_ms
    return {peer: count * 1_000 / RATE_WINDOW_MS for peer, count in counts.items()}


def compute_spreads(history: History, names: Sequence[str]) -> dict[int, int]:
    """Return, by epoch that every peer sealed, how long after the first the last did, in ms."""
    spreads = {}
    known = [history.seals[name] for name in names if name in history.seals]
    for epoch in history.epochs:
        times = [seen[epoch].at_ms for seen in known if epoch in seen]
        if len(times) == len(known):
            spreads[epoch] = max(times) - min(times)
    return spreads


def find_divergence(history: History) -> int | None:
    """Return the first epoch at which two peers had different state roots."""
    for epoch in history.epochs:
        if len({seen[epoch].state_root for seen in history.seals.values() if epoch in seen}) > 1:
            return epoch
    return None


@dataclass(frozen=True, slots=True)
class Cell:
    """One peer at one epoch of the matrix of roots.

    Attributes:
        rank: of its root among those of the epoch; 0 is the most common one.
        late_ms: after the first peer that sealed the epoch.
    """

    seal: SealSeen
    rank: int
    late_ms: int


def build_matrix(
    history: History, names: Sequence[str], epochs: Sequence[int]
) -> Mapping[str, Sequence[Cell | None]]:
    """Return for each peer a cell for each epoch; None where it was not seen to seal it."""
    rows: dict[str, list[Cell | None]] = {name: [] for name in names}
    for epoch in epochs:
        seen = {name: history.seals.get(name, {}).get(epoch) for name in names}
        there = [seal for seal in seen.values() if seal is not None]
        ranks = rank_roots(seal.state_root for seal in there)
        first_ms = min((seal.at_ms for seal in there), default=0)
        for name, seal in seen.items():
            cell = None
            if seal is not None:
                cell = Cell(seal, ranks[seal.state_root], seal.at_ms - first_ms)
            rows[name].append(cell)
    return rows


def show_ms(value_ms: int) -> str:
    """Return a time for people: `50 ms`, `2 s`, `1.5 s`."""
    return f"{value_ms} ms" if value_ms < 1_000 else f"{value_ms / 1_000:.3g} s"


def show_time(at_ms: int) -> str:
    """Return the time of day, UTC."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%H:%M:%S")
