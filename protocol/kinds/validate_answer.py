"""validate_answer: a validator of the task's panel judges one revealed answer."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from protocol.book import Book, Pot, Refused
from protocol.convictions import read_convicted, read_voting_round
from protocol.errors import Rejected
from protocol.fees import split_fee
from protocol.kind import Kind, Stage
from protocol.lifecycle import (
    compute_vote_weight,
    require_before,
    require_miner,
    require_status,
    require_submission,
    require_task,
)
from protocol.params import Amount, Params, Small
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import ROLE_VALIDATOR, RejectReason, Validation, Verdict
from protocol.schema import AtMost
from protocol.tables import SUBMISSIONS, VALIDATIONS, validation_key
from protocol.task_types import Id, Score
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class ValidateAnswer:
    """Payload.

    Attributes:
        score: 0 to 100; 0 unless the verdict is to approve.
        stake: nano-units locked until the dispute window ends.
        round: the round this vote is for (`protocol.convictions.read_voting_round`).
        reasoning: for people.
    """

    submission_id: Id
    verdict: Verdict
    score: Score
    reason: RejectReason
    reasoning: Annotated[str, AtMost(2048)]
    stake: Amount
    round: Small


def _check(header: Header, payload: Any) -> None:
    approves = payload.verdict is Verdict.APPROVE
    if not approves and payload.score != 0:
        raise Rejected("bad_score", payload.score, "0 unless the verdict is to approve")
    if (payload.verdict is Verdict.REJECT) == (payload.reason is RejectReason.NONE):
        raise Rejected("bad_reason", payload.reason.name.lower(), "a reason with a rejection only")


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return int(tx.payload.stake) + params.validate_fee


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: ValidateAnswer = tx.payload
    validator = tx.header.author
    task = require_task(book, tx.header.subject)
    submission = require_submission(book, task, payload.submission_id)
    if validator in (task.publisher, submission.miner):
        raise Refused("self_validation", "a party of the task", "an outside validator")
    miner = require_miner(book, validator, ROLE_VALIDATOR, None)
    require_before(book.epoch, task.lifecycle.finalize_deadline)
    require_status(task, TaskStatus.UNDER_VALIDATION)
    voting_round = read_voting_round(book, task)
    if payload.round != voting_round:
        raise Refused("wrong_round", payload.round, voting_round)
    if validator in read_convicted(book, task).validators:
        raise Refused("convicted", validator.hex()[:16], "a validator whom no verdict named")
    if validator not in task.panel:
        raise Refused("not_on_panel", validator.hex()[:16], f"one of {len(task.panel)} drawn")
    key = validation_key(submission.submission_id, validator, payload.round)
    earlier = book.get(VALIDATIONS, key)
    if earlier is not None:
        raise Refused("already_validated", "a second vote", "one", earlier.validation_id)
    if submission.status is not SubmissionStatus.UNDER_REVIEW:
        raise Refused("not_under_review", submission.status.name.lower(), "under_review")
    least = task.terms.stake_required // 2
    if payload.stake < least:
        raise Refused("stake_too_small", payload.stake, f"at least {least}")
    treasury, burned = split_fee(book.params.validate_fee, book.params)
    book.pay(validator, Pot.STAKE, payload.stake)
    book.pay(validator, Pot.TREASURY, treasury)
    book.pay(validator, Pot.BURNED, burned)
    book.put(
        VALIDATIONS,
        key,
        Validation(
            validation_id=tx.tx_id,
            task_id=task.task_id,
            submission_id=submission.submission_id,
            validator=validator,
            round=payload.round,
            verdict=payload.verdict,
            score=payload.score,
            reason=payload.reason,
            voted_at=book.epoch,
            stake=payload.stake,
            weight=compute_vote_weight(book, miner),
        ),
    )
    book.put(
        SUBMISSIONS,
        submission.submission_id,
        replace(submission, votes=tuple(sorted((*submission.votes, validator)))),
    )


VALIDATE_ANSWER = Kind(
    2, "validate_answer", Stage.VALIDATE, ValidateAnswer, _check, _compute_debit, _apply
)
