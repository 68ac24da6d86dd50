"""vote_change: a sealer is for a change of what the network has agreed on; the first vote opens it.

Whether a change can stand is asked when it is decided and not before: what it needs may be on its
way, by another vote.
"""

from dataclasses import dataclass, replace
from typing import Any

from protocol.book import Book, Refused
from protocol.charter import compute_change_id, compute_voting_deadline
from protocol.charter_records import (
    CHANGE_VOTES_MAX,
    Change,
    ChangeCase,
    ChangeVote,
    SetParameter,
)
from protocol.errors import Rejected
from protocol.kind import Kind, Stage
from protocol.lifecycle import require_before
from protocol.parameters import check_value
from protocol.params import Params
from protocol.phases import ChangeStatus
from protocol.tables import CHANGES
from protocol.transactions import Header, SignedTransaction

OPEN_CHANGES_MAX = 8
"""Changes that one sealer can have proposed and that are not decided yet."""
AHEAD_DAYS_MAX = 30
"""How long before it holds a change can be proposed: longer than a holiday, and it ends."""


@dataclass(frozen=True, slots=True)
class VoteChange:
    """Payload; the subject is the id of the change."""

    change: Change


def _check(header: Header, payload: Any) -> None:
    change: Change = payload.change
    wanted = compute_change_id(header.network, change)
    if header.subject != wanted:
        raise Rejected("wrong_subject", header.subject.hex()[:16], wanted.hex()[:16])
    if isinstance(change.action, SetParameter):
        check_value(change.action.name, change.action.values)


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return 0


def _apply(book: Book, tx: SignedTransaction) -> None:
    change: Change = tx.payload.change
    sealer, sealers = tx.header.author, book.charter.sealers
    if sealer not in sealers:
        raise Refused("not_a_sealer", sealer.hex()[:16], f"one of the {len(sealers)} sealers")
    require_before(book.epoch, compute_voting_deadline(change))
    case = book.get(CHANGES, tx.header.subject) or _propose(book, tx)
    for earlier in case.votes:
        if earlier.sealer == sealer:
            raise Refused("already_voted", "a second vote", "one", earlier.tx)
    votes = case.votes
    if len(votes) == CHANGE_VOTES_MAX:
        # Of a network that keeps changing its sealers; there are never so many at a time.
        votes = tuple(one for one in votes if one.sealer in sealers)
    vote = ChangeVote(sealer, tx.tx_id, book.epoch)
    book.put(CHANGES, case.change_id, replace(case, votes=(*votes, vote)))


def _propose(book: Book, tx: SignedTransaction) -> ChangeCase:
    """Return a change on which nobody has voted yet.

    Raises:
        Refused: `too_far_ahead` or `too_many_changes`.
    """
    change: Change = tx.payload.change
    latest = book.epoch + AHEAD_DAYS_MAX * book.params.epochs_per_day
    if change.effective_at > latest:
        raise Refused("too_far_ahead", f"epoch {change.effective_at}", f"at most {latest}")
    author = tx.header.author
    opened = (book.sealed.get(CHANGES, one) for one in book.sealed.open_changes())
    count = sum(one is not None and one.proposer == author for one in opened)
    if count >= OPEN_CHANGES_MAX:
        raise Refused("too_many_changes", f"{count} open", f"below {OPEN_CHANGES_MAX}")
    return ChangeCase(
        change_id=tx.header.subject,
        change=change,
        proposer=author,
        proposal_tx=tx.tx_id,
        proposal_seq=tx.header.seq,
        proposed_at=book.epoch,
        status=ChangeStatus.OPEN,
        votes=(),
        decided_at=None,
        counted=0,
        quorum=0,
        code="",
        lost_to=None,
    )


VOTE_CHANGE = Kind(15, "vote_change", Stage.VOTE, VoteChange, _check, _compute_debit, _apply)
