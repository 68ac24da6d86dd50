"""open_vote: a vote that is shown at once. No network takes it any more.

Votes were open in databases of schema 5 and older, and their journals hold such transactions: they
are still read as what they are. Whoever signs another is told what to do instead.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from protocol.book import Book, Refused
from protocol.kind import Kind, Stage
from protocol.params import Amount, Params, Small
from protocol.records import RejectReason, Verdict
from protocol.schema import AtMost
from protocol.task_types import Id, Score
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class OpenVote:
    """Payload: the whole verdict, and the stake behind it."""

    submission_id: Id
    verdict: Verdict
    score: Score
    reason: RejectReason
    reasoning: Annotated[str, AtMost(2048)]
    stake: Amount
    round: Small


def _check(header: Header, payload: Any) -> None:
    """Accept whatever has the shape: it is refused in any case."""


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return 0


def _apply(book: Book, tx: SignedTransaction) -> None:
    raise Refused("open_vote", "a vote that all can see", "a commitment: validate_answer")


OPEN_VOTE = Kind(2, "open_vote", Stage.VALIDATE, OpenVote, _check, _compute_debit, _apply)
