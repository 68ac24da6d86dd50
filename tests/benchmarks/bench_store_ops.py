"""Puts, gets and scans of the store's engine, against rocksdict alone and sqlite3, on equal work.

A line for each operation: ours, the limit (rocksdict without us, in the same run) and sqlite3. The
last line is what measuring costs: gets through the measured engine against the engine behind it.
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from tests.benchmarks.common import report
from tests.benchmarks.contenders import TABLE, Contender, Ours, Raw, Sqlite
from tests.benchmarks.setting import a_folder

ROWS = 200_000
SINGLES = 1_000
BATCH_ROWS = 1_000
GETS = 50_000
KEY_BYTES, VALUE_BYTES = 32, 300
SEED = 1
OVERHEAD_ROUNDS = 7

KINDS: dict[str, Callable[[Path], Contender]] = {"ours": Ours, "raw": Raw, "sqlite": Sqlite}


def measure(count: int, work: Callable[[], object]) -> float:
    """Return how many of `count` are done a second."""
    start = perf_counter()
    work()
    return count / (perf_counter() - start)


def run_contender(kind: str, folder: Path, count: int) -> dict[str, float]:
    """Return operations a second, by operation."""
    chance = random.Random(SEED)
    rows = [(chance.randbytes(KEY_BYTES), chance.randbytes(VALUE_BYTES)) for _ in range(count)]
    wanted = [chance.choice(rows)[0] for _ in range(GETS)]
    absent = [chance.randbytes(KEY_BYTES) for _ in range(GETS)]
    singles, rest = rows[:SINGLES], rows[SINGLES:]
    path = folder / kind
    contender = KINDS[kind](path)

    def put_singles() -> None:
        for row in singles:
            contender.put([row], sync=True)

    def put_batches() -> None:
        for first in range(0, len(rest), BATCH_ROWS):
            contender.put(rest[first : first + BATCH_ROWS], sync=True)

    def get_all(keys: list[bytes]) -> None:
        for key in keys:
            contender.get(key)

    rates = {
        "put_synced": measure(SINGLES, put_singles),
        "put_batch_synced": measure(len(rest), put_batches),
    }
    contender.close()
    contender = KINDS[kind](path)
    rates["get_cold"] = measure(GETS, lambda: get_all(wanted))
    rates["get_hit"] = measure(GETS, lambda: get_all(wanted))
    rates["get_miss"] = measure(GETS, lambda: get_all(absent))
    rates["scan"] = measure(count, contender.scan)
    contender.close()
    return rates


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
        rates = {kind: run_contender(kind, folder, count) for kind in KINDS}
        for operation, figure in rates["ours"].items():
            report(
                f"store_{operation}",
                figure,
                "per_second",
                rates["raw"][operation],
                "rocksdict without us",
                sqlite3_per_second=rates["sqlite"][operation],
                rows=count,
            )
        report_metering(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
