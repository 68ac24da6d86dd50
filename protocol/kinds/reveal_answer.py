"""reveal_answer: the miner opens his commitment once nobody can commit any more."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from protocol.answers import compute_commitment
from protocol.book import Book, Refused
from protocol.disputes import is_revealing
from protocol.errors import Rejected
from protocol.hashing import compute_content_hash
from protocol.kind import Kind, Stage
from protocol.lifecycle import require_before, require_status, require_submission, require_task
from protocol.params import Params
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.schema import AtMost
from protocol.tables import SUBMISSIONS
from protocol.task_types import Id
from protocol.transactions import Header, SignedTransaction

CONTENT_BYTES_MAX = 12 * 1024
"""What fits inside a transaction; a larger answer travels as a blob of the same hash."""


@dataclass(frozen=True, slots=True)
class RevealAnswer:
    """Payload; `content` is None when the answer travels as a blob."""

    submission_id: Id
    content_hash: Id
    salt: Id
    content: Annotated[bytes, AtMost(CONTENT_BYTES_MAX)] | None


def _check(header: Header, payload: Any) -> None:
    content = payload.content
    if content is not None and compute_content_hash(content) != payload.content_hash:
        raise Rejected("wrong_content", f"{len(content)} bytes", "content of the hash named")


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return 0


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: RevealAnswer = tx.payload
    miner = tx.header.author
    task = require_task(book, tx.header.subject)
    submission = require_submission(book, task, payload.submission_id)
    if miner != submission.miner:
        raise Refused("not_committer", miner.hex()[:16], submission.miner.hex()[:16])
    require_before(book.epoch, task.lifecycle.reveal_deadline)
    if not is_revealing(book, task):
        require_status(task, TaskStatus.ANSWERS_SUBMITTED)
    # Even when all places were taken early: an answer shown before the deadline could be copied
    # into a commitment that still arrives in time.
    if book.epoch <= task.lifecycle.submission_deadline:
        raise Refused(
            "too_early", f"epoch {book.epoch}", f"after {task.lifecycle.submission_deadline}"
        )
    if submission.status is not SubmissionStatus.PENDING:
        raise Refused("already_revealed", "a second reveal", "one", submission.reveal_tx)
    commitment = compute_commitment(
        book.network, task.task_id, miner, payload.content_hash, payload.salt
    )
    if commitment != submission.commitment:
        raise Refused("wrong_opening", commitment.hex()[:16], submission.commitment.hex()[:16])
    book.put(
        SUBMISSIONS,
        submission.submission_id,
        replace(
            submission,
            reveal_tx=tx.tx_id,
            content_hash=payload.content_hash,
            revealed_at=book.epoch,
            status=SubmissionStatus.REVEALED,
        ),
    )


REVEAL_ANSWER = Kind(6, "reveal_answer", Stage.REVEAL, RevealAnswer, _check, _compute_debit, _apply)
