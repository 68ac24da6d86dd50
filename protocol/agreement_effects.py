"""What goes into and comes out of an agreement: verdicts, wishes to the outside, a diary."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from protocol.ballots import Backed, Ballot, Proposal, Round, SealVote, Step
from protocol.params import Epochs
from protocol.schema import AtMost
from protocol.seals import Seal, SealContent


class Verdict(Enum):
    """What a sealer found when it folded a proposed set itself."""

    SOUND = "sound"
    ILLEGAL = "illegal"
    """The set must not be sealed."""
    OTHER_ROOT = "other_root"
    """The set may be sealed, but leaves another state here."""


@dataclass(frozen=True, slots=True)
class Diary:
    """What a sealer must remember over a restart, so that it never contradicts itself.

    Attributes:
        proposed, prevoted, precommitted: what it said in `round`.
        before: its ballots of the round it was in before: others may still be there, and wait.
        locked: the last content it precommitted, with the prevotes for it.
        valid: the last content that a quorum prevoted, as it saw it.
        decided: the content that it knows to be decided.
        decision: the precommits that say so, as far as they were seen: others may need them.
        sealed: its signature under the seal.
    """

    epoch: Epochs
    round: Round
    proposed: Proposal | None = None
    prevoted: Ballot | None = None
    precommitted: Ballot | None = None
    before: Annotated[tuple[Ballot, ...], AtMost(2)] = ()
    locked: Backed | None = None
    valid: Backed | None = None
    decided: SealContent | None = None
    decision: Backed | None = None
    sealed: SealVote | None = None

    def list_contents(self) -> list[SealContent]:
        """Return the contents whose sets may have to be shown to others again."""
        places = (self.proposed, self.locked, self.valid)
        found = dict.fromkeys(one.content for one in places if one is not None)
        if self.decided is not None:
            found[self.decided] = None
        return list(found)


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell all sealers, once the diary is on disk."""

    message: Ballot | Proposal | SealVote


@dataclass(frozen=True, slots=True)
class Schedule:
    """Call `expire` with these after a while, longer in later rounds."""

    step: Step
    round: int


@dataclass(frozen=True, slots=True)
class Build:
    """It is our turn: call `offer` with a content to propose."""

    round: int


@dataclass(frozen=True, slots=True)
class Examine:
    """Get the set of this content, fold it, call `judge`."""

    content: SealContent


@dataclass(frozen=True, slots=True)
class Dissent:
    """Somebody honest has another state than we over an equal set: one of us has a bug."""

    content: SealContent


@dataclass(frozen=True, slots=True)
class Finish:
    """The seal is there."""

    seal: Seal


Effect = Tell | Schedule | Build | Examine | Dissent | Finish
