"""The rows of the sealed state: frozen records, derived from transactions and never sent as truth.

Every list in a row is bounded and sorted unless its order means something. Bodies live in one
place: a task row holds the ids of its submissions, not the submissions.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from protocol.params import Amount, Bps, Epochs, Small
from protocol.phases import (
    MinerStatus,
    RewardState,
    SubmissionStatus,
    TaskStatus,
    Trigger,
    VoteState,
)
from protocol.schema import AtMost, Between, Exactly
from protocol.task_types import Address, Id, Score, Slug, TaskTerms

TRANSITIONS_MAX = 16
PARTICIPANTS_MAX = 255
VOTES_MAX = 64
ENTRIES_MAX = PARTICIPANTS_MAX + VOTES_MAX
"""One for each answer and one for each validator: nobody has two entries of one kind."""

Weight = Annotated[int, Between(0, 1_000_000)]

ROLE_SOLVER = 1
ROLE_VALIDATOR = 2


@dataclass(frozen=True, slots=True)
class Account:
    """The money and the chain of one author; changed at seals only.

    Attributes:
        next_seq: one more than the highest seq sealed.
        head: id of the author's last sealed transaction.
        barred_from: least seq at which the author signed two transactions, if he did.
    """

    address: Address
    balance: Amount
    next_seq: int
    head: Id | None
    barred_from: int | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where all money is: one row. balances + escrowed + staked + treasury + burned = supply."""

    supply: Amount
    balances: Amount
    escrowed: Amount
    staked: Amount
    treasury: Amount
    burned: Amount


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of a task through its phases, with its cause."""

    from_status: TaskStatus
    to_status: TaskStatus
    epoch: Epochs
    trigger: Trigger
    tx: Id | None
    """The transaction that caused the move; None for a pure time move."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The times of a task, as epoch numbers, both ends of each window included."""

    published_at: Epochs
    submission_deadline: Epochs
    reveal_deadline: Epochs
    validation_deadline: Epochs
    finalize_deadline: Epochs
    completed_at: Epochs | None
    dispute_deadline: Epochs | None
    round: Small
    transitions: Annotated[tuple[Transition, ...], AtMost(TRANSITIONS_MAX)]


@dataclass(frozen=True, slots=True)
class Participant:
    """A miner who committed to an answer."""

    miner: Address
    submission_id: Id


@dataclass(frozen=True, slots=True)
class RewardPool:
    """The escrow of one task: escrowed + paid_out + refunded = total."""

    total: Amount
    escrowed: Amount
    paid_out: Amount
    refunded: Amount


@dataclass(frozen=True, slots=True)
class Task:
    """One task, from publication to the last claim."""

    task_id: Id
    publisher: Address
    publish_tx: Id
    terms: TaskTerms
    status: TaskStatus
    lifecycle: Lifecycle
    participants: Annotated[tuple[Participant, ...], AtMost(PARTICIPANTS_MAX)]
    """In the order in which they took their places."""
    panel: Annotated[tuple[Address, ...], AtMost(VOTES_MAX)]
    """The validators drawn when validation opened, sorted."""
    pool: RewardPool
    winner: Id | None
    settled: bool
    """The dispute window has passed: rewards can be claimed, stakes are back."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One answer: a commitment, then its opening, then its score."""

    submission_id: Id
    task_id: Id
    miner: Address
    commit_tx: Id
    reveal_tx: Id | None
    commitment: Id
    content_hash: Id | None
    committed_at: Epochs
    revealed_at: Epochs | None
    estimated_quality: Score
    stake: Amount
    """What is still locked; 0 once released or forfeited."""
    forfeited: Amount
    status: SubmissionStatus
    votes: Annotated[tuple[Address, ...], AtMost(VOTES_MAX)]
    score: Score | None
    agreement: Bps | None
    confidence: Bps | None


class Verdict(IntEnum):
    """What a validator says of an answer."""

    APPROVE = 0
    REJECT = 1
    ABSTAIN = 2


