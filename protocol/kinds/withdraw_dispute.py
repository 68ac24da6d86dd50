"""withdraw_dispute: the disputer takes his dispute back before a panel has it."""

from dataclasses import dataclass
from typing import Any

from protocol.book import Book, Refused
from protocol.disputes import require_dispute
from protocol.kind import Kind, Stage
from protocol.lifecycle import require_task
from protocol.params import Params
from protocol.phases import DisputeStatus, TaskStatus
from protocol.tables import TASKS
from protocol.task_types import Id
from protocol.transactions import Header, SignedTransaction
from protocol.verdicts import close_dispute, step_dispute


@dataclass(frozen=True, slots=True)
class WithdrawDispute:
    """Payload: which dispute."""

    dispute_id: Id


def _check(header: Header, payload: Any) -> None:
    """Nothing to see without the state."""


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return 0


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: WithdrawDispute = tx.payload
    task = require_task(book, tx.header.subject)
    case = require_dispute(book, task, payload.dispute_id, DisputeStatus.PENDING)
    if tx.header.author != case.disputer:
        raise Refused("not_disputer", tx.header.author.hex()[:16], case.disputer.hex()[:16])
    # A task leaves a dispute for validation, which must not open while answers are being shown.
    if case.status_before is TaskStatus.ANSWERS_SUBMITTED and book.epoch <= case.pending_until:
        raise Refused("too_early", f"epoch {book.epoch}", f"after {case.pending_until}")
    case = step_dispute(case, DisputeStatus.WITHDRAWN)
    book.put(TASKS, task.task_id, close_dispute(book, task, case, tx.tx_id))


WITHDRAW_DISPUTE = Kind(
    12, "withdraw_dispute", Stage.DISPUTE, WithdrawDispute, _check, _compute_debit, _apply
)
