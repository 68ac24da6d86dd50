"""Restart: from opening the folder to a state that answers, with many transactions stored."""

import sys
from time import perf_counter

from protocol.tables import TASKS
from storage.rocks import RocksEngine
from tests.benchmarks.common import report
from tests.benchmarks.setting import a_folder, a_rich_genesis, a_state, sign_chain
from tests.support.peers import a_signer

TRANSACTIONS = 200_000
CHUNK = 2_000
PER_EPOCH = 10_000
OPEN = 2_000
"""Transactions left unsealed, as at a busy moment."""


def run(count: int) -> None:
    genesis = a_rich_genesis()
    bob, alice = a_signer("bob"), a_signer("alice")
    with a_folder() as folder:
        with a_state(folder / "db", genesis) as state:
            prev = None
            for first in range(0, count, CHUNK):
                chain = sign_chain(genesis, bob, min(CHUNK, count - first), first=first, prev=prev)
                prev = chain[-1].tx_id
                state.accept(chain, None)
                stored = first + len(chain)
                is_last = stored == count - OPEN
                if is_last or (stored % PER_EPOCH == 0 and stored < count - OPEN):
                    state.seal(alice, 0)
            before = state.status()
        start = perf_counter()
        engine = RocksEngine(folder / "db", network=genesis.network)
        engine.close()
        opened_s = perf_counter() - start
        start = perf_counter()
        with a_state(folder / "db", genesis) as state:
            shown = len(state.open.rows(TASKS))
            took_s = perf_counter() - start
            assert state.status() == before
    report(
        "restart",
        took_s,
        "s",
        opened_s,
        "opening and closing the same RocksDB folder",
        transactions=count,
        unsealed=before.open_count,
        folded_again=shown,
        epochs=before.epoch,
    )


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else TRANSACTIONS)
