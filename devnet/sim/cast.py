"""Who takes part in a simulation: keys, a genesis and what people put into their transactions.

The same in every run, whatever its seed: keys are expanded once and a signature is verified once
for all peers and all runs of a process, which is most of what a simulated transaction would cost.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cache

from devnet.genesis import derive_key, make_genesis
from node.verifier import Verifier
from protocol.answers import compute_commitment, compute_submission_id
from protocol.genesis import Genesis
from protocol.hashing import compute_content_hash
from protocol.intake import Intake
from protocol.keys import Signer
from protocol.kinds.register_miner import RegisterMiner
from protocol.kinds.reveal_answer import RevealAnswer
from protocol.kinds.reveal_vote import RevealVote, compute_vote_commitment
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.kinds.validate_answer import ValidateAnswer
from protocol.params import MINIMAL, NANO_PER_COIN, Params
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR, RejectReason, Verdict
from protocol.task_types import Difficulty, GeneralTask, TaskTerms

ACCOUNTS_MIN = 9
"""A publisher, three who answer and a panel of three; two are free to lie."""
SLUG = "general_task"
PARAMS = replace(
    MINIMAL,
    submission_epochs_min=1,
    reveal_epochs_min=2,
    validation_epochs=2,
    finalize_epochs=2,
    dispute_epochs=1,
    resolution_epochs=2,
    epochs_per_day=20,
)
"""Windows so short that a task lives and is paid within ten epochs."""
STAKE = NANO_PER_COIN
_NAME = "simulation"
_KEYS = 0
"""The seed of all keys."""


@dataclass(frozen=True, slots=True)
class Cast:
    """One network's people.

    Attributes:
        signers: by account.
        numbers: of the accounts, by address.
        verifier: shared by all peers; it never forgets what it verified for another.
    """

    genesis: Genesis
    signers: tuple[Signer, ...]
    numbers: dict[bytes, int]
    verifier: Verifier

    @property
    def network(self) -> bytes:
        """The id of the network."""
        return self.genesis.network

    @property
    def params(self) -> Params:
        """Its numbers."""
        return self.genesis.params

    def accounts_of(self, peer: int, peers: int) -> range:
        """Return the accounts that a peer signs for; every peer has one at least."""
        return range(peer, len(self.signers), peers)


@cache
def make_cast(peers: int, late_epochs: int, sealers: int = 1) -> Cast:
    """Return the people of a network of so many peers; the first accounts seal."""
    names = [f"a{number}" for number in range(max(peers, ACCOUNTS_MIN))]
    genesis = make_genesis(
        _NAME, _KEYS, names, names[:sealers], replace(PARAMS, late_epochs=late_epochs)
    )
    signers = tuple(Signer(derive_key(_KEYS, "account", name)) for name in names)
    numbers = {signer.address: number for number, signer in enumerate(signers)}
    verifier = Verifier(Intake(genesis.network), is_threaded=False)
    return Cast(genesis, signers, numbers, verifier)


def make_registration() -> RegisterMiner:
    """Return the payload of an account that solves and judges."""
    return RegisterMiner(ROLE_SOLVER | ROLE_VALIDATOR, (SLUG,), PARAMS.miner_stake_min, "", "")


def make_terms(choice: int) -> TaskTerms:
    """Return the terms of a task; places, reward and window depend on `choice`."""
    return TaskTerms(
        task_type=GeneralTask("misc", None),
        title=f"Task {choice % 1_000}",
        description="Say something.",
        data_hash=hashlib.sha256(b"no input").digest(),
        data_bytes=0,
        reward=(5 + choice % 10) * NANO_PER_COIN,
        submission_epochs=1 + choice % 2,
        stake_required=STAKE,
        max_participants=1 + choice % 3,
        required_reviewers=3,
        consensus_threshold=6_000,
        difficulty=Difficulty.BEGINNER,
        quality_threshold=60,
        submission_requirements="",
    )


def make_content(address: bytes) -> bytes:
    """Return the answer of an account, the same to all tasks."""
    return b"answer of " + address[:8]


def make_salt(address: bytes, about: bytes) -> bytes:
    """Return the salt of a commitment about a task or an answer; here nobody guesses."""
    return hashlib.sha256(b"salt" + address + about).digest()


def make_answer(network: bytes, task_id: bytes, address: bytes) -> SubmitAnswer:
    """Return the payload of an account's commitment to its answer."""
    content_hash = compute_content_hash(make_content(address))
    salt = make_salt(address, task_id)
    commitment = compute_commitment(network, task_id, address, content_hash, salt)
    return SubmitAnswer(commitment, STAKE, 80, 0)


def make_reveal(network: bytes, task_id: bytes, address: bytes) -> RevealAnswer:
    """Return the payload that opens it."""
    content = make_content(address)
    commitment = make_answer(network, task_id, address).commitment
    submission_id = compute_submission_id(task_id, address, commitment)
    content_hash, salt = compute_content_hash(content), make_salt(address, task_id)
    return RevealAnswer(submission_id, content_hash, salt, content)


def make_vote(address: bytes, submission_id: bytes, score: int) -> RevealVote:
    """Return the payload that shows an account's vote: a score above 0 approves."""
    is_good = score > 0
    return RevealVote(
        submission_id=submission_id,
        verdict=Verdict.APPROVE if is_good else Verdict.REJECT,
        score=score,
        reason=RejectReason.NONE if is_good else RejectReason.INCORRECT_ANSWER,
        reasoning="",
        salt=make_salt(address, submission_id),
    )


def make_vote_commitment(
    network: bytes, address: bytes, vote: RevealVote, round_number: int
) -> ValidateAnswer:
    """Return the payload of an account's commitment to a vote."""
    commitment = compute_vote_commitment(network, address, round_number, vote)
    return ValidateAnswer(vote.submission_id, commitment, (STAKE + 1) // 2, round_number)
