"""Restart: from opening the folder to a state that answers, with a million transactions stored.

What a start must do, it does here: RocksDB opens, the range index is read and checked, the open
set is folded again, and with it the moves of the tasks whose time has come. The history below is
signed, chained and sealed, but only the author's account was folded from it: a start reads no
other row of it.
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

from protocol.fold import Change, Outcome
from protocol.genesis import Genesis
from protocol.messages import Status
from protocol.tables import ACCOUNTS, TASKS
from protocol.transactions import SignedTransaction
from storage.rocks import RocksEngine
from storage.store import Store
from tests.benchmarks.common import report
from tests.benchmarks.setting import a_folder, a_rich_genesis, a_state, sign_chain
from tests.support.peers import a_signer
from tests.support.stored import commit

TRANSACTIONS = 1_000_000
PER_EPOCH = 10_000
CHUNK = 2_000
DUE = 2_000
"""Published tasks whose first deadline passes with the next seal."""
EPOCHS_UNTIL_DUE = 5
OPEN = 2_000
"""Transactions left unsealed, as at a busy moment."""
STARTS = 3


class Author:
    """Whoever signed everything: the next link of his chain."""

    def __init__(self, genesis: Genesis) -> None:
        self._genesis = genesis
        self._signer = a_signer("bob")
        self.address = self._signer.address
        self._next_seq = 0
        self._head: bytes | None = None

    def sign(self, count: int, epoch: int, seal_hash: bytes) -> list[SignedTransaction]:
        """Sign the next `count` publications."""
        chain = sign_chain(
            self._genesis,
            self._signer,
            count,
            first=self._next_seq,
            prev=self._head,
            epoch=epoch,
            seal_hash=seal_hash,
        )
        self._next_seq += count
        self._head = chain[-1].tx_id
        return chain


def seal_history(store: Store, author: Author, count: int) -> None:
    """Store and seal `count` transactions of an author, in epochs of the same size."""
    for start in range(0, count, PER_EPOCH):
        epoch = store.head.epoch + 1
        ids: list[bytes] = []
        for first in range(start, min(start + PER_EPOCH, count), CHUNK):
            chain = author.sign(min(CHUNK, count - first), epoch, store.head.seal_hash)
            store.put_transactions(chain)
            ids += [tx.tx_id for tx in chain]
        before = store.queries.account(author.address)
        assert before is not None
        after = replace(before, next_seq=before.next_seq + len(ids), head=ids[-1])
        change = Change(ACCOUNTS, author.address, before, after)
        commit(store, sorted(ids), Outcome(epoch, (change,), ()), a_signer("alice"))


def fill(folder: Path, genesis: Genesis, count: int) -> Status:
    """Make the database; return where it stands."""
    author = Author(genesis)
    store = Store.open(folder, genesis)
    seal_history(store, author, count - DUE - OPEN)
    store.close()
    with a_state(folder, genesis) as state:
        state.accept(author.sign(DUE, state.epoch + 1, state.seal_hash), None)
        for _ in range(EPOCHS_UNTIL_DUE):
            state.seal(a_signer("alice"), 0)
        state.accept(author.sign(OPEN, state.epoch + 1, state.seal_hash), None)
        return state.status()


def measure_limit(folder: Path, genesis: Genesis) -> float:
    """Return the seconds of opening and closing RocksDB, with nothing read."""
    start = perf_counter()
    RocksEngine(folder, network=genesis.network).close()
    return perf_counter() - start


def run(count: int) -> None:
    genesis = a_rich_genesis()
    took_s, stored_s, limit_s = [], [], []
    with a_folder() as folder:
        before = fill(folder / "db", genesis, count)
        for _ in range(STARTS):
            limit_s.append(measure_limit(folder / "db", genesis))
            start = perf_counter()
            store = Store.open(folder / "db", genesis)
            stored_s.append(perf_counter() - start)
            store.close()
            start = perf_counter()
            with a_state(folder / "db", genesis) as state:
                shown = len(state.open.rows(TASKS))
                took_s.append(perf_counter() - start)
                assert state.status() == before
                assert state.store.totals.stored == count
    assert shown == DUE + OPEN
    report(
        "restart",
        median(took_s),
        "s",
        median(limit_s),
        "opening and closing the same RocksDB folder",
        store_open_s=median(stored_s),
        transactions=count,
        unsealed=before.open_count,
        folded_again=shown,
        epochs=before.epoch,
    )


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else TRANSACTIONS)
