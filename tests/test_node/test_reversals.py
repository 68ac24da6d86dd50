"""What a peer showed as provisional and a seal made otherwise: found, counted, kept."""

import random
from pathlib import Path

import pytest

import storage.reversals
from node.reversals import DEAD, RULED, STANDS
from node.state_manager import StateManager
from protocol.dispute_records import PANEL_SIZES, Choice
from protocol.epoch import Epoch
from protocol.errors import Rejected
from protocol.fold import fold_epoch
from protocol.phases import TaskStatus
from protocol.transactions import SignedTransaction
from storage.engine import Batch
from storage.errors import Corrupt
from storage.meta import META
from storage.reversals import Reversal, ReversalLog, Reversed
from storage.store import Store
from tests.support.builders import a_genesis, an_address
from tests.support.chains import a_state, apply_from, exchange
from tests.support.court import (
    a_court_genesis,
    appeal,
    arbitrate,
    case_of,
    hear,
    object_to,
    seat_panel,
    settle_court,
)
from tests.support.stored import draw_moves
from tests.support.tasks import a_judged_task
from tests.support.watched import WatchedWorld, look, reversals_of

CONTESTS = 8


def a_watched_world() -> WatchedWorld:
    world = WatchedWorld()
    world.settle_cast()
    return world


def a_follower(world: WatchedWorld) -> StateManager:
    """Return the state of another peer that has all of the sealer's."""
    state = a_state(world.genesis)
    exchange(state, world.state)
    return state


def follow(state: StateManager, world: WatchedWorld) -> None:
    """Let a peer take in the seals that it lacks."""
    for sealed, ids in world.sealed[state.epoch :]:
        apply_from(state, world.state, sealed, ids)


def contest_last_places(world: WatchedWorld) -> list[tuple[SignedTransaction, SignedTransaction]]:
    """Return the answers of two miners to each of some tasks that have one place."""
    published = [world.publish(max_participants=1) for _ in range(CONTESTS)]
    world.seal(*published)
    tasks = [tx.header.subject for tx in published]
    return [(world.submit("bob", one), world.submit("carol", one)) for one in tasks]


def told(found: list[Reversal]) -> list[tuple[Reversed, bytes, str, str, str | None]]:
    return [(one.what, one.item, one.was, one.now, one.code) for one in found]


def test_the_lot_for_the_last_place_reverses_what_the_order_by_id_showed() -> None:
    world = a_watched_world()
    pairs = contest_last_places(world)
    world.seal(*(tx for pair in pairs for tx in pair))
    wanted = set()
    for pair in pairs:
        first, second = sorted(pair, key=lambda tx: tx.tx_id)
        if first.tx_id in world.rulings:
            wanted.add((first.tx_id, STANDS, RULED, second.tx_id))
            wanted.add((second.tx_id, RULED, STANDS, first.tx_id))
    assert 0 < len(wanted) < 2 * CONTESTS
    found = reversals_of(world.state)
    assert {(one.item, one.was, one.now, one.lost_to) for one in found} == wanted
    assert {(one.what, one.code, one.epoch) for one in found} == {
        (Reversed.TRANSACTION, "task_full", world.epoch)
    }
    assert world.state.store.local.reversals.total == len(found)


def test_what_nobody_looked_at_is_no_reversal() -> None:
    world = a_watched_world()
    pairs = contest_last_places(world)
    other = a_follower(world)
    other.accept([tx for pair in pairs for tx in pair], None)
    world.seal(*(tx for pair in pairs for tx in pair))
    follow(other, world)
    assert other.state_root == world.state.state_root
    assert world.state.store.local.reversals.total > 0
    assert other.store.local.reversals.total == 0


def test_a_seal_of_the_other_side_of_a_cut_reverses_what_this_side_showed() -> None:
    world = a_watched_world()
    task_id = world.open_task(max_participants=1)
    far = a_follower(world)
    mine = world.fork().submit("carol", task_id)
    far.accept([mine], None)
    look(far)
    taken = world.submit("bob", task_id)
    # One seal says nothing of the task before another gives the place away.
    world.seal()
    world.seal(taken)
    follow(far, world)
    (found,) = reversals_of(far)
    assert mine.tx_id in far.open.effective, "its own seal is still to come"
    assert (found.item, found.was, found.now) == (mine.tx_id, STANDS, RULED)
    assert (found.code, found.lost_to, found.epoch) == ("task_full", taken.tx_id, world.epoch)
    assert (found.author, found.subject) == (an_address("carol"), task_id)
    look(far)
    world.adopt([mine])
    world.seal(mine)
    follow(far, world)
    assert far.store.local.reversals.total == 1, "the next seal says the same again"


