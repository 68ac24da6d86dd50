"""Every status of every entity and every legal move between them, as tables.

Rules:
1. A move that is not in a table does not exist; it is refused and changes nothing.
2. Only the fold moves anything. No transaction sets a status, a reputation or a reward directly.
3. The names and numbers of the members are on disk and on the wire: never rename, never renumber.
   The stable text of a status is its name in lower case.
4. A move by time needs nobody's permission, so no task that is open stays in a phase for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TypeVar

from protocol.errors import Rejected

ROUNDS_MAX = 3
"""Disputes a task can go through; each resolution starts the next round."""


class TaskStatus(IntEnum):
    """The phase a task is in."""

    PUBLISHED = 0
    IN_PROGRESS = 1
    ANSWERS_SUBMITTED = 2
    UNDER_VALIDATION = 3
    COMPLETED = 4
    EXPIRED = 5
    DISPUTED = 6
    CANCELLED = 7


class Trigger(IntEnum):
    """Why a task moved."""

    TASK_CREATED = 0
    PARTICIPANT_ACTION = 1
    TIME_EXPIRY = 2
    VALIDATION_COMPLETE = 3
    DISPUTE_OPENED = 4
    DISPUTE_RESOLVED = 5
    PUBLISHER_CANCELLED = 6


class SubmissionStatus(IntEnum):
    """What has become of an answer."""

    PENDING = 0
    REVEALED = 1
    UNDER_REVIEW = 2
    APPROVED = 3
    REJECTED = 4
    REQUIRES_EXPERT_REVIEW = 5
    NOT_REVEALED = 6


class VoteState(IntEnum):
    """What has become of a vote that a validator committed to."""

    COMMITTED = 0
    REVEALED = 1
    NOT_REVEALED = 2
    VOID = 3
    """Nobody could or may show it any more; that was not his fault, or a verdict punished it."""


class RewardState(IntEnum):
    """Whether a reward entry can be collected."""

    LOCKED = 0
    CLAIMABLE = 1
    CLAIMED = 2
    REVOKED = 3


class MinerStatus(IntEnum):
    """Whether a miner takes part."""

    ACTIVE = 0
    INACTIVE = 1
    DORMANT = 2
    SUSPENDED = 3
    EXITING = 4
    EXITED = 5


class DisputeStatus(IntEnum):
    """How far a dispute has got."""

    PENDING = 0
    UNDER_REVIEW = 1
    RESOLVED_APPEALABLE = 2
    APPEALED = 3
    RESOLVED_FINAL = 4
    DISMISSED = 5
    EXPIRED = 6
    WITHDRAWN = 7


class ChangeStatus(IntEnum):
    """What has become of a change that sealers vote on."""

    OPEN = 0
    ADOPTED = 1
    LAPSED = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the move table of tasks.

    Attributes:
        number: the row, as the rules and the diagram call it.
        name: what happens, for people.
        source: the phase left; None when the task comes into being.
        target: the phase entered.
        triggers: the causes that make this move.
    """

    number: str
    name: str
    source: TaskStatus | None
    target: TaskStatus
    triggers: tuple[Trigger, ...]


@dataclass(frozen=True, slots=True)
class Stay:
    """An action that is legal in a phase and leaves the task there; no history entry is made."""

    number: str
    name: str
    status: TaskStatus


_BY_TIME = (Trigger.TIME_EXPIRY,)
_BY_ACTION_OR_TIME = (Trigger.PARTICIPANT_ACTION, Trigger.TIME_EXPIRY)
_BY_OBJECTION = (Trigger.DISPUTE_OPENED,)
_BY_VERDICT = (Trigger.DISPUTE_RESOLVED,)
"""Also when the verdict is that none was reached in time."""

_At = TaskStatus

MOVES: tuple[Move, ...] = (
    Move("T0", "publish", None, _At.PUBLISHED, (Trigger.TASK_CREATED,)),
    Move("T1", "first answer", _At.PUBLISHED, _At.IN_PROGRESS, (Trigger.PARTICIPANT_ACTION,)),
    Move("T2", "cancel", _At.PUBLISHED, _At.CANCELLED, (Trigger.PUBLISHER_CANCELLED,)),
    Move("T3", "nobody answered", _At.PUBLISHED, _At.EXPIRED, _BY_TIME),
    Move("T4", "answers are in", _At.IN_PROGRESS, _At.ANSWERS_SUBMITTED, _BY_ACTION_OR_TIME),
    Move("T5", "no answer stands", _At.IN_PROGRESS, _At.EXPIRED, _BY_TIME),
    Move("T7", "validation opens", _At.ANSWERS_SUBMITTED, _At.UNDER_VALIDATION, _BY_ACTION_OR_TIME),
    Move("T8", "nothing revealed", _At.ANSWERS_SUBMITTED, _At.EXPIRED, _BY_TIME),
    Move("T10", "decided", _At.UNDER_VALIDATION, _At.COMPLETED, (Trigger.VALIDATION_COMPLETE,)),
    Move("T11", "no quorum", _At.UNDER_VALIDATION, _At.EXPIRED, _BY_TIME),
    Move("T12", "dispute", _At.ANSWERS_SUBMITTED, _At.DISPUTED, _BY_OBJECTION),
    Move("T12", "dispute", _At.UNDER_VALIDATION, _At.DISPUTED, _BY_OBJECTION),
    Move("T12", "dispute", _At.COMPLETED, _At.DISPUTED, _BY_OBJECTION),
    Move("T13", "result settled", _At.DISPUTED, _At.COMPLETED, _BY_VERDICT),
    Move("T14", "validate again", _At.DISPUTED, _At.UNDER_VALIDATION, _BY_VERDICT),
    Move("T15", "void", _At.DISPUTED, _At.CANCELLED, _BY_VERDICT),
)

