"""An economy over the real fold: customers, solvers and validators, task after task, to the end.

What an answer is worth is known to the economy alone; whoever looks at one sees it with a small
error of his own. All chance comes from one seed by keyed draws, so that one person's other deed
changes nobody else's luck. Who plays how is a `Player` (`tests.support.players`).
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from protocol import kinds
from protocol.answers import compute_commitment
from protocol.dispute_records import DisputeCase
from protocol.epoch import Epoch
from protocol.hashing import compute_content_hash
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.kinds.reveal_answer import RevealAnswer
from protocol.kinds.reveal_vote import RevealVote
from protocol.kinds.submit_answer import SubmitAnswer
from protocol.params import EPOCH_MAX
from protocol.phases import RewardState, TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR, Submission, Task, Validation
from protocol.tables import (
    ACCOUNTS,
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
from protocol.transactions import SignedTransaction
from protocol.view import MemoryView
from tests.support.builders import (
    STAKE,
    a_genesis,
    a_vote,
    a_vote_commitment,
    an_address,
    name_of,
)
from tests.support.lots import LotWorld
from tests.support.world import Place

Signed = Iterable[SignedTransaction]

LATER_EPOCHS_MAX = 150
"""After the last publication; a task with three disputes and their appeals is over by then."""
VOTES_AFTER_EPOCHS = 2
"""Judging takes an honest validator a while; whoever does not look may be faster."""
ERROR = 4
"""How far an honest look at an answer is off at most, in points."""
TRIES = 32
"""Of somebody who grinds; each is one signature and one hash of the epoch's ids."""
WRONG = 30
"""A score this far from what an answer is worth is no matter of opinion."""


@dataclass(frozen=True)
class Setting:
    """How many people there are, and what they are like.

    Attributes:
        spares: keys with money that do nothing unless their owner wants them.
        takers: solvers who find any one task worth their while.
        places: for answers to one task.
        sleeper: a solver who takes every task and never shows his answer, so that what attackers
            show or hide does not move the epoch in which validation opens.
        weak: solvers whose answers are never good enough to win.
    """

    tasks: int = 20
    solvers: int = 10
    validators: int = 30
    spares: int = 12
    takers: int = 5
    places: int = 5
    sleeper: str = ""
    weak: frozenset[str] = frozenset()

    def names(self, group: str) -> tuple[str, ...]:
        """Return everybody of a group: customers (one a task), solvers, validators or spares."""
        count = self.tasks if group == "customers" else getattr(self, group)
        return tuple(f"{group}-{i}" for i in range(count))


_BOTH = ROLE_SOLVER | ROLE_VALIDATOR
GROUPS = ("customers", "solvers", "validators", "spares")


@dataclass(frozen=True)
class Lapses:
    """Which defences of an economy are away, for a control.

    Attributes:
        is_checked: every seal is held against all invariants.
        is_watchful: honest people object to wrong results.
        is_hasty: honest people show an answer as soon as it is sealed.
        are_votes_open: honest people show a vote as soon as its commitment is sealed.
        hears_evidence: who signs twice is caught; else only what he signed last is known.
        is_foreseeable: nobody signs after the attackers in an epoch, so they know its whole set.
        has_secret: sealers share a secret for every epoch and open it when its set is decided, so
            whoever knows the set can but guess the beacon.
    """

    is_checked: bool = True
    is_watchful: bool = True
    is_hasty: bool = False
    are_votes_open: bool = False
    hears_evidence: bool = True
    is_foreseeable: bool = False
    has_secret: bool = True


NO_LAPSES = Lapses()


class Player(Protocol):
    """What decides for somebody."""

    def offer(self, economy: "Economy") -> Mapping[str, Any]:
        """Return what is unusual about the terms of a customer's task."""
        ...

    def act(self, economy: "Economy", who: str, task: Task) -> Signed:
        """Return what somebody does about a task in the epoch to come."""
        ...

    def have_last_word(self, economy: "Economy") -> Signed:
        """Return what is added to an epoch when all others have signed."""
        ...