def test_a_task_that_the_seal_led_another_way_is_told_with_the_move_that_was_made() -> None:
    world = a_watched_world()
    task_id = world.open_task()
    far = a_follower(world)
    answer = world.fork().submit("carol", task_id)
    far.accept([answer], None)
    look(far)
    cancelled = world.cancel("alice", task_id)
    world.adopt([answer])
    world.seal(cancelled, answer)
    follow(far, world)
    refused, task = reversals_of(far)
    assert (refused.item, refused.code, refused.lost_to) == (
        answer.tx_id,
        "wrong_phase",
        cancelled.tx_id,
    )
    assert (task.what, task.item, task.was, task.now) == (
        Reversed.TASK,
        task_id,
        "in_progress",
        "cancelled",
    )
    assert (task.author, task.code, task.lost_to) == (None, None, cancelled.tx_id)
    assert world.state.store.local.reversals.total == 0, "the sealer had seen both"


def test_an_equivocation_that_a_seal_took_in_ends_what_stood() -> None:
    world = a_watched_world()
    far = a_follower(world)
    here = world.fork().publish("eve", title="What eve says here")
    far.accept([here], None)
    look(far)
    there = world.publish("eve", title="What eve says there")
    world.seal(there)
    follow(far, world)
    assert told(reversals_of(far)) == [
        (Reversed.TRANSACTION, here.tx_id, STANDS, DEAD, "equivocated")
    ]
    assert far.state_root == world.state.state_root


def test_what_came_too_late_for_every_seal_is_reversed_once() -> None:
    world = a_watched_world()
    far = a_follower(world)
    late = world.fork().publish("eve")
    far.accept([late], None)
    look(far)
    for _ in range(world.params.late_epochs + 3):
        world.seal()
        follow(far, world)
        look(far)
    assert told(reversals_of(far)) == [(Reversed.TRANSACTION, late.tx_id, STANDS, DEAD, "dead")]


def test_an_objection_that_was_not_heard_of_opens_again_what_was_decided() -> None:
    world = a_watched_world()
    task_id = world.open_task(max_participants=1)
    world.collect_answers(task_id, ["bob"])
    world.reveal_answers(task_id, ["bob"])
    world.seal(*(world.vote(who, task_id, "bob", 80) for who in world.panel(task_id)))
    shown = [world.show(hidden) for hidden in world.hidden_votes(task_id)]
    far = a_follower(world)
    far.accept(shown, None)
    look(far)
    world.seal(*shown, object_to(world, "alice", task_id))
    follow(far, world)
    completed = (Reversed.TASK, task_id, "completed", "disputed", None)
    assert completed in told(reversals_of(far))


def test_votes_that_were_not_heard_of_reverse_nothing() -> None:
    # Who committed to a vote is known; so nobody takes three of five for a result.
    world = a_watched_world()
    task_id = world.open_task(max_participants=1)
    world.collect_answers(task_id, ["bob"])
    world.reveal_answers(task_id, ["bob"])
    scores = (80, 80, 80, 99, 99)
    panel = world.panel(task_id)
    votes = [
        world.vote(who, task_id, "bob", score) for who, score in zip(panel, scores, strict=True)
    ]
    world.seal(*votes)
    shown = list(map(world.show, votes))
    far = a_follower(world)
    far.accept(shown[:3], None)
    look(far)
    world.seal(*shown)
    follow(far, world)
    assert told(reversals_of(far)) == []


def test_arbiters_that_were_not_heard_may_make_another_the_winner() -> None:
    world = WatchedWorld(a_court_genesis())
    settle_court(world)
    task_id = world.open_task()
    world.collect_answers(task_id, ["bob", "carol"])
    world.reveal_answers(task_id, ["bob", "carol"])
    world.judge(task_id, {"bob": (90,) * 5, "carol": (80,) * 5})
    world.seal(object_to(world, "alice", task_id))
    for size in PANEL_SIZES[:-1]:
        hear(world, task_id, [Choice.UPHOLD] * size)
        world.seal(appeal(world, "alice", task_id))
    panel = seat_panel(world, task_id)
    world.pass_until(case_of(world, task_id).voting_deadline or 0)
    guilty = (world.submission_id(task_id, "bob"),)
    ballots = [
        *(arbitrate(world, who, task_id, Choice.OVERTURN, submissions=guilty) for who in panel[:3]),
        *(arbitrate(world, who, task_id, Choice.UPHOLD) for who in panel[3:]),
    ]
    far = a_follower(world)
    far.accept(ballots[:5], None)
    look(far)
    world.seal(*ballots)
    follow(far, world)
    now, was = (
        f"won by {world.submission_id(task_id, who).hex()[:16]}" for who in ("bob", "carol")
    )
    assert (Reversed.TASK, task_id, was, now, None) in told(reversals_of(far))


