"""What a network has agreed on, and the changes of it that its sealers vote on.

A charter is never altered: an adopted change makes another one that holds from its epoch. The one
row of charters holds those that may still be asked for: the one in force, and those that follow.
"""

from dataclasses import dataclass
from typing import Annotated

from protocol.params import Amount, Epochs, Params, Small
from protocol.phases import ChangeStatus
from protocol.schema import AtMost
from protocol.task_types import Address, Id, Slug

SEALERS_MAX = 31
CHANGE_VOTES_MAX = 4 * SEALERS_MAX
"""Votes that are kept of one change; beyond it those of people who seal no more are dropped."""
PARAMETER_VALUES_MAX = 4
"""A parameter is one number, or one for each difficulty."""

LEAD_EPOCHS = 2
"""From the last seal that counts votes on a change to the epoch from which it holds.

The seal of epoch e - 1 names the sealers of e, and whoever votes on that seal has to know them
before he has folded it: from the state that seal e - 2 left. With less he could not check them.
"""
CHARTERS_MAX = LEAD_EPOCHS + 1
"""In force at the last seal, and one for each epoch after it that is decided already."""


@dataclass(frozen=True, slots=True)
class Charter:
    """The numbers and the sealers of a network.

    Attributes:
        since: the first epoch in which they hold.
        sealers: sorted; a quorum of them ends each epoch.
    """

    since: Epochs
    params: Params
    sealers: Annotated[tuple[Address, ...], AtMost(SEALERS_MAX)]


@dataclass(frozen=True, slots=True)
class Charters:
    """The charters in force and to come, sorted by epoch; no row while nothing was ever changed."""

    versions: Annotated[tuple[Charter, ...], AtMost(CHARTERS_MAX)]


@dataclass(frozen=True, slots=True)
class Licence:
    """Whether a validator may be drawn; no row for one of whom the sealers never spoke.

    Attributes:
        is_admitted: from `since` on; before it the opposite was so.
    """

    address: Address
    is_admitted: bool
    since: Epochs


@dataclass(frozen=True, slots=True)
class SetParameter:
    """Give a parameter another value; one that has a number for each difficulty, all four."""

    name: Slug
    values: Annotated[tuple[Amount, ...], AtMost(PARAMETER_VALUES_MAX)]


@dataclass(frozen=True, slots=True)
class AdmitSealer:
    """Let an account take part in ending epochs."""

    address: Address


@dataclass(frozen=True, slots=True)
class DismissSealer:
    """Let a sealer take part no more."""

    address: Address


@dataclass(frozen=True, slots=True)
class AdmitValidator:
    """Let a validator who was dismissed be drawn again."""

    address: Address


@dataclass(frozen=True, slots=True)
class DismissValidator:
    """Let a validator be drawn no more; the panels he is on he stays on."""

    address: Address


Action = SetParameter | AdmitSealer | DismissSealer | AdmitValidator | DismissValidator


@dataclass(frozen=True, slots=True)
class Change:
    """What is voted on: one action, and the epoch from which it holds."""

    effective_at: Epochs
    action: Action


@dataclass(frozen=True, slots=True)
class ChangeVote:
    """One sealer's vote for a change."""

    sealer: Address
    tx: Id
    voted_at: Epochs


@dataclass(frozen=True, slots=True)
class ChangeCase:
    """A change, who is for it, and what became of it.

    Attributes:
        proposer: the sealer whose vote was the first, and where that stands in his chain.
        votes: each of a sealer of its epoch, in the order in which they came.
        counted: how many of them were the votes of sealers when it was decided.
        quorum: how many it needed then.
        code: why it was refused although a quorum wanted it; empty otherwise.
        lost_to: the change that it could not stand beside, if it would have stood alone.
    """

    change_id: Id
    change: Change
    proposer: Address
    proposal_tx: Id
    proposal_seq: int
    proposed_at: Epochs
    status: ChangeStatus
    votes: Annotated[tuple[ChangeVote, ...], AtMost(CHANGE_VOTES_MAX)]
    decided_at: Epochs | None
    counted: Small
    quorum: Small
    code: Annotated[str, AtMost(64)]
    lost_to: Id | None
