"""When a task closed for good, and when nothing about it is heard any more.

Rule 1: a task has closed for good when nobody can ever get anything of it: it expired or was
        cancelled, or it is settled and every entry of its reward was claimed or revoked.
Rule 2: some epochs later it is archived: every transaction about it gets the same ruling, which
        follows from the epoch of its closing alone. So a peer may drop its rows and keep that
        epoch, and still folds to the same state, byte for byte, as a peer that kept them.
"""

from protocol.params import Params
from protocol.phases import RewardState, TaskStatus
from protocol.records import RewardDistribution, Task

_OWED = (RewardState.LOCKED, RewardState.CLAIMABLE)


def compute_settled_epoch(task: Task) -> int | None:
    """Return the epoch whose seal settled a task, None if none has."""
    times = task.lifecycle
    if not task.settled or times.dispute_deadline is None:
        return None
    return max([times.dispute_deadline + 1, *(move.epoch for move in times.transitions)])


def compute_moved_epoch(task: Task) -> int:
    """Return the epoch whose seal last moved a task; answers and votes alone move none."""
    times = task.lifecycle
    moves = [move.epoch for move in times.transitions]
    return max([times.published_at, compute_settled_epoch(task) or 0, *moves])


def is_paid_out(task: Task) -> bool:
    """Tell whether a task is over and its escrow empty; only then can it have closed for good."""
    if task.status is TaskStatus.COMPLETED and not task.settled:
        return False
    is_over = task.status in (TaskStatus.COMPLETED, TaskStatus.EXPIRED, TaskStatus.CANCELLED)
    return is_over and task.pool.escrowed == 0


def find_owed(distribution: RewardDistribution) -> frozenset[bytes]:
    """Return the recipients who can claim a part of a reward, or will be able to."""
    return frozenset(one.recipient for one in distribution.entries if one.state in _OWED)


def compute_closed_epoch(task: Task, distribution: RewardDistribution | None) -> int | None:
    """Return the epoch in which a task closed for good, None while it has not.

    Args:
        task: any.
        distribution: of its present round, None if there is none.
    """
    if not is_paid_out(task):
        return None
    if distribution is not None and find_owed(distribution):
        return None
    entries = () if distribution is None else distribution.entries
    claims = [entry.claimed_at for entry in entries if entry.claimed_at is not None]
    return max([compute_moved_epoch(task), *claims])


def compute_archive_epochs(params: Params) -> int:
    """Return how many epochs after its closing a task can still be spoken about.

    As long as a dispute may take, and as what was signed before the closing may still be sealed:
    whoever was late learns what he lost to.
    """
    return max(params.resolution_epochs, params.late_epochs)
