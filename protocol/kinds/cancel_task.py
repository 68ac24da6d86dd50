"""cancel_task: the publisher withdraws a task that nobody has taken up."""

from dataclasses import dataclass
from typing import Annotated, Any

from protocol.book import Book, Refused
from protocol.kind import Kind, Stage
from protocol.lifecycle import move_task, refund_task, require_status, require_task
from protocol.params import Params
from protocol.phases import TaskStatus, Trigger
from protocol.schema import AtMost
from protocol.tables import TASKS
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class CancelTask:
    """Payload: why, for people."""

    reason: Annotated[str, AtMost(256)]


def _check(header: Header, payload: Any) -> None:
    """Nothing to see without the state."""


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return 0


def _apply(book: Book, tx: SignedTransaction) -> None:
    task = require_task(book, tx.header.subject)
    if tx.header.author != task.publisher:
        raise Refused("not_publisher", tx.header.author.hex()[:16], task.publisher.hex()[:16])
    require_status(task, TaskStatus.PUBLISHED)
    task = refund_task(book, task)
    task = move_task(task, TaskStatus.CANCELLED, Trigger.PUBLISHER_CANCELLED, book.epoch, tx.tx_id)
    book.put(TASKS, task.task_id, task)


CANCEL_TASK = Kind(7, "cancel_task", Stage.CANCEL, CancelTask, _check, _compute_debit, _apply)
