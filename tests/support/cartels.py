"""Cheats of a coalition in an economy: validators with solvers, with customers, with fresh keys.

A coalition acts only where it has the seats for it, and is honest everywhere else.
"""

from collections.abc import Mapping
from typing import Any

from protocol.book import Book
from protocol.consensus import VOTERS_MIN
from protocol.dispute_records import Choice, DisputeCase
from protocol.epoch import Epoch
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.kinds.reveal_answer import REVEAL_ANSWER
from protocol.kinds.vote_dispute import VoteDispute
from protocol.panel import draw_panel
from protocol.params import SCALE
from protocol.phases import TaskStatus
from protocol.records import ROLE_VALIDATOR, Submission, Task
from protocol.tables import MINERS
from protocol.task_types import REVIEWERS_MAX
from tests.support.builders import COIN, an_address, name_of
from tests.support.cheats import Cheat
from tests.support.economy import Economy, Signed
from tests.support.players import find_unjudged

BLOCKING = 2
"""Seats, of five, without which no score finds three quarters of the weight."""
SHADE = 14
"""Points within the tolerance: nobody can call such a vote false."""
APART = 24
"""Points beyond the tolerance, and yet too few for anybody to call such a vote false."""


class Cartel(Cheat):
    """Members of a panel who speak for one another."""

    def seats(self, task: Task) -> list[str]:
        """Return who of the coalition is on the panel of a task."""
        return [who for who in map(name_of, task.panel) if who in self.coalition]

    def decides(self, task: Task) -> bool:
        """Tell whether the middle of all votes on an answer is what the coalition says."""
        seats = len(self.seats(task))
        return seats >= VOTERS_MIN and 2 * seats > len(task.panel)

    def is_ours(self, submission: Submission) -> bool:
        """Tell whether an answer comes from the coalition."""
        return name_of(submission.miner) in self.coalition

    def arbitrate(self, economy: Economy, who: str, task: Task, case: DisputeCase) -> VoteDispute:
        """Dismiss whatever others object to."""
        if name_of(case.disputer) in self.coalition:
            return super().arbitrate(economy, who, task, case)
        return VoteDispute(case.dispute_id, case.hearing, Choice.UPHOLD, 0, (), (), "")


class RaiseOwn(Cartel):
    """Row 38: with three seats decide; with two, block rivals.

    Our own answers are perfect, all others worthless.
    """

    ours, theirs = 95, 0

    def judge(self, economy: Economy, who: str, task: Task) -> Signed:
        """Lie where it pays: one of ours must be there to win."""
        seats = self.seats(task)
        is_worth_it = any(self.is_ours(one) for one in economy.submissions(task))
        if not is_worth_it or len(seats) < BLOCKING:
            yield from super().judge(economy, who, task)
            return
        for submission, round_ in find_unjudged(economy, who, task):
            seen = economy.look_at(who, submission)
            yield economy.vote(
                who, submission, round_, self.say(submission, seen, self.decides(task))
            )

    def say(self, submission: Submission, seen: int, decides: bool) -> int:
        """Return the score we give; without a majority a lie of our own would only block us."""
        if not self.is_ours(submission):
            return self.theirs
        return self.ours if decides else seen


class ShadeScores(RaiseOwn):
    """Row 38: with three seats give our own answers a little more and all others a little less."""

    def say(self, submission: Submission, seen: int, decides: bool) -> int:
        """Return a score that nobody can call false; without a majority the honest one."""
        if not decides:
            return seen
        return min(100, seen + SHADE) if self.is_ours(submission) else max(0, seen - SHADE)


class ShadeWithLastWord(ShadeScores):
    """Row 38: as above, and the panels are ground: the last signature of an epoch picks them."""

    def have_last_word(self, economy: Economy) -> Signed:
        """Add the deposit of many with which most of the coalition are drawn."""
        tasks = self._find_opening(economy)
        free = sorted(self.coalition - economy.barred & self.coalition)
        if tasks and free:
            yield economy.grind(free[0], lambda epoch: self._count_panels(economy, epoch, tasks))

    def _find_opening(self, economy: Economy) -> list[Task]:
        """Return the tasks with an answer of ours whose validation this epoch may open."""
        shown = {
            tx.header.subject for tx in economy.pending if tx.header.kind == REVEAL_ANSWER.code
        }
        return [
            task
            for task in economy.tasks()
            if task.status in (TaskStatus.IN_PROGRESS, TaskStatus.ANSWERS_SUBMITTED)
            and (task.task_id in shown or economy.next > task.lifecycle.reveal_deadline)
            and any(self.is_ours(one) for one in economy.submissions(task))
        ]

    def _count_panels(self, economy: Economy, epoch: Epoch, tasks: list[Task]) -> int:
        world = economy.world
        book = Book(world.view, world.charter, world.network, epoch.number, epoch.beacon)
        panels = [draw_panel(book, task) for task in tasks]
        seats = [sum(name_of(one) in self.coalition for one in panel) for panel in panels]
        return sum(count >= VOTERS_MIN for count in seats)


