"""What people in the small market can sign, each deed with its defaults."""

from functools import cache
from typing import Any

from protocol.dispute_records import Choice as Wish
from protocol.dispute_records import DisputeCase
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.claim_reward import ClaimReward
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.kinds.withdraw_dispute import WithdrawDispute
from protocol.records import RewardEntry, Submission, VoteCommitment
from tests.support.builders import (
    STAKE,
    a_commitment,
    a_hash,
    a_reveal,
    a_task,
    a_vote,
    a_vote_commitment,
    an_address,
    an_answer,
)
from tests.support.court import a_dispute_opening, a_judgment, an_appeal
from tests.support.small_market import (
    EVERYBODY,
    MINERS,
    NETWORK,
    TASK_ID,
    Deed,
)

NAMES = {an_address(who): who for who in EVERYBODY}


def publish(places: int) -> Deed:
    """Return alice's publication of the task."""
    terms = a_task(submission_epochs=1, max_participants=places)
    return Deed("alice", "publish_task", terms, f"publishes for {places}")


def cancel(who: str) -> Deed:
    """Return a cancellation."""
    return Deed(who, "cancel_task", CancelTask(""), "cancels")


def commit(who: str) -> Deed:
    """Return a commitment to one's own answer."""
    return Deed(who, "submit_answer", an_answer(NETWORK, TASK_ID, who), "commits")


def copy(who: str) -> Deed:
    """Return a commitment to what the other miner has committed to, or will."""
    stolen = a_commitment(NETWORK, TASK_ID, name_rival(who))
    return Deed(who, "submit_answer", SubmitAnswer(stolen, STAKE, 80, 1_000), "copies")


def commit_again(who: str) -> Deed:
    """Return another commitment."""
    other = SubmitAnswer(a_hash("second thoughts"), STAKE, 80, 1_000)
    return Deed(who, "submit_answer", other, "commits again")


def reveal(who: str, answer: Submission) -> Deed:
    """Return the opening of an answer with what the miner `who` has."""
    payload = a_reveal(NETWORK, TASK_ID, who, submission_id=answer.submission_id)
    return Deed(who, "reveal_answer", payload, f"reveals {NAMES[answer.miner]}'s")


def reveal_falsely(who: str, answer: Submission) -> Deed:
    """Return an opening with another salt."""
    payload = a_reveal(
        NETWORK, TASK_ID, who, submission_id=answer.submission_id, salt=a_hash("another")
    )
    return Deed(who, "reveal_answer", payload, "reveals falsely")


def vote(who: str, answer: Submission, score: int | None, round_: int) -> Deed:
    """Return a commitment to a vote."""
    said = "will abstain on" if score is None else f"will give {score} to"
    payload = a_vote_commitment(NETWORK, who, a_vote(answer.submission_id, score), round=round_)
    return Deed(who, "validate_answer", payload, f"{said} {NAMES[answer.miner]}")


def show_vote(who: str, answer: Submission, score: int | None) -> Deed:
    """Return what shows a vote."""
    said = "abstains on" if score is None else f"gives {score} to"
    payload = a_vote(answer.submission_id, score)
    return Deed(who, "reveal_vote", payload, f"{said} {NAMES[answer.miner]}")


def find_score(one: VoteCommitment) -> int | None:
    """Return the score that a validator has committed to."""
    place = one.validator, one.submission_id, one.round
    return _find_scores(*place)[one.commitment]


@cache
def _find_scores(validator: bytes, submission_id: bytes, round_: int) -> dict[bytes, int | None]:
    """Return every score by the commitment to it."""
    scores: dict[bytes, int | None] = {}
    for score in (None, *range(101)):
        vote = a_vote(submission_id, score)
        scores[a_vote_commitment(NETWORK, NAMES[validator], vote, round=round_).commitment] = score
    return scores


def claim(who: str, round_: int, entry: RewardEntry) -> Deed:
    """Return a claim."""
    return Deed(
        who,
        "claim_reward",
        ClaimReward(entry.entry_id, round_),
        f"claims {NAMES[entry.recipient]}'s of round {round_}",
    )


def claim_nothing(who: str) -> Deed:
    """Return a claim of an entry that does not exist."""
    return Deed(who, "claim_reward", ClaimReward(a_hash("none"), 0), "claims nothing")


def object_to(who: str) -> Deed:
    """Return an objection to the task as a whole."""
    return Deed(who, "open_dispute", a_dispute_opening(), "objects")


def withdraw(who: str, case: DisputeCase) -> Deed:
    """Return a withdrawal."""
    return Deed(who, "withdraw_dispute", WithdrawDispute(case.dispute_id), "withdraws")


def appeal(who: str, case: DisputeCase) -> Deed:
    """Return an appeal."""
    return Deed(who, "appeal_dispute", an_appeal(case.dispute_id, hearing=case.hearing), "appeals")


def arbitrate(who: str, case: DisputeCase, wish: Wish, **named: Any) -> Deed:
    """Return an arbiter's vote."""
    payload = a_judgment(case.dispute_id, wish, **{"hearing": case.hearing, **named})
    return Deed(who, "vote_dispute", payload, f"says {wish.name.lower()}")


def name_rival(who: str) -> str:
    """Return the other miner."""
    return MINERS[1 - MINERS.index(who)]
