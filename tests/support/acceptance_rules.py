"""Acceptance checks of the rules: order, money, moves, claims, commitments, time."""

import random
from dataclasses import replace
from pathlib import Path

from node.events import Broadcast
from node.state_manager import StateManager
from protocol.bonds import count_locked
from protocol.dispute_records import DisputeCase
from protocol.epoch import Epoch
from protocol.errors import Rejected
from protocol.fold import fold_epoch
from protocol.genesis import Genesis
from protocol.lifecycle import move_task
from protocol.messages import unpack_ids
from protocol.phases import TaskStatus, Trigger
from protocol.records import (
    Account,
    Ledger,
    Miner,
    Submission,
    Task,
    Validation,
    VoteCommitment,
)
from protocol.seals import Seal, compute_beacon, compute_set_root
from protocol.tables import SUBMISSIONS, TASKS
from protocol.transactions import SignedTransaction
from storage.store import Store
from tests.support.builders import SOLVERS, VALIDATORS, a_genesis, a_signer
from tests.support.stored import play_randomly
from tests.support.world import World
from tests.test_protocol import (
    test_dispute_moves,
    test_dispute_refusals,
    test_fold_contests,
    test_fold_matrix,
    test_fold_moves,
    test_fold_refusals,
    test_phases,
)

ORDERS = 1_000
ORDERS_ON_NODES = 10
EPOCHS = 25
OPEN_STATUSES = (
    TaskStatus.PUBLISHED,
    TaskStatus.IN_PROGRESS,
    TaskStatus.ANSWERS_SUBMITTED,
    TaskStatus.UNDER_VALIDATION,
    TaskStatus.COMPLETED,
)
CLAIMS = ("already_claimed", "not_recipient", "not_claimable", "dispute_open")


def a_contest(genesis: Genesis) -> tuple[list[SignedTransaction], list[SignedTransaction]]:
    """Return what one epoch takes in, and what of the next contradicts itself.

    Three answers to a task with one place, answers to a task that is cancelled, two roles of one
    miner.
    """
    world = World(genesis)
    first = [world.register(who) for who in (*SOLVERS, *VALIDATORS)]
    offers = [world.publish(max_participants=places) for places in (1, 3)]
    state = a_node(genesis)
    state.accept([*first, *offers], None)
    state.seal(a_signer("sealer"), time_ms=0)
    world.epoch, world.seal_hash = state.epoch, state.seal_hash
    crowded, cancelled = (tx.header.subject for tx in offers)
    contest = [world.submit(who, task) for who in SOLVERS for task in (crowded, cancelled)]
    contest += [world.cancel("alice", cancelled), world.cancel("alice", crowded)]
    contest += [world.register("bob", roles=1), world.publish("eve")]
    return [*first, *offers], contest


def a_node(genesis: Genesis) -> StateManager:
    """Return the state of a new node."""
    return StateManager(genesis, Store.in_memory(genesis), Broadcast())


def any_order_of_arrival_gives_one_state(folder: Path) -> None:
    genesis, chance = a_genesis(), random.Random(1)
    before, contest = a_contest(genesis)
    first = a_node(genesis)
    first.accept(before, None)
    first.seal(a_signer("sealer"), time_ms=0)
    beacon = compute_beacon(first.seal_hash, compute_set_root(tx.tx_id for tx in contest), None)
    outcomes = []
    for _ in range(ORDERS):
        chance.shuffle(contest)
        epoch = Epoch(2, beacon, tuple(contest))
        outcomes.append(fold_epoch(first.store.view, genesis, epoch))
        assert outcomes[-1] == outcomes[0]
    assert outcomes[0].rulings
    roots = set()
    for _ in range(ORDERS_ON_NODES):
        one, other = a_node(genesis), a_node(genesis)
        for state in (one, other):
            state.accept(chance.sample(before, len(before)), None)
            state.seal(a_signer("sealer"), time_ms=0)
            chance.shuffle(contest)
            arriving = list(contest)
            while arriving:
                size = chance.randrange(1, 6)
                state.accept(arriving[:size], None)
                del arriving[:size]
        assert one.open.rows(TASKS) == other.open.rows(TASKS)
        assert one.open.rows(SUBMISSIONS) == other.open.rows(SUBMISSIONS)
        assert one.open.rulings() == other.open.rulings()
        told = one.seal(a_signer("sealer"), time_ms=0)
        assert other.apply_seal(Seal.from_bytes(told.seal), unpack_ids(told.ids or b"")).applied
        roots |= {one.state_root, other.state_root}
    assert len(roots) == 1


def no_coin_appears_or_vanishes(folder: Path) -> None:
    world = World()
    supply = world.genesis.supply
    chance = random.Random(2)
    for _ in range(EPOCHS):
        play_randomly(world, chance, 1)
        total = world.ledger.treasury + world.ledger.burned
        for row in world.view.rows.values():
            match row:
                case Account():
                    total += row.balance
                case Task():
                    total += row.pool.escrowed
                case DisputeCase():
                    total += count_locked(row)
                case Miner() | Submission() | Validation() | VoteCommitment():
                    total += row.stake
                case _:
                    pass
        assert total == supply
    paid = [row for row in world.view.rows.values() if isinstance(row, Ledger)]
    assert min(paid[0].treasury, paid[0].burned, paid[0].escrowed, paid[0].staked) > 0


def an_illegal_move_is_refused_and_changes_nothing(folder: Path) -> None:
    world = World()
    task = world.task(world.open_task())
    for source, target in test_phases.PAIRS:
        here = replace(task, status=source)
        codes = {find_refusal(here, target, trigger) for trigger in Trigger}
        assert codes <= {None, "wrong_phase"}
        assert (None in codes) is test_phases.is_legal(source, target), (source, target)
    for phase in test_fold_matrix.PHASES:
        for action in test_fold_matrix.ACTIONS:
            test_fold_matrix.test_an_action_applies_in_its_phase_and_in_no_other(phase, action)


def find_refusal(task: Task, target: TaskStatus, trigger: Trigger) -> str | None:
    """Return the code with which a move is refused, None if it is made."""
    try:
        move_task(task, target, trigger, 1, None)
    except Rejected as refusal:
        return refusal.code
    return None


def a_claim_that_is_not_due_is_refused(folder: Path) -> None:
    refused = set()
    for module in (test_fold_refusals, test_dispute_refusals):
        for case in module.CASES:
            if "claim" in case.deed.__name__ and case.code in CLAIMS:
                module.test_a_broken_rule_gives_one_clear_line_and_changes_nothing(case)
                refused.add(case.code)
    assert refused == set(CLAIMS)


def a_copied_commitment_fails_at_reveal(folder: Path) -> None:
    test_fold_contests.test_a_copied_commitment_fails_at_reveal()


def an_open_task_ends_by_itself(folder: Path) -> None:
    episodes = [
        test_fold_moves.publish,
        *test_fold_moves.REACHED.values(),
        test_fold_moves.some_decided,
    ]
    reached = set()
    for episode in episodes:
        world = World()
        world.settle_cast()
        reached.add(world.task(episode(world)).status)
        test_fold_moves.test_an_open_task_ends_by_itself_with_no_actor(episode)
    assert reached >= {*OPEN_STATUSES}
    for status in test_dispute_moves.BEFORE:
        # Nobody votes, nobody appeals: the dispute ends, and the task after it.
        test_dispute_moves.test_every_verdict_leads_a_task_where_the_table_says(status, None)
