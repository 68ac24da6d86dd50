"""Disputes as JSON, in the manner of `node.rpc.views`."""

from typing import Any

from node.rpc.views import show_id
from protocol.bonds import count_locked
from protocol.dispute_records import ArbiterVote, DisputeCase, Judgment
from protocol.phases import get_label


def show_dispute_briefly(case: DisputeCase, sealed: DisputeCase | None) -> dict[str, Any]:
    """Return a dispute as lists show it.

    Args:
        case: the row as the next seal would leave it.
        sealed: the row of the last seal, None if it does not know the dispute.
    """
    return {
        "dispute_id": case.dispute_id.hex(),
        "task_id": case.task_id.hex(),
        "round": case.round,
        "type": get_label(case.type),
        "submission_id": show_id(case.submission_id),
        "disputer": case.disputer.hex(),
        "status": get_label(case.status),
        "provisional": case != sealed,
        "sealed_status": None if sealed is None else get_label(sealed.status),
        "hearing": case.hearing,
        "opened_at": case.opened_at,
        "voting_deadline": case.voting_deadline,
        "resolution_deadline": case.resolution_deadline,
        "appeal_deadline": case.appeal_deadline,
        "closed_at": case.closed_at,
        "locked": str(count_locked(case)),
        "forfeited": str(case.forfeited),
        "verdict": get_label(case.judgments[-1].choice) if case.judgments else None,
    }


def show_dispute(case: DisputeCase, sealed: DisputeCase | None) -> dict[str, Any]:
    """Return all of a dispute; the arguments are those of `show_dispute_briefly`."""
    return {
        **show_dispute_briefly(case, sealed),
        "reason": case.reason,
        "status_before": get_label(case.status_before),
        "pending_until": case.pending_until,
        "defendants": [address.hex() for address in case.defendants],
        "panel": [address.hex() for address in case.panel],
        "evidence": [
            {
                "type": get_label(one.type),
                "content_hash": one.content_hash.hex(),
                "submitter": one.submitter.hex(),
                "added_at": one.added_at,
            }
            for one in case.evidence
        ],
        "votes": [_show_vote(vote) for vote in case.votes],
        "judgments": [_show_judgment(one) for one in case.judgments],
        "appeals": [
            {
                "appellant": one.appellant.hex(),
                "tx_id": one.tx.hex(),
                "reason": one.reason,
                "appealed_at": one.appealed_at,
                "deposit": str(one.deposit),
            }
            for one in case.appeals
        ],
    }


def _show_vote(vote: ArbiterVote) -> dict[str, Any]:
    return {"arbiter": vote.arbiter.hex(), "tx_id": vote.tx.hex(), **_show_choice(vote)}


def _show_judgment(judgment: Judgment) -> dict[str, Any]:
    return {**_show_choice(judgment), "decided_at": judgment.decided_at}


def _show_choice(chosen: ArbiterVote | Judgment) -> dict[str, Any]:
    return {
        "hearing": chosen.hearing,
        "choice": get_label(chosen.choice),
        "share": chosen.share,
        "submissions": [one.hex() for one in chosen.submissions],
        "validators": [one.hex() for one in chosen.validators],
    }
