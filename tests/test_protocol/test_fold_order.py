"""The law of the fold: the state is a function of the set, whatever the order it came in."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import kinds
from protocol.accounts import find_unfunded
from protocol.epoch import Epoch
from protocol.fold import fold_epoch, fold_subject
from protocol.invariants import check_whole_state
from protocol.phases import TaskStatus
from protocol.resolver import ConflictResolver, History, SealedSet, build_epoch
from protocol.tables import DISPUTES, SUBMISSIONS, TASKS, VALIDATIONS
from protocol.view import Key, MemoryView
from tests.support.programs import run_program

programs = st.binary(min_size=16, max_size=128)


def shuffle(history: History, chance: random.Random) -> History:
    """Return the same sets as batches in which things come late, again and out of order."""
    epochs = []
    for sealed in history.epochs:
        arrived = list(sealed.transactions) + [
            tx for tx in sealed.transactions if chance.random() < 0.3
        ]
        chance.shuffle(arrived)
        known: set[bytes] = set()
        stored = []
        while arrived:
            size = chance.randint(1, len(arrived))
            batch, arrived = arrived[:size], arrived[size:]
            for tx in batch:
                if tx.tx_id not in known:
                    known.add(tx.tx_id)
                    stored.append(tx)
        evidence = list(sealed.evidence)
        chance.shuffle(evidence)
        epochs.append(SealedSet(sealed.prev, tuple(stored), tuple(evidence)))
    return History(history.genesis, tuple(epochs))


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=2_000)
@given(programs, st.integers(0, 1 << 32))
def test_any_order_and_any_split_give_one_state_and_the_same_rulings(
    program: bytes, seed: int
) -> None:
    world = run_program(program)
    again = ConflictResolver().resolve(shuffle(world.to_history(), random.Random(seed)))
    assert again.records == world.view.rows
    assert {ruling.tx_id: ruling for ruling in again.rulings} == world.rulings
    assert len(again.rulings) == len(world.rulings)
    check_whole_state(world.view.rows)


@given(programs)
def test_a_subject_folded_alone_is_what_it_is_among_all(program: bytes) -> None:
    # What is provisional is kept up to date subject by subject; it must be what a whole fold says.
    world = run_program(program)
    last = world.history[-1]
    before = ConflictResolver().resolve(History(world.genesis, tuple(world.history[:-1])))
    view = MemoryView(before.records)
    number = len(world.history)
    epoch = Epoch(number, None, last.transactions, last.evidence)
    whole = fold_epoch(view, world.genesis, epoch)
    unfunded = find_unfunded(view, world.params, reversed(last.transactions))
    subjects = {tx.header.subject for tx in last.transactions} | set(view.due_tasks(number))
    alone: dict[Key, Any] = {}
    for subject in subjects:
        mine = [tx for tx in last.transactions if tx.header.subject == subject]
        outcome = fold_subject(
            view, world.charter, world.network, epoch, subject, mine[::-1], unfunded
        )
        alone.update(outcome.rows)
    own = (TASKS.name, SUBMISSIONS.name, VALIDATIONS.name, DISPUTES.name)
    assert list(whole.rulings) == sorted(whole.rulings, key=lambda ruling: ruling.tx_id)
    for change in whole.changes:
        if change.table.name in own:
            assert alone[(change.table.name, change.key)] == change.after


@settings(max_examples=200)
@given(programs)
def test_whatever_happened_everything_ends_by_itself(program: bytes) -> None:
    world = run_program(program)
    # Longer than all windows of a task and of a dispute, one after the other.
    world.pass_until(world.epoch + 60)
    assert world.view.due_tasks(world.epoch + 1_000) == []
    for (name, _), row in world.view.rows.items():
        if name == TASKS.name:
            assert row.settled or row.status in (TaskStatus.EXPIRED, TaskStatus.CANCELLED)
        elif name == DISPUTES.name:
            assert row.closed_at is not None
    check_whole_state(world.view.rows)


def test_programs_reach_every_phase_most_rulings_and_every_kind_of_verdict() -> None:
    # A generator that stays in the shallows would prove little.
    chance = random.Random(7)
    phases: Counter[str] = Counter()
    disputes: Counter[str] = Counter()
    choices: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    for _ in range(200):
        world = run_program(chance.randbytes(128))
        for (name, _), row in world.view.rows.items():
            if name == TASKS.name:
                phases[row.status.name] += 1
                phases["SETTLED"] += row.settled
            elif name == DISPUTES.name:
                disputes[row.status.name] += 1
                choices.update(one.choice.name for one in row.judgments)
        codes.update(ruling.code for ruling in world.rulings.values())
    assert len(phases) == 9, phases
    assert len(disputes) >= 6, disputes
    assert len(choices) >= 4, choices
    assert len(codes) >= 25, codes


@given(programs)
def test_an_author_pays_exactly_what_his_transactions_announce(program: bytes) -> None:
    # Funding counts what a kind announces; if a kind took more, an account could be overdrawn.
    world = run_program(program)
    view = MemoryView(world.genesis.rows())
    for number, sealed in enumerate(world.history, start=1):
        epoch = build_epoch(number, sealed)
        unfunded = find_unfunded(view, world.params, epoch.transactions)
        paid: Counter[bytes] = Counter()
        announced: Counter[bytes] = Counter()
        for subject in sorted({tx.header.subject for tx in epoch.transactions}):
            mine = [tx for tx in epoch.transactions if tx.header.subject == subject]
            outcome = fold_subject(
                view, world.charter, world.network, epoch, subject, mine, unfunded
            )
            for payment in outcome.payments:
                if isinstance(payment.source, bytes):
                    paid[payment.source] += payment.amount
            for tx in outcome.applied:
                debit = kinds.BY_CODE[tx.header.kind].compute_debit(tx, world.params)
                announced[tx.header.author] += debit
        assert +paid == +announced
        whole = fold_epoch(view, world.genesis, epoch)
        view.apply(((one.table.name, one.key), one.after) for one in whole.changes)
