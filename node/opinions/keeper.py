"""OpinionKeeper: after each seal, looks again at what the seal touched.

Rule 1: it reads the sealed state and writes opinions; nothing that peers compare hears of it.
Rule 2: it works in small steps between which others run, and a seal may come in between.
Rule 3: the metrics of an epoch are written last: they say how far it has come. Stopped before, it
        does that span again, which changes nothing that is there already.
Rule 4: behind by several epochs, it looks once at where everything stands now.
"""

from collections.abc import Generator, Iterable
from typing import TypeVar

import structlog
import trio

from node.opinions.analytics import describe_performance
from node.opinions.behaviour import describe_behavior
from node.opinions.facts import (
    Given,
    Steps,
    read_answer_facts,
    read_earnings,
    read_task_answers,
    read_window,
)
from node.opinions.fraud import analyse
from node.opinions.metrics import NOTHING, Tally
from node.opinions.risk import RULESET
from node.state_manager import StateManager
from protocol import kinds
from protocol.records import Task
from protocol.tables import (
    LEDGER,
    LEDGER_KEY,
    MINERS,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    reward_key,
)
from storage.errors import Closed, Corrupt, Full
from storage.local_records import WINDOW_MAX
from storage.queries import PAGE_ITEMS

log = structlog.get_logger("opinions")

STEPS_PER_TURN = 4
"""Steps of reading before others run: the largest row takes two or three milliseconds to decode."""
SPAN_EPOCHS_MAX = 64
"""Within so many epochs the transactions say what was touched; beyond, the tasks themselves."""

_ANSWERS = tuple(kinds.BY_NAME[name].code for name in ("submit_answer", "reveal_answer"))
_REGISTER = kinds.BY_NAME["register_miner"].code

R = TypeVar("R")