def test_a_quiet_history_reverses_nothing() -> None:
    world = WatchedWorld(a_court_genesis())
    settle_court(world)
    far = a_follower(world)
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    panel = seat_panel(world, task_id)
    for who in panel:
        world.seal(arbitrate(world, who, task_id, Choice.UPHOLD))
        follow(far, world)
    world.pass_until(world.epoch + world.params.resolution_epochs + 4)
    for who in ("bob", *world.panel(task_id)):
        for entry in world.entries_of(task_id, who):
            world.seal(world.claim(who, task_id, entry))
    follow(far, world)
    assert world.task(task_id).status is TaskStatus.COMPLETED
    assert told(reversals_of(world.state)) == told(reversals_of(far)) == []


@pytest.mark.parametrize("seed", range(3))
def test_reversed_are_exactly_those_that_two_folds_judge_otherwise(seed: int) -> None:
    world = WatchedWorld(a_court_genesis())
    settle_court(world)
    chance = random.Random(seed)
    wanted = []
    for _ in range(40):
        moves = draw_moves(world, chance)
        shown = Epoch(world.epoch + 1, None, tuple(moves))
        provisional = fold_epoch(world.view, world.genesis, shown)
        refused = {ruling.tx_id for ruling in provisional.rulings}
        sealed = {ruling.tx_id for ruling in world.seal(*moves).rulings}
        wanted += sorted(refused ^ sealed)
    found = [one for one in reversals_of(world.state) if one.what is Reversed.TRANSACTION]
    assert sorted(one.item for one in found) == sorted(wanted)


def test_a_restart_keeps_the_list_and_the_count(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "db", a_genesis())
    world = WatchedWorld(store=store)
    world.settle_cast()
    world.seal(*(tx for pair in contest_last_places(world) for tx in pair))
    before, total = reversals_of(world.state), store.local.reversals.total
    assert total == len(before) > 0
    store.close()
    store = Store.open(tmp_path / "db", a_genesis())
    again = a_state(store.genesis, store)
    assert (reversals_of(again), store.local.reversals.total) == (before, total)
    store.close()


def a_reversal(number: int) -> Reversal:
    return Reversal(
        epoch=number,
        what=Reversed.TRANSACTION,
        item=number.to_bytes(32, "big"),
        subject=bytes(32),
        author=bytes(32),
        was=STANDS,
        now=RULED,
        code="task_full",
        found="2 of 2 places taken",
        wanted="a place",
        lost_to=None,
    )


@pytest.mark.parametrize("sizes", [(3, 4, 3, 5, 1, 2), (25,), (10, 10, 10), (1,) * 24, (9, 31, 2)])
def test_a_flood_leaves_the_latest_and_the_count_of_all(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.reversals, "REVERSALS_MAX", 10)
    store = Store.in_memory(a_genesis())
    records = ReversalLog(store.engine)
    number = 0
    for size in sizes:
        records.put([a_reversal(number + place) for place in range(size)])
        number += size
        kept = [one.epoch for one in records.page().items]
        assert kept == list(range(number - 1, max(-1, number - 11), -1))
        assert records.total == ReversalLog(store.engine).total == number


def test_pages_of_any_size_name_each_reversal_once() -> None:
    records = ReversalLog(Store.in_memory(a_genesis()).engine)
    records.put([a_reversal(number) for number in range(7)])
    for limit in (1, 2, 3, 7, 50):
        found: list[int] = []
        cursor = None
        while True:
            page = records.page(limit, cursor)
            found += [one.epoch for one in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        assert found == [6, 5, 4, 3, 2, 1, 0]
    with pytest.raises(Rejected, match="bad_cursor"):
        records.page(1, bytes(1_000))


def test_damage_in_the_records_is_named() -> None:
    store = Store.in_memory(a_genesis())
    store.local.reversals.put([a_reversal(1)])
    for key, _ in list(store.engine.scan(META, b"local/reversal", b"local/reversal\xff")):
        batch = Batch()
        batch.put(META, key, b"\xff")
        store.engine.write(batch, sync=True)
    with pytest.raises(Corrupt, match="meta_damaged"):
        store.local.reversals.page()
    with pytest.raises(Corrupt, match="meta_damaged"):
        store.local.reversals.reload()