STAYS: tuple[Stay, ...] = (
    Stay("T1'", "further answer", _At.IN_PROGRESS),
    Stay("T6", "reveal", _At.ANSWERS_SUBMITTED),
    Stay("T9", "commitment to a vote", _At.UNDER_VALIDATION),
    Stay("T9'", "reveal of a vote", _At.UNDER_VALIDATION),
)

_MOVE_BY_ENDS = {(move.source, move.target): move for move in MOVES}

S = TypeVar("S", bound=IntEnum)
Steps = Mapping[S | None, tuple[S, ...]]
"""The legal next states by state; None is the state of what does not exist yet."""

SUBMISSION_STEPS: Steps[SubmissionStatus] = MappingProxyType(
    {
        None: (SubmissionStatus.PENDING,),
        SubmissionStatus.PENDING: (SubmissionStatus.REVEALED, SubmissionStatus.NOT_REVEALED),
        SubmissionStatus.REVEALED: (SubmissionStatus.UNDER_REVIEW,),
        SubmissionStatus.UNDER_REVIEW: (
            SubmissionStatus.APPROVED,
            SubmissionStatus.REJECTED,
            SubmissionStatus.REQUIRES_EXPERT_REVIEW,
        ),
        SubmissionStatus.REQUIRES_EXPERT_REVIEW: (
            SubmissionStatus.APPROVED,
            SubmissionStatus.REJECTED,
            SubmissionStatus.UNDER_REVIEW,
        ),
        # Back to review, from here and from above, only when a dispute has started a new round.
        SubmissionStatus.APPROVED: (SubmissionStatus.UNDER_REVIEW,),
        SubmissionStatus.REJECTED: (SubmissionStatus.UNDER_REVIEW,),
    }
)

VOTE_STEPS: Steps[VoteState] = MappingProxyType(
    {
        None: (VoteState.COMMITTED,),
        VoteState.COMMITTED: (VoteState.REVEALED, VoteState.NOT_REVEALED, VoteState.VOID),
    }
)

REWARD_STEPS: Steps[RewardState] = MappingProxyType(
    {
        None: (RewardState.LOCKED,),
        RewardState.LOCKED: (RewardState.CLAIMABLE, RewardState.REVOKED),
        # Revoked once its recipient can sign no claim any more.
        RewardState.CLAIMABLE: (RewardState.CLAIMED, RewardState.REVOKED),
    }
)

MINER_STEPS: Steps[MinerStatus] = MappingProxyType(
    {
        None: (MinerStatus.ACTIVE,),
        MinerStatus.ACTIVE: (MinerStatus.INACTIVE, MinerStatus.SUSPENDED, MinerStatus.EXITING),
        MinerStatus.INACTIVE: (MinerStatus.ACTIVE, MinerStatus.DORMANT),
        MinerStatus.DORMANT: (MinerStatus.ACTIVE,),
        MinerStatus.SUSPENDED: (MinerStatus.ACTIVE,),
        # Evidence against an author is heard even after he left.
        MinerStatus.EXITING: (MinerStatus.EXITED, MinerStatus.SUSPENDED),
        # Who comes back keeps his history: leaving must not wash a reputation.
        MinerStatus.EXITED: (MinerStatus.ACTIVE, MinerStatus.SUSPENDED),
    }
)

DISPUTE_STEPS: Steps[DisputeStatus] = MappingProxyType(
    {
        None: (DisputeStatus.PENDING,),
        DisputeStatus.PENDING: (
            DisputeStatus.UNDER_REVIEW,
            DisputeStatus.DISMISSED,
            DisputeStatus.WITHDRAWN,
            DisputeStatus.EXPIRED,
        ),
        DisputeStatus.UNDER_REVIEW: (DisputeStatus.RESOLVED_APPEALABLE, DisputeStatus.EXPIRED),
        DisputeStatus.RESOLVED_APPEALABLE: (DisputeStatus.APPEALED, DisputeStatus.RESOLVED_FINAL),
        DisputeStatus.APPEALED: (DisputeStatus.UNDER_REVIEW,),
    }
)

OPEN_DISPUTES = (DisputeStatus.PENDING, DisputeStatus.UNDER_REVIEW, DisputeStatus.APPEALED)
"""What a list of pending disputes holds."""

