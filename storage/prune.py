"""Pruning: the rows of tasks that closed long ago are dropped, in slices, for good.

Rule 1: only what no fold asks for again: a task is dropped once it is archived
        (`protocol.closing`), so never one that is open, disputed, unclaimed or has money in escrow.
Rule 2: all of it goes: the task, its answers, votes, reports, distributions, disputes and rulings,
        their index keys, what was thought of its answers, and every blob that nothing else names.
Rule 3: what is signed stays: transactions, seals and evidence are what a newcomer, a backup and a
        repair are made of, and by them a peer that offers the past is told that it is known.
Rule 4: a slice is one batch. The first one of a task holds its tombstone; a crash between two
        leaves a task that is gone, and the next run takes the rest.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from protocol.closing import compute_archive_epochs
from protocol.dispute_records import DisputeCase
from protocol.errors import Rejected
from protocol.fold import Change
from protocol.params import Params
from protocol.records import FraudReport, Submission, Task
from protocol.tables import (
    DISPUTES,
    FRAUD_REPORTS,
    REWARDS,
    RULINGS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    Table,
    ruling_key,
)
from protocol.task_types import TaskTerms
from protocol.transactions import SignedTransaction
from storage.engine import Batch
from storage.errors import Corrupt
from storage.indexes import (
    DISPUTES_BY_EVIDENCE,
    INDEX_TABLE,
    REPORTS_BY_ANALYSIS,
    RULINGS_BY_SUBJECT,
    SUBMISSIONS_BY_CONTENT,
    SUBMISSIONS_BY_TASK,
    TASKS_BY_INPUT,
    TASKS_CLOSED,
    Index,
)
from storage.keys import prefix_end
from storage.queries import read_primary_key
from storage.store import Store
from storage.tombstones import stage_tombstone

SLICE_ROWS = 16
"""Rows dropped in one batch: a few milliseconds, most of them spent on their index keys."""
LOOK_ITEMS = 64
"""Tasks or rulings looked at between two places to pause."""

_NAMING: tuple[Index[Any], ...] = (
    TASKS_BY_INPUT,
    SUBMISSIONS_BY_CONTENT,
    DISPUTES_BY_EVIDENCE,
    REPORTS_BY_ANALYSIS,
)
"""By which index a blob is found to be named by a row."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a clean-up is; `total` is an estimate, in epochs."""

    done: int
    total: int


def check_retention(params: Params, retention: int) -> None:
    """Check that a retention, in epochs, is long enough.

    Raises:
        Rejected: `retention_too_short`.
    """
    least = compute_archive_epochs(params)
    if retention < least:
        raise Rejected("retention_too_short", f"{retention} epochs", f"at least {least}")


