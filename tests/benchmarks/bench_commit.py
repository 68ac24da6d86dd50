"""Commits of whole epochs, and what their indexes cost.

The limit of a commit is rocksdict, and beside it sqlite3, given the very rows, index rows and
deletes of the commit, in one synced batch: what they write is computed for them. The limit of the
indexes is a commit that has none.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from protocol.fold import Outcome
from protocol.seals import compute_seal_hash
from storage.commit import stage_changes
from storage.engine import Batch
from storage.indexes import INDEX_TABLE
from storage.rocks import RocksEngine
from storage.store import Store
from tests.benchmarks.common import report
from tests.benchmarks.contenders import Contender, Raw, Rows, Sqlite
from tests.benchmarks.setting import RICH, a_folder
from tests.support.builders import a_genesis
from tests.support.stored import build_seal, compute_rows_hash
from tests.support.world import World

EPOCHS = (1_000, 10_000)
ROUNDS = 3
"""Epochs one after the other in one store; medians count."""


class KeepingEngine(RocksEngine):
    """RocksEngine that remembers what was written last."""

    last = Batch()

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Write, and remember."""
        self.last = batch
        super().write(batch, sync=sync)


@dataclass(frozen=True, slots=True)
class Committed:
    """One epoch's commit: its seconds, what the fold made, what was written."""

    took_s: float
    outcome: Outcome
    batch: Batch

    @property
    def rows(self) -> Rows:
        """What was written, as a database of one table knows it."""
        return [(f"{name}/".encode() + key, value) for name, key, value in self.batch.operations]


class Contest:
    """One store that lives through epochs of one size, and the two that write the same."""

    def __init__(self, folder: Path) -> None:
        self._genesis = a_genesis(balance=RICH)
        self._engine = KeepingEngine(folder / "ours", network=self._genesis.network)
        self._store = Store(self._engine, self._genesis)
        self._world = World(self._genesis)
        self._bare = RocksEngine(folder / "bare", network=self._genesis.network)
        self._raw = Raw(folder / "raw")
        self._sqlite = Sqlite(folder / "sqlite")

    def commit(self, count: int) -> Committed:
        """Commit the next epoch, of `count` publications."""
        store, world = self._store, self._world
        published = [world.publish() for _ in range(count)]
        store.put_transactions(published)
        outcome = world.seal(*published)
        rows_hash = compute_rows_hash(store, outcome)
        ids = sorted(tx.tx_id for tx in published)
        seal = build_seal(store, ids, rows_hash)
        seal_hash = compute_seal_hash(self._genesis.network, seal.content)
        start = perf_counter()
        store.commit_epoch(seal, seal_hash, ids, outcome, rows_hash)
        took_s = perf_counter() - start
        world.seal_hash = world.anchors[world.epoch] = store.head.seal_hash
        return Committed(took_s, outcome, self._engine.last)

    def write_raw(self, done: Committed) -> float:
        """Return the seconds that rocksdict takes for the same."""
        return _write(self._raw, done.rows)

    def write_sqlite(self, done: Committed) -> float:
        """Return the seconds that sqlite3 takes for the same."""
        return _write(self._sqlite, done.rows)

    def measure_indexes(self, done: Committed) -> tuple[float, float]:
        """Return the seconds that rows take without indexes, and what indexes add.

        Both are computed and written, with a sync.
        """
        start = perf_counter()
        for change in done.outcome.changes:
            change.table.encode_row(change.after)
        encoded_s = perf_counter() - start
        start = perf_counter()
        batch = Batch()
        stage_changes(batch, done.outcome.changes)
        staged_s = perf_counter() - start
        bare = Batch()
        bare.operations += [one for one in batch.operations if one[0] != INDEX_TABLE]
        written_s = []
        for one in (bare, batch):
            start = perf_counter()
            self._bare.write(one, sync=True)
            written_s.append(perf_counter() - start)
        rows_s = encoded_s + written_s[0]
        return rows_s, staged_s + written_s[1] - rows_s

    def close(self) -> None:
        """Let go of everything."""
        self._store.close()
        self._bare.close()
        self._raw.close()
        self._sqlite.close()


def _write(contender: Contender, rows: Rows) -> float:
    # What the commit takes away was there before.
    contender.put([(key, b"") for key, value in rows if value is None], sync=False)
    start = perf_counter()
    contender.put(rows, sync=True)
    return perf_counter() - start


def measure(folder: Path, count: int) -> None:
    """Report the commits of epochs of `count` publications."""
    contest = Contest(folder)
    done = [contest.commit(count) for _ in range(ROUNDS)]
    raw_s = median(contest.write_raw(one) for one in done)
    sqlite_s = median(contest.write_sqlite(one) for one in done)
    indexes = [contest.measure_indexes(one) for one in done]
    contest.close()
    took_s = median(one.took_s for one in done)
    changes = len(done[0].outcome.changes)
    report(
        f"commit_epoch_{count}",
        count / took_s,
        "per_second",
        count / raw_s,
        "rocksdict given the same rows in one synced batch",
        sqlite3_per_second=count / sqlite_s,
        took_ms=took_s * 1_000,
        changes=changes,
        operations=len(done[0].rows),
    )
    rows_s = median(one for one, _ in indexes)
    added_s = median(more for _, more in indexes)
    report(
        f"index_difference_{count}",
        added_s * 1e6 / changes,
        "us_per_row",
        rows_s * 1e6 / changes,
        "the same rows encoded and written without indexes",
        share_of_commit_percent=added_s * 100 / took_s,
        changes=changes,
    )


def main(counts: tuple[int, ...]) -> None:
    for count in counts:
        with a_folder() as folder:
            measure(folder, count)


if __name__ == "__main__":
    main((int(sys.argv[1]),) if len(sys.argv) > 1 else EPOCHS)