CHANGE_STEPS: Steps[ChangeStatus] = MappingProxyType(
    {
        None: (ChangeStatus.OPEN,),
        ChangeStatus.OPEN: (ChangeStatus.ADOPTED, ChangeStatus.LAPSED, ChangeStatus.REFUSED),
    }
)

PHASE_RANK: Mapping[TaskStatus, int] = MappingProxyType(
    {
        TaskStatus.PUBLISHED: 0,
        TaskStatus.IN_PROGRESS: 1,
        TaskStatus.ANSWERS_SUBMITTED: 2,
        TaskStatus.UNDER_VALIDATION: 3,
        TaskStatus.COMPLETED: 4,
        TaskStatus.DISPUTED: 5,
    }
)
CLOSED_FLAG: Mapping[TaskStatus, int] = MappingProxyType(
    {TaskStatus.EXPIRED: 1, TaskStatus.CANCELLED: 2}
)


def next_statuses(status: TaskStatus | None, trigger: Trigger) -> tuple[TaskStatus, ...]:
    """Return the phases a task can enter from `status` because of `trigger`, in table order."""
    return tuple(
        move.target for move in MOVES if move.source is status and trigger in move.triggers
    )


def require_move(source: TaskStatus | None, target: TaskStatus, trigger: Trigger) -> Move:
    """Return the row of the move table that allows a move.

    Raises:
        Rejected: `wrong_phase`, when there is none.
    """
    move = _MOVE_BY_ENDS.get((source, target))
    if move is None or trigger not in move.triggers:
        allowed = " or ".join(get_label(status) for status in next_statuses(source, trigger))
        raise Rejected(
            "wrong_phase",
            f"{get_label(source)} to {get_label(target)} by {get_label(trigger)}",
            allowed or f"no move from {get_label(source)} by {get_label(trigger)}",
        )
    return move


def require_step(steps: Steps[S], source: S | None, target: S) -> None:
    """Check a step of anything but a task against its table.

    Raises:
        Rejected: `wrong_state`.
    """
    allowed = steps.get(source, ())
    if target not in allowed:
        wanted = " or ".join(get_label(state) for state in allowed)
        raise Rejected(
            "wrong_state", f"{get_label(source)} to {get_label(target)}", wanted or "no step"
        )


def find_reachable(steps: Steps[S], source: S | None) -> tuple[S | None, ...]:
    """Return `source` and all that steps lead to from it; an epoch may hold more than one step."""
    reached: list[S | None] = [source]
    for state in reached:
        reached.extend(one for one in steps.get(state, ()) if one not in reached)
    return tuple(reached)


def get_label(state: IntEnum | None) -> str:
    """Return the stable text of a state: its name in lower case; `none` before it exists."""
    return "none" if state is None else state.name.lower()


def compute_merge_rank(status: TaskStatus, left: TaskStatus | None) -> tuple[int, int]:
    """Return (phase rank, closed flag): how two finished records of one round compare.

    A closed task ranks with the phase it was closed from, which is the furthest it reached in its
    round: so a refund never wins over evidence of work, and of two closings cancelling wins.

    Args:
        status: the status of the record.
        left: the phase its last move left; needed for expired and cancelled only.

    Raises:
        Rejected: `wrong_phase`, when a closed record does not say from which phase.
    """
    flag = CLOSED_FLAG.get(status, 0)
    if not flag:
        return PHASE_RANK[status], 0
    if left is None or (left, status) not in _MOVE_BY_ENDS:
        raise Rejected(
            "wrong_phase",
            f"{get_label(status)} from {get_label(left)}",
            "a phase that can be closed so",
        )
    return PHASE_RANK[left], flag


def render_diagram() -> str:
    """Return the life cycle of a task as a Mermaid state diagram, drawn from the tables above."""
    lines = ["stateDiagram-v2"]
    for move in MOVES:
        source = "[*]" if move.source is None else get_label(move.source)
        lines.append(f"    {source} --> {get_label(move.target)}: {move.number} {move.name}")
    for stay in STAYS:
        label = get_label(stay.status)
        lines.append(f"    {label} --> {label}: {stay.number} {stay.name}")
    for status in _find_ends():
        lines.append(f"    {get_label(status)} --> [*]")
    return "\n".join(lines) + "\n"


def render_table() -> str:
    """Return the move table as Markdown, one row per move."""
    lines = ["| move | from | to | what happens | trigger |", "|---|---|---|---|---|"]
    for move in MOVES:
        triggers = " or ".join(get_label(trigger) for trigger in move.triggers)
        source, target = get_label(move.source), get_label(move.target)
        lines.append(f"| {move.number} | {source} | {target} | {move.name} | {triggers} |")
    for stay in STAYS:
        label = get_label(stay.status)
        lines.append(f"| {stay.number} | {label} | stays | {stay.name} | |")
    return "\n".join(lines) + "\n"


def _find_ends() -> Sequence[TaskStatus]:
    """Return the statuses that nothing leaves; Completed is one too once no dispute can come."""
    sources = {move.source for move in MOVES}
    return [status for status in TaskStatus if status not in sources]
