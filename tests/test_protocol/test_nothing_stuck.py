"""No money is ever out of reach: when all windows have passed, whoever is owed it can take it.

What is left in escrow is what somebody can claim, what is left at stake is what somebody can
withdraw; both is then done. The treasury and what is burned are spent by nobody, by rule, and the
balance of an author whom evidence bars stays on his account.
"""

import random

import pytest

from protocol.invariants import check_whole_state
from protocol.kinds.adjust_stake import AdjustStake, StakeAction, compute_exit_epochs
from protocol.lifecycle import is_barred, is_taking_part
from protocol.params import EPOCH_MAX
from protocol.phases import DisputeStatus, RewardState
from protocol.tables import DISPUTES, MINERS, REWARDS, SUBMISSIONS, VALIDATIONS
from tests.support.builders import CAST, PUBLISHER, an_address, name_of
from tests.support.court import a_court_genesis, settle_court
from tests.support.stored import draw_moves
from tests.support.world import World

EPOCHS = 40
CATCHES = 0.1
"""How often somebody is caught signing twice, in an epoch; the publisher is last of all."""
WINDOWS_MAX = 200
"""Epochs in which every window of every task has passed, three disputes and appeals included."""


def live(chance: random.Random) -> World:
    """Return a world after a random life in which some are caught, the publisher among them."""
    world = settle_court(World(a_court_genesis()))
    caught: set[bytes] = set()
    for epoch in range(EPOCHS):
        is_last = epoch == EPOCHS - 1
        who = an_address(PUBLISHER if is_last else chance.choice(CAST[1:]))
        is_caught = who not in caught and (is_last or chance.random() < CATCHES)
        evidence = [(who, world.account(name_of(who)).next_seq)] if is_caught else []
        caught.update(author for author, _ in evidence)
        moves = [tx for tx in draw_moves(world, chance) if tx.header.author not in caught]
        world.seal(*moves, evidence=evidence)
    return world


def let_all_windows_pass(world: World) -> None:
    """Do nothing until nothing is due any more."""
    for _ in range(WINDOWS_MAX):
        if not world.view.due_tasks(EPOCH_MAX):
            return
        world.seal()
    raise AssertionError("a window that never ends")


def find_owed(world: World) -> list[bytes]:
    """Return who could claim something, sorted."""
    rows = [row for (name, _), row in world.view.rows.items() if name == REWARDS.name]
    entries = [one for row in rows for one in row.entries if one.state is RewardState.CLAIMABLE]
    return sorted({one.recipient for one in entries})


def take_all(world: World) -> None:
    """Have everybody claim what he is owed, leave, and withdraw his stake."""
    claims = []
    for (name, _), row in sorted(world.view.rows.items()):
        if name == REWARDS.name:
            claims += [
                world.claim(name_of(one.recipient), row.task_id, one, round=row.round)
                for one in row.entries
                if one.state is RewardState.CLAIMABLE
            ]
    world.seal(*claims)
    assert [world.code_of(tx) for tx in claims] == [None] * len(claims)
    rows = world.view.rows.items()
    miners = [row for (name, _), row in sorted(rows) if name == MINERS.name and row.stake]
    assert not any(is_barred(world.view, one.address) for one in miners)
    leaving = AdjustStake(StakeAction.EXIT, 0)
    names = [name_of(one.address) for one in miners if is_taking_part(one)]
    world.seal(*(world.sign(who, "adjust_stake", leaving) for who in names))
    world.pass_until(world.epoch + compute_exit_epochs(world.params) + 1)
    taking = AdjustStake(StakeAction.WITHDRAW, 0)
    world.seal(*(world.sign(name_of(one.address), "adjust_stake", taking) for one in miners))


@pytest.mark.parametrize("seed", range(6))
def test_after_any_life_everything_can_be_taken_out_again(seed: int) -> None:
    world = live(random.Random(seed))
    let_all_windows_pass(world)
    for (name, key), row in world.view.rows.items():
        if name in (SUBMISSIONS.name, VALIDATIONS.name):
            assert row.stake == 0, (name, key)
        if name == DISPUTES.name:
            assert row.closed_at is not None
            assert row.bond == sum(one.deposit for one in row.appeals) == 0
    late = find_owed(world)[0]
    world.seal(evidence=[(late, world.account(name_of(late)).next_seq)])
    take_all(world)
    assert (world.ledger.escrowed, world.ledger.staked) == (0, 0)
    check_whole_state(world.view.rows)


def test_the_lives_meet_what_they_are_about() -> None:
    seen: set[str] = set()
    for seed in range(3):
        world = live(random.Random(seed))
        barred = [who for who in CAST if is_barred(world.view, an_address(who))]
        seen.update("publisher" if who == PUBLISHER else "others" for who in barred)
        let_all_windows_pass(world)
        for (name, _), row in world.view.rows.items():
            if name == DISPUTES.name:
                seen.add(row.status.name)
            if name == REWARDS.name and any(
                one.state is RewardState.REVOKED and is_barred(world.view, one.recipient)
                for one in row.entries
            ):
                seen.add("revoked")
            if name == REWARDS.name and any(
                one.state is RewardState.CLAIMABLE for one in row.entries
            ):
                seen.add("claimable")
    ends = {DisputeStatus.RESOLVED_FINAL.name, DisputeStatus.WITHDRAWN.name}
    assert seen >= {"publisher", "others", "revoked", "claimable", *ends}
