"""Golden bytes: one file for each kind of transaction, so that no byte changes by accident.

REWRITE=1 writes them anew; other implementations read them as they are.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from protocol import kinds
from protocol.charter import compute_change_id
from protocol.charter_records import (
    AdmitSealer,
    AdmitValidator,
    Change,
    DismissSealer,
    DismissValidator,
    SetParameter,
)
from protocol.dispute_records import Choice, DisputeType, EvidenceType
from protocol.intake import Intake
from protocol.kinds.add_evidence import AddEvidence
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.claim_reward import ClaimReward
from protocol.kinds.open_vote import OpenVote
from protocol.kinds.vote_change import VoteChange
from protocol.kinds.withdraw_dispute import WithdrawDispute
from protocol.records import RejectReason, Verdict
from protocol.transactions import SignedTransaction
from tests.support.builders import (
    STAKE,
    a_hash,
    a_registration,
    a_rejection,
    a_reveal,
    a_seed,
    a_task,
    a_vote,
    a_vote_commitment,
    an_answer,
)
from tests.support.court import a_dispute_opening, a_judgment, a_report, an_appeal
from tests.support.world import World

FOLDER = Path(__file__).parents[1] / "vectors"
NETWORK = b"vectors!"
TASK = a_hash("a task")
ANSWER = a_hash("an answer")
DISPUTE = a_hash("a dispute")
ACTIONS = (
    SetParameter("epoch_ms", (5_000,)),
    SetParameter("reward_min", (1, 2, 3, 4)),
    AdmitSealer(a_hash("a sealer")),
    DismissSealer(a_hash("a sealer")),
    AdmitValidator(a_hash("a validator")),
    DismissValidator(a_hash("a validator")),
)
ABOUT_THE_AUTHOR = ("register_miner", "publish_task", "adjust_stake")


def build_payloads(network: bytes) -> dict[str, list[Any]]:
    """Return payloads by kind; the first of each is signed at seq 0."""
    return {
        "register_miner": [a_registration(), a_registration(display_name="Zoë", contact="a@b")],
        "publish_task": [a_task(), a_task(title="Überschrift", reward=14 * 10**9)],
        "cancel_task": [CancelTask(""), CancelTask("no longer needed")],
        "submit_answer": [an_answer(network, TASK, "alice")],
        "reveal_answer": [
            a_reveal(network, TASK, "alice"),
            a_reveal(network, TASK, "alice", content=None),
        ],
        "validate_answer": [a_vote_commitment(network, "alice", a_vote(ANSWER, 85))],
        "reveal_vote": [a_vote(ANSWER, 85), a_vote(ANSWER, None), a_rejection(ANSWER)],
        "open_vote": [
            OpenVote(ANSWER, Verdict.APPROVE, 85, RejectReason.NONE, "", STAKE // 2, 0),
            OpenVote(ANSWER, Verdict.ABSTAIN, 0, RejectReason.NONE, "", STAKE // 2, 0),
            OpenVote(ANSWER, Verdict.REJECT, 0, RejectReason.INCORRECT_ANSWER, "", STAKE // 2, 0),
        ],
        "claim_reward": [ClaimReward(a_hash("an entry"), 1)],
        "open_dispute": [
            a_dispute_opening(),
            a_dispute_opening(
                type=DisputeType.PLAGIARISM, submission_id=ANSWER, reason="A copy of mine."
            ),
        ],
        "add_evidence": [AddEvidence(DISPUTE, EvidenceType.PRIOR_ART, a_hash("proof"))],
        "vote_dispute": [
            a_judgment(DISPUTE, Choice.UPHOLD, reasoning="Nothing is wrong with it."),
            a_judgment(DISPUTE, Choice.OVERTURN, submissions=(ANSWER,), validators=(TASK,)),
            a_judgment(DISPUTE, Choice.SPLIT, share=2_500, hearing=2),
        ],
        "appeal_dispute": [an_appeal(DISPUTE), an_appeal(DISPUTE, hearing=1, evidence=None)],
        "report_fraud": [a_report(ANSWER), a_report(ANSWER, risk=10_000, ruleset=65_535)],
        "withdraw_dispute": [WithdrawDispute(DISPUTE)],
        "vote_change": [VoteChange(Change(100, action)) for action in ACTIONS],
        "adjust_stake": [
            AdjustStake(StakeAction.DEPOSIT, 5 * 10**9),
            AdjustStake(StakeAction.EXIT, 0),
            AdjustStake(StakeAction.WITHDRAW, 0),
        ],
    }


def sign_all(kind: str) -> list[SignedTransaction]:
    world = World()
    # Fixed, so that a change of the test network's numbers changes no vector.
    world.network, world.seal_hash = NETWORK, bytes(32)

    def find_subject(payload: Any) -> bytes | None:
        if isinstance(payload, VoteChange):
            return compute_change_id(NETWORK, payload.change)
        return None if kind in ABOUT_THE_AUTHOR else TASK

    payloads = build_payloads(NETWORK)[kind]
    return [world.sign("alice", kind, one, subject=find_subject(one)) for one in payloads]


def describe(kind: str) -> dict[str, Any]:
    """Return what the file of a kind holds."""
    return {
        "kind": kind,
        "code": kinds.BY_NAME[kind].code,
        "network": NETWORK.hex(),
        "seed": a_seed("alice").hex(),
        "transactions": [
            {"body": tx.body.hex(), "id": tx.tx_id.hex(), "wire": tx.wire.hex()}
            for tx in sign_all(kind)
        ],
    }


@pytest.mark.parametrize("kind", kinds.BY_NAME)
def test_the_bytes_of_a_kind_are_what_they_were(kind: str) -> None:
    path = FOLDER / f"{kind}.json"
    if os.environ.get("REWRITE") == "1":
        path.write_text(json.dumps(describe(kind), indent=2) + "\n", encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == describe(kind)


@pytest.mark.parametrize("kind", kinds.BY_NAME)
def test_the_bytes_of_a_kind_are_read_as_what_was_signed(kind: str) -> None:
    vector = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    intake = Intake(bytes.fromhex(vector["network"]))
    signed = sign_all(kind)
    read = [intake.open(bytes.fromhex(one["wire"])) for one in vector["transactions"]]
    assert read == signed
    assert [tx.tx_id.hex() for tx in read] == [one["id"] for one in vector["transactions"]]
