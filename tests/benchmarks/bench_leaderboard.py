"""The first page of the leaderboard over many miners, against sqlite3 with an index of its own.

Both answer with decoded records. The limit is the engine, asked for the same keys.
"""

import hashlib
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from protocol.fold import Change
from protocol.phases import MinerStatus
from protocol.records import ROLE_SOLVER, Miner, Reputation
from protocol.tables import MINERS
from storage.commit import stage_changes
from storage.engine import Batch
from storage.indexes import INDEX_TABLE, MINERS_BY_REPUTATION
from storage.keys import prefix_end
from storage.queries import read_primary_key
from storage.store import Store
from tests.benchmarks.common import report
from tests.benchmarks.contenders import CACHE_BYTES
from tests.benchmarks.setting import a_folder
from tests.support.builders import COIN, a_genesis

MINER_COUNT = 100_000
MINERS_A_BATCH = 2_000
TOP = 100
ASKED = 50
_TOP_IN_SQL = "SELECT record FROM miners ORDER BY score DESC, address DESC LIMIT ?"


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


def fill_store(path: Path, miners: Sequence[Miner]) -> Store:
    store = Store.open(path, a_genesis())
    for first in range(0, len(miners), MINERS_A_BATCH):
        batch = Batch()
        some = miners[first : first + MINERS_A_BATCH]
        stage_changes(batch, [Change(MINERS, one.address, None, one) for one in some])
        store.engine.write(batch, sync=False)
    store.engine.flush()
    return store


def fill_sqlite(path: Path, miners: Sequence[Miner]) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA cache_size=-{CACHE_BYTES >> 10}")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(
        "CREATE TABLE miners (address BLOB PRIMARY KEY, score INTEGER, record BLOB) WITHOUT ROWID"
    )
    database.execute("CREATE INDEX miners_by_score ON miners (score, address)")
    rows = ((one.address, one.reputation.score, MINERS.encode_row(one)) for one in miners)
    database.execute("BEGIN")
    database.executemany("INSERT INTO miners VALUES (?, ?, ?)", rows)
    database.execute("COMMIT")
    return database


def measure_ms(work: Callable[[], Sequence[object]]) -> float:
    """Return the milliseconds of one answer."""
    start = perf_counter()
    answer = work()
    took_s = perf_counter() - start
    assert len(answer) == TOP
    return took_s * 1_000


def main(count: int) -> None:
    miners = [make_miner(number) for number in range(count)]
    ours_ms, cached_ms, engine_ms, sqlite_ms = [], [], [], []
    with a_folder() as folder:
        store = fill_store(folder / "ours", miners)
        database = fill_sqlite(folder / "sqlite", miners)
        prefix = MINERS_BY_REPUTATION.prefix()

        def ask_ours() -> Sequence[Miner]:
            return store.queries.top_miners(TOP).items

        def ask_engine() -> Sequence[object]:
            rows = store.engine.scan(INDEX_TABLE, prefix, prefix_end(prefix), reverse=True)
            keys = [read_primary_key(next(rows)[0]) for _ in range(TOP)]
            return store.engine.get_many(MINERS.name, keys)

        def ask_sqlite() -> Sequence[Miner]:
            found = database.execute(_TOP_IN_SQL, (TOP,)).fetchall()
            return [MINERS.decode_row(record) for (record,) in found]

        for _ in range(ASKED):
            store.rows.cache.clear()
            ours_ms.append(measure_ms(ask_ours))
            cached_ms.append(measure_ms(ask_ours))
            engine_ms.append(measure_ms(ask_engine))
            sqlite_ms.append(measure_ms(ask_sqlite))
        scores = [[one.reputation.score for one in ask()] for ask in (ask_ours, ask_sqlite)]
        assert scores[0] == scores[1]
        store.close()
        database.close()
    report(
        f"leaderboard_top_{TOP}",
        median(ours_ms),
        "ms",
        median(engine_ms),
        "the engine asked for the same keys, nothing decoded",
        worst_ms=max(ours_ms),
        cached_ms=median(cached_ms),
        sqlite3_ms=median(sqlite_ms),
        miners=count,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MINER_COUNT)
