"""A backup made, and restored into a new database: every signature verified, every epoch folded.

The limit of a backup is a copy of the same bytes to a new, synced file. That of a restore is the
same copy and one Ed25519 verification for each transaction; what it does beyond is the fold, the
checks of every transition and the rows.
"""

import os
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

from storage.backup import make_backup
from storage.backup_folder import ITEMS
from storage.restore import check_stream, restore
from tests.benchmarks.common import report
from tests.benchmarks.setting import (
    a_folder,
    a_rich_genesis,
    a_state,
    measure_verify_rate,
    sign_chain,
)
from tests.support.peers import CAST, a_signer

TRANSACTIONS = 10_000
ROUNDS = 3
MB = 1e6
CHUNK_BYTES = 1 << 20


def measure_copy(source: Path, target: Path) -> float:
    """Return the seconds of a copy to a new file, synced."""
    start = perf_counter()
    with source.open("rb") as reader, target.open("xb") as writer:
        while data := reader.read(CHUNK_BYTES):
            writer.write(data)
        writer.flush()
        os.fsync(writer.fileno())
    return perf_counter() - start


def run(count: int) -> None:
    genesis = a_rich_genesis()
    made_s, copied_s, read_s, restored_s = [], [], [], []
    with a_folder() as folder:
        with a_state(folder / "db", genesis) as state:
            for name in CAST:
                state.accept(sign_chain(genesis, a_signer(name), count // len(CAST)), None)
            state.seal(a_signer("alice"), 0)
            before = state.status()
            for place in range(ROUNDS):
                start = perf_counter()
                backup = make_backup(state.store, folder / "backups")
                made_s.append(perf_counter() - start)
                copied_s.append(measure_copy(backup.path / ITEMS, folder / f"copy-{place}"))
        size_mb = (backup.path / ITEMS).stat().st_size / MB
        for place in range(ROUNDS):
            start = perf_counter()
            check_stream(backup.path, genesis)
            read_s.append(perf_counter() - start)
            start = perf_counter()
            restore(backup.path, folder / f"restored-{place}", genesis)
            restored_s.append(perf_counter() - start)
        with a_state(folder / "restored-0", genesis) as state:
            assert state.status() == before
    copy_s, verify_rate = median(copied_s), measure_verify_rate()
    report(
        "backup",
        size_mb / median(made_s),
        "MB_per_second",
        size_mb / copy_s,
        "the same bytes copied to a synced file",
        transactions=count,
        transactions_per_second=count / median(made_s),
        size_mb=size_mb,
    )
    report(
        "restore",
        size_mb / median(restored_s),
        "MB_per_second",
        size_mb / (copy_s + count / verify_rate),
        "the same bytes copied and one Ed25519 verification a transaction",
        transactions=count,
        transactions_per_second=count / median(restored_s),
        verify_per_second=verify_rate,
        check_of_the_bytes_mb_per_second=size_mb / median(read_s),
    )


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else TRANSACTIONS)
