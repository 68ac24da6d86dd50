"""Ten thousand random histories with disputes, liars and equivocators: not a nano goes astray."""

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter

import pytest

from protocol.dispute_records import Choice
from protocol.errors import BlamedError, InvariantBroken
from protocol.invariants import check_whole_state
from protocol.kinds.claim_reward import CLAIM_REWARD
from protocol.phases import RewardState, TaskStatus
from protocol.tables import DISPUTES, MINERS, REWARDS, TASKS
from tests.support.programs import run_program
from tests.support.world import World

FIRST = int(os.environ.get("MINESYNC_FIRST_SEED", "0"))
"""Another one searches where nobody has looked yet."""
HISTORIES = 10_000
PROGRAM_BYTES = 160


@dataclass
class Tally:
    """What histories came to, added up."""

    disputes: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    slashed: int = 0
    paid: int = 0
    claims: int = 0


def play(seed: int) -> World:
    """Return the network of one history; every seal is checked against all invariants."""
    return run_program(random.Random(seed).randbytes(PROGRAM_BYTES))


def check_history(world: World, tally: Tally) -> None:
    """Add a history up anew, by its rows and by what was signed."""
    check_whole_state(world.view.rows)
    assert world.ledger.supply == world.genesis.supply
    rows = world.view.rows
    entries: Counter[bytes] = Counter()
    for (name, _), row in rows.items():
        if name == TASKS.name:
            pool = row.pool
            assert min(pool.escrowed, pool.paid_out, pool.refunded) >= 0
            assert pool.escrowed + pool.paid_out + pool.refunded == pool.total == row.terms.reward
            tally.paid += pool.paid_out
            if row.status in (TaskStatus.CANCELLED, TaskStatus.EXPIRED):
                assert (pool.escrowed, pool.paid_out) == (0, 0)
        elif name == REWARDS.name:
            for entry in row.entries:
                entries[entry.entry_id] += 1
                tally.claims += entry.state is RewardState.CLAIMED
        elif name == DISPUTES.name:
            tally.disputes += 1
            tally.judged.update(one.choice.name for one in row.judgments)
        elif name == MINERS.name:
            tally.slashed += row.forfeited
    assert set(entries.values()) <= {1}
    assert find_claimed_twice(world) == []


def find_claimed_twice(world: World) -> list[bytes]:
    """Return the entries for which two claims stood, by the transactions and their rulings."""
    stood = Counter(
        tx.payload.entry_id
        for sealed in world.history
        for tx in sealed.transactions
        if tx.header.kind == CLAIM_REWARD.code and tx.tx_id not in world.rulings
    )
    return [entry_id for entry_id, count in stood.items() if count > 1]


@pytest.mark.swarm
@pytest.mark.timeout(3_600)
def test_no_history_loses_or_makes_money_or_pays_twice(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    seeds = range(FIRST, FIRST + HISTORIES)
    started = perf_counter()
    for seed in seeds:
        try:
            check_history(play(seed), tally)
        except (AssertionError, BlamedError, InvariantBroken) as error:
            raise AssertionError(f"history {seed}: {error}") from error
    spent_s = perf_counter() - started
    # What never happened would prove nothing.
    assert min(tally.slashed, tally.paid, tally.claims) > 0
    assert set(tally.judged) == {one.name for one in Choice if one is not Choice.ABSTAIN}
    with capsys.disabled():
        print(f"\npaid<=escrow in {HISTORIES}/{HISTORIES} double=0, {spent_s:.0f} s: {tally}")
