"""Fingerprints of random ranges over a million ids in RocksDB, and what filling the index costs.

The limit is what no index of this layout can do without: reading two leaves, summing a quarter of
each (the shorter side, on average), and hashing the result.
"""

import hashlib
import random
from time import perf_counter_ns

from protocol.ranges import Item, compute_fingerprint
from storage.engine import Batch
from storage.range_index import RangeIndex
from storage.range_leaves import LEAF_RECORDS_MAX, RECORD_BYTES, TABLE, sum_ids
from storage.rocks import RocksEngine
from tests.benchmarks.common import report
from tests.benchmarks.setting import a_folder

ITEMS = 1_000_000
EPOCH_ITEMS = 1_000
BATCH_ITEMS = 2_000
QUERIES = 20_000
SEED = 1


def make_items(start: int, stop: int) -> list[Item]:
    return [
        Item(number // EPOCH_ITEMS, hashlib.sha256(number.to_bytes(8, "big")).digest())
        for number in range(start, stop)
    ]


def fill(engine: RocksEngine, index: RangeIndex) -> float:
    """Return the inserts per second, writes to the engine included."""
    spent_ns = 0
    for start in range(0, ITEMS, BATCH_ITEMS):
        items = make_items(start, start + BATCH_ITEMS)
        began_ns = perf_counter_ns()
        batch = Batch()
        edit = index.edit(batch)
        edit.insert_many(items)
        engine.write(batch, sync=False)
        edit.applied()
        spent_ns += perf_counter_ns() - began_ns
    engine.flush()
    return ITEMS * 1e9 / spent_ns


def measure_fingerprints(index: RangeIndex, source: random.Random) -> list[float]:
    """Return the microseconds of each query, sorted."""
    view = index.snapshot()
    spent_us = []
    for _ in range(QUERIES):
        begin, end = sorted((source.randrange(ITEMS), source.randrange(ITEMS)))
        began_ns = perf_counter_ns()
        view.fingerprint(begin, end)
        spent_us.append((perf_counter_ns() - began_ns) / 1_000)
    return sorted(spent_us)


def measure_limit(engine: RocksEngine, source: random.Random) -> float:
    """Return the microseconds of the work that remains when finding the leaves costs nothing."""
    keys = [key for key, _ in engine.scan(TABLE)]
    quarter_bytes = LEAF_RECORDS_MAX // 4 * RECORD_BYTES
    pairs = [(source.choice(keys), source.choice(keys)) for _ in range(QUERIES)]
    began_ns = perf_counter_ns()
    for pair in pairs:
        lower, upper = (engine.get(TABLE, key) or b"" for key in pair)
        total = sum_ids(lower[-quarter_bytes:]) + sum_ids(upper[-quarter_bytes:])
        compute_fingerprint(total, ITEMS)
    return (perf_counter_ns() - began_ns) / 1_000 / QUERIES


def main() -> None:
    source = random.Random(SEED)
    with a_folder() as folder:
        engine = RocksEngine(folder / "db", network=bytes(8))
        index = RangeIndex(engine)
        inserts_per_second = fill(engine, index)
        began_ns = perf_counter_ns()
        index = RangeIndex(engine)
        open_s = (perf_counter_ns() - began_ns) / 1e9
        spent_us = measure_fingerprints(index, source)
        limit_us = measure_limit(engine, source)
        engine.close()
    report(
        "range_fingerprint",
        spent_us[QUERIES // 2],
        "us",
        limit_us,
        "two leaf reads, two sums of a quarter leaf, one SHA-256",
        p99_us=spent_us[QUERIES * 99 // 100],
        ids=ITEMS,
        inserts_per_second=inserts_per_second,
        open_and_verify_s=open_s,
    )


if __name__ == "__main__":
    main()
