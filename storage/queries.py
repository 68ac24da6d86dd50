"""Questions people ask of the sealed state: lists by index, in pages.

A page ends with a cursor: where the next one begins. It is the part of the last key behind the
list's prefix, so it names a place and not a number, and pages neither repeat nor skip what lies
still. Cursors come back from outside and are checked like anything else from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from protocol.charter_records import ChangeCase
from protocol.dispute_records import DisputeCase
from protocol.errors import Rejected
from protocol.phases import TaskStatus
from protocol.records import (
    Account,
    FraudReport,
    Ledger,
    Miner,
    RewardDistribution,
    RewardEntry,
    Ruling,
    Submission,
    Task,
    Validation,
)
from protocol.tables import (
    ACCOUNTS,
    DISPUTES,
    FRAUD_REPORTS,
    LEDGER,
    LEDGER_KEY,
    MINERS,
    REWARDS,
    RULINGS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    Table,
)
from storage import indexes
from storage.engine import Engine
from storage.errors import Corrupt
from storage.indexes import INDEX_TABLE, Index
from storage.keys import Part, decode_key, prefix_end
from storage.rows import Rows, decode_row

T = TypeVar("T")
R = TypeVar("R")

PAGE_ITEMS_MAX = 1_000
PAGE_ITEMS = 100
CURSOR_BYTES_MAX = 256


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `cursor` is None on the last page."""

    items: tuple[T, ...]
    cursor: bytes | None


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A reward entry that its recipient has not collected, and the task it is of."""

    task_id: bytes
    round: int
    claimable_after: int
    entry: RewardEntry


class Queries:
    """Reads of the sealed state; what the open set would change is not in them."""

    def __init__(self, engine: Engine, rows: Rows) -> None:
        self._engine = engine
        self._rows = rows

    # --------------------------------------------------------------------------- single rows

    def task(self, task_id: bytes) -> Task | None:
        """Return one task, or None."""
        return self._rows.get(TASKS, task_id)

    def submission(self, submission_id: bytes) -> Submission | None:
        """Return one answer, or None."""
        return self._rows.get(SUBMISSIONS, submission_id)

    def miner(self, address: bytes) -> Miner | None:
        """Return one miner, or None."""
        return self._rows.get(MINERS, address)

    def account(self, address: bytes) -> Account | None:
        """Return one account, or None."""
        return self._rows.get(ACCOUNTS, address)

    def ledger(self) -> Ledger:
        """Return where all money is.

        Raises:
            Corrupt: there is no such row.
        """
        ledger = self._rows.get(LEDGER, LEDGER_KEY)
        if ledger is None:
            raise Corrupt("row_missing", "no ledger", "the one row")
        return ledger

    # --------------------------------------------------------------------------------- tasks

    def tasks(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[Task]:
        """Return all tasks, the latest first."""
        return self._list(indexes.TASKS_BY_TIME, (), limit, cursor, is_latest_first=True)

    def tasks_active(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[Task]:
        """Return the tasks to which something can still happen, the oldest first."""
        return self._list(indexes.TASKS_ACTIVE, (), limit, cursor)

    def active_tasks(self) -> Iterator[Task]:
        """Return every task to which something can still happen, as of now."""
        prefix = indexes.TASKS_ACTIVE.prefix()
        rows = self._engine.scan(INDEX_TABLE, prefix, prefix_end(prefix))
        return (self._require(TASKS, read_primary_key(key)) for key, _ in rows)

    def tasks_by_status(
        self, status: TaskStatus, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Task]:
        """Return the tasks in a phase, the latest first."""
        return self._list(
            indexes.TASKS_BY_STATUS, (int(status),), limit, cursor, is_latest_first=True
        )

    def tasks_by_publisher(
        self, publisher: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Task]:
        """Return a publisher's tasks, the latest first."""
        return self._list(
            indexes.TASKS_BY_PUBLISHER, (publisher,), limit, cursor, is_latest_first=True
        )

    def tasks_by_type(
        self, slug: str, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Task]:
        """Return the tasks of a type, by its slug, the latest first."""
        return self._list(indexes.TASKS_BY_TYPE, (slug,), limit, cursor, is_latest_first=True)

    # --------------------------------------------------------------------------------- miners

    def miners(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[Miner]:
        """Return all miners by address."""
        return self._list_rows(MINERS, b"", limit, cursor)

    def miners_by_role(
        self, role: int, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Miner]:
        """Return the miners who have a role (`ROLE_SOLVER`, `ROLE_VALIDATOR`), by address."""
        return self._list(indexes.MINERS_BY_ROLE, (role,), limit, cursor)

    def miners_by_specialization(
        self, slug: str, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Miner]:
        """Return the miners specialised in a type of task, by address."""
        return self._list(indexes.MINERS_BY_SPECIALIZATION, (slug,), limit, cursor)

    def top_miners(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[Miner]:
        """Return the miners by reputation, the highest first."""
        return self._list(indexes.MINERS_BY_REPUTATION, (), limit, cursor, is_latest_first=True)

    def accounts(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[Account]:
        """Return all accounts by address."""
        return self._list_rows(ACCOUNTS, b"", limit, cursor)

    # ---------------------------------------------------------------- answers, votes, rewards

    def submissions_of_task(
        self, task_id: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Submission]:
        """Return the answers to a task, the oldest first."""
        return self._list(indexes.SUBMISSIONS_BY_TASK, (task_id,), limit, cursor)

    def submissions_of_miner(
        self, miner: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Submission]:
        """Return a miner's answers, the latest first."""
        return self._list(
            indexes.SUBMISSIONS_BY_MINER, (miner,), limit, cursor, is_latest_first=True
        )

    def validations_of_submission(
        self, submission_id: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Validation]:
        """Return the votes on an answer, by validator and round."""
        return self._list_rows(VALIDATIONS, submission_id, limit, cursor)

    def validations_of_validator(
        self, validator: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Validation]:
        """Return a validator's votes, the latest first."""
        return self._list(
            indexes.VALIDATIONS_BY_VALIDATOR, (validator,), limit, cursor, is_latest_first=True
        )

    def distributions_of_task(
        self, task_id: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[RewardDistribution]:
        """Return a task's reward distributions by round."""
        return self._list_rows(REWARDS, task_id, limit, cursor)

    def unclaimed_rewards(
        self, recipient: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Unclaimed]:
        """Return what a recipient can or will be able to claim, the oldest first."""
        prefix = indexes.REWARDS_UNCLAIMED.prefix(recipient)
        return self._page(INDEX_TABLE, prefix, limit, cursor, self._read_unclaimed)

    # ------------------------------------------------------------------------------- disputes

    def dispute(self, dispute_id: bytes) -> DisputeCase | None:
        """Return one dispute, or None."""
        prefix = indexes.DISPUTES_BY_ID.prefix(dispute_id)
        for key, _ in self._engine.scan(INDEX_TABLE, prefix, prefix_end(prefix)):
            return self._require(DISPUTES, read_primary_key(key))
        return None

    def disputes(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[DisputeCase]:
        """Return all disputes, the latest first."""
        return self._list(indexes.DISPUTES_BY_TIME, (), limit, cursor, is_latest_first=True)

    def disputes_pending(
        self, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[DisputeCase]:
        """Return the disputes that await a judgment, the oldest first."""
        return self._list(indexes.DISPUTES_PENDING, (), limit, cursor)

    def open_disputes(self) -> Iterator[DisputeCase]:
        """Return every dispute that awaits a judgment, as of now."""
        prefix = indexes.DISPUTES_PENDING.prefix()
        rows = self._engine.scan(INDEX_TABLE, prefix, prefix_end(prefix))
        return (self._require(DISPUTES, read_primary_key(key)) for key, _ in rows)

    def disputes_of_task(
        self, task_id: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[DisputeCase]:
        """Return the disputes of a task by round."""
        return self._list_rows(DISPUTES, task_id, limit, cursor)

    def changes(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[ChangeCase]:
        """Return all changes that sealers voted on, the latest first."""
        return self._list(indexes.CHANGES_BY_TIME, (), limit, cursor, is_latest_first=True)

    def fraud_reports_of_submission(
        self, submission_id: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[FraudReport]:
        """Return what people publicly think of an answer, by reporter."""
        return self._list_rows(FRAUD_REPORTS, submission_id, limit, cursor)

    # -------------------------------------------------------------------------------- rulings

    def rulings(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[Ruling]:
        """Return all rulings, those of the latest epoch first."""
        return self._list_rows(RULINGS, b"", limit, cursor, is_latest_first=True)

    def rulings_of_epoch(
        self, epoch: int, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Ruling]:
        """Return the rulings of an epoch by transaction."""
        return self._list_rows(RULINGS, epoch.to_bytes(8, "big"), limit, cursor)

    def rulings_of_subject(
        self, subject: bytes, limit: int = PAGE_ITEMS, cursor: bytes | None = None
    ) -> Page[Ruling]:
        """Return the rulings about a task or a miner, the latest first."""
        return self._list(
            indexes.RULINGS_BY_SUBJECT, (subject,), limit, cursor, is_latest_first=True
        )

    # ---------------------------------------------------------------------------- inner parts

    def _list(
        self,
        index: Index[T],
        parts: tuple[Part, ...],
        limit: int,
        cursor: bytes | None,
        *,
        is_latest_first: bool = False,
    ) -> Page[T]:
        def read(key: bytes, _: bytes) -> T:
            return self._require(index.table, read_primary_key(key))

        prefix = index.prefix(*parts)
        return self._page(INDEX_TABLE, prefix, limit, cursor, read, is_reverse=is_latest_first)

    def _list_rows(
        self,
        table: Table[T],
        prefix: bytes,
        limit: int,
        cursor: bytes | None,
        *,
        is_latest_first: bool = False,
    ) -> Page[T]:
        def read(key: bytes, data: bytes) -> T:
            return decode_row(table, key, data)

        return self._page(table.name, prefix, limit, cursor, read, is_reverse=is_latest_first)

    def _page(
        self,
        table: str,
        prefix: bytes,
        limit: int,
        cursor: bytes | None,
        read: Callable[[bytes, bytes], R],
        *,
        is_reverse: bool = False,
    ) -> Page[R]:
        return read_page(self._engine, table, prefix, limit, cursor, read, is_reverse=is_reverse)

    def _require(self, table: Table[T], key: bytes) -> T:
        row = self._rows.get(table, key)
        if row is None:
            raise Corrupt("row_missing", f"{table.name} {key.hex()[:16]}", "what an index names")
        return row

    def _read_unclaimed(self, key: bytes, _: bytes) -> Unclaimed:
        entry_id = decode_key(key)[-2]
        distribution = self._require(REWARDS, read_primary_key(key))
        for entry in distribution.entries:
            if entry.entry_id == entry_id:
                return Unclaimed(
                    distribution.task_id, distribution.round, distribution.claimable_after, entry
                )
        raise Corrupt("row_missing", "no such reward entry", "what an index names")


def read_page(
    engine: Engine,
    table: str,
    prefix: bytes,
    limit: int,
    cursor: bytes | None,
    read: Callable[[bytes, bytes], R],
    *,
    is_reverse: bool = False,
) -> Page[R]:
    """Read one page behind the cursor, all of it from one snapshot.

    Args:
        engine: where.
        table: of it.
        prefix: what all keys of the list begin with.
        limit: items at most.
        cursor: of the page before, None for the first.
        read: makes an item of a key and its value.
        is_reverse: the greatest key first.

    Raises:
        Rejected: `bad_limit`, `bad_cursor`.
    """
    if not 1 <= limit <= PAGE_ITEMS_MAX:
        raise Rejected("bad_limit", limit, f"1..{PAGE_ITEMS_MAX}")
    if cursor is not None and len(cursor) > CURSOR_BYTES_MAX:
        raise Rejected("bad_cursor", f"{len(cursor)} bytes", f"at most {CURSOR_BYTES_MAX}")
    lower, upper = prefix, prefix_end(prefix)
    if cursor is not None and is_reverse:
        upper = prefix + cursor
    elif cursor is not None:
        lower = prefix + cursor + b"\x00"
    items: list[R] = []
    last = b""
    for key, value in engine.scan(table, lower, upper, reverse=is_reverse):
        if len(items) == limit:
            return Page(tuple(items), last[len(prefix) :])
        items.append(read(key, value))
        last = key
    return Page(tuple(items), None)


def read_primary_key(index_key: bytes) -> bytes:
    """Return the key of the row that an index key names.

    Raises:
        Corrupt: `key_malformed`.
    """
    primary_key = decode_key(index_key)[-1]
    if not isinstance(primary_key, bytes):
        raise Corrupt("key_malformed", primary_key, "a primary key")
    return primary_key
