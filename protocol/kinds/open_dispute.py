"""open_dispute: somebody with a stake in a task objects to what became of it, with a bond."""

from dataclasses import dataclass
from typing import Annotated, Any

from protocol.book import Book, Pot, Refused
from protocol.dispute_records import (
    EVIDENCE_EACH_MAX,
    REASON_BYTES_MAX,
    DisputeCase,
    DisputeType,
    Evidence,
    EvidenceType,
)
from protocol.disputes import find_voters
from protocol.errors import Rejected
from protocol.fees import compute_bond_min, split_fee
from protocol.kind import Kind, Stage
from protocol.lifecycle import (
    move_task,
    require_before,
    require_status,
    require_submission,
    require_task,
)
from protocol.params import Amount, Params
from protocol.phases import ROUNDS_MAX, DisputeStatus, TaskStatus, Trigger
from protocol.records import Submission, Task
from protocol.schema import AtMost
from protocol.tables import DISPUTES, TASKS, dispute_key
from protocol.task_types import Id
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class Exhibit:
    """An item of evidence: what it is, and the hash of the blob that holds it."""

    type: EvidenceType
    content_hash: Id


@dataclass(frozen=True, slots=True)
class OpenDispute:
    """Payload.

    Attributes:
        submission_id: the answer in dispute, None for the task as a whole.
        evidence: at least one item, none of them twice.
        reason: for people.
        bond: nano-units locked until the dispute ends.
    """

    type: DisputeType
    submission_id: Id | None
    evidence: Annotated[tuple[Exhibit, ...], AtMost(EVIDENCE_EACH_MAX)]
    reason: Annotated[str, AtMost(REASON_BYTES_MAX)]
    bond: Amount


def _check(header: Header, payload: Any) -> None:
    hashes = [one.content_hash for one in payload.evidence]
    if not hashes or len(set(hashes)) != len(hashes):
        raise Rejected("bad_evidence", f"{len(hashes)} items", "at least one, none twice")


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return int(tx.payload.bond) + params.validate_fee


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: OpenDispute = tx.payload
    disputer = tx.header.author
    task = require_task(book, tx.header.subject)
    key = dispute_key(task.task_id, task.lifecycle.round)
    known = book.get(DISPUTES, key)
    if known is not None:
        raise Refused("dispute_open", "a second dispute", "one at a time", known.dispute_id)
    require_status(
        task, TaskStatus.ANSWERS_SUBMITTED, TaskStatus.UNDER_VALIDATION, TaskStatus.COMPLETED
    )
    if task.lifecycle.dispute_deadline is not None:
        require_before(book.epoch, task.lifecycle.dispute_deadline)
    if task.lifecycle.round >= ROUNDS_MAX:
        raise Refused("no_more_rounds", f"{ROUNDS_MAX} disputes", f"fewer than {ROUNDS_MAX}")
    miners = {one.miner for one in task.participants}
    if disputer not in {task.publisher, *miners, *task.panel, *find_voters(book, task)}:
        raise Refused("not_a_party", disputer.hex()[:16], "publisher, miner or validator of it")
    submission = _require_disputed(book, task, payload)
    least = compute_bond_min(task.terms.reward)
    if payload.bond < least:
        raise Refused("bond_too_small", payload.bond, f"at least {least}")
    treasury, burned = split_fee(book.params.validate_fee, book.params)
    book.pay(disputer, Pot.STAKE, payload.bond)
    book.pay(disputer, Pot.TREASURY, treasury)
    book.pay(disputer, Pot.BURNED, burned)
    pending_until = book.epoch
    if task.status is TaskStatus.ANSWERS_SUBMITTED:
        # Nothing is judged before everybody could show his answer.
        pending_until = max(pending_until, task.lifecycle.reveal_deadline)
    case = DisputeCase(
        dispute_id=tx.tx_id,
        task_id=task.task_id,
        round=task.lifecycle.round,
        type=payload.type,
        submission_id=payload.submission_id,
        disputer=disputer,
        defendants=_find_defendants(task, payload.type, submission, disputer),
        reason=payload.reason,
        evidence=tuple(
            Evidence(one.type, one.content_hash, disputer, book.epoch) for one in payload.evidence
        ),
        status=DisputeStatus.PENDING,
        status_before=task.status,
        opened_at=book.epoch,
        pending_until=pending_until,
        hearing=0,
        voting_deadline=None,
        resolution_deadline=None,
        appeal_deadline=None,
        panel=(),
        earlier_panels=(),
        votes=(),
        judgments=(),
        appeals=(),
        bond=payload.bond,
        forfeited=0,
        closed_at=None,
    )
    book.put(DISPUTES, key, case)
    task = move_task(task, TaskStatus.DISPUTED, Trigger.DISPUTE_OPENED, book.epoch, tx.tx_id)
    book.put(TASKS, task.task_id, task)


def _require_disputed(book: Book, task: Task, payload: OpenDispute) -> Submission | None:
    """Return the answer in dispute, if it is about one.

    Raises:
        Refused: `no_such_answer`, `not_revealed`, `no_votes` or `no_result`.
    """
    submission = None
    if payload.submission_id is not None:
        submission = require_submission(book, task, payload.submission_id)
        if submission.content_hash is None:
            raise Refused("not_revealed", "a hidden answer", "one that was shown")
    if payload.type is DisputeType.VALIDATION_ACCURACY and not find_voters(book, task):
        raise Refused("no_votes", "nobody has voted", "votes to dispute")
    is_decided = task.status is TaskStatus.COMPLETED
    if payload.type is DisputeType.REWARD_DISTRIBUTION and not is_decided:
        raise Refused("no_result", task.status.name.lower(), "completed")
    return submission


def _find_defendants(
    task: Task, type_: DisputeType, submission: Submission | None, disputer: bytes
) -> tuple[bytes, ...]:
    """Return the other side, sorted: whom the dispute is about, else the publisher or the miners.

    They are frozen now: who is accused is known to those who will judge, and stays so.
    """
    accused: set[bytes] = set()
    if submission is not None:
        accused = {submission.miner}
        if type_ is DisputeType.VALIDATION_ACCURACY:
            accused = set(submission.votes)
    accused -= {disputer}
    if not accused and disputer != task.publisher:
        accused = {task.publisher}
    if not accused:
        accused = {one.miner for one in task.participants}
    return tuple(sorted(accused))


OPEN_DISPUTE = Kind(8, "open_dispute", Stage.DISPUTE, OpenDispute, _check, _compute_debit, _apply)
