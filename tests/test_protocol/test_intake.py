"""The stateless check: whatever a kind can see without a state, it refuses before it is relayed."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from protocol import kinds
from protocol.charter import compute_change_id
from protocol.charter_records import Change, SetParameter
from protocol.dispute_records import Choice, EvidenceType
from protocol.errors import Rejected
from protocol.intake import Intake, check_signature
from protocol.kinds.add_evidence import AddEvidence
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.kinds.cancel_task import CancelTask
from protocol.kinds.claim_reward import ClaimReward
from protocol.kinds.open_vote import OpenVote
from protocol.kinds.vote_change import VoteChange
from protocol.kinds.withdraw_dispute import WithdrawDispute
from protocol.records import RejectReason, Verdict
from protocol.task_types import (
    AlgorithmOptimization,
    CodeAnalysis,
    Complexity,
    GeneralTask,
    SecurityAudit,
    TaskTerms,
)
from protocol.transactions import Header, sign_transaction
from tests.support.builders import (
    STAKE,
    a_hash,
    a_registration,
    a_reveal,
    a_signer,
    a_task,
    a_vote,
    a_vote_commitment,
    an_address,
    an_answer,
)
from tests.support.court import EXHIBIT, a_dispute_opening, a_judgment, a_report, an_appeal
from tests.support.world import World

WORLD = World()
NETWORK = WORLD.network
TASK = a_hash("a task")
ANSWER = a_hash("an answer")
PLEDGE = a_vote_commitment(NETWORK, "bob", a_vote(ANSWER, 80))
CHANGE = Change(100, SetParameter("epoch_ms", (5_000,)))
CHANGE_ID = compute_change_id(NETWORK, CHANGE)


@dataclass(frozen=True)
class Case:
    kind: str
    payload: Any
    code: str
    subject: bytes | None = None


def a_slugged(**changes: Any) -> TaskTerms:
    return a_task(task_type=replace(GeneralTask("misc", None), **changes))


CASES = (
    Case("register_miner", a_registration(), "wrong_subject", subject=TASK),
    Case("register_miner", a_registration(roles=0), "bad_roles"),
    Case("register_miner", a_registration(roles=4), "bad_roles"),
    Case("register_miner", a_registration(specializations=()), "unsorted"),
    Case(
        "register_miner",
        a_registration(specializations=("general_task", "code_analysis")),
        "unsorted",
    ),
    Case(
        "register_miner",
        a_registration(specializations=("general_task", "general_task")),
        "unsorted",
    ),
    Case("register_miner", a_registration(specializations=("juggling",)), "unknown_specialization"),
    Case("publish_task", a_task(), "wrong_subject", subject=TASK),
    Case("publish_task", a_task(title=" \n"), "bad_title"),
    Case("publish_task", a_task(description="too short"), "bad_description"),
    Case("publish_task", a_slugged(category="a:b"), "bad_slug"),
    Case("publish_task", a_slugged(category=""), "bad_slug"),
    Case("publish_task", a_slugged(category="Misc"), "bad_slug"),
    Case("publish_task", a_slugged(subcategory="-x"), "bad_slug"),
    Case("publish_task", a_slugged(subcategory="x\n"), "bad_slug"),
    Case("publish_task", a_task(task_type=CodeAnalysis("c++", Complexity.SIMPLE)), "bad_slug"),
    Case("publish_task", a_task(task_type=SecurityAudit("web", ("soc2", "nist"))), "unsorted"),
    Case(
        "publish_task",
        a_task(task_type=AlgorithmOptimization("sorting", ("in place",))),
        "bad_slug",
    ),
    Case("submit_answer", an_answer(NETWORK, TASK, "bob", commitment=bytes(32)), "bad_commitment"),
    Case("reveal_answer", a_reveal(NETWORK, TASK, "bob", content=b"another"), "wrong_content"),
    Case("validate_answer", replace(PLEDGE, commitment=bytes(32)), "bad_commitment"),
    Case("reveal_vote", a_vote(ANSWER, 80, verdict=Verdict.ABSTAIN), "bad_score"),
    Case(
        "reveal_vote",
        a_vote(ANSWER, 80, verdict=Verdict.REJECT, reason=RejectReason.OFF_TOPIC),
        "bad_score",
    ),
    Case("reveal_vote", a_vote(ANSWER, 0, verdict=Verdict.REJECT), "bad_reason"),
    Case("reveal_vote", a_vote(ANSWER, 80, reason=RejectReason.OFF_TOPIC), "bad_reason"),
    Case("open_dispute", a_dispute_opening(evidence=()), "bad_evidence"),
    Case("open_dispute", a_dispute_opening(evidence=(EXHIBIT, EXHIBIT)), "bad_evidence"),
    Case("vote_dispute", a_judgment(ANSWER, Choice.SPLIT), "bad_share"),
    Case("vote_dispute", a_judgment(ANSWER, Choice.UPHOLD, share=1), "bad_share"),
    Case("vote_dispute", a_judgment(ANSWER, Choice.OVERTURN), "bad_names"),
    Case("vote_dispute", a_judgment(ANSWER, Choice.UPHOLD, submissions=(TASK,)), "bad_names"),
    Case("vote_dispute", a_judgment(ANSWER, Choice.ABSTAIN, validators=(TASK,)), "bad_names"),
    Case("vote_dispute", a_judgment(ANSWER, Choice.VOID, submissions=(TASK, TASK)), "unsorted"),
    Case(
        "vote_dispute",
        a_judgment(ANSWER, Choice.VOID, validators=tuple(sorted((TASK, ANSWER)))[::-1]),
        "unsorted",
    ),
    Case("report_fraud", a_report(ANSWER, risk=7_000), "bad_risk"),
    Case("adjust_stake", AdjustStake(StakeAction.EXIT, 0), "wrong_subject", subject=TASK),
    Case("adjust_stake", AdjustStake(StakeAction.DEPOSIT, 0), "bad_amount"),
    Case("adjust_stake", AdjustStake(StakeAction.EXIT, 1), "bad_amount"),
    Case("adjust_stake", AdjustStake(StakeAction.WITHDRAW, 1), "bad_amount"),
    Case("vote_change", VoteChange(replace(CHANGE, effective_at=99)), "wrong_subject", CHANGE_ID),
)
SOUND: dict[str, Any] = {
    "register_miner": a_registration(),
    "publish_task": a_task(),
    "cancel_task": CancelTask(""),
    "submit_answer": an_answer(NETWORK, TASK, "bob"),
    "reveal_answer": a_reveal(NETWORK, TASK, "bob"),
    "validate_answer": PLEDGE,
    "reveal_vote": a_vote(ANSWER, 80),
    "open_vote": OpenVote(ANSWER, Verdict.APPROVE, 80, RejectReason.NONE, "", STAKE // 2, 0),
    "claim_reward": ClaimReward(a_hash("an entry"), 0),
    "open_dispute": a_dispute_opening(),
    "add_evidence": AddEvidence(ANSWER, EvidenceType.PRIOR_ART, a_hash("proof")),
    "vote_dispute": a_judgment(ANSWER, Choice.UPHOLD),
    "appeal_dispute": an_appeal(ANSWER),
    "report_fraud": a_report(ANSWER),
    "withdraw_dispute": WithdrawDispute(ANSWER),
    "adjust_stake": AdjustStake(StakeAction.EXIT, 0),
    "vote_change": VoteChange(CHANGE),
}
SUBJECTS = {"vote_change": CHANGE_ID}
"""Of kinds whose payload alone says what they are about."""


def code_of(wire: bytes, network: bytes = NETWORK) -> str:
    with pytest.raises(Rejected) as error:
        Intake(network).open(wire)
    assert error.value.found or error.value.wanted
    return error.value.code


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.code}")
def test_what_a_kind_forbids_is_refused(case: Case) -> None:
    tx = World().sign("alice", case.kind, case.payload, subject=case.subject)
    assert code_of(tx.wire) == case.code


@pytest.mark.parametrize("kind", kinds.BY_NAME)
def test_a_sound_transaction_of_each_kind_passes(kind: str) -> None:
    tx = World().sign("alice", kind, SOUND[kind], subject=SUBJECTS.get(kind))
    assert Intake(NETWORK).open(tx.wire) == tx


@pytest.mark.parametrize("roles", [1, 2, 3])
def test_each_role_can_be_registered(roles: int) -> None:
    tx = World().sign("alice", "register_miner", a_registration(roles=roles))
    assert Intake(NETWORK).open(tx.wire) == tx


@pytest.mark.parametrize("kind", kinds.BY_NAME)
def test_the_payload_of_another_kind_is_refused(kind: str) -> None:
    for other, payload in SOUND.items():
        if other != kind:
            tx = World().sign("alice", kind, payload)
            assert code_of(tx.wire).startswith("field_")


def test_another_network_is_refused() -> None:
    tx = World().sign("alice", "cancel_task", CancelTask(""))
    assert code_of(tx.wire, network=bytes(8)) == "wrong_network"


def test_an_unknown_kind_is_refused() -> None:
    header = Header(1, NETWORK, 99, an_address("alice"), 0, None, 1, bytes(16), TASK, ())
    tx = sign_transaction(header, CancelTask(""), a_signer("alice"))
    assert code_of(tx.wire) == "unknown_kind"


def test_a_signature_by_another_is_refused_last() -> None:
    tx = World().sign("alice", "cancel_task", CancelTask(""))
    forged = replace(tx, signature=a_signer("bob").sign(b"minesync/sig/1" + tx.tx_id))
    assert Intake(NETWORK).read(forged.wire) == forged
    assert code_of(forged.wire) == "bad_signature"
    with pytest.raises(Rejected):
        check_signature(forged)


def test_kinds_have_names_and_numbers_of_their_own() -> None:
    assert len(kinds.BY_CODE) == len(kinds.BY_NAME) == len(kinds.ALL)
    assert all(name == name.lower() for name in kinds.BY_NAME)
