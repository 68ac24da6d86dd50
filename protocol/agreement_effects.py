"""What goes into and comes out of an agreement: verdicts, wishes to the outside, a diary."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from protocol.ballots import Backed, Ballot, Proposal, Round, SealVote, Step
from protocol.params import Epochs
from protocol.plan import Plan
from protocol.schema import AtMost
from protocol.seals import Seal, SealContent
from protocol.sharing import DEALS_MAX, Deal, Opening


class Verdict(Enum):
    """What a sealer found when it looked at a proposed set."""

    SOUND = "sound"
    """All of it is here, and it may be sealed."""
    ILLEGAL = "illegal"


@dataclass(frozen=True, slots=True)
class Diary:
    """What a sealer must remember over a restart, so that it never contradicts itself.

    Attributes:
        proposed, prevoted, precommitted: what it said in `round`.
        before: its ballots of the round it was in before: others may still be there, and wait.
        locked: the last plan it precommitted, with the prevotes for it.
        valid: the last plan that a quorum prevoted, as it saw it.
        decided: the plan that it knows to be decided.
        decision: the precommits that say so, as far as they were seen: others may need them.
        sealed: its signature under the seal.
        deals: that make the secret of this epoch: without them it could not be opened any more.
    """

    epoch: Epochs
    round: Round
    proposed: Proposal | None = None
    prevoted: Ballot | None = None
    precommitted: Ballot | None = None
    before: Annotated[tuple[Ballot, ...], AtMost(2)] = ()
    locked: Backed | None = None
    valid: Backed | None = None
    decided: Plan | None = None
    decision: Backed | None = None
    sealed: SealVote | None = None
    deals: Annotated[tuple[Deal, ...], AtMost(DEALS_MAX)] = ()

    def list_plans(self) -> list[Plan]:
        """Return the plans whose sets may have to be shown to others again."""
        places = (self.proposed, self.locked, self.valid)
        found = dict.fromkeys(one.plan for one in places if one is not None)
        if self.decided is not None:
            found[self.decided] = None
        return list(found)


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell all sealers, once the diary is on disk."""

    message: Ballot | Proposal | SealVote | Deal | Opening


@dataclass(frozen=True, slots=True)
class Schedule:
    """Call `expire` with these after a while, longer in later rounds."""

    step: Step
    round: int


@dataclass(frozen=True, slots=True)
class Build:
    """It is our turn: call `offer` with a plan to propose."""

    round: int


@dataclass(frozen=True, slots=True)
class Examine:
    """Get the set of this plan, look at it, call `judge`."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Fold:
    """Fold the set of this plan, which is sound and decided; call `conclude`."""

    plan: Plan
    secret: bytes | None


@dataclass(frozen=True, slots=True)
class Dissent:
    """Somebody honest has another state than we over an equal set: one of us has a bug.

    Attributes:
        content: that he signed.
        state_root: that we found.
    """

    content: SealContent
    state_root: bytes


@dataclass(frozen=True, slots=True)
class Finish:
    """The seal is there."""

    seal: Seal


Effect = Tell | Schedule | Build | Examine | Fold | Dissent | Finish
