"""Every history of the small market within a bound, breadth first, each state and step checked.

Where something is wrong, `Broken` tells the shortest history that leads there.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement, product
from typing import Any

from protocol.epoch import Epoch
from protocol.errors import BlamedError, InvariantBroken
from protocol.fold import Outcome, fold_epoch
from protocol.hashing import compute_hash
from protocol.invariants import ConsistencyChecker, check_whole_state
from protocol.stakes import is_closed
from protocol.tables import ACCOUNTS, LEDGER, LEDGER_KEY, RULINGS, TASKS
from protocol.transactions import SignedTransaction
from protocol.view import Key, MemoryView
from tests.support.builders import BALANCE
from tests.support.small_checks import check_archive, check_claims, strip
from tests.support.small_keys import Portrait
from tests.support.small_market import (
    FIRST_EPOCH,
    GENESIS,
    TASK_ID,
    Choice,
    Deed,
    begin,
    find_beacons,
    find_orders,
    sign_all,
)
from tests.support.small_moves import (
    Bound,
    Situation,
    find_choices,
)
from tests.support.small_secrets import choose, forget
from tests.support.small_wrongs import find_wrongs

Rows = dict[Key, Any]
PROGRESS_EVERY = 5_000


class Broken(AssertionError):
    """A rule does not hold after some history."""


@dataclass(frozen=True, slots=True)
class State:
    """The rows that the seal of an epoch left, without its rulings, which no rule reads."""

    key: bytes
    epoch: int
    rows: Rows


@dataclass(frozen=True, slots=True)
class Step:
    """What an epoch did, and the state it led to."""

    outcome: Outcome
    after: State


@dataclass
class Tally:
    """What was looked at.

    Attributes:
        states: different ones.
        edges: sets of transactions folded, each in every order that matters.
        folds: all, those of other orders, splits and wrongs among them.
        terminal: states in which the task is over.
        stuck: states from which nothing leads to such a one.
        broken: what else was wrong; the search ends with the first.
        statuses: how many states are in each phase.
        codes: why something was refused, anywhere.
    """

    states: int = 0
    edges: int = 0
    folds: int = 0
    terminal: int = 0
    stuck: int = 0
    broken: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)


class Explorer:
    """One search."""

    def __init__(
        self,
        bound: Bound,
        tell: Callable[[Tally, int], None] | None = None,
        *,
        short_cuts: bool = True,
    ) -> None:
        """Prepare a search.

        Args:
            bound: how far it goes.
            tell: is called now and then with what was found and how much waits.
            short_cuts: take states for one that only differ in what no rule reads, and in names;
                without it all of every row counts, which is for very small bounds only.
        """
        self.bound = bound
        self.endings: set[bytes] = set()
        """Every way in which the task can be over, whoever did what."""
        self.outlines: set[bytes] = set()
        """Every state, what nobody has shown left aside."""
        self._short_cuts = short_cuts
        self.tally = Tally()
        self._tell = tell
        self._checker = ConsistencyChecker()
        self._came_from: dict[bytes, tuple[bytes | None, str]] = {}
        self._idle: dict[bytes, bytes] = {}
        self._over: set[bytes] = set()
        self._looked = 0

    def run(self) -> Tally:
        """Look at everything within the bound.

        Raises:
            Broken: something is wrong; it tells after which history.
        """
        rows = begin()
        root = State(self._compute_key(rows, FIRST_EPOCH), FIRST_EPOCH, rows)
        self._meet(root, None, "")
        waiting = deque([root])
        while waiting:
            state = waiting.popleft()
            for label, after in self._look_at(state):
                if after.key not in self._came_from:
                    self._meet(after, state.key, label)
                    waiting.append(after)
            self._looked += 1
            if self._tell is not None and self._looked % PROGRESS_EVERY == 0:
                self._tell(self.tally, len(waiting))
        self._check_that_all_end()
        return self.tally

    # -------------------------------------------------------------------------------- states

    def _compute_key(self, rows: Rows, epoch: int) -> bytes:
        if self._short_cuts:
            return Portrait(rows, epoch).compute_key()
        task = rows.get((TASKS.name, TASK_ID))
        now = 0 if task is None or is_closed(task) else epoch
        return compute_hash("whole state", repr((now, sorted(rows.items()))).encode())

    def _meet(self, state: State, parent: bytes | None, label: str) -> None:
        """Take in a new state; check all of it."""
        self._came_from[state.key] = (parent, label)
        self.tally.states += 1
        self.outlines.add(_paint(replace(state, rows=forget(state.rows))))
        task = state.rows.get((TASKS.name, TASK_ID))
        name = "NONE" if task is None else task.status.name
        if task is None or is_closed(task):
            self._over.add(state.key)
        if task is not None and is_closed(task):
            name = "SETTLED" if task.settled else name
            self.tally.terminal += 1
            self.endings.add(_paint(state))
        self.tally.statuses[name] = self.tally.statuses.get(name, 0) + 1
        with self._blaming(state.key, ""):
            check_whole_state(state.rows)
            assert state.rows[(LEDGER.name, LEDGER_KEY)].supply == GENESIS.supply
            if task is not None:
                check_archive(state.rows)
        if state.key not in self._over and state.epoch > self.bound.last_epoch:
            raise self._find_stuck(state.key, "open after all its windows")

    def _look_at(self, before: State) -> Iterator[tuple[str, State]]:
        """Yield every state that one epoch leads to, and how."""
        with self._blaming(before.key, "looking"):
            here = Situation(before.rows, before.epoch)
            wrongs = find_wrongs(here)
            combinations = list(self._combine(here))
        idle: list[Step] = []
        for deeds in combinations:
            label = ", ".join(map(str, deeds))
            transactions = sign_all(deeds, here.epoch)
            state = replace(before, rows=choose(before.rows, deeds))
            with self._blaming(state.key, label):
                found = [
                    self._take_apart(state, transactions, beacon)
                    for beacon in find_orders(transactions)
                ]
                if len(found) > 1 or deeds is combinations[-1]:
                    self._check_order(state, transactions, found[0].outcome)
            self.tally.edges += len(found)
            for step in found:
                yield label, step.after
            idle = idle or found
        # What came last is what everybody does who can do anything.
        self._idle[state.key] = idle[0].after.key
        with self._blaming(state.key, "besides: " + ", ".join(map(str, wrongs))):
            self._check_wrongs(before, idle[0], (), wrongs)
            if deeds:
                self._check_wrongs(state, found[0], deeds, wrongs)
        with self._blaming(state.key, f"twice, or split: {label}"):
            self._check_twice(state, deeds, [one.after for one in found])
            self._check_split(state, deeds, found[0].after if here.is_over else None)

    def _combine(self, here: Situation) -> Iterator[tuple[Deed, ...]]:
        """Yield all that the actors can do together in one epoch: nothing first, all of it last.

        Of those who are alike it counts how many do something, not who. Once a task is over only
        claims are left, each of another entry, and none is late; so any order of them comes to the
        same, and they are looked at one by one, the poorest first, and all at once.
        """
        choices = find_choices(here, self.bound)
        if here.is_over:
            claims = [choices[who][-1] for who in here.portrait.rank() if choices[who][-1]]
            yield from [(), *claims[:1]]
            if len(claims) > 1:
                yield tuple(deed for choice in claims for deed in choice)
            return
        groups = [["alice"], ["court"]]
        groups += here.portrait.group_miners() + here.portrait.group_judges()
        for parts in product(*(_share_out([choices[who] for who in group]) for group in groups)):
            yield tuple(deed for part in parts for choice in part for deed in choice)

    # ---------------------------------------------------------------------------------- steps

    def _take_apart(
        self, state: State, transactions: Sequence[SignedTransaction], beacon: bytes
    ) -> Step:
        """Return where an epoch leads to, and see that it does so without the refused too."""
        step = self._take(state, transactions, beacon)
        refused = {ruling.tx_id for ruling in step.outcome.rulings}
        if refused:
            applied = [tx for tx in transactions if tx.tx_id not in refused]
            without = self._fold(state, applied, beacon)
            assert strip(without) == strip(step.outcome), "what was refused changed something"
        return step

    def _take(self, state: State, transactions: Sequence[SignedTransaction], beacon: bytes) -> Step:
        """Return where an epoch leads to, checked against all that must hold."""
        outcome = self._fold(state, transactions, beacon)
        self._checker.check(MemoryView(state.rows), outcome)
        refused = {ruling.tx_id for ruling in outcome.rulings}
        assert len(refused) == len(outcome.rulings), "two rulings on one transaction"
        assert refused <= {tx.tx_id for tx in transactions}, "a ruling on what is not in the set"
        self.tally.codes |= {ruling.code for ruling in outcome.rulings}
        check_claims(state.rows, [tx for tx in transactions if tx.tx_id not in refused])
        rows = dict(state.rows)
        for change in outcome.changes:
            if change.table is not RULINGS:
                rows[(change.table.name, change.key)] = change.after
        for change in outcome.changes:
            if change.table is ACCOUNTS:
                assert change.after.balance > BALANCE // 2, "somebody could run short"
        task = rows.get((TASKS.name, TASK_ID))
        if task is not None:
            assert task.pool.paid_out + task.pool.refunded <= task.terms.reward, "paid > escrowed"
        epoch = state.epoch + 1
        return Step(outcome, State(self._compute_key(rows, epoch), epoch, rows))

    def _fold(
        self, state: State, transactions: Sequence[SignedTransaction], beacon: bytes
    ) -> Outcome:
        self.tally.folds += 1
        epoch = Epoch(state.epoch + 1, beacon, tuple(transactions))
        return fold_epoch(MemoryView(state.rows), GENESIS, epoch)

    def _check_order(
        self, state: State, transactions: Sequence[SignedTransaction], outcome: Outcome
    ) -> None:
        """The same set, come in the other order, comes to the same."""
        other = self._fold(state, transactions[::-1], find_beacons()[0])
        assert other == outcome, "another order of the same set came to something else"

    def _check_wrongs(
        self, state: State, right: Step, deeds: Sequence[Deed], wrongs: Sequence[Deed]
    ) -> None:
        """All that is wrong, beside what is right: each is refused, and nothing is changed."""
        transactions = sign_all((*deeds, *wrongs), state.epoch + 1)
        step = self._take(state, transactions, find_beacons()[0])
        refused = {ruling.tx_id for ruling in step.outcome.rulings}
        for deed, tx in zip(wrongs, transactions[len(deeds) :], strict=True):
            assert tx.tx_id in refused, f"{deed}, and it was not refused"
        assert strip(step.outcome) == strip(right.outcome), "a wrong changed something"

    def _check_twice(self, state: State, deeds: Sequence[Deed], once: Sequence[State]) -> None:
        """Who does everything twice in one epoch has done it once."""
        again = [deed for deed in deeds if deed.kind != "publish_task"]
        if again:
            twice = sign_all((*deeds, *again), state.epoch + 1)
            step = self._take(state, twice, find_beacons()[0])
            reached = {_paint(one) for one in once}
            assert _paint(step.after) in reached, "twice is more than once"

    def _check_split(self, state: State, deeds: Sequence[Deed], same: State | None) -> None:
        """What some hold back for one epoch breaks nothing; it leads to `same`, if there is one."""
        transactions = sign_all(deeds, state.epoch + 1)
        authors = sorted({tx.header.author for tx in transactions})
        if len(authors) < 2:
            return
        early = set(authors[::2])
        for chosen in (early, set(authors) - early):
            beacon = find_beacons()[0]
            now = [tx for tx in transactions if tx.header.author in chosen]
            later = [tx for tx in transactions if tx.header.author not in chosen]
            last = self._take(self._take(state, now, beacon).after, later, beacon).after
            if same is not None:
                assert _paint(last) == _paint(same), "claims that depend on one another"

    # ------------------------------------------------------------------------------- the whole

    def _check_that_all_end(self) -> None:
        """From every state the task ends by itself, with nobody doing anything any more."""
        ending = set(self._over)
        for key in self._came_from:
            path = []
            while key not in ending:
                path.append(key)
                following = self._idle[key]
                if following in path:
                    raise self._find_stuck(key, "nothing happens any more")
                key = following
            ending.update(path)

    def _find_stuck(self, key: bytes, why: str) -> Broken:
        self.tally.stuck += 1
        return Broken(f"stuck: {why}\n{self._tell_history(key)}")

    @contextmanager
    def _blaming(self, key: bytes, label: str) -> Iterator[None]:
        """Say after which history something was wrong."""
        try:
            yield
        except (AssertionError, BlamedError, InvariantBroken) as error:
            self.tally.broken += 1
            raise Broken(f"{error}\n{self._tell_history(key)}\n  {label}") from error

    def _tell_history(self, key: bytes) -> str:
        """Return the shortest history that leads to a state, a line for each epoch."""
        lines: list[str] = []
        place: bytes | None = key
        while place is not None:
            place, label = self._came_from[place]
            lines.append(f"  {label or 'nothing'}")
        return "\n".join(reversed(lines[:-1]))


def _paint(state: State) -> bytes:
    return Portrait(state.rows, state.epoch).compute_key()


def _share_out(lists: Sequence[Sequence[Choice]]) -> list[tuple[Choice, ...]]:
    """Return what actors who are alike can do together, who of them does it left aside."""
    sizes = {len(one) for one in lists}
    assert len(sizes) == 1, "alike, but with other choices"
    chosen = combinations_with_replacement(range(sizes.pop()), len(lists))
    return [tuple(one[i] for one, i in zip(lists, places, strict=True)) for places in chosen]
