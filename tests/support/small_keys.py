"""When two states of the small market are the same: what the rules can still read of them.

Left out are the ids of transactions, the lengths of chains, rulings, when somebody last acted, and
balances, since nobody here ever runs short; of votes that a verdict made void, all but who cast
them; of disputes that have ended, all but the verdict; and revoked entries. Miners are
interchangeable, and so are validators. Of a task that is over no more is kept than who can claim
what, for nothing of it depends on time or on votes any more.

Epochs are told as how many are left, since the rules compare the next one with deadlines and no
rule knows its number: all that are past are alike. Where two epochs of the past are compared, what
comes of it is told: who of the miners came first, and whether votes were open before a dispute.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Any

from protocol.convictions import read_verdict, read_voting_round
from protocol.dispute_records import DisputeCase
from protocol.phases import RewardState, SubmissionStatus, VoteState
from protocol.records import (
    Miner,
    RewardDistribution,
    Submission,
    Task,
    Validation,
    VoteCommitment,
)
from protocol.stakes import is_closed
from protocol.tables import (
    DISPUTES,
    MINERS,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    dispute_key,
    reward_key,
    validation_key,
)
from protocol.view import Key, MemoryView
from tests.support.builders import a_commitment, an_address
from tests.support.small_deeds import find_score
from tests.support.small_market import JUDGES, NETWORK, TASK_ID
from tests.support.small_market import MINERS as SOLVERS

Signature = tuple[Any, ...]


def _number(score: int | None) -> int:
    """Return a score as what can be sorted; abstaining is one of its own."""
    return -1 if score is None else score


class Portrait:
    """What the rules can still read of a state, actor by actor."""

    def __init__(self, rows: Mapping[Key, Any], epoch: int) -> None:
        """Look at the rows that the seal of `epoch` left."""
        self._rows = rows
        self.task: Task | None = rows.get((TASKS.name, TASK_ID))
        self._is_over = self.task is not None and is_closed(self.task)
        self._epoch = epoch
        rounds = range(self.task.lifecycle.round + 1 if self.task else 0)
        self._rounds = rounds
        self._cases: list[DisputeCase] = self._find(DISPUTES.name, dispute_key, rounds)
        self._results: list[RewardDistribution] = self._find(REWARDS.name, reward_key, rounds)
        self._open = [case for case in self._cases if case.closed_at is None]
        self._voting_round = 0
        if self.task is not None:
            self._voting_round = read_voting_round(MemoryView(rows), self.task)
        self._answers: dict[bytes, Submission] = {
            one.miner: rows[(SUBMISSIONS.name, one.submission_id)]
            for one in (self.task.participants if self.task else ())
        }

    def _find(self, table: str, key: Any, rounds: range) -> list[Any]:
        found = [self._rows.get((table, key(TASK_ID, round_))) for round_ in rounds]
        return [one for one in found if one is not None]

    def compute_key(self) -> bytes:
        """Return 16 bytes that are the same for two states that only differ in names."""
        forms = []
        for miners in (SOLVERS, SOLVERS[::-1]):
            forms.append(
                (
                    tuple(self.sign_miner(who) for who in miners),
                    tuple(sorted(self.sign_judge(who, miners) for who in JUDGES)),
                )
            )
        text = repr((self._sign_task(), min(forms)))
        return blake2b(text.encode(), digest_size=16).digest()

    def group_miners(self) -> list[list[str]]:
        """Return the miners, together if the state stays the same when they change places."""
        one, other = SOLVERS
        are_alike = self.sign_miner(one) == self.sign_miner(other) and all(
            self.sign_judge(who, SOLVERS) == self.sign_judge(who, SOLVERS[::-1]) for who in JUDGES
        )
        return [[one, other]] if are_alike else [[one], [other]]

    def group_judges(self) -> list[list[str]]:
        """Return the validators, those together who can change places."""
        signed = sorted((self.sign_judge(who, SOLVERS), who) for who in JUDGES)
        return [[who for _, who in alike] for _, alike in groupby(signed, lambda one: one[0])]

    def rank(self) -> list[str]:
        """Return miners and validators of a task that is over, whoever is owed least first."""
        return sorted(
            (*SOLVERS, *JUDGES), key=lambda who: (self._sign_entries(an_address(who)), who)
        )

    def _sign_task(self) -> Signature:
        task = self.task
        if task is None:
            return ()
        pool = task.pool
        base = (int(task.status), task.settled, pool.escrowed, pool.paid_out, pool.refunded)
        if self._is_over:
            return base
        times = task.lifecycle
        ends = (
            self._count_left(times.submission_deadline),
            self._count_left(times.reveal_deadline),
            self._count_left(times.validation_deadline),
            self._count_left(times.finalize_deadline),
            self._count_left(times.dispute_deadline),
            times.round,
        )
        cases = tuple(self._sign_case(case, times.validation_deadline) for case in self._cases)
        return (*base, task.terms.max_participants, ends, cases)

    def _count_left(self, deadline: int | None) -> int:
        """Return how many epochs are in time for a deadline, -1 if there is none."""
        return -1 if deadline is None else max(0, deadline - self._epoch)

    def _sign_case(self, case: DisputeCase, opening: int) -> Signature:
        judged = tuple((int(one.choice), one.share) for one in case.judgments)
        if case.closed_at is not None:
            return (int(case.status), judged[-1:])
        return (
            int(case.status),
            int(case.status_before),
            case.opened_at > opening,
            self._count_left(case.pending_until),
            case.hearing,
            self._count_left(case.voting_deadline),
            self._count_left(case.resolution_deadline),
            self._count_left(case.appeal_deadline),
            judged,
            self._sign_parties(an_address("alice")),
        )

    def sign_miner(self, who: str) -> Signature:
        """Return all that the rules can read of a miner."""
        address = an_address(who)
        owed = self._sign_entries(address)
        if self._is_over:
            return owed
        answer = self._answers.get(address)
        shown: Signature = ()
        if answer is not None and self.task is not None:
            ranks = sorted((one.committed_at, one.submission_id) for one in self._answers.values())
            can_show = answer.status is SubmissionStatus.PENDING
            shown = (
                ranks.index((answer.committed_at, answer.submission_id)),
                can_show and answer.commitment == a_commitment(NETWORK, TASK_ID, who),
                int(answer.status),
                answer.stake,
                _number(answer.score),
                answer.submission_id == self.task.winner,
            )
        struck = tuple(
            answer is not None and answer.submission_id in verdict.submissions
            for verdict in map(read_verdict, self._cases)
            if verdict is not None
        )
        return (shown, struck, self._sign_parties(address), owed, self._sign_standing(address))

    def sign_judge(self, who: str, miners: Sequence[str]) -> Signature:
        """Return all that the rules can read of a validator, the miners taken in an order."""
        address = an_address(who)
        owed = self._sign_entries(address)
        if self._is_over:
            return owed
        votes = tuple(
            self._sign_votes(self._answers.get(an_address(miner)), address) for miner in miners
        )
        named = tuple(
            address in verdict.validators
            for verdict in map(read_verdict, self._cases)
            if verdict is not None
        )
        on_panel = self.task is not None and address in self.task.panel
        seats = tuple(
            (
                address in case.panel,
                address in case.earlier_panels,
                tuple(
                    (vote.hearing, int(vote.choice))
                    for vote in case.votes
                    if vote.arbiter == address
                ),
            )
            for case in self._open
        )
        parties = self._sign_parties(address)
        return (on_panel, votes, named, seats, parties, owed, self._sign_standing(address))

    def _sign_votes(self, answer: Submission | None, address: bytes) -> Signature:
        if answer is None or self.task is None:
            return ()
        signed: list[Signature] = []
        for round_ in self._rounds:
            key = validation_key(answer.submission_id, address, round_)
            vote: Validation | None = self._rows.get((VALIDATIONS.name, key))
            hidden: VoteCommitment | None = self._rows.get((VOTE_COMMITMENTS.name, key))
            if hidden is None:
                signed.append(())
            elif vote is None:
                signed.append((int(hidden.state), hidden.stake, hidden.weight))
                if hidden.state is VoteState.COMMITTED:
                    signed.append((_number(find_score(hidden)),))
            elif round_ < self._voting_round:
                signed.append((vote.stake,))
            else:
                score = _number(vote.score)
                signed.append((vote.stake, int(vote.verdict), score, vote.weight))
        return tuple(signed)

    def _sign_entries(self, address: bytes) -> Signature:
        return tuple(
            (int(entry.role), entry.amount, int(entry.state))
            for result in self._results
            for entry in result.entries
            if entry.recipient == address and entry.state is not RewardState.REVOKED
        )

    def _sign_parties(self, address: bytes) -> Signature:
        return tuple(
            (
                case.disputer == address,
                address in case.defendants,
                tuple(appeal.appellant == address for appeal in case.appeals),
            )
            for case in self._open
        )

    def _sign_standing(self, address: bytes) -> int:
        miner: Miner | None = self._rows.get((MINERS.name, address))
        return 0 if miner is None else miner.reputation.score
