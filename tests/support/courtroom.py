"""A courtroom in a market: a task whose result somebody objects to, and its arbiters' workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node.roles.desk import Solver
from protocol.dispute_records import ArbiterVote, DisputeCase
from protocol.hashing import compute_content_hash
from protocol.phases import DisputeStatus, TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from protocol.tables import DISPUTES, dispute_key
from tests.support.builders import ARBITERS, VALIDATORS, a_reveal, a_task, an_answer, name_of
from tests.support.court import a_court_genesis, a_dispute_opening
from tests.support.market import FakeWorker, Market

PAUSE_S = 5.0
"""Of virtual time: whatever the roles are going to do in an epoch they have done by then."""
REAL_PAUSE_S = 0.2
"""The same where time is real and nobody waits for a worker."""
MINERS = ("bob", "carol")


@dataclass
class Court:
    """A market with a task whose result somebody objects to; its arbiters are drawn."""

    market: Market
    task_id: bytes

    @property
    def case(self) -> DisputeCase:
        """The dispute, as the next seal would leave it."""
        case = self.market.state.open.get(DISPUTES, dispute_key(self.task_id, 0))
        assert case is not None
        return case

    @property
    def votes(self) -> tuple[ArbiterVote, ...]:
        """What the arbiters have said."""
        return self.case.votes

    async def start(self, worker: Solver) -> None:
        """Run the arbiters whom the lot has named, with one worker."""
        for address in self.case.panel:
            await self.market.start_arbiter(name_of(address), worker)
        await trio.sleep(PAUSE_S)


async def live_until(
    market: Market, task_id: bytes, status: TaskStatus, pause_s: float = PAUSE_S
) -> None:
    """Let epochs pass, with whatever the roles do in them."""
    for _ in range(40):
        if market.task(task_id).status is status:
            return
        await trio.sleep(pause_s)
        market.seal()
    raise AssertionError(f"never {status.name}")


@asynccontextmanager
async def a_courtroom(
    folder: Path, score: int, *, data: bytes = b"", pause_s: float = PAUSE_S
) -> AsyncIterator[Court]:
    """Yield a court over a task with this input that its panel gave this score; bob objects."""
    async with trio.open_nursery() as nursery:
        market = Market(nursery, folder, a_court_genesis())
        network = market.state.network
        await market.register(*MINERS, roles=ROLE_SOLVER)
        await market.register(*VALIDATORS, *ARBITERS, roles=ROLE_VALIDATOR)
        content_hash = compute_content_hash(data)
        market.state.store.put_blob(content_hash, data)
        task_id = await market.publish(terms=a_task(data_hash=content_hash, data_bytes=len(data)))
        market.seal()
        for name in MINERS:
            payload = an_answer(network, task_id, name)
            await market.author(name).submit("submit_answer", payload, subject=task_id)
        market.seal_to(market.task(task_id).lifecycle.submission_deadline)
        for name in MINERS:
            opening = a_reveal(network, task_id, name)
            await market.author(name).submit("reveal_answer", opening, subject=task_id)
        market.seal()
        judge = FakeWorker("scorer", score_of=lambda output: score)
        for address in market.task(task_id).panel:
            await market.start_validator(name_of(address), judge)
        await live_until(market, task_id, TaskStatus.COMPLETED, pause_s)
        objection = a_dispute_opening()
        await market.author("bob").submit("open_dispute", objection, subject=task_id)
        market.seal()
        market.seal()
        court = Court(market, task_id)
        assert court.case.status is DisputeStatus.UNDER_REVIEW
        yield court
        nursery.cancel_scope.cancel()
