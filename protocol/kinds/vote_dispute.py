"""vote_dispute: an arbiter of the panel says what should be done."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from protocol.book import Book, Refused
from protocol.dispute_records import NAMED_MAX, ArbiterVote, Choice, DisputeCase
from protocol.disputes import find_voters, read_hearing, require_dispute
from protocol.errors import Rejected
from protocol.judgment import ACCUSING
from protocol.kind import Kind, Stage
from protocol.lifecycle import require_before, require_miner, require_submission, require_task
from protocol.params import Params, Small
from protocol.phases import DisputeStatus, TaskStatus
from protocol.records import ROLE_VALIDATOR, Task
from protocol.schema import AtMost, Between
from protocol.tables import DISPUTES, dispute_key
from protocol.task_types import Address, Id
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class VoteDispute:
    """Payload.

    Attributes:
        hearing: the hearing this vote is for; 0 for the first.
        share: of all entries that goes back to the publisher, in basis points; for a split only.
        submissions: ids of the answers he holds guilty, sorted.
        validators: addresses of the validators he holds guilty, sorted.
        reasoning: for people.
    """

    dispute_id: Id
    hearing: Small
    choice: Choice
    share: Annotated[int, Between(0, 9_999)]
    submissions: Annotated[tuple[Id, ...], AtMost(NAMED_MAX)]
    validators: Annotated[tuple[Address, ...], AtMost(NAMED_MAX)]
    reasoning: Annotated[str, AtMost(2048)]


def _check(header: Header, payload: Any) -> None:
    if (payload.choice is Choice.SPLIT) != (payload.share != 0):
        raise Rejected("bad_share", payload.share, "1 to 9999 with a split, else 0")
    for named in (payload.submissions, payload.validators):
        if list(named) != sorted(set(named)):
            raise Rejected("unsorted", f"{len(named)} named", "sorted and unique")
    named = len(payload.submissions) + len(payload.validators)
    if named and payload.choice not in ACCUSING:
        raise Rejected("bad_names", f"{named} named", "nobody, with this choice")
    if not named and payload.choice is Choice.OVERTURN:
        raise Rejected("bad_names", "nobody named", "who is guilty, to overturn")


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return 0


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: VoteDispute = tx.payload
    arbiter = tx.header.author
    task = require_task(book, tx.header.subject)
    case = require_dispute(book, task, payload.dispute_id, DisputeStatus.UNDER_REVIEW)
    if payload.hearing != case.hearing:
        raise Refused("wrong_hearing", payload.hearing, case.hearing)
    if arbiter not in case.panel:
        raise Refused("not_on_panel", arbiter.hex()[:16], f"one of {len(case.panel)} drawn")
    require_miner(book, arbiter, ROLE_VALIDATOR, None)
    require_before(book.epoch, case.resolution_deadline or 0)
    for earlier in read_hearing(case):
        if earlier.arbiter == arbiter:
            raise Refused("already_voted", "a second vote", "one", earlier.tx)
    _require_sense(book, task, case, payload)
    vote = ArbiterVote(
        arbiter=arbiter,
        tx=tx.tx_id,
        hearing=payload.hearing,
        choice=payload.choice,
        share=payload.share,
        submissions=payload.submissions,
        validators=payload.validators,
    )
    case = replace(case, votes=(*case.votes, vote))
    book.put(DISPUTES, dispute_key(task.task_id, case.round), case)


def _require_sense(book: Book, task: Task, case: DisputeCase, payload: VoteDispute) -> None:
    """Check that the task has what the vote speaks of.

    Raises:
        Refused: `no_such_answer`, `not_revealed`, `no_such_vote` or `no_result`.
    """
    for submission_id in payload.submissions:
        if require_submission(book, task, submission_id).content_hash is None:
            raise Refused("not_revealed", "a hidden answer", "one that was shown")
    strangers = sorted(set(payload.validators) - find_voters(book, task))
    if strangers:
        raise Refused("no_such_vote", strangers[0].hex()[:16], "a validator who voted")
    if payload.choice is Choice.SPLIT and case.status_before is not TaskStatus.COMPLETED:
        raise Refused("no_result", "nothing to split", "a completed task")


VOTE_DISPUTE = Kind(10, "vote_dispute", Stage.VOTE, VoteDispute, _check, _compute_debit, _apply)
