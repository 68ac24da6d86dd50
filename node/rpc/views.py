"""Records as JSON: ids and addresses as hex, amounts as decimal text, states by their names.

Rule: what the open set can change is shown as the next seal would leave it, beside the same record
      at the last seal: `provisional` tells whether the two differ, and holds for all within, as far
      as that has no mark of its own. Without a mark a value is that of the last seal.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from protocol import kinds
from protocol.fold import EVIDENCE_KIND
from protocol.phases import VoteState, get_label
from protocol.records import (
    ROLE_SOLVER,
    ROLE_VALIDATOR,
    Account,
    Miner,
    RewardDistribution,
    RewardEntry,
    Ruling,
    Submission,
    Task,
    Validation,
    VoteCommitment,
)
from protocol.task_types import TaskType, get_type_slug
from protocol.transactions import SignedTransaction
from storage.reversals import Reversal, Reversed


def show_id(value: bytes | None) -> str | None:
    """Return an id or address as hex."""
    return None if value is None else value.hex()


def show_data(value: bytes | None) -> str | None:
    """Return bytes that are no id: hex behind 0x, as raw bytes are shown everywhere."""
    return None if value is None else "0x" + value.hex()


def show_task_type(task_type: TaskType) -> dict[str, Any]:
    """Return a task type: its slug and its fields."""
    fields: dict[str, Any] = {"type": get_type_slug(task_type)}
    for name in task_type.__dataclass_fields__:
        value = getattr(task_type, name)
        if isinstance(value, IntEnum):
            value = get_label(value)
        fields[name] = list(value) if isinstance(value, tuple) else value
    return fields


def show_task_briefly(task: Task, sealed: Task | None) -> dict[str, Any]:
    """Return a task as lists show it: a bounded number of bytes, whatever it has been through.

    Args:
        task: the row as the next seal would leave it.
        sealed: the row of the last seal, None if it does not know the task.
    """
    terms, times = task.terms, task.lifecycle
    return {
        "task_id": task.task_id.hex(),
        "publisher": task.publisher.hex(),
        "status": get_label(task.status),
        "provisional": task != sealed,
        "sealed_status": None if sealed is None else get_label(sealed.status),
        "task_type": show_task_type(terms.task_type),
        "title": terms.title,
        "reward": str(terms.reward),
        "difficulty": get_label(terms.difficulty),
        "stake_required": str(terms.stake_required),
        "max_participants": terms.max_participants,
        "participants": len(task.participants),
        "data_hash": terms.data_hash.hex(),
        "data_bytes": terms.data_bytes,
        "published_at": times.published_at,
        "submission_deadline": times.submission_deadline,
        "reveal_deadline": times.reveal_deadline,
        "validation_deadline": times.validation_deadline,
        "finalize_deadline": times.finalize_deadline,
        "round": times.round,
        "winner": show_id(task.winner),
        "settled": task.settled,
    }


def show_task(task: Task, sealed: Task | None) -> dict[str, Any]:
    """Return all of a task; the arguments are those of `show_task_briefly`."""
    terms, times, pool = task.terms, task.lifecycle, task.pool
    sealed_moves = () if sealed is None else sealed.lifecycle.transitions
    sealed_places = () if sealed is None else sealed.participants
    return {
        **show_task_briefly(task, sealed),
        "publish_tx": task.publish_tx.hex(),
        "description": terms.description,
        "submission_requirements": terms.submission_requirements,
        "required_reviewers": terms.required_reviewers,
        "consensus_threshold": terms.consensus_threshold,
        "quality_threshold": terms.quality_threshold,
        "completed_at": times.completed_at,
        "dispute_deadline": times.dispute_deadline,
        "participants": [
            {
                "miner": one.miner.hex(),
                "submission_id": one.submission_id.hex(),
                "provisional": one not in sealed_places,
            }
            for one in task.participants
        ],
        "panel": [address.hex() for address in task.panel],
        "pool": {
            "total": str(pool.total),
            "escrowed": str(pool.escrowed),
            "paid_out": str(pool.paid_out),
            "refunded": str(pool.refunded),
        },
        "transitions": [
            {
                "from_status": get_label(move.from_status),
                "to_status": get_label(move.to_status),
                "epoch": move.epoch,
                "trigger": get_label(move.trigger),
                "tx": show_id(move.tx),
                "provisional": move not in sealed_moves,
            }
            for move in times.transitions
        ],
    }


def show_submission(submission: Submission, sealed: Submission | None) -> dict[str, Any]:
    """Return an answer as the next seal would leave it."""
    return {
        "submission_id": submission.submission_id.hex(),
        "task_id": submission.task_id.hex(),
        "miner": submission.miner.hex(),
        "status": get_label(submission.status),
        "provisional": submission != sealed,
        "sealed_status": None if sealed is None else get_label(sealed.status),
        "commitment": submission.commitment.hex(),
        "commit_tx": submission.commit_tx.hex(),
        "reveal_tx": show_id(submission.reveal_tx),
        "content_hash": show_id(submission.content_hash),
        "committed_at": submission.committed_at,
        "revealed_at": submission.revealed_at,
        "estimated_quality": submission.estimated_quality,
        "stake": str(submission.stake),
        "forfeited": str(submission.forfeited),
        "score": submission.score,
        "agreement": submission.agreement,
        "confidence": submission.confidence,
        "votes": [address.hex() for address in submission.votes],
    }


@dataclass(frozen=True, slots=True)
class Vote:
    """A vote as far as there is one: the commitment to it, and what was shown.

    In databases of schema 5 and older votes had no commitments.
    """

    bound: VoteCommitment | None
    shown: Validation | None

    @property
    def state(self) -> VoteState | None:
        """What has become of it; None where there is none."""
        if self.bound is not None:
            return self.bound.state
        return None if self.shown is None else VoteState.REVEALED


def show_vote(vote: Vote, sealed: Vote) -> dict[str, Any]:
    """Return one vote as the next seal would leave it; what it says only once it was shown."""
    bound, shown = vote.bound, vote.shown
    either = bound or shown
    assert either is not None
    return {
        "validation_id": None if shown is None else shown.validation_id.hex(),
        "submission_id": either.submission_id.hex(),
        "task_id": either.task_id.hex(),
        "validator": either.validator.hex(),
        "round": either.round,
        "state": get_label(vote.state),
        "provisional": vote != sealed,
        "sealed_state": None if sealed.state is None else get_label(sealed.state),
        "commitment": None if bound is None else bound.commitment.hex(),
        "commit_tx": None if bound is None else bound.commit_tx.hex(),
        "committed_at": None if bound is None else bound.committed_at,
        "verdict": None if shown is None else get_label(shown.verdict),
        "score": None if shown is None else shown.score,
        "reason": None if shown is None else get_label(shown.reason),
        "voted_at": None if shown is None else shown.voted_at,
        "stake": str(sum(one.stake for one in (bound, shown) if one is not None)),
        "forfeited": str(0 if bound is None else bound.forfeited),
        "weight": either.weight,
    }


def show_reward_entry(
    entry: RewardEntry, sealed: RewardEntry | None, task_id: bytes, round_: int
) -> dict[str, Any]:
    """Return one payment owed as the next seal would leave it."""
    return {
        "task_id": task_id.hex(),
        "round": round_,
        "entry_id": entry.entry_id.hex(),
        "recipient": entry.recipient.hex(),
        "amount": str(entry.amount),
        "role": get_label(entry.role),
        "submission_id": show_id(entry.submission_id),
        "rank": entry.rank,
        "score": entry.score,
        "state": get_label(entry.state),
        "provisional": entry != sealed,
        "sealed_state": None if sealed is None else get_label(sealed.state),
        "claimed_at": entry.claimed_at,
        "claim_tx": show_id(entry.claim_tx),
    }


def show_distribution(
    distribution: RewardDistribution, sealed: RewardDistribution | None
) -> dict[str, Any]:
    """Return who gets what of a task as the next seal would leave it."""
    task_id, round_ = distribution.task_id, distribution.round
    known = {} if sealed is None else {one.entry_id: one for one in sealed.entries}
    return {
        "task_id": task_id.hex(),
        "round": round_,
        "total": str(distribution.total),
        "network_fee": str(distribution.network_fee),
        "refund": str(distribution.refund),
        "computed_at": distribution.computed_at,
        "claimable_after": distribution.claimable_after,
        "provisional": distribution != sealed,
        "entries": [
            show_reward_entry(one, known.get(one.entry_id), task_id, round_)
            for one in distribution.entries
        ],
    }


def show_miner(miner: Miner, sealed: Miner | None) -> dict[str, Any]:
    """Return a miner as the next seal would leave him."""
    standing = miner.reputation
    roles = ((ROLE_SOLVER, "solver"), (ROLE_VALIDATOR, "validator"))
    return {
        "address": miner.address.hex(),
        "roles": [name for role, name in roles if miner.roles & role],
        "specializations": list(miner.specializations),
        "display_name": miner.display_name,
        "contact": miner.contact,
        "status": get_label(miner.status),
        "registered_at": miner.registered_at,
        "last_active": miner.last_active,
        "stake": str(miner.stake),
        "earned": str(miner.earned),
        "forfeited": str(miner.forfeited),
        "reputation": standing.score,
        "tasks": standing.tasks,
        "successes": standing.successes,
        "votes": standing.votes,
        "accurate_votes": standing.accurate_votes,
        "provisional": miner != sealed,
        "sealed_status": None if sealed is None else get_label(sealed.status),
    }


def show_account(account: Account, available: int, next_seq: int) -> dict[str, Any]:
    """Return an account.

    Args:
        account: the row of the last seal.
        available: what open debits leave of its balance.
        next_seq: the next place of its chain, what is open counted in.
    """
    return {
        "address": account.address.hex(),
        "balance": str(account.balance),
        "provisional_balance": str(available),
        "provisional": available != account.balance or next_seq != account.next_seq,
        "sealed_seq": account.next_seq,
        "next_seq": next_seq,
        "head": show_id(account.head),
        "barred_from": account.barred_from,
    }


def show_ruling(ruling: Ruling, *, is_provisional: bool) -> dict[str, Any]:
    """Return why a transaction did not apply."""
    return {
        "tx_id": ruling.tx_id.hex(),
        "kind": show_kind(ruling.kind),
        "author": ruling.author.hex(),
        "seq": ruling.seq,
        "subject": ruling.subject.hex(),
        "epoch": ruling.epoch,
        "code": ruling.code,
        "found": ruling.found,
        "wanted": ruling.wanted,
        "lost_to": show_id(ruling.lost_to),
        "provisional": is_provisional,
    }


def show_reversal(reversal: Reversal) -> dict[str, Any]:
    """Return a provisional result that a seal changed, with the ruling that did it."""
    is_transaction = reversal.what is Reversed.TRANSACTION
    return {
        "epoch": reversal.epoch,
        "what": get_label(reversal.what),
        "id": reversal.item.hex(),
        "tx_id": reversal.item.hex() if is_transaction else None,
        "subject": reversal.subject.hex(),
        "author": show_id(reversal.author),
        "was": reversal.was,
        "is": reversal.now,
        "code": reversal.code,
        "found": reversal.found or None,
        "wanted": reversal.wanted or None,
        "lost_to": show_id(reversal.lost_to),
    }


def show_kind(code: int) -> str:
    """Return the name of a kind."""
    return "equivocation" if code == EVIDENCE_KIND else kinds.BY_CODE[code].name


def show_header(tx: SignedTransaction) -> dict[str, Any]:
    """Return what a transaction says of itself, its payload left out."""
    header = tx.header
    return {
        "tx_id": tx.tx_id.hex(),
        "kind": show_kind(header.kind),
        "author": header.author.hex(),
        "seq": header.seq,
        "prev": show_id(header.prev),
        "epoch": header.epoch,
        "subject": header.subject.hex(),
        "refs": [one.hex() for one in header.refs],
        "bytes": len(tx.wire),
    }