class OpinionKeeper:
    """Keeps `store.local` as the sealed state asks for it."""

    def __init__(self, state: StateManager) -> None:
        self._state = state
        self._store = state.store
        self._steps = 0

    async def run(self) -> None:
        """Follow the seals; never returns. While the disk is full no opinion is formed."""
        with self._state.broadcast.listen() as listener:
            while True:
                try:
                    await self.catch_up()
                except (Full, Closed) as error:
                    # A store that was opened again ends the reading of it; then an event comes too.
                    log.info("opinions_paused", code=error.code)
                await listener.next()
                # One look answers all that was told meanwhile.
                while listener.next_nowait() is not None:
                    pass

    async def catch_up(self) -> None:
        """Form the opinions that the last seal asks for."""
        await self._begin()
        latest = self._store.local.metrics_latest() or NOTHING
        while latest.epoch < self._store.head.epoch:
            await self._form()
            latest = self._store.local.metrics_latest() or NOTHING

    async def _begin(self) -> None:
        local = self._store.local
        latest = local.metrics_latest()
        is_ahead = latest is not None and latest.epoch > self._store.head.epoch
        if local.progress.ruleset != RULESET or is_ahead:
            # By other rules, or of a state that a restored backup took back.
            for _ in local.clear_steps(RULESET):
                await trio.lowlevel.checkpoint()

    async def _form(self) -> None:
        """Look at everything that changed since the latest metrics, then write new ones."""
        store, local = self._store, self._store.local
        before = local.metrics_latest() or NOTHING
        # In one step: the figures of one seal.
        head, transactions = store.head, store.totals.sealed
        ledger = store.view.get(LEDGER, LEDGER_KEY)
        moved = local.tasks_moved_after(before.epoch)
        if ledger is None:
            raise Corrupt("row_missing", LEDGER.name, "the ledger")
        tally = Tally(before, head.epoch)
        touched = await self._drive(_collect(moved))
        if head.epoch - before.epoch <= SPAN_EPOCHS_MAX:
            read = self._read_span(before.epoch, head.epoch, touched, tally)
        else:
            log.info("opinions_skip_ahead", after=before.epoch, epoch=head.epoch)
            read = self._read_everything(before.epoch, head.epoch, touched, tally)
        await self._drive(read)
        miners: dict[bytes, None] = {}
        for task_id in touched:
            task = store.view.get(TASKS, task_id)
            if task is not None:
                given = await self._look_at_task(task, tally)
                miners.update(dict.fromkeys(one.submission.miner for one in given))
        for miner in miners:
            await self._look_at_miner(miner)
        flagged = local.progress.flagged
        local.put_metrics(tally.finish(ledger, head.state_root, transactions, flagged))
        await trio.lowlevel.checkpoint()

    async def _look_at_task(self, task: Task, tally: Tally) -> tuple[Given, ...]:
        store = self._store
        given = await self._drive(read_task_answers(store, task))
        key = reward_key(task.task_id, task.lifecycle.round)
        answers = [one.submission for one in given]
        tally.add_task(task, answers, store.view.get(REWARDS, key))
        for place in range(len(given)):
            facts = await self._drive(read_answer_facts(store, task, given, place))
            # Pruned meanwhile: an opinion would outlive the answer.
            if store.view.get(SUBMISSIONS, facts.submission.submission_id) is not None:
                store.local.put_analysis(analyse(facts))
            await trio.lowlevel.checkpoint()
        return given

    async def _look_at_miner(self, miner: bytes) -> None:
        store, per_day = self._store, self._store.genesis.params.epochs_per_day
        answers = await self._drive(read_window(store, miner, WINDOW_MAX))
        if not answers:
            return
        store.local.put_behavior(describe_behavior(miner, answers, per_day))
        settled = [one for one in answers if one.is_settled]
        earnings = await self._drive(read_earnings(store, settled))
        analytics = describe_performance(miner, settled, earnings, per_day)
        if analytics is not None:
            store.local.put_analytics(analytics)
        await trio.lowlevel.checkpoint()

    # -------------------------------------------------------------- what a span has touched

    def _read_span(
        self, after: int, upto: int, touched: dict[bytes, None], tally: Tally
    ) -> Steps[None]:
        """Add what the transactions and the evidence of some epochs are about."""
        journal, view = self._store.journal, self._store.view
        registered: dict[bytes, None] = {}
        for epoch in range(after + 1, upto + 1):
            for item in journal.iterate_sealed_ids(epoch):
                tx = journal.get(item)
                if tx is None:
                    place = journal.evidence_place(item)
                    if place is not None:
                        yield from self._add_answers_of(place[0], touched)
                elif tx.header.kind in _ANSWERS:
                    touched[tx.header.subject] = None
                elif tx.header.kind == _REGISTER:
                    registered[tx.header.author] = None
                yield
        for address in registered:
            miner = view.get(MINERS, address)
            if miner is not None:
                tally.add_miner(miner)
            yield

    def _read_everything(
        self, after: int, upto: int, touched: dict[bytes, None], tally: Tally
    ) -> Steps[None]:
        """Add all that may have changed, without reading a transaction."""
        for task in self._store.queries.active_tasks():
            touched[task.task_id] = None
            yield
        for _, row in self._store.journal.all_evidence():
            if row.sealed is not None and after < row.sealed <= upto:
                yield from self._add_answers_of(row.author, touched)
            yield
        for _, miner in self._store.rows.scan(MINERS):
            tally.add_miner(miner)
            yield

    def _add_answers_of(self, author: bytes, touched: dict[bytes, None]) -> Steps[None]:
        cursor = None
        while True:
            page = self._store.queries.submissions_of_miner(author, PAGE_ITEMS, cursor)
            touched.update(dict.fromkeys(one.task_id for one in page.items))
            yield
            if page.cursor is None:
                return
            cursor = page.cursor

    # ----------------------------------------------------------------------------- in steps

    async def _drive(self, steps: Generator[None, None, R]) -> R:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: R = end.value
                return result
            self._steps += 1
            if self._steps % STEPS_PER_TURN == 0:
                await trio.lowlevel.checkpoint()


def _collect(ids: Iterable[bytes]) -> Steps[dict[bytes, None]]:
    """Return ids without repeats, in their order."""
    found: dict[bytes, None] = {}
    for one in ids:
        found[one] = None
        yield
    return found
