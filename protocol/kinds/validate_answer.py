"""validate_answer: a validator of the panel commits to his vote on one answer, with a stake."""

from dataclasses import dataclass
from typing import Any

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
from protocol.phases import SubmissionStatus, TaskStatus, VoteState
from protocol.records import ROLE_VALIDATOR, VoteCommitment
from protocol.tables import VOTE_COMMITMENTS, validation_key
from protocol.task_types import Id
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class ValidateAnswer:
    """Payload.

    Attributes:
        commitment: `protocol.kinds.reveal_vote.compute_vote_commitment`; bound to the validator,
            so that nobody else can open it.
        stake: nano-units locked until the dispute window ends.
        round: the round this vote is for (`protocol.convictions.read_voting_round`).
    """

    submission_id: Id
    commitment: Id
    stake: Amount
    round: Small


def _check(header: Header, payload: Any) -> None:
    if payload.commitment == bytes(32):
        raise Rejected("bad_commitment", "32 zero bytes", "a hash")


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
    require_before(book.epoch, task.lifecycle.validation_deadline)
    require_status(task, TaskStatus.UNDER_VALIDATION)
    voting_round = read_voting_round(book, task)
    if payload.round != voting_round:
        raise Refused("wrong_round", payload.round, voting_round)
    if validator in read_convicted(book, task).validators:
        raise Refused("convicted", validator.hex()[:16], "a validator whom no verdict named")
    if validator not in task.panel:
        raise Refused("not_on_panel", validator.hex()[:16], f"one of {len(task.panel)} drawn")
    key = validation_key(submission.submission_id, validator, payload.round)
    earlier = book.get(VOTE_COMMITMENTS, key)
    if earlier is not None:
        raise Refused("already_validated", "a second vote", "one", earlier.commit_tx)
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
        VOTE_COMMITMENTS,
        key,
        VoteCommitment(
            task_id=task.task_id,
            submission_id=submission.submission_id,
            validator=validator,
            round=payload.round,
            commit_tx=tx.tx_id,
            reveal_tx=None,
            commitment=payload.commitment,
            committed_at=book.epoch,
            stake=payload.stake,
            forfeited=0,
            weight=compute_vote_weight(book, miner),
            state=VoteState.COMMITTED,
        ),
    )


VALIDATE_ANSWER = Kind(
    16, "validate_answer", Stage.VALIDATE, ValidateAnswer, _check, _compute_debit, _apply
)
