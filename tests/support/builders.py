"""Values with defaults for everything: a cast, a genesis, the terms of a task, payloads."""

import hashlib
from dataclasses import replace
from typing import Any

from protocol.answers import compute_commitment, compute_submission_id
from protocol.dispute_records import DisputeCase, DisputeType, Evidence, EvidenceType
from protocol.genesis import Allocation, Genesis
from protocol.hashing import compute_content_hash
from protocol.keys import Signer
from protocol.kinds.register_miner import RegisterMiner
from protocol.kinds.reveal_answer import RevealAnswer
from protocol.kinds.reveal_vote import RevealVote, compute_vote_commitment
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.kinds.validate_answer import ValidateAnswer
from protocol.params import MINIMAL, NANO_PER_COIN, Params
from protocol.phases import DisputeStatus, TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR, RejectReason, Verdict
from protocol.task_types import Difficulty, GeneralTask, TaskTerms

COIN = NANO_PER_COIN
BALANCE = 1_000 * COIN
STAKE = COIN
SLUG = "general_task"

PUBLISHER = "alice"
SOLVERS = ("bob", "carol", "dave")
VALIDATORS = ("vera", "viktor", "violet", "vito", "vivian")
CAST = (PUBLISHER, *SOLVERS, *VALIDATORS, "eve", "mallory")
"""Eve and mallory have money and are registered nowhere."""
ARBITERS = (
    *("ada", "abel", "agnes", "albert", "alma", "amos", "anna", "anton"),
    *("arno", "astrid", "august", "aurel", "axel", "aya", "azra"),
)
"""Validators of a court: with the cast's five on a task's panel, three hearings are left."""


def a_seed(name: str) -> bytes:
    """Return the private seed of somebody of the cast."""
    return hashlib.sha256(b"tests/" + name.encode()).digest()


_SIGNERS: dict[str, Signer] = {}
_NAMES: dict[bytes, str] = {}


def a_signer(name: str) -> Signer:
    """Return the key of somebody; expanded once."""
    if name not in _SIGNERS:
        _SIGNERS[name] = Signer(a_seed(name))
        _NAMES[_SIGNERS[name].address] = name
    return _SIGNERS[name]


def an_address(name: str) -> bytes:
    """Return the address of somebody."""
    return a_signer(name).address


def name_of(address: bytes) -> str:
    """Return the name behind an address: of the cast, the court, or whoever has a key by now."""
    if address not in _NAMES:
        for who in (*CAST, *ARBITERS):
            a_signer(who)
    return _NAMES[address]


def a_hash(text: str) -> bytes:
    """Return 32 bytes that stand for something named by hash."""
    return hashlib.sha256(text.encode()).digest()


def a_genesis(
    *,
    cast: tuple[str, ...] = CAST,
    params: Params = MINIMAL,
    balance: int = BALANCE,
    sealers: tuple[str, ...] = ("sealer",),
    name: str = "tests",
    salt: bytes = bytes(32),
) -> Genesis:
    """Return the genesis of a small network in which everybody of the cast has money."""
    allocations = sorted(an_address(one) for one in cast)
    return Genesis(
        name=name,
        salt=salt,
        params=params,
        allocations=tuple(Allocation(address, balance) for address in allocations),
        sealers=tuple(sorted(an_address(one) for one in sealers)),
    )


def a_task(**changes: Any) -> TaskTerms:
    """Return the terms of a small task: 3 places, 3 reviewers, 10 coins."""
    terms = TaskTerms(
        task_type=GeneralTask("misc", None),
        title="Sort these words",
        description="Put the words of the input in order.",
        data_hash=a_hash("the input"),
        data_bytes=0,
        reward=10 * COIN,
        submission_epochs=4,
        stake_required=STAKE,
        max_participants=3,
        required_reviewers=3,
        consensus_threshold=7_500,
        difficulty=Difficulty.BEGINNER,
        quality_threshold=70,
        submission_requirements="One word a line.",
    )
    return replace(terms, **changes)


