"""Network metrics: what the seals of some epochs add to those of the epochs before.

Rows bear the epochs of what happened to them, so the counts of a span of epochs follow from the
rows that changed in it: an idle epoch costs nothing, and one span adds what its parts add.
"""

from collections.abc import Sequence
from dataclasses import replace

from protocol.closing import compute_settled_epoch
from protocol.phases import SubmissionStatus, TaskStatus
from protocol.records import Ledger, Miner, RewardDistribution, Submission, Task
from storage.local_records import NetworkMetrics

NOTHING = NetworkMetrics(
    epoch=0,
    state_root=bytes(32),
    transactions=0,
    tasks=0,
    statuses=(0,) * len(TaskStatus),
    completions=0,
    completion_epochs=0,
    settled=0,
    participants=0,
    submissions=0,
    scored=0,
    approved=0,
    quality_sum=0,
    rewards=0,
    registrations=0,
    staked=0,
    escrowed=0,
    flagged=0,
)


class Tally:
    """Counts what happened after one epoch up to another; each row is to be added once.

    Args:
        before: the metrics of the epoch before the span.
        upto: the last epoch of the span.
    """

    def __init__(self, before: NetworkMetrics, upto: int) -> None:
        self._after = before.epoch
        self._upto = upto
        self._metrics = before
        self._statuses = list(before.statuses)

    def add_task(
        self, task: Task, answers: Sequence[Submission], distribution: RewardDistribution | None
    ) -> None:
        """Count what happened to a task and its answers within the span."""
        times, now = task.lifecycle, self._metrics
        is_new = self._covers(times.published_at)
        if is_new:
            self._statuses[TaskStatus.PUBLISHED] += 1
        moves = [
            move
            for move in times.transitions
            if self._covers(move.epoch) and move.from_status is not move.to_status
        ]
        for move in moves:
            self._statuses[move.from_status] -= 1
            self._statuses[move.to_status] += 1
        ends = [move.epoch for move in moves if move.to_status is TaskStatus.COMPLETED]
        self._metrics = replace(
            now,
            tasks=now.tasks + is_new,
            completions=now.completions + len(ends),
            completion_epochs=now.completion_epochs
            + sum(epoch - times.published_at for epoch in ends),
            submissions=now.submissions + sum(self._covers(one.committed_at) for one in answers),
        )
        settled = compute_settled_epoch(task)
        if settled is not None and self._covers(settled):
            self._add_settled(task, answers, distribution)

    def add_miner(self, miner: Miner) -> None:
        """Count a registration, if it lies within the span."""
        more = self._covers(miner.registered_at)
        registrations = self._metrics.registrations + more
        self._metrics = replace(self._metrics, registrations=registrations)

    def finish(
        self, ledger: Ledger, state_root: bytes, transactions: int, flagged: int
    ) -> NetworkMetrics:
        """Return the metrics at the end of the span.

        Args:
            ledger: as the last seal of the span left it.
            state_root: of that seal.
            transactions: sealed by then.
            flagged: answers flagged now.
        """
        return replace(
            self._metrics,
            epoch=self._upto,
            state_root=state_root,
            transactions=transactions,
            statuses=tuple(self._statuses),
            staked=ledger.staked,
            escrowed=ledger.escrowed,
            flagged=flagged,
        )

    def _covers(self, epoch: int) -> bool:
        return self._after < epoch <= self._upto

    def _add_settled(
        self, task: Task, answers: Sequence[Submission], distribution: RewardDistribution | None
    ) -> None:
        now = self._metrics
        scores = [one.score for one in answers if one.score is not None]
        owed = 0 if distribution is None else sum(one.amount for one in distribution.entries)
        self._metrics = replace(
            now,
            settled=now.settled + 1,
            participants=now.participants + len(task.participants),
            scored=now.scored + len(scores),
            approved=now.approved + sum(one.status is SubmissionStatus.APPROVED for one in answers),
            quality_sum=now.quality_sum + sum(scores),
            rewards=now.rewards + owed,
        )
