"""The row of a dispute, and the fixed figures of every dispute.

A task is disputed at most once in each of its rounds, so (task, round) is the key: the fold finds
the disputes of a task without a list of them. A dispute is heard by one panel after another: the
first, and one more for each appeal.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from protocol.params import NANO_PER_COIN, Amount, Epochs, Small
from protocol.phases import DisputeStatus, TaskStatus
from protocol.records import PARTICIPANTS_MAX
from protocol.schema import AtMost, Between
from protocol.task_types import Address, Id

BOND_SHARE = 500
"""Least bond of a dispute and least deposit of an appeal: 5 % of the reward, in basis points."""

PANEL_SIZES = (3, 5, 7)
"""Arbiters of the first panel and of those that hear appeals; the last one is final."""
HEARINGS_MAX = len(PANEL_SIZES)
ARBITERS_MIN = 3
"""With fewer than these eligible nobody judges, and what was decided before stands."""
ARBITER_STAKE_MIN = 10 * NANO_PER_COIN
"""Least registration stake of an arbiter, as the founding rules have it for one of a panel.

Whoever registers with what the presets ask for has it; where a network asks for less, a deposit
makes an arbiter of a validator. To fill panels with fresh keys shall cost as much everywhere.
"""

EVIDENCE_MAX = 100
EVIDENCE_EACH_MAX = 10
"""Items of evidence that one party can bring, so that no party fills the file of another."""
NAMED_MAX = 8
"""Answers, and validators, that one vote can name as guilty."""
REASON_BYTES_MAX = 256


class DisputeType(IntEnum):
    """What a dispute is about."""

    VALIDATION_ACCURACY = 0
    REWARD_DISTRIBUTION = 1
    PLAGIARISM = 2
    QUALITY_ASSESSMENT = 3
    TECHNICAL_ERROR = 4
    FRAUD_ACCUSATION = 5


class EvidenceType(IntEnum):
    """What an item of evidence is."""

    ORIGINAL_WORK = 0
    PRIOR_ART = 1
    EXPERT_OPINION = 2
    TECHNICAL_ANALYSIS = 3
    COMMUNITY_FEEDBACK = 4


class Choice(IntEnum):
    """What an arbiter wants done."""

    UPHOLD = 0
    """The result stands; of a task without a result, it goes on as if nothing had been said."""
    OVERTURN = 1
    """The guilty are named; what is left of the votes and answers decides anew."""
    SPLIT = 2
    """A share of all entries goes back to the publisher."""
    REVALIDATE = 3
    """All votes are void, and other validators judge the answers."""
    VOID = 4
    """The task is called off: the reward goes back, and so do the stakes of the innocent."""
    ABSTAIN = 5


@dataclass(frozen=True, slots=True)
class Evidence:
    """One item of evidence; its content travels as a blob of that hash."""

    type: EvidenceType
    content_hash: Id
    submitter: Address
    added_at: Epochs


@dataclass(frozen=True, slots=True)
class ArbiterVote:
    """One arbiter's vote in one hearing.

    Attributes:
        tx: the transaction that cast it.
        share: of the entries that goes back, in basis points; 0 unless the choice is to split.
        submissions: ids of the answers that he holds guilty, sorted.
        validators: addresses of the validators that he holds guilty, sorted.
    """

    arbiter: Address
    tx: Id
    hearing: Small
    choice: Choice
    share: Annotated[int, Between(0, 9_999)]
    submissions: Annotated[tuple[Id, ...], AtMost(NAMED_MAX)]
    validators: Annotated[tuple[Address, ...], AtMost(NAMED_MAX)]


@dataclass(frozen=True, slots=True)
class Judgment:
    """What one hearing came to; the fields are those of a vote, each as a majority wants it."""

    hearing: Small
    choice: Choice
    share: Annotated[int, Between(0, 9_999)]
    submissions: Annotated[tuple[Id, ...], AtMost(2 * NAMED_MAX)]
    validators: Annotated[tuple[Address, ...], AtMost(2 * NAMED_MAX)]
    decided_at: Epochs


@dataclass(frozen=True, slots=True)
class Appeal:
    """An objection to a judgment, which leads to the next hearing."""

    appellant: Address
    tx: Id
    reason: Annotated[str, AtMost(REASON_BYTES_MAX)]
    appealed_at: Epochs
    deposit: Amount
    """What is still locked; 0 once released or forfeited."""


@dataclass(frozen=True, slots=True)
class DisputeCase:
    """One dispute, from its opening to the end.

    Attributes:
        dispute_id: id of the transaction that opened it.
        round: of the task when it was opened; with the task id it is the key.
        submission_id: the answer in dispute, None when it is about the task as a whole.
        defendants: frozen at the opening, sorted; never the disputer.
        status_before: the phase that the dispute interrupted.
        pending_until: last epoch before the panel of this hearing is drawn.
        hearing: 0 for the first, one more with each appeal.
        voting_deadline: of this hearing, None until its panel is drawn.
        resolution_deadline: last epoch for a vote while there is no quorum; None likewise.
        appeal_deadline: of the last judgment, None until there is one.
        panel: of this hearing, sorted.
        earlier_panels: everybody who sat in an earlier hearing, sorted.
        votes: of all hearings, as they came.
        judgments: of all hearings that came to one; the last one counts.
        bond: the disputer's, as far as it is still locked.
        forfeited: of the bond and of all deposits.
        closed_at: epoch in which it ended, None while it is open.
    """

    dispute_id: Id
    task_id: Id
    round: Small
    type: DisputeType
    submission_id: Id | None
    disputer: Address
    defendants: Annotated[tuple[Address, ...], AtMost(PARTICIPANTS_MAX)]
    reason: Annotated[str, AtMost(REASON_BYTES_MAX)]
    evidence: Annotated[tuple[Evidence, ...], AtMost(EVIDENCE_MAX)]
    status: DisputeStatus
    status_before: TaskStatus
    opened_at: Epochs
    pending_until: Epochs
    hearing: Small
    voting_deadline: Epochs | None
    resolution_deadline: Epochs | None
    appeal_deadline: Epochs | None
    panel: Annotated[tuple[Address, ...], AtMost(max(PANEL_SIZES))]
    earlier_panels: Annotated[tuple[Address, ...], AtMost(sum(PANEL_SIZES))]
    votes: Annotated[tuple[ArbiterVote, ...], AtMost(sum(PANEL_SIZES))]
    judgments: Annotated[tuple[Judgment, ...], AtMost(HEARINGS_MAX)]
    appeals: Annotated[tuple[Appeal, ...], AtMost(HEARINGS_MAX - 1)]
    bond: Amount
    forfeited: Amount
    closed_at: Epochs | None
