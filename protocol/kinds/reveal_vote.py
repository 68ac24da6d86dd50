"""reveal_vote: a validator shows the vote he committed to, once nobody can commit any more."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from protocol.book import Book, Refused
from protocol.convictions import read_convicted, read_voting_round
from protocol.errors import Rejected
from protocol.hashing import compute_hash
from protocol.kind import Kind, Stage
from protocol.lifecycle import require_before, require_status, require_submission, require_task
from protocol.params import Params
from protocol.phases import TaskStatus, VoteState
from protocol.records import RejectReason, Validation, Verdict
from protocol.schema import AtMost, encode_record
from protocol.tables import SUBMISSIONS, VALIDATIONS, VOTE_COMMITMENTS, validation_key
from protocol.task_types import Id, Score
from protocol.transactions import Header, SignedTransaction

REASONING_BYTES_MAX = 2048


@dataclass(frozen=True, slots=True)
class RevealVote:
    """Payload.

    Attributes:
        score: 0 to 100; 0 unless the verdict is to approve.
        reasoning: for people; bound by the commitment like all the rest.
    """

    submission_id: Id
    verdict: Verdict
    score: Score
    reason: RejectReason
    reasoning: Annotated[str, AtMost(REASONING_BYTES_MAX)]
    salt: Id


def compute_vote_commitment(
    network: bytes, validator: bytes, round_: int, vote: RevealVote
) -> bytes:
    """Return the commitment (32 bytes) of a validator to what will show his vote.

    The validator's key is inside, so a copied commitment cannot be opened by the copier; the salt
    (32 random bytes) keeps a guessable score hidden.
    """
    return compute_hash("vote", network, validator, bytes([round_]), encode_record(vote))


def _check(header: Header, payload: Any) -> None:
    approves = payload.verdict is Verdict.APPROVE
    if not approves and payload.score != 0:
        raise Rejected("bad_score", payload.score, "0 unless the verdict is to approve")
    if (payload.verdict is Verdict.REJECT) == (payload.reason is RejectReason.NONE):
        raise Rejected("bad_reason", payload.reason.name.lower(), "a reason with a rejection only")


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return 0


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: RevealVote = tx.payload
    validator = tx.header.author
    task = require_task(book, tx.header.subject)
    submission = require_submission(book, task, payload.submission_id)
    voting_round = read_voting_round(book, task)
    key = validation_key(submission.submission_id, validator, voting_round)
    committed = book.require(VOTE_COMMITMENTS, key, "not_committed")
    require_before(book.epoch, task.lifecycle.finalize_deadline)
    require_status(task, TaskStatus.UNDER_VALIDATION)
    if validator in read_convicted(book, task).validators:
        raise Refused("convicted", validator.hex()[:16], "a validator whom no verdict named")
    # What is shown while others can still commit could be copied into a commitment.
    opening = task.lifecycle.validation_deadline
    if book.epoch <= opening:
        raise Refused("too_early", f"epoch {book.epoch}", f"after {opening}")
    if committed.state is not VoteState.COMMITTED:
        raise Refused("already_revealed", "a second reveal", "one", committed.reveal_tx)
    commitment = compute_vote_commitment(book.network, validator, voting_round, payload)
    if commitment != committed.commitment:
        raise Refused("wrong_opening", commitment.hex()[:16], committed.commitment.hex()[:16])
    revealed = replace(committed, reveal_tx=tx.tx_id, stake=0, state=VoteState.REVEALED)
    book.put(VOTE_COMMITMENTS, key, revealed)
    book.put(
        VALIDATIONS,
        key,
        Validation(
            validation_id=tx.tx_id,
            task_id=task.task_id,
            submission_id=submission.submission_id,
            validator=validator,
            round=voting_round,
            verdict=payload.verdict,
            score=payload.score,
            reason=payload.reason,
            voted_at=book.epoch,
            stake=committed.stake,
            weight=committed.weight,
        ),
    )
    book.put(
        SUBMISSIONS,
        submission.submission_id,
        replace(submission, votes=tuple(sorted((*submission.votes, validator)))),
    )


REVEAL_VOTE = Kind(17, "reveal_vote", Stage.REVEAL_VOTE, RevealVote, _check, _compute_debit, _apply)