class Pruner:
    """One clean-up of a store that may be written to between its steps.

    Args:
        store: open.
        retention: epochs for which a task is kept after it closed for good.
        list_open: gives the transactions that no seal took in yet: blobs that they name are kept.

    Raises:
        Rejected: `retention_too_short`.
    """

    def __init__(
        self,
        store: Store,
        retention: int,
        list_open: Callable[[], Iterable[SignedTransaction]] | None = None,
    ) -> None:
        check_retention(store.genesis.params, retention)
        self._store = store
        self._retention = retention
        self._list_open = list_open or store.journal.open_transactions

    def steps(self) -> Iterator[Progress]:
        """Drop what is due; yield after every slice and every few items looked at.

        Raises:
            StorageError: a row cannot be read, or the disk refuses; begun again, it goes on.
        """
        store = self._store
        upto = store.head.epoch - self._retention
        if store.pruned.leaving is not None:
            yield from self._drop_rest(store.pruned.leaving, upto, Progress(0, max(1, upto)))
        # Before the first epoch nothing closed: with a retention beyond it nothing is dropped.
        if upto < 1:
            return
        yield from self._drop_tasks(upto)
        yield from self._drop_rulings(upto)
        for _ in store.local.drop_metrics(upto):
            yield Progress(upto, upto)

    # -------------------------------------------------------------------------------- tasks

    def _drop_tasks(self, upto: int) -> Iterator[Progress]:
        store = self._store
        rows = store.engine.scan(INDEX_TABLE, TASKS_CLOSED.prefix(), TASKS_CLOSED.prefix(upto + 1))
        for place, (index_key, _) in enumerate(rows):
            task_id = read_primary_key(index_key)
            task = store.rows.get(TASKS, task_id)
            closed = None if task is None else store.view.closed_at(task_id)
            if task is not None and closed is not None and closed <= upto:
                progress = Progress(min(closed, upto), upto)
                # The task itself goes with its tombstone; from then on it is no task any more.
                batch = Batch()
                stage_tombstone(batch, task_id, closed)
                self._drop(batch, [Change(TASKS, task_id, task, None)], leaving=task_id)
                yield progress
                yield from self._drop_rest(task_id, upto, progress)
            elif place % LOOK_ITEMS == 0:
                yield Progress(0, upto)

    def _drop_rest(self, task_id: bytes, upto: int, progress: Progress) -> Iterator[Progress]:
        changes = self._find_rest(task_id, upto)
        while rows := list(islice(changes, SLICE_ROWS)):
            answers = [one.key for one in rows if one.table is SUBMISSIONS]
            # First: an opinion without its answer would stay for ever.
            self._store.local.drop_analyses(answers)
            self._drop(Batch(), rows, leaving=task_id)
            yield progress
        self._store.prune(Batch(), (), tasks=1, leaving=None)

    def _find_rest(self, task_id: bytes, upto: int) -> Iterator[Change]:
        """Yield what a task leaves behind, votes before the answer they are on.

        Rulings of later epochs stay: somebody may still look for what became of his transaction.
        """
        for key in self._list(SUBMISSIONS_BY_TASK, task_id):
            yield from self._find_rows(VALIDATIONS, key)
            yield from self._find_rows(VOTE_COMMITMENTS, key)
            yield from self._find_rows(FRAUD_REPORTS, key)
            yield self._read(SUBMISSIONS, key)
        yield from self._find_rows(REWARDS, task_id)
        yield from self._find_rows(DISPUTES, task_id)
        for key in self._list(RULINGS_BY_SUBJECT, task_id):
            if key < ruling_key(upto + 1, b""):
                yield self._read(RULINGS, key)

    def _find_rows(self, table: Table[Any], prefix: bytes) -> Iterator[Change]:
        for key, row in self._store.rows.scan(table, prefix, prefix_end(prefix)):
            yield Change(table, key, row, None)

    def _list(self, index: Index[Any], first: bytes) -> Iterator[bytes]:
        prefix = index.prefix(first)
        rows = self._store.engine.scan(INDEX_TABLE, prefix, prefix_end(prefix))
        return (read_primary_key(key) for key, _ in rows)

    def _read(self, table: Table[Any], key: bytes) -> Change:
        row = self._store.rows.get(table, key)
        if row is None:
            raise Corrupt("row_missing", f"{table.name} {key.hex()[:16]}", "what an index names")
        return Change(table, key, row, None)

    # ------------------------------------------------------------------------------- rulings

    def _drop_rulings(self, upto: int) -> Iterator[Progress]:
        """Drop old rulings about whatever is no task here: miners, and tasks that never were."""
        slice_: list[Change] = []
        rows = self._store.rows.scan(RULINGS, b"", ruling_key(upto + 1, b""))
        for place, (key, ruling) in enumerate(rows):
            if self._store.view.get(TASKS, ruling.subject) is None:
                slice_.append(Change(RULINGS, key, ruling, None))
            if len(slice_) == SLICE_ROWS:
                self._drop(Batch(), slice_)
                slice_ = []
                yield Progress(ruling.epoch, upto)
            elif place % LOOK_ITEMS == 0:
                yield Progress(ruling.epoch, upto)
        self._store.prune(Batch(), slice_, upto=upto)

    # --------------------------------------------------------------------------- inner parts

    def _drop(self, batch: Batch, rows: list[Change], *, leaving: bytes | None = None) -> None:
        freed = self._stage_blobs(batch, rows)
        self._store.prune(batch, rows, freed_bytes=freed, leaving=leaving)

    def _stage_blobs(self, batch: Batch, rows: Iterable[Change]) -> int:
        """Delete the blobs that only these rows name; return the bytes freed."""
        leaving = {change.key for change in rows}
        blobs = self._store.journal.blobs
        due = {
            key
            for change in rows
            for key in _read_blobs(change.before)
            if blobs.has(key) and not self._is_named(key, leaving)
        }
        if due:
            terms = (tx.payload for tx in self._list_open())
            due -= {one.data_hash for one in terms if isinstance(one, TaskTerms)}
        return sum(blobs.stage_delete(batch, key) for key in sorted(due))

    def _is_named(self, content_hash: bytes, leaving: set[bytes]) -> bool:
        return any(
            primary_key not in leaving
            for index in _NAMING
            for primary_key in self._list(index, content_hash)
        )


def _read_blobs(row: Any) -> tuple[bytes, ...]:
    """Return the hashes of the content that a row names."""
    if isinstance(row, Task):
        return (row.terms.data_hash,)
    if isinstance(row, Submission) and row.content_hash is not None:
        return (row.content_hash,)
    if isinstance(row, FraudReport):
        return (row.analysis_hash,)
    if isinstance(row, DisputeCase):
        return tuple(one.content_hash for one in row.evidence)
    return ()
