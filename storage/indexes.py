"""Secondary indexes. An index is a pure function from a row to its keys.

Nothing here writes. `storage.commit` takes the keys of the old row and of the new row and writes
the difference, so that an index cannot go stale: there is no second code path that could forget
to delete. All keys lie in one table, `ai_index_mappings`:

    encode_key(name of the index, part, ..., primary key)        value: empty

The primary key is the last part. What a table's own key can list needs no index: the votes on a
submission, the disputes of a task and the rulings of an epoch are prefixes of their tables.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from protocol.charter_records import ChangeCase
from protocol.closing import compute_moved_epoch, is_paid_out
from protocol.dispute_records import DisputeCase
from protocol.phases import OPEN_DISPUTES, ChangeStatus, RewardState, TaskStatus
from protocol.records import (
    ROLE_SOLVER,
    ROLE_VALIDATOR,
    FraudReport,
    Miner,
    RewardDistribution,
    Ruling,
    Submission,
    Task,
    Validation,
)
from protocol.tables import (
    CHANGES,
    DISPUTES,
    FRAUD_REPORTS,
    MINERS,
    REWARDS,
    RULINGS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    Table,
)
from protocol.task_types import get_type_slug
from protocol.view import compute_dispute_deadline, compute_next_deadline
from storage.keys import Part, encode_key
from storage.local_records import FraudAnalysis
from storage.local_tables import FRAUD

T = TypeVar("T")

INDEX_TABLE = "ai_index_mappings"
INDEXES_VERSION = 5
"""Raised when any function here changes; a store with another one rebuilds all indexes at open."""

Parts = tuple[Part, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Index(Generic[T]):
    """One index.

    Attributes:
        name: the first part of its keys, stable.
        table: what it is over.
        compute_parts: the parts between name and primary key, for each key of a record.
    """

    name: str
    table: Table[T]
    compute_parts: Callable[[T], Iterable[Parts]]

    def prefix(self, *parts: Part) -> bytes:
        """Return what all keys with these first parts begin with."""
        return encode_key(self.name, *parts)


def is_active(task: Task) -> bool:
    """Tell whether anything can still happen to a task."""
    match task.status:
        case TaskStatus.EXPIRED | TaskStatus.CANCELLED:
            return False
        case TaskStatus.COMPLETED:
            return not task.settled
        case _:
            return True


def _when_published(task: Task) -> Iterable[Parts]:
    yield (task.lifecycle.published_at,)


def _when_active(task: Task) -> Iterable[Parts]:
    if is_active(task):
        yield (task.lifecycle.published_at,)


def _task_moved(task: Task) -> Iterable[Parts]:
    yield (compute_moved_epoch(task),)


def _task_closed(task: Task) -> Iterable[Parts]:
    if is_paid_out(task):
        yield (compute_moved_epoch(task),)


def _task_input(task: Task) -> Iterable[Parts]:
    if task.terms.data_bytes:
        yield (task.terms.data_hash,)


def _task_status(task: Task) -> Iterable[Parts]:
    yield (int(task.status), task.lifecycle.published_at)


def _task_publisher(task: Task) -> Iterable[Parts]:
    yield (task.publisher, task.lifecycle.published_at)


def _task_type(task: Task) -> Iterable[Parts]:
    yield (get_type_slug(task.terms.task_type), task.lifecycle.published_at)


def _task_due(task: Task) -> Iterable[Parts]:
    deadline = compute_next_deadline(task)
    if deadline is not None:
        yield (deadline,)


def _miner_roles(miner: Miner) -> Iterable[Parts]:
    for role in (ROLE_SOLVER, ROLE_VALIDATOR):
        if miner.roles & role:
            yield (role,)


def _miner_specializations(miner: Miner) -> Iterable[Parts]:
    for slug in miner.specializations:
        yield (slug,)


def _miner_reputation(miner: Miner) -> Iterable[Parts]:
    yield (miner.reputation.score,)


def _submission_task(submission: Submission) -> Iterable[Parts]:
    yield (submission.task_id, submission.committed_at)


def _submission_content(submission: Submission) -> Iterable[Parts]:
    if submission.content_hash is not None:
        yield (submission.content_hash,)


def _submission_miner(submission: Submission) -> Iterable[Parts]:
    yield (submission.miner, submission.committed_at)


def _validation_validator(validation: Validation) -> Iterable[Parts]:
    yield (validation.validator, validation.voted_at)


def _unclaimed(distribution: RewardDistribution) -> Iterable[Parts]:
    for entry in distribution.entries:
        if entry.state in (RewardState.LOCKED, RewardState.CLAIMABLE):
            yield (entry.recipient, distribution.computed_at, entry.entry_id)


def _dispute_id(case: DisputeCase) -> Iterable[Parts]:
    yield (case.dispute_id,)


def _dispute_pending(case: DisputeCase) -> Iterable[Parts]:
    if case.status in OPEN_DISPUTES:
        yield (case.opened_at,)


def _dispute_time(case: DisputeCase) -> Iterable[Parts]:
    yield (case.opened_at,)


def _dispute_due(case: DisputeCase) -> Iterable[Parts]:
    deadline = compute_dispute_deadline(case)
    if deadline is not None:
        yield (deadline,)


def _dispute_evidence(case: DisputeCase) -> Iterable[Parts]:
    for item in case.evidence:
        yield (item.content_hash,)


def _report_analysis(report: FraudReport) -> Iterable[Parts]:
    yield (report.analysis_hash,)


def _ruling_subject(ruling: Ruling) -> Iterable[Parts]:
    yield (ruling.subject, ruling.epoch)


def _change_time(case: ChangeCase) -> Iterable[Parts]:
    yield (case.proposed_at,)


def _change_open(case: ChangeCase) -> Iterable[Parts]:
    if case.status is ChangeStatus.OPEN:
        yield (case.change.effective_at,)


def _fraud_flagged(analysis: FraudAnalysis) -> Iterable[Parts]:
    if analysis.flagged:
        yield (analysis.overall_risk,)


TASKS_BY_TIME = Index("tasks", TASKS, _when_published)
TASKS_ACTIVE = Index("tasks_active", TASKS, _when_active)
TASKS_BY_STATUS = Index("tasks_by_status", TASKS, _task_status)
TASKS_BY_PUBLISHER = Index("tasks_by_publisher", TASKS, _task_publisher)
TASKS_BY_TYPE = Index("tasks_by_type", TASKS, _task_type)
TASKS_BY_DUE = Index("tasks_by_due", TASKS, _task_due)
TASKS_BY_MOVE = Index("tasks_by_move", TASKS, _task_moved)
TASKS_CLOSED = Index("tasks_closed", TASKS, _task_closed)
"""What clean-up looks through: all of it may have closed for good, and nothing else can have."""
TASKS_BY_INPUT = Index("tasks_by_input", TASKS, _task_input)
MINERS_BY_ROLE = Index("miners_by_role", MINERS, _miner_roles)
MINERS_BY_SPECIALIZATION = Index("miners_by_specialization", MINERS, _miner_specializations)
MINERS_BY_REPUTATION = Index("miners_by_reputation", MINERS, _miner_reputation)
SUBMISSIONS_BY_TASK = Index("submissions_by_task", SUBMISSIONS, _submission_task)
SUBMISSIONS_BY_MINER = Index("submissions_by_miner", SUBMISSIONS, _submission_miner)
SUBMISSIONS_BY_CONTENT = Index("submissions_by_content", SUBMISSIONS, _submission_content)
VALIDATIONS_BY_VALIDATOR = Index("validations_by_validator", VALIDATIONS, _validation_validator)
REWARDS_UNCLAIMED = Index("rewards_unclaimed", REWARDS, _unclaimed)
DISPUTES_BY_TIME = Index("disputes", DISPUTES, _dispute_time)
DISPUTES_BY_ID = Index("disputes_by_id", DISPUTES, _dispute_id)
DISPUTES_PENDING = Index("disputes_pending", DISPUTES, _dispute_pending)
DISPUTES_BY_DUE = Index("disputes_by_due", DISPUTES, _dispute_due)
DISPUTES_BY_EVIDENCE = Index("disputes_by_evidence", DISPUTES, _dispute_evidence)
REPORTS_BY_ANALYSIS = Index("fraud_reports_by_analysis", FRAUD_REPORTS, _report_analysis)
RULINGS_BY_SUBJECT = Index("rulings_by_subject", RULINGS, _ruling_subject)
CHANGES_BY_TIME = Index("changes", CHANGES, _change_time)
CHANGES_OPEN = Index("changes_open", CHANGES, _change_open)
FRAUD_FLAGGED = Index("fraud_flagged", FRAUD, _fraud_flagged)
"""Of local opinions: like their rows, it enters no root."""

INDEXES: tuple[Index[Any], ...] = (
    TASKS_BY_TIME,
    TASKS_ACTIVE,
    TASKS_BY_STATUS,
    TASKS_BY_PUBLISHER,
    TASKS_BY_TYPE,
    TASKS_BY_DUE,
    TASKS_BY_MOVE,
    TASKS_CLOSED,
    TASKS_BY_INPUT,
    MINERS_BY_ROLE,
    MINERS_BY_SPECIALIZATION,
    MINERS_BY_REPUTATION,
    SUBMISSIONS_BY_TASK,
    SUBMISSIONS_BY_MINER,
    SUBMISSIONS_BY_CONTENT,
    VALIDATIONS_BY_VALIDATOR,
    REWARDS_UNCLAIMED,
    DISPUTES_BY_TIME,
    DISPUTES_BY_ID,
    DISPUTES_PENDING,
    DISPUTES_BY_DUE,
    DISPUTES_BY_EVIDENCE,
    REPORTS_BY_ANALYSIS,
    RULINGS_BY_SUBJECT,
    CHANGES_BY_TIME,
    CHANGES_OPEN,
    FRAUD_FLAGGED,
)
BY_TABLE: dict[str, tuple[Index[Any], ...]] = {
    index.table.name: tuple(other for other in INDEXES if other.table is index.table)
    for index in INDEXES
}


def compute_index_keys(table: Table[Any], key: bytes, record: Any) -> set[bytes]:
    """Return all index keys of one row; none for no row."""
    if record is None:
        return set()
    suffix = encode_key(key)
    return {
        encode_key(index.name, *parts) + suffix
        for index in BY_TABLE.get(table.name, ())
        for parts in index.compute_parts(record)
    }