class RefundByLies(Cartel):
    """Row 38: validators deny a customer of ours every result, so he has answers for nothing."""

    def judge(self, economy: Economy, who: str, task: Task) -> Signed:
        """Call everything worthless: three seats make that the result, two prevent any."""
        seats = self.seats(task)
        if name_of(task.publisher) not in self.coalition or len(seats) < BLOCKING:
            yield from super().judge(economy, who, task)
            return
        for submission, round_ in find_unjudged(economy, who, task):
            yield economy.vote(who, submission, round_, 0)


class RefundBySilence(Cartel):
    """Row 38: as above, but three seats say nothing at all, so nobody can name a false vote."""

    def judge(self, economy: Economy, who: str, task: Task) -> Signed:
        """Stay silent where that denies a result."""
        is_ours = name_of(task.publisher) in self.coalition
        if not is_ours or not self.decides(task):
            yield from super().judge(economy, who, task)


class RefundByHiding(Cartel):
    """Row 38: as above, but the three commit to votes, so that all wait for them, and show none."""

    def show_votes(self, economy: Economy, who: str, task: Task) -> Signed:
        """Hide where that denies a result."""
        is_ours = name_of(task.publisher) in self.coalition
        if not is_ours or not self.decides(task):
            yield from super().show_votes(economy, who, task)


class RefundByTerms(Cartel):
    """Row 38: a customer asks for all the reviewers there are, and those of ours say nothing."""

    def offer(self, economy: Economy) -> Mapping[str, Any]:
        """Ask for as many as one is let: more than there are, else all there are."""
        everybody = {"required_reviewers": economy.setting.validators}
        beyond = {"required_reviewers": REVIEWERS_MAX}
        return beyond if economy.takes("spares-0", **beyond) else everybody

    def judge(self, economy: Economy, who: str, task: Task) -> Signed:
        """Stay silent where all are needed."""
        if name_of(task.publisher) not in self.coalition:
            yield from super().judge(economy, who, task)


class RefundByUnanimity(Cartel):
    """Row 38: a customer asks for the consent of all, and one of the panel denies it."""

    def offer(self, economy: Economy) -> Mapping[str, Any]:
        """Ask for all of the weight."""
        return {"consensus_threshold": SCALE}

    def judge(self, economy: Economy, who: str, task: Task) -> Signed:
        """Be a little too far from what the others say, where we could not decide ourselves."""
        if name_of(task.publisher) not in self.coalition or self.decides(task):
            yield from super().judge(economy, who, task)
            return
        for submission, round_ in find_unjudged(economy, who, task):
            seen = economy.look_at(who, submission)
            score = seen - APART if seen >= APART else seen + APART
            yield economy.vote(who, submission, round_, score)


class Ring(Cartel):
    """Row 39: our customers publish, our validators answer in the same epoch, for a reputation."""

    tasks_each = 6
    heroes = 3

    def __init__(self, coalition: frozenset[str]) -> None:
        super().__init__(coalition)
        self._published = 0

    def have_last_word(self, economy: Economy) -> Signed:
        """Publish and answer one task in an epoch; nobody else ever sees it open."""
        spares = sorted(who for who in self.coalition if who.startswith("spares"))
        heroes = sorted(self.coalition - set(spares))[: self.heroes]
        count = self._published
        if count >= self.tasks_each * len(heroes):
            return
        who, hero = spares[count % len(spares)], heroes[count % len(heroes)]
        self._published += 1
        tx = economy.world.publish(who, max_participants=1, reward=5 * COIN)
        task_id = tx.header.subject
        economy.follow(task_id, -1 - count, [])
        content = economy.declare(f"what {hero} knew {count}".encode(), 97)
        yield tx
        yield economy.sign(hero, "submit_answer", economy.commit(hero, task_id, content), task_id)


class Whitewash(RaiseOwn):
    """Row 40: cheat until one's reputation is lost, then go on under a fresh key."""

    def have_last_word(self, economy: Economy) -> Signed:
        """Have one fresh key registered for each that is spoiled, and the old one leave."""
        view, params = economy.world.view, economy.world.params
        fresh = [
            who
            for who in sorted(self.coalition)
            if who.startswith("spares") and view.get(MINERS, an_address(who)) is None
        ]
        for who in sorted(self.coalition):
            miner = view.get(MINERS, an_address(who))
            is_spoiled = miner is not None and miner.reputation.score < params.reputation_start // 2
            if miner is None or not miner.roles & ROLE_VALIDATOR or not is_spoiled or not fresh:
                continue
            if economy.once("leave", who):
                leaving = AdjustStake(StakeAction.EXIT, 0)
                yield economy.sign(who, "adjust_stake", leaving, an_address(who))
                yield economy.world.register(fresh.pop(), roles=ROLE_VALIDATOR)
