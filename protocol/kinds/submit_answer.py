"""submit_answer: a miner commits to an answer without showing it, with a stake."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from protocol.answers import compute_submission_id
from protocol.book import Book, Pot, Refused
from protocol.errors import Rejected
from protocol.fees import compute_submit_fee, split_fee
from protocol.kind import Kind, Stage
from protocol.lifecycle import (
    move_task,
    require_before,
    require_miner,
    require_status,
    require_task,
)
from protocol.params import Amount, Params
from protocol.phases import SubmissionStatus, TaskStatus, Trigger
from protocol.records import ROLE_SOLVER, Participant, Submission
from protocol.schema import Between
from protocol.tables import SUBMISSIONS, TASKS
from protocol.task_types import Id, Score, get_type_slug
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class SubmitAnswer:
    """Payload.

    Attributes:
        commitment: `protocol.answers.compute_commitment`; bound to the miner, so no copy opens.
        stake: nano-units locked until the dispute window ends.
        estimated_quality: the miner's own guess, advice only.
        work_ms: time spent, as the miner says; advice only, it cannot be verified.
    """

    commitment: Id
    stake: Amount
    estimated_quality: Score
    work_ms: Annotated[int, Between(0, (1 << 53) - 1)]


def _check(header: Header, payload: Any) -> None:
    if payload.commitment == bytes(32):
        raise Rejected("bad_commitment", "32 zero bytes", "a hash")


def _compute_fee(tx: SignedTransaction, params: Params) -> int:
    return compute_submit_fee(params, len(tx.body))


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return int(tx.payload.stake) + _compute_fee(tx, params)


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: SubmitAnswer = tx.payload
    miner = tx.header.author
    task = require_task(book, tx.header.subject)
    if miner == task.publisher:
        raise Refused("own_task", "the publisher", "another miner")
    require_miner(book, miner, ROLE_SOLVER, get_type_slug(task.terms.task_type))
    for participant in task.participants:
        if participant.miner == miner:
            earlier = book.require(SUBMISSIONS, participant.submission_id, "no_such_answer")
            raise Refused("already_submitted", "a second answer", "one", earlier.commit_tx)
    if len(task.participants) >= task.terms.max_participants:
        last = book.require(SUBMISSIONS, task.participants[-1].submission_id, "no_such_answer")
        places = task.terms.max_participants
        raise Refused("task_full", f"{places} of {places} places taken", "a place", last.commit_tx)
    require_before(book.epoch, task.lifecycle.submission_deadline)
    require_status(task, TaskStatus.PUBLISHED, TaskStatus.IN_PROGRESS)
    if payload.stake < task.terms.stake_required:
        raise Refused("stake_too_small", payload.stake, f"at least {task.terms.stake_required}")
    treasury, burned = split_fee(_compute_fee(tx, book.params), book.params)
    book.pay(miner, Pot.STAKE, payload.stake)
    book.pay(miner, Pot.TREASURY, treasury)
    book.pay(miner, Pot.BURNED, burned)
    submission_id = compute_submission_id(task.task_id, miner, payload.commitment)
    book.put(
        SUBMISSIONS,
        submission_id,
        Submission(
            submission_id=submission_id,
            task_id=task.task_id,
            miner=miner,
            commit_tx=tx.tx_id,
            reveal_tx=None,
            commitment=payload.commitment,
            content_hash=None,
            committed_at=book.epoch,
            revealed_at=None,
            estimated_quality=payload.estimated_quality,
            stake=payload.stake,
            forfeited=0,
            status=SubmissionStatus.PENDING,
            votes=(),
            score=None,
            agreement=None,
            confidence=None,
        ),
    )
    task = replace(task, participants=(*task.participants, Participant(miner, submission_id)))
    if task.status is TaskStatus.PUBLISHED:
        task = move_task(
            task, TaskStatus.IN_PROGRESS, Trigger.PARTICIPANT_ACTION, book.epoch, tx.tx_id
        )
    book.put(TASKS, task.task_id, task)


SUBMIT_ANSWER = Kind(1, "submit_answer", Stage.COMMIT, SubmitAnswer, _check, _compute_debit, _apply)