class RejectReason(IntEnum):
    """Why a validator rejects an answer."""

    NONE = 0
    INCORRECT_ANSWER = 1
    INSUFFICIENT_QUALITY = 2
    PLAGIARISM = 3
    OFF_TOPIC = 4
    TECHNICAL_ERROR = 5
    TIME_VIOLATION = 6


@dataclass(frozen=True, slots=True)
class Validation:
    """One validator's vote on one submission in one round; only its stake ever changes."""

    validation_id: Id
    task_id: Id
    submission_id: Id
    validator: Address
    round: Small
    verdict: Verdict
    score: Score
    reason: RejectReason
    voted_at: Epochs
    stake: Amount
    """What is still locked; 0 once released."""
    weight: Weight
    """Weight in basis points, frozen when the vote was committed to."""


@dataclass(frozen=True, slots=True)
class VoteCommitment:
    """What binds a validator to one vote before anybody shows one, and what became of it.

    Attributes:
        reveal_tx: what opened it; then there is a `Validation` under the same key.
        stake: what is still locked here; it goes over to the vote with the reveal.
        weight: in basis points, frozen when the commitment was taken in.
    """

    task_id: Id
    submission_id: Id
    validator: Address
    round: Small
    commit_tx: Id
    reveal_tx: Id | None
    commitment: Id
    committed_at: Epochs
    stake: Amount
    forfeited: Amount
    weight: Weight
    state: VoteState


class RewardRole(IntEnum):
    """For what an entry pays."""

    WINNER = 0
    PARTICIPANT = 1
    VALIDATOR = 2


@dataclass(frozen=True, slots=True)
class RewardEntry:
    """One payment owed to one recipient."""

    entry_id: Id
    recipient: Address
    amount: Amount
    role: RewardRole
    submission_id: Id | None
    rank: Small
    score: Score
    state: RewardState
    claimed_at: Epochs | None
    claim_tx: Id | None


@dataclass(frozen=True, slots=True)
class RewardDistribution:
    """Who gets what of one task in one round: entries + network_fee + refund = total."""

    task_id: Id
    round: Small
    total: Amount
    network_fee: Amount
    refund: Amount
    computed_at: Epochs
    claimable_after: Epochs
    entries: Annotated[tuple[RewardEntry, ...], AtMost(ENTRIES_MAX)]


@dataclass(frozen=True, slots=True)
class Reputation:
    """A miner's standing, 0 to 10,000, and what it came from."""

    score: Bps
    updated_at: Epochs
    tasks: int
    successes: int
    quality_sum: int
    votes: int
    accurate_votes: int


@dataclass(frozen=True, slots=True)
class Miner:
    """A registered solver or validator, or both."""

    address: Address
    roles: Small
    specializations: Annotated[tuple[Slug, ...], AtMost(10)]
    display_name: Annotated[str, AtMost(64)]
    contact: Annotated[str, AtMost(256)]
    status: MinerStatus
    registered_at: Epochs
    last_active: Epochs
    stake: Amount
    earned: Amount
    forfeited: Amount
    reputation: Reputation


@dataclass(frozen=True, slots=True)
class FraudReport:
    """What somebody publicly thinks of an answer. It decides nothing; whoever judges may read it.

    Attributes:
        report_id: the transaction that made it.
        risk: overall, as the reporter's rules count it.
        ruleset: of these rules; reports of different rules are not comparable.
        analysis_hash: of the whole analysis, which travels as a blob if at all.
    """

    report_id: Id
    task_id: Id
    submission_id: Id
    reporter: Address
    risk: Bps
    ruleset: Annotated[int, Between(1, 65_535)]
    analysis_hash: Id
    reported_at: Epochs


@dataclass(frozen=True, slots=True)
class Ruling:
    """Why a transaction of the sealed set did not apply, and to which it lost."""

    tx_id: Id
    kind: int
    author: Address
    seq: int
    subject: Id
    epoch: Epochs
    code: Annotated[str, AtMost(64)]
    found: Annotated[str, AtMost(256)]
    wanted: Annotated[str, AtMost(256)]
    lost_to: Annotated[bytes, Exactly(32)] | None
