"""Puts, gets and scans of the store's engine, against rocksdict alone and sqlite3, on equal work.

A line for each operation: ours, the limit (rocksdict without us, in the same run) and sqlite3. All
three do a slice of the work by turns and the median slice counts, so that what else the machine
does meets all of them. The last line is what measuring costs: gets through the measured engine
against the engine behind it.
"""

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.benchmarks.common import report
from tests.benchmarks.contenders import TABLE, Contender, Ours, Raw, Sqlite
from tests.benchmarks.setting import a_folder

ROWS = 200_000
SINGLES = 1_000
BATCH_ROWS = 1_000
GETS = 50_000
SCANS = 5
SLICES = 25
KEY_BYTES, VALUE_BYTES = 32, 300
SEED = 1
OVERHEAD_ROUNDS = 7

KINDS: dict[str, Callable[[Path], Contender]] = {"ours": Ours, "raw": Raw, "sqlite": Sqlite}


class Contest:
    """All three, open, doing the same by turns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contenders = {name: kind(folder / name) for name, kind in KINDS.items()}
        self.rates: dict[str, dict[str, float]] = {}
        """Done a second, by operation and contender."""

    def measure(
        self, operation: str, work: Callable[[Contender, int], object], counts: Sequence[int]
    ) -> None:
        """Have each do every slice of the work; `counts` is what each slice is worth."""
        rates: dict[str, list[float]] = {name: [] for name in KINDS}
        for place, count in enumerate(counts):
            for name, contender in self._contenders.items():
                start = perf_counter()
                work(contender, place)
                rates[name].append(count / (perf_counter() - start))
        self.rates[operation] = {name: median(figures) for name, figures in rates.items()}

    def reopen(self) -> None:
        """Write everything to files, and begin with nothing cached."""
        self.close()
        self._contenders = {name: kind(self._folder / name) for name, kind in KINDS.items()}

    def close(self) -> None:
        """Let go of all three."""
        for contender in self._contenders.values():
            contender.close()


def play(contest: Contest, count: int) -> None:
    """Put `count` rows, read some of them and some that are not there, scan."""
    chance = random.Random(SEED)
    rows = [(chance.randbytes(KEY_BYTES), chance.randbytes(VALUE_BYTES)) for _ in range(count)]
    singles = rows[:SINGLES]
    batches = [rows[first : first + BATCH_ROWS] for first in range(SINGLES, count, BATCH_ROWS)]
    wanted = [chance.choice(rows)[0] for _ in range(GETS)]
    absent = [chance.randbytes(KEY_BYTES) for _ in range(GETS)]

    def put_singly(contender: Contender, place: int) -> None:
        for row in singles[place::SLICES]:
            contender.put([row], sync=True)

    def put_batch(contender: Contender, place: int) -> None:
        contender.put(batches[place], sync=True)

    def get_wanted(contender: Contender, place: int) -> None:
        for key in wanted[place::SLICES]:
            contender.get(key)

    def get_absent(contender: Contender, place: int) -> None:
        for key in absent[place::SLICES]:
            contender.get(key)

    def scan(contender: Contender, _: int) -> None:
        contender.scan()

    slices = [GETS // SLICES] * SLICES
    contest.measure("put_synced", put_singly, [SINGLES // SLICES] * SLICES)
    contest.measure("put_batch_synced", put_batch, [len(batch) for batch in batches])
    contest.reopen()
    contest.measure("get_cold", get_wanted, slices)
    contest.measure("get_hit", get_wanted, slices)
    contest.measure("get_miss", get_absent, slices)
    contest.measure("scan", scan, [count] * SCANS)
    contest.close()


def report_metering(folder: Path) -> None:
    """Compare gets with and without measuring, in turns; the fastest of each counts."""
    ours = Ours(folder / "ours")
    keys = [key for key, _ in ours.inner.scan(TABLE)]
    random.Random(SEED).shuffle(keys)
    keys = keys[:GETS]
    bare: list[float] = []
    measured: list[float] = []
    for _ in range(OVERHEAD_ROUNDS):
        for get, spent in ((ours.inner.get, bare), (ours.engine.get, measured)):
            start = perf_counter()
            for key in keys:
                get(TABLE, key)
            spent.append((perf_counter() - start) * 1e6 / len(keys))
    ours.close()
    report(
        "store_metering",
        min(measured),
        "us",
        min(bare),
        "the same gets, not measured",
        overhead_percent=(min(measured) / min(bare) - 1) * 100,
    )


def main(count: int) -> None:
    with a_folder() as folder:
        contest = Contest(folder)
        play(contest, count)
        for operation, rates in contest.rates.items():
            report(
                f"store_{operation}",
                rates["ours"],
                "per_second",
                rates["raw"],
                "rocksdict without us",
                sqlite3_per_second=rates["sqlite"],
                rows=count,
            )
        report_metering(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