class Economy:
    """One network, its people and what they are about to do."""

    def __init__(
        self,
        setting: Setting,
        seed: int,
        honest: Player,
        attackers: Mapping[str, Player],
        *,
        lots: Mapping[int, bytes] | None = None,
        lapses: Lapses = NO_LAPSES,
    ) -> None:
        """Register everybody; `lots` are the beacons of another economy, by epoch."""
        self.setting, self.seed, self.lapses = setting, seed, lapses
        self._honest, self.attackers = honest, attackers
        cast = tuple(name for group in GROUPS for name in setting.names(group))
        genesis = a_genesis(cast=cast, salt=self._draw("salt"))
        self.world = LotWorld(genesis, lots or {}, is_checked=lapses.is_checked)
        self.pending: list[SignedTransaction] = []
        self.evidence: list[Place] = []
        self.barred: set[str] = set()
        self.live: dict[bytes, int] = {}
        """Tasks in which something can still happen, with their places in the programme."""
        self._takers: dict[bytes, tuple[str, ...]] = {}
        self._worth: dict[bytes, int] = {}
        self._contents: dict[bytes, bytes] = {}
        self._answers: dict[tuple[bytes, str], tuple[bytes, bytes]] = {}
        self._votes: dict[bytes, RevealVote] = {}
        self._done: set[tuple[object, ...]] = set()
        self._published = 0
        self.world.seal(
            *(self.world.register(who, roles=ROLE_SOLVER) for who in setting.names("solvers")),
            *(self.world.register(who, roles=_BOTH) for who in setting.names("validators")),
        )

    # --------------------------------------------------------------------------------- chance

    def _draw(self, *labels: object) -> bytes:
        return hashlib.sha256(repr((self.seed, labels)).encode()).digest()

    def draw(self, least: int, most: int, *labels: object) -> int:
        """Return a number from `least` to `most`; the same for the same labels."""
        return least + int.from_bytes(self._draw(*labels)[:8], "big") % (most - least + 1)

    # ------------------------------------------------------------------------------------ play

    def play(self) -> None:
        """Live until all tasks are over and claimed."""
        last = self.world.epoch + 2 * self.setting.tasks + LATER_EPOCHS_MAX
        while self.world.epoch < last and (self.live or self._published < self.setting.tasks):
            self.step()
        assert not self.live, f"{len(self.live)} tasks never end"

    def step(self) -> None:
        """Live through one epoch: the honest first, so that attackers see what they sign."""
        if self.lapses.has_secret:
            self.world.secret = self._draw("secret", self.next)
        tasks = self.tasks()
        self.pending = list(self._publish())
        for task in tasks:
            for who in self._find_concerned(task):
                if who not in self.attackers and who not in self.barred:
                    self.pending += self._honest.act(self, who, task)
        for who in sorted(self.attackers):
            for task in tasks:
                if who not in self.barred:
                    self.pending += self.attackers[who].act(self, who, task)
        for player in {id(one): one for one in self.attackers.values()}.values():
            self.pending += player.have_last_word(self)
        if not self.lapses.is_foreseeable:
            straggler = self.setting.names("spares")[-1]
            self.pending.append(self.take(straggler, self.top_up(straggler, 1)))
        caught = dict(self.evidence)
        self.world.seal(
            *(tx for tx in self.pending if tx.header.seq < caught.get(tx.header.author, EPOCH_MAX)),
            evidence=sorted(self.evidence),
        )
        self.evidence.clear()
        self.live = {key: place for key, place in self.live.items() if self._is_live(key)}

    def tasks(self) -> list[Task]:
        """Return all sealed tasks in which something can still happen."""
        found = (self.world.view.get(TASKS, task_id) for task_id in sorted(self.live))
        return [task for task in found if task is not None]

    def _publish(self) -> Signed:
        """Have a customer publish every second epoch."""
        if self.world.epoch % 2 == 0 and self._published < self.setting.tasks:
            place = self._published
            self._published += 1
            who = f"customers-{place}"
            terms = self.attackers.get(who, self._honest).offer(self)
            tx = self.world.publish(who, max_participants=self.setting.places, **terms)
            solvers = sorted(
                self.setting.names("solvers"), key=lambda who: self._draw("taker", place, who)
            )
            solvers.sort(key=lambda who: who != self.setting.sleeper)
            self.follow(tx.header.subject, place, solvers[: self.setting.takers])
            yield tx

    def takes(self, who: str, **terms: Any) -> bool:
        """Tell whether the rules let somebody offer a task with such terms."""
        world = self.world.fork()
        tx = world.publish(who, **terms)
        world.seal(tx)
        return world.code_of(tx) is None

    def follow(self, task_id: bytes, place: int, takers: Sequence[str]) -> None:
        """Take a new task into the programme; it is looked at once it is sealed."""
        self._takers[task_id] = tuple(takers)
        self.live[task_id] = place

    def _find_concerned(self, task: Task) -> list[str]:
        parties = {task.publisher, *task.panel, *(one.miner for one in task.participants)}
        if task.status is TaskStatus.DISPUTED:
            parties |= set(self.case_of(task).panel)
        return sorted({*map(name_of, parties), *self._takers[task.task_id]})

    def _is_live(self, task_id: bytes) -> bool:
        task = self.world.task(task_id)
        if task.status in (TaskStatus.EXPIRED, TaskStatus.CANCELLED):
            return False
        if task.status is not TaskStatus.COMPLETED or not task.settled:
            return True
        key = reward_key(task_id, task.lifecycle.round)
        return any(
            entry.state is RewardState.CLAIMABLE and name_of(entry.recipient) not in self.barred
            for entry in self.world.require(REWARDS, key).entries
        )

    def once(self, *labels: object) -> bool:
        """Tell whether this is asked for the first time."""
        is_first = labels not in self._done
        self._done.add(labels)
        return is_first

    # --------------------------------------------------------------------------------- answers

    @property
    def next(self) -> int:
        """The number of the epoch to come."""
        return self.world.epoch + 1

    def is_taker(self, who: str, task: Task) -> bool:
        """Tell whether a solver finds a task worth his while."""
        return who in self._takers[task.task_id]

    def work(self, who: str, task_id: bytes) -> bytes:
        """Return somebody's own answer to a task; what it is worth only the economy knows."""
        content = f"the answer of {who} to {task_id.hex()}".encode()
        place = self.live[task_id]
        if self.draw(1, 10, "slip", place, who) == 1:
            return self.declare(content, self.draw(5, 25, "worth", place, who))
        least, most = (35, 60) if who in self.setting.weak else (66, 96)
        return self.declare(content, self.draw(least, most, "worth", place, who))

    def commit(self, who: str, task_id: bytes, content: bytes) -> SubmitAnswer:
        """Return the payload of somebody's commitment to content."""
        salt = self._draw("salt", who, task_id)
        self._answers[(task_id, who)] = content, salt
        content_hash = compute_content_hash(content)
        commitment = compute_commitment(
            self.world.network, task_id, an_address(who), content_hash, salt
        )
        return SubmitAnswer(commitment, STAKE, 80, 1_000)

    def reveal(self, who: str, submission: Submission, owner: str | None = None) -> RevealAnswer:
        """Return the payload that opens a commitment: somebody's own, or what `owner` showed."""
        content, salt = self._answers[(submission.task_id, owner or who)]
        return RevealAnswer(submission.submission_id, compute_content_hash(content), salt, content)

    def submission_of(self, who: str, task: Task) -> Submission | None:
        """Return somebody's submission to a task, if he has one."""
        for one in task.participants:
            if one.miner == an_address(who):
                return self.world.require(SUBMISSIONS, one.submission_id)
        return None

    def submissions(self, task: Task) -> list[Submission]:
        """Return all answers to a task."""
        return [self.world.require(SUBMISSIONS, one.submission_id) for one in task.participants]

    def content_of(self, submission: Submission) -> bytes:
        """Return an answer that was shown."""
        assert submission.content_hash is not None
        return self._contents[submission.content_hash]

    def worth_of(self, content: bytes) -> int:
        """Return what an answer is worth, 0 to 100."""
        return self._worth[content]

    def declare(self, content: bytes, worth: int) -> bytes:
        """Return content, now known to be worth so much."""
        self._worth[content] = worth
        self._contents[compute_content_hash(content)] = content
        return content

    def look_at(self, who: str, submission: Submission) -> int:
        """Return how an answer looks to somebody honest."""
        content = self.content_of(submission)
        error = self.draw(-ERROR, ERROR, "look", who, content)
        return max(0, min(100, self._worth[content] + error))

    def votes(self, submission: Submission, round_: int) -> list[Validation]:
        """Return the votes on an answer in a round."""
        keys = (validation_key(submission.submission_id, one, round_) for one in submission.votes)
        found = (self.world.view.get(VALIDATIONS, key) for key in keys)
        return [vote for vote in found if vote is not None]

    # --------------------------------------------------------------------------------- signing

    def sign(self, who: str, kind: str, payload: Any, task_id: bytes) -> SignedTransaction:
        """Return the next transaction of somebody's chain, about a task."""
        return self.world.sign(who, kind, payload, subject=task_id)

    def vote(self, who: str, submission: Submission, round_: int, score: int) -> SignedTransaction:
        """Return somebody's commitment to a vote on an answer."""
        salt = self._draw("vote", who, submission.submission_id, round_)
        vote = a_vote(submission.submission_id, score, salt=salt)
        payload = a_vote_commitment(self.world.network, who, vote, round=round_)
        self._votes[payload.commitment] = vote
        return self.sign(who, "validate_answer", payload, submission.task_id)

    def show_votes(self, who: str, task: Task, round_: int) -> Signed:
        """Yield what shows the votes that somebody has committed to."""
        for submission in self.submissions(task):
            key = validation_key(submission.submission_id, an_address(who), round_)
            committed = self.world.view.get(VOTE_COMMITMENTS, key)
            if committed is not None and self.once("show", key):
                yield self.sign(who, "reveal_vote", self._votes[committed.commitment], task.task_id)

    def top_up(self, who: str, amount: int) -> SignedTransaction:
        """Return a deposit to somebody's registration stake: the cheapest thing one can sign."""
        payload = AdjustStake(StakeAction.DEPOSIT, amount)
        return self.world.sign(who, "adjust_stake", payload, seq=self.world.next_seq(who))

    def take(self, who: str, tx: SignedTransaction) -> SignedTransaction:
        """Have one of several drafts be what somebody signed; return it."""
        self.world.take_instead(who, tx)
        return tx

    def redraft(self, who: str, first: SignedTransaction, payload: Any) -> SignedTransaction:
        """Return another transaction with the seq of the last one that somebody signed."""
        header = first.header
        kind = kinds.BY_CODE[header.kind].name
        return self.world.sign(who, kind, payload, subject=header.subject, seq=header.seq)

    def sign_twice(self, who: str, first: SignedTransaction, second: SignedTransaction) -> Signed:
        """Have somebody tell what he signed instead of his last one."""
        if self.lapses.hears_evidence:
            self.evidence.append((first.header.author, first.header.seq))
            self.barred.add(who)
        else:
            yield self.take(who, second)

    def guess_epoch(self, transactions: Iterable[SignedTransaction]) -> Epoch:
        """Return what somebody takes the epoch to come for if it takes in these."""
        return self.world.guess_epoch(transactions, self.evidence)

    def grind(self, who: str, gain_of: Callable[[Epoch], int]) -> SignedTransaction:
        """Return that deposit, of many, with which the epoch as he knows it turns out best."""
        drafts = [self.top_up(who, amount) for amount in range(1, TRIES + 1)]
        epochs = [self.guess_epoch([*self.pending, one]) for one in drafts]
        gains = [gain_of(epoch) for epoch in epochs]
        return self.take(who, drafts[gains.index(max(gains))])

    def case_of(self, task: Task, round_: int | None = None) -> DisputeCase:
        """Return the dispute of a task in its present round."""
        wanted = task.lifecycle.round if round_ is None else round_
        return self.world.require(DISPUTES, dispute_key(task.task_id, wanted))

    # ----------------------------------------------------------------------------- adding up

    def wealth(self, names: Iterable[str]) -> int:
        """Return what people own in nano-units: balances and registration stakes.

        When an economy has ended nothing else of theirs is locked anywhere.
        """
        view: MemoryView = self.world.view
        total = 0
        for who in names:
            account = view.get(ACCOUNTS, an_address(who))
            miner = view.get(MINERS, an_address(who))
            total += account.balance if account else 0
            total += miner.stake if miner else 0
        return total

    def reputation(self, names: Iterable[str]) -> int:
        """Return the reputation of people, added up over whoever is registered."""
        rows = [self.world.view.get(MINERS, an_address(who)) for who in names]
        return sum(row.reputation.score for row in rows if row is not None)
