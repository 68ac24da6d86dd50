"""LocalStore: this node's opinions at rest, beside the sealed state and outside every root.

Rule 1: a row and the difference of its index keys go into one batch, as at a seal.
Rule 2: nothing here is synced: what a crash takes is computed again from the sealed state, and the
        log keeps the order, so the progress never runs ahead of the rows.
Rule 3: rows of another release are not read: they are dropped at open and computed anew.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated, TypeVar

from protocol.errors import Rejected
from protocol.fold import Change
from protocol.records import Submission
from protocol.schema import Between, decode_record, encode_record
from protocol.tables import Table
from storage.commit import stage_changes
from storage.engine import Batch, Engine
from storage.errors import Corrupt
from storage.indexes import (
    FRAUD_FLAGGED,
    INDEX_TABLE,
    SUBMISSIONS_BY_MINER,
    TASKS_BY_MOVE,
    VALIDATIONS_BY_VALIDATOR,
)
from storage.keys import decode_key, encode_key, prefix_end
from storage.local_records import (
    BehavioralPattern,
    Count,
    FraudAnalysis,
    NetworkMetrics,
    PerformanceAnalytics,
)
from storage.local_tables import ANALYTICS, BEHAVIOUR, FRAUD, LOCAL_TABLES, METRICS, metrics_key
from storage.meta import META
from storage.queries import PAGE_ITEMS, Page, read_page, read_primary_key
from storage.reversals import ReversalLog
from storage.rows import Rows, decode_row

T = TypeVar("T")

ROWS_VERSION = 1
"""Of all four tables together; raised when a record changes."""
METRICS_EPOCHS_MAX = 100_000
"""Rows of network metrics that are kept, the latest ones: some days of a large network."""
CLEARED_ROWS = 256
"""Rows that one step of a clearing drops: about a millisecond."""
PRUNED_MAX = 64
"""Old rows dropped with a new one: more than one, so that a smaller bound is reached in time."""

PROGRESS = b"local/opinions"


@dataclass(frozen=True, slots=True)
class Progress:
    """How the rows came to be.

    Attributes:
        version: of the rows.
        ruleset: by which answers were analysed; 0 before the first.
        flagged: answers that are flagged.
    """

    version: Annotated[int, Between(0, 65_535)]
    ruleset: Annotated[int, Between(0, 65_535)]
    flagged: Count


_UNKNOWN = Progress(0, 0, 0)


class LocalStore:
    """Reads and writes of opinions. One task writes; whoever likes reads.

    Attributes:
        progress: how the rows came to be.
        reversals: what this node showed before a seal that made it otherwise.
    """

    def __init__(self, engine: Engine, rows: Rows) -> None:
        self._engine = engine
        self._rows = rows
        self.reversals = ReversalLog(engine)
        self.reload()

    def reload(self) -> None:
        """Read anew how the rows came to be; drop those of another release."""
        self.reversals.reload()
        self.progress = self._read_progress()
        if self.progress.version != ROWS_VERSION:
            for _ in self.clear_steps(0):
                pass

    # ------------------------------------------------------------------------------- writing

    def put_analysis(self, analysis: FraudAnalysis) -> None:
        """Store what is thought of an answer now; the list of flagged answers follows."""
        key = analysis.submission_id
        before = self._rows.get(FRAUD, key)
        if before == analysis:
            return
        more = analysis.flagged - (before is not None and before.flagged)
        progress = replace(self.progress, flagged=self.progress.flagged + more)
        self._write([Change(FRAUD, key, before, analysis)], progress)

    def put_behavior(self, pattern: BehavioralPattern) -> None:
        """Store how a miner behaves now."""
        self._put(BEHAVIOUR, pattern.miner, pattern)

    def put_analytics(self, analytics: PerformanceAnalytics) -> None:
        """Store how a miner did so far."""
        self._put(ANALYTICS, analytics.miner, analytics)

    def put_metrics(self, metrics: NetworkMetrics) -> None:
        """Store the metrics of an epoch; the oldest rows beyond the bound are dropped."""
        changes = [Change(METRICS, metrics_key(metrics.epoch), None, metrics)]
        oldest = metrics_key(max(0, metrics.epoch - METRICS_EPOCHS_MAX + 1))
        for key, row in self._rows.scan(METRICS, b"", oldest):
            changes.append(Change(METRICS, key, row, None))
            if len(changes) > PRUNED_MAX:
                break
        self._write(changes, self.progress)

    def drop_analyses(self, submission_ids: Iterable[bytes]) -> None:
        """Forget what is thought of answers that are about to be dropped."""
        changes = []
        for key in submission_ids:
            before = self._rows.get(FRAUD, key)
            if before is not None:
                changes.append(Change(FRAUD, key, before, None))
        if changes:
            flagged = sum(change.before.flagged for change in changes)
            progress = replace(self.progress, flagged=self.progress.flagged - flagged)
            self._write(changes, progress)

    def drop_metrics(self, upto: int) -> Iterator[None]:
        """Forget the metrics of an epoch and of all before it, but the latest; in slices."""
        latest = self.metrics_latest()
        if latest is None:
            return
        end = metrics_key(min(upto + 1, latest.epoch))
        rows = self._rows.scan(METRICS, b"", end)
        while slice_ := list(islice(rows, PRUNED_MAX)):
            changes = [Change(METRICS, key, row, None) for key, row in slice_]
            self._write(changes, self.progress)
            yield

    def clear_steps(self, ruleset: int) -> Iterator[None]:
        """Forget all opinions in small steps; those that follow are by this ruleset.

        It yields between steps, and whoever drives it may let others read there. Stopped anywhere,
        it is run again at the next open: the progress is written last.
        """
        self._write([], _UNKNOWN)
        # Before the rows: an index names no row that is gone.
        flagged = FRAUD_FLAGGED.prefix()
        yield from self._drop(INDEX_TABLE, flagged, prefix_end(flagged))
        for table in LOCAL_TABLES:
            yield from self._drop(table.name, b"", None)
        self._write([], Progress(ROWS_VERSION, ruleset, 0))

    # ------------------------------------------------------------------------------- reading

    def analysis(self, submission_id: bytes) -> FraudAnalysis | None:
        """Return what is thought of an answer, None if it was not looked at."""
        return self._rows.get(FRAUD, submission_id)

    def behavior(self, miner: bytes) -> BehavioralPattern | None:
        """Return how a miner behaves, None if he never answered."""
        return self._rows.get(BEHAVIOUR, miner)

    def analytics(self, miner: bytes) -> PerformanceAnalytics | None:
        """Return how a miner did, None if nothing of his was settled."""
        return self._rows.get(ANALYTICS, miner)

    def metrics(self, epoch: int) -> NetworkMetrics | None:
        """Return the metrics of one epoch, None if they were skipped or are gone."""
        return self._rows.get(METRICS, metrics_key(epoch))

    def metrics_latest(self) -> NetworkMetrics | None:
        """Return the metrics of the last epoch that was looked at."""
        for key, data in self._engine.scan(METRICS.name, reverse=True):
            return decode_row(METRICS, key, data)
        return None

    def flagged(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[FraudAnalysis]:
        """Return the flagged answers, those of the highest risk first."""

        def read(key: bytes, _: bytes) -> FraudAnalysis:
            row = self._rows.get(FRAUD, read_primary_key(key))
            if row is None:
                raise Corrupt("row_missing", FRAUD.name, "what an index names")
            return row

        prefix = FRAUD_FLAGGED.prefix()
        return read_page(self._engine, INDEX_TABLE, prefix, limit, cursor, read, is_reverse=True)

    def analyses(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[FraudAnalysis]:
        """Return all analyses by submission."""
        return self._list(FRAUD, limit, cursor)

    def behaviors(
        self, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[BehavioralPattern]:
        """Return all behavioural patterns by address."""
        return self._list(BEHAVIOUR, limit, cursor)

    def all_analytics(
        self, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[PerformanceAnalytics]:
        """Return the analytics of all miners by address."""
        return self._list(ANALYTICS, limit, cursor)

    def all_metrics(
        self, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[NetworkMetrics]:
        """Return network metrics, the latest first."""
        return self._list(METRICS, limit, cursor, is_reverse=True)

    # --------------------------------------------------- reading what opinions are drawn from

    def tasks_moved_after(self, epoch: int) -> Iterator[bytes]:
        """Return the ids of the tasks that a seal moved after that of `epoch`, as of now."""
        lower, upper = TASKS_BY_MOVE.prefix(epoch + 1), prefix_end(TASKS_BY_MOVE.prefix())
        rows = self._engine.scan(INDEX_TABLE, lower, upper)
        return (read_primary_key(key) for key, _ in rows)

    def earlier_answers(self, submission: Submission, most: int) -> list[bytes]:
        """Return ids of answers that their miner committed to before this one, the latest first.

        Once an answer is sealed, this list never changes.
        """
        prefix = SUBMISSIONS_BY_MINER.prefix(submission.miner)
        upper = SUBMISSIONS_BY_MINER.prefix(submission.miner, submission.committed_at)
        upper += encode_key(submission.submission_id)
        return self._read_last(prefix, upper, most)

    def latest_answers(self, miner: bytes, most: int) -> list[bytes]:
        """Return ids of a miner's answers, the latest first."""
        prefix = SUBMISSIONS_BY_MINER.prefix(miner)
        return self._read_last(prefix, prefix_end(prefix), most)

    def latest_votes(self, validator: bytes, before: int, most: int) -> list[bytes]:
        """Return keys of votes cast before an epoch, the latest first."""
        lower = VALIDATIONS_BY_VALIDATOR.prefix(validator)
        upper = VALIDATIONS_BY_VALIDATOR.prefix(validator, before)
        return self._read_last(lower, upper, most)

    # --------------------------------------------------------------------------- inner parts

    def _read_last(self, lower: bytes, upper: bytes | None, most: int) -> list[bytes]:
        found: list[bytes] = []
        for key, _ in self._engine.scan(INDEX_TABLE, lower, upper, reverse=True):
            if len(found) == most:
                break
            last = decode_key(key)[-1]
            if isinstance(last, bytes):
                found.append(last)
        return found

    def _list(
        self, table: Table[T], limit: int, cursor: bytes | None, *, is_reverse: bool = False
    ) -> Page[T]:
        def read(key: bytes, data: bytes) -> T:
            return decode_row(table, key, data)

        return read_page(self._engine, table.name, b"", limit, cursor, read, is_reverse=is_reverse)

    def _put(self, table: Table[T], key: bytes, row: T) -> None:
        before = self._rows.get(table, key)
        if before != row:
            self._write([Change(table, key, before, row)], self.progress)

    def _write(self, changes: list[Change], progress: Progress) -> None:
        batch = Batch()
        updates, _ = stage_changes(batch, changes)
        if progress != self.progress or not changes:
            batch.put(META, PROGRESS, encode_record(progress))
        self._engine.write(batch, sync=False)
        self.progress = progress
        self._rows.cache.update(updates)

    def _drop(self, table: str, lower: bytes, upper: bytes | None) -> Iterator[None]:
        rows = self._engine.scan(table, lower, upper)
        while keys := [key for key, _ in islice(rows, CLEARED_ROWS)]:
            batch = Batch()
            for key in keys:
                batch.delete(table, key)
            self._engine.write(batch, sync=False)
            for key in keys:
                self._rows.cache.forget((table, key))
            yield

    def _read_progress(self) -> Progress:
        data = self._engine.get(META, PROGRESS)
        if data is None:
            return _UNKNOWN
        try:
            return decode_record(Progress, data)
        except Rejected as error:
            raise Corrupt("meta_damaged", str(error), "the progress of opinions") from error