def a_registration(**changes: Any) -> RegisterMiner:
    """Return the payload of somebody who solves and validates."""
    payload = RegisterMiner(
        roles=ROLE_SOLVER | ROLE_VALIDATOR,
        specializations=(SLUG,),
        stake=MINIMAL.miner_stake_min,
        display_name="",
        contact="",
    )
    return replace(payload, **changes)


def a_content(name: str) -> bytes:
    """Return the answer that somebody gives."""
    return f"the answer of {name}".encode()


def a_salt(name: str) -> bytes:
    """Return the salt of somebody's commitment."""
    return a_hash(f"the salt of {name}")


def a_commitment(network: bytes, task_id: bytes, name: str) -> bytes:
    """Return the commitment of somebody to his answer."""
    content_hash = compute_content_hash(a_content(name))
    return compute_commitment(network, task_id, an_address(name), content_hash, a_salt(name))


def a_submission_id(network: bytes, task_id: bytes, name: str) -> bytes:
    """Return the id of the submission that somebody's commitment makes."""
    commitment = a_commitment(network, task_id, name)
    return compute_submission_id(task_id, an_address(name), commitment)


def an_answer(network: bytes, task_id: bytes, name: str, **changes: Any) -> SubmitAnswer:
    """Return the payload of somebody's commitment."""
    commitment = a_commitment(network, task_id, name)
    return replace(SubmitAnswer(commitment, STAKE, 80, 1_000), **changes)


def a_reveal(network: bytes, task_id: bytes, name: str, **changes: Any) -> RevealAnswer:
    """Return the payload that opens somebody's commitment."""
    content = a_content(name)
    payload = RevealAnswer(
        submission_id=a_submission_id(network, task_id, name),
        content_hash=compute_content_hash(content),
        salt=a_salt(name),
        content=content,
    )
    return replace(payload, **changes)


def a_vote(submission_id: bytes, score: int | None, **changes: Any) -> RevealVote:
    """Return the payload that shows a vote: a score approves, None abstains."""
    payload = RevealVote(
        submission_id=submission_id,
        verdict=Verdict.ABSTAIN if score is None else Verdict.APPROVE,
        score=score or 0,
        reason=RejectReason.NONE,
        reasoning="",
        salt=a_salt("a vote"),
    )
    return replace(payload, **changes)


def a_vote_commitment(
    network: bytes, name: str, vote: RevealVote, *, round: int = 0, **changes: Any
) -> ValidateAnswer:
    """Return the payload of somebody's commitment to a vote."""
    commitment = compute_vote_commitment(network, an_address(name), round, vote)
    payload = ValidateAnswer(vote.submission_id, commitment, STAKE // 2, round)
    return replace(payload, **changes)


def a_rejection(submission_id: bytes, **changes: Any) -> RevealVote:
    """Return the payload that shows a vote that rejects."""
    return a_vote(
        submission_id,
        0,
        **{"verdict": Verdict.REJECT, "reason": RejectReason.INCORRECT_ANSWER, **changes},
    )


def a_dispute(task_id: bytes, round_: int = 0, **changes: Any) -> DisputeCase:
    """Return a dispute as it is when it was just opened."""
    evidence = Evidence(EvidenceType.TECHNICAL_ANALYSIS, a_hash("proof"), an_address("bob"), 9)
    case = DisputeCase(
        dispute_id=hashlib.sha256(task_id + bytes([round_])).digest(),
        task_id=task_id,
        round=round_,
        type=DisputeType.QUALITY_ASSESSMENT,
        submission_id=None,
        disputer=an_address("bob"),
        defendants=(an_address(PUBLISHER),),
        reason="",
        evidence=(evidence,),
        status=DisputeStatus.PENDING,
        status_before=TaskStatus.COMPLETED,
        opened_at=9,
        pending_until=9,
        hearing=0,
        voting_deadline=None,
        resolution_deadline=None,
        appeal_deadline=None,
        panel=(),
        earlier_panels=(),
        votes=(),
        judgments=(),
        appeals=(),
        bond=COIN,
        forfeited=0,
        closed_at=None,
    )
    return replace(case, **changes)
