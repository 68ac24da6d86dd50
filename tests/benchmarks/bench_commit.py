"""Commits of whole epochs, what their indexes cost, and a leaderboard over many miners.

The limit of a commit is rocksdict, and beside it sqlite3, given the very rows that the commit
wrote, in one synced batch. That of the leaderboard is the engine, asked for the same keys.
"""

import hashlib
import sys
from pathlib import Path
from time import perf_counter

from protocol.fold import Change
from protocol.phases import MinerStatus
from protocol.records import ROLE_SOLVER, Miner, Reputation
from protocol.seals import compute_seal_hash
from protocol.tables import MINERS
from storage.commit import stage_changes
from storage.engine import Batch
from storage.indexes import INDEX_TABLE, MINERS_BY_REPUTATION
from storage.keys import decode_key, prefix_end
from storage.rocks import RocksEngine
from storage.store import Store
from tests.benchmarks.common import report
from tests.benchmarks.contenders import Raw, Sqlite
from tests.benchmarks.setting import RICH, a_folder
from tests.support.builders import COIN, a_genesis
from tests.support.stored import build_seal, compute_rows_hash
from tests.support.world import World

EPOCHS = (1_000, 10_000)
MINER_COUNT = 100_000
MINERS_A_BATCH = 2_000
TOP = 100
ASKED = 50


class KeepingEngine(RocksEngine):
    """RocksEngine that remembers what was written last."""

    last = Batch()

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Write, and remember."""
        self.last = batch
        super().write(batch, sync=sync)


def measure_commit(folder: Path, count: int) -> None:
    """Report the commit of one epoch of `count` publications."""
    genesis = a_genesis(balance=RICH)
    engine = KeepingEngine(folder / "ours", network=genesis.network)
    store = Store(engine, genesis)
    world = World(genesis)
    published = [world.publish() for _ in range(count)]
    store.put_transactions(published)
    outcome = World.seal(world, *published)
    rows_hash = compute_rows_hash(store, outcome)
    ids = sorted(tx.tx_id for tx in published)
    seal = build_seal(store, ids, rows_hash)
    seal_hash = compute_seal_hash(genesis.network, seal.content)
    start = perf_counter()
    store.commit_epoch(seal, seal_hash, ids, outcome, rows_hash)
    took_s = perf_counter() - start
    start = perf_counter()
    stage_changes(Batch(), outcome.changes)
    staged_s = perf_counter() - start
    start = perf_counter()
    for change in outcome.changes:
        change.table.encode_row(change.after)
    encoded_s = perf_counter() - start
    written = [
        (f"{table}/".encode() + key, value)
        for table, key, value in engine.last.operations
        if value is not None
    ]
    store.close()
    limits = {}
    for name, contender in (
        ("raw", Raw(folder / "raw")),
        ("sqlite", Sqlite(folder / "sqlite")),
    ):
        start = perf_counter()
        contender.put(written, sync=True)
        limits[name] = count / (perf_counter() - start)
        contender.close()
    report(
        f"commit_epoch_{count}",
        count / took_s,
        "per_second",
        limits["raw"],
        "rocksdict given the same rows in one synced batch",
        sqlite3_per_second=limits["sqlite"],
        took_ms=took_s * 1_000,
        rows=len(written),
    )
    changes = len(outcome.changes)
    report(
        f"index_difference_{count}",
        (staged_s - encoded_s) * 1e6 / changes,
        "us_per_row",
        encoded_s * 1e6 / changes,
        "encoding the same rows",
        share_of_commit_percent=(staged_s - encoded_s) * 100 / took_s,
        changes=changes,
    )


def make_miner(number: int) -> Miner:
    """Return a miner whose score nobody could guess."""
    address = hashlib.sha256(number.to_bytes(8, "big")).digest()
    score = int.from_bytes(address[:4], "big") % 10_001
    return Miner(
        address=address,
        roles=ROLE_SOLVER,
        specializations=("general_task",),
        display_name=f"miner {number}",
        contact="",
        status=MinerStatus.ACTIVE,
        registered_at=1,
        last_active=number % 1_000,
        stake=10 * COIN,
        earned=0,
        forfeited=0,
        reputation=Reputation(score, 1, 0, 0, 0, 0, 0),
    )


def measure_leaderboard(folder: Path, count: int) -> None:
    """Report the first page of the leaderboard; decoded rows are forgotten before each."""
    store = Store.open(folder / "miners", a_genesis())
    for first in range(0, count, MINERS_A_BATCH):
        batch = Batch()
        miners = [make_miner(number) for number in range(first, first + MINERS_A_BATCH)]
        stage_changes(batch, [Change(MINERS, one.address, None, one) for one in miners])
        store.engine.write(batch, sync=False)
    store.engine.flush()
    spent_ms, limit_ms = [], []
    prefix = MINERS_BY_REPUTATION.prefix()
    for _ in range(ASKED):
        store.rows.cache.clear()
        start = perf_counter()
        page = store.queries.top_miners(TOP)
        spent_ms.append((perf_counter() - start) * 1_000)
        assert len(page.items) == TOP
        start = perf_counter()
        rows = store.engine.scan(INDEX_TABLE, prefix, prefix_end(prefix), reverse=True)
        keys = [decode_key(next(rows)[0])[-1] for _ in range(TOP)]
        store.engine.get_many(MINERS.name, [key for key in keys if isinstance(key, bytes)])
        limit_ms.append((perf_counter() - start) * 1_000)
    start = perf_counter()
    store.queries.top_miners(TOP)
    cached_ms = (perf_counter() - start) * 1_000
    store.close()
    report(
        f"leaderboard_top_{TOP}",
        sorted(spent_ms)[ASKED // 2],
        "ms",
        sorted(limit_ms)[ASKED // 2],
        "the engine asked for the same keys, nothing decoded",
        worst_ms=max(spent_ms),
        cached_ms=cached_ms,
        miners=count,
    )


def main(miners: int) -> None:
    for count in EPOCHS:
        with a_folder() as folder:
            measure_commit(folder, count)
    with a_folder() as folder:
        measure_leaderboard(folder, miners)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MINER_COUNT)
