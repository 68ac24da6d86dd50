"""Clean-up: tasks a second, how long one slice holds the loop, and what the disk gets back.

Whole tasks, answered, judged, settled and claimed, each with an input of its own. The limit is
rocksdict, and beside it sqlite3, deleting the very keys that the clean-up deletes, in as many
batches.
"""

import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from protocol.closing import compute_archive_epochs
from protocol.hashing import compute_content_hash
from storage.compaction import compact_tables, measure_tables
from storage.engine import Batch
from storage.prune import Pruner
from storage.rocks import RocksEngine
from storage.store import Store
from tests.benchmarks.common import report
from tests.benchmarks.contenders import Contender, Raw, Rows, Sqlite
from tests.benchmarks.setting import RICH, a_folder
from tests.support.builders import CAST, SOLVERS, a_genesis, an_address
from tests.support.stored import StoredWorld

TASKS = 400
TASKS_AT_ONCE = 100
INPUT_BYTES = 20_000

Deleted = list[list[tuple[bytes, bytes]]]


class KeepingEngine(RocksEngine):
    """RocksEngine that remembers what each batch deleted, with what was there."""

    deleted: Deleted | None = None

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Write, and remember."""
        if self.deleted is not None:
            gone = {(table, key) for table, key, value in batch.operations if value is None}
            rows = [
                (f"{table}/".encode() + key, self.get(table, key) or b"")
                for table, key in sorted(gone)
            ]
            self.deleted.append(rows)
        super().write(batch, sync=sync)


def play_tasks(world: StoredWorld, count: int, first: int) -> None:
    """Have tasks published, answered, judged, settled and claimed, all at once."""
    published = []
    for number in range(first, first + count):
        data = number.to_bytes(8, "big") * (INPUT_BYTES // 8)
        world.store.put_blob(compute_content_hash(data), data)
        published.append(world.publish(data_hash=compute_content_hash(data), data_bytes=len(data)))
    world.seal(*published)
    ids = [tx.header.subject for tx in published]
    miners = SOLVERS[:2]
    world.seal(*(world.submit(who, task_id) for task_id in ids for who in miners))
    world.pass_until(world.task(ids[0]).lifecycle.submission_deadline)
    world.seal(*(world.reveal(who, task_id) for task_id in ids for who in miners))
    votes = [
        world.vote(voter, task_id, who, 90)
        for task_id in ids
        for voter in world.panel(task_id)[:3]
        for who in miners
    ]
    world.cast_votes(*votes)
    world.settle(ids[-1])
    names = {an_address(who): who for who in CAST}
    world.seal(
        *(
            world.claim(names[entry.recipient], task_id, entry)
            for task_id in ids
            for entry in world.distribution(task_id).entries
        )
    )


def measure_deletes(contender: Contender, deleted: Deleted) -> float:
    """Write rows, then delete them in the same batches; return the seconds of the deletes."""
    rows: Rows = [row for batch in deleted for row in batch]
    contender.put(rows, sync=True)
    start = perf_counter()
    for batch in deleted:
        contender.put([(key, None) for key, _ in batch], sync=False)
    return perf_counter() - start


def main(count: int) -> None:
    genesis = a_genesis(balance=RICH)
    with a_folder() as folder:
        took_s, worst_s, freed, store = run_ours(folder / "ours", genesis, count, keeping=None)
        pruned = store.pruned
        store.close()
        deleted: Deleted = []
        _, _, _, store = run_ours(folder / "again", genesis, count, keeping=deleted)
        store.close()
        raw, sqlite = Raw(folder / "raw"), Sqlite(folder / "sqlite")
        raw_s = measure_deletes(raw, deleted)
        sqlite_s = measure_deletes(sqlite, deleted)
        raw.close()
        sqlite.close()
        report(
            "clean_up",
            pruned.tasks / took_s,
            "tasks_per_second",
            pruned.tasks / raw_s,
            "rocksdict deleting the same keys in as many batches",
            sqlite3_per_second=pruned.tasks / sqlite_s,
            rows_per_second=pruned.rows / took_s,
            rows=pruned.rows,
            dropped_bytes=pruned.size_bytes,
            disk_bytes_freed=freed,
            slice_worst_ms=worst_s * 1_000,
        )


def run_ours(
    path: Path, genesis: Any, count: int, *, keeping: Deleted | None
) -> tuple[float, float, int, Store]:
    """Clean a new store up; return (seconds, those of the longest step, bytes freed, store)."""
    engine = KeepingEngine(path, network=genesis.network)
    store = Store(engine, genesis)
    world = StoredWorld(store)
    world.settle_cast()
    for first in range(0, count, TASKS_AT_ONCE):
        play_tasks(world, min(TASKS_AT_ONCE, count - first), first)
    retention = compute_archive_epochs(genesis.params)
    world.pass_until(world.epoch + retention)
    for _ in compact_tables(engine):
        pass
    before = sum(measure_tables(engine).values())
    engine.deleted = keeping
    start = last = perf_counter()
    worst_s = 0.0
    for _ in Pruner(store, retention).steps():
        now = perf_counter()
        worst_s, last = max(worst_s, now - last), now
    took_s = perf_counter() - start
    engine.deleted = None
    for _ in compact_tables(engine):
        pass
    return took_s, worst_s, before - sum(measure_tables(engine).values()), store


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TASKS)
