"""From the votes of arbiters to a judgment. Integers only; the order of the votes means nothing.

Rules:
1. A quorum is two thirds of the panel, rounded up, abstentions included; but where everybody
   abstains nobody has judged.
2. A choice needs more than half of those who did not abstain. Without one the result stands.
3. Somebody is guilty if more than half of them named him, whatever else they chose; and only when
   the choice of the majority changes something.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from protocol.dispute_records import ArbiterVote, Choice, Judgment

ACCUSING = (Choice.OVERTURN, Choice.REVALIDATE, Choice.VOID)
"""Choices that can name the guilty."""


def compute_quorum(panel_size: int) -> int:
    """Return how many of a panel must vote."""
    return -(-2 * panel_size // 3)


def judge_votes(
    votes: Sequence[ArbiterVote], panel_size: int, hearing: int, epoch: int
) -> Judgment | None:
    """Return what the votes of one hearing come to, None while there is no quorum.

    Args:
        votes: of this hearing, each by another arbiter.
        panel_size: how many were drawn.
        hearing: its number.
        epoch: in which the judgment is reached.
    """
    voiced = [vote for vote in votes if vote.choice is not Choice.ABSTAIN]
    if len(votes) < compute_quorum(panel_size) or not voiced:
        return None
    choices = Counter(vote.choice for vote in voiced)
    choice = next(
        (one for one in Choice if 2 * choices[one] > len(voiced)),
        Choice.UPHOLD,
    )
    submissions: tuple[bytes, ...] = ()
    validators: tuple[bytes, ...] = ()
    if choice in ACCUSING:
        submissions = _find_named((vote.submissions for vote in voiced), len(voiced))
        validators = _find_named((vote.validators for vote in voiced), len(voiced))
    if choice is Choice.OVERTURN and not (submissions or validators):
        # Most want something changed, but no majority says what.
        choice = Choice.UPHOLD
    share = 0
    if choice is Choice.SPLIT:
        shares = sorted(vote.share for vote in voiced if vote.choice is Choice.SPLIT)
        share = shares[(len(shares) - 1) // 2]
    return Judgment(hearing, choice, share, submissions, validators, epoch)


def _find_named(lists: Iterable[tuple[bytes, ...]], voters: int) -> tuple[bytes, ...]:
    counts = Counter(one for named in lists for one in named)
    return tuple(sorted(one for one in counts if 2 * counts[one] > voters))


def is_same_judgment(one: Judgment, other: Judgment) -> bool:
    """Tell whether two hearings came to the same."""
    return (one.choice, one.share, one.submissions, one.validators) == (
        other.choice,
        other.share,
        other.submissions,
        other.validators,
    )
