"""What the disputes of a task's earlier rounds leave behind: who is guilty, whose votes count.

A task row does not name its disputes; they are found by round. A task that was never disputed costs
no look-up.
"""

from dataclasses import dataclass

from protocol.dispute_records import Choice, DisputeCase, Judgment
from protocol.phases import DisputeStatus
from protocol.records import Task
from protocol.tables import DISPUTES, dispute_key
from protocol.view import RowReader


@dataclass(frozen=True, slots=True)
class Convicted:
    """Who was found guilty: answers that are struck out, validators whose votes count no more."""

    submissions: frozenset[bytes]
    validators: frozenset[bytes]


def read_verdict(case: DisputeCase) -> Judgment | None:
    """Return what a dispute ended with, None if it is open or ended without a judgment."""
    if case.status is not DisputeStatus.RESOLVED_FINAL:
        return None
    return case.judgments[-1]


def read_verdicts(rows: RowReader, task: Task) -> tuple[Judgment | None, ...]:
    """Return what the dispute of each earlier round ended with, by round."""
    cases = [
        rows.get(DISPUTES, dispute_key(task.task_id, round_))
        for round_ in range(task.lifecycle.round)
    ]
    return tuple(None if case is None else read_verdict(case) for case in cases)


def read_convicted(rows: RowReader, task: Task) -> Convicted:
    """Return who was found guilty in the earlier rounds of a task."""
    verdicts = [verdict for verdict in read_verdicts(rows, task) if verdict is not None]
    return Convicted(
        frozenset(one for verdict in verdicts for one in verdict.submissions),
        frozenset(one for verdict in verdicts for one in verdict.validators),
    )


def read_voting_round(rows: RowReader, task: Task) -> int:
    """Return the round whose votes count: the one that the last order to validate again began."""
    voting = 0
    for round_, verdict in enumerate(read_verdicts(rows, task)):
        if verdict is not None and verdict.choice is Choice.REVALIDATE:
            voting = round_ + 1
    return voting
