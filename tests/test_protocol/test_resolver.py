"""One state from causes, and one record from two whose causes are gone."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.chains import compute_evidence_id
from protocol.errors import InvariantBroken, Rejected
from protocol.invariants import check_whole_state
from protocol.phases import TaskStatus
from protocol.records import Task
from protocol.resolver import (
    ConflictResolver,
    History,
    MergeRuling,
    SealedSet,
    build_epoch,
    compute_merge_key,
)
from protocol.seals import compute_beacon, compute_set_root
from tests.support.builders import a_genesis, a_hash, an_address
from tests.support.programs import run_program
from tests.support.world import World

RESOLVER = ConflictResolver()


@cache
def stations() -> tuple[Task, ...]:
    """Return one task as it stood at every station of three different lives."""
    found: dict[Task, None] = {}

    def note(world: World, task_id: bytes) -> None:
        found.setdefault(world.task(task_id))

    world = World()
    world.settle_cast()
    task_id = world.open_task()
    note(world, task_id)
    cancelled = world.fork()
    cancelled.seal(cancelled.cancel("alice", task_id))
    note(cancelled, task_id)
    expired = world.fork()
    expired.pass_until(world.epoch + 10)
    note(expired, task_id)
    world.seal(world.submit("bob", task_id))
    note(world, task_id)
    world.collect_answers(task_id, ["carol"])
    note(world, task_id)
    world.seal()
    note(world, task_id)
    hidden = world.fork()
    hidden.pass_until(world.epoch + 20)
    note(hidden, task_id)
    world.seal(*(world.reveal(who, task_id) for who in ("bob", "carol")))
    note(world, task_id)
    undecided = world.fork()
    undecided.pass_until(world.epoch + 30)
    note(undecided, task_id)
    world.judge(task_id, {"bob": (90, 90, 90), "carol": (60, 60, 60)})
    note(world, task_id)
    world.settle(task_id)
    note(world, task_id)
    for who in ("bob", "carol"):
        world.seal(world.claim(who, task_id, world.entries_of(task_id, who)[0]))
        note(world, task_id)
    return tuple(found)


@cache
def records() -> tuple[Task, ...]:
    """Return the stations in three rounds of disputes."""
    return tuple(
        replace(task, lifecycle=replace(task.lifecycle, round=round_))
        for task in stations()
        for round_ in range(3)
    )


any_record = st.integers(0, 3 * 13 - 1).map(lambda i: records()[i])


def merge(one: Task, other: Task) -> Task:
    return RESOLVER.merge(one, other).record


def test_the_stations_cover_every_phase_but_the_disputed() -> None:
    statuses = {task.status for task in stations()}
    assert statuses == set(TaskStatus) - {TaskStatus.DISPUTED}
    assert len(stations()) == 13


@given(any_record, any_record)
def test_merging_does_not_ask_who_comes_first(one: Task, other: Task) -> None:
    assert RESOLVER.merge(one, other) == RESOLVER.merge(other, one)


@given(any_record, any_record, any_record)
def test_merging_three_does_not_depend_on_which_two_meet_first(
    one: Task, other: Task, third: Task
) -> None:
    assert merge(merge(one, other), third) == merge(one, merge(other, third))


@given(any_record)
def test_merging_a_record_with_itself_says_nothing(one: Task) -> None:
    answer = RESOLVER.merge(one, one)
    assert answer.record == one
    assert answer.ruling is None


@given(any_record, any_record)
def test_what_stands_is_one_of_the_two_and_the_other_is_named(one: Task, other: Task) -> None:
    answer = RESOLVER.merge(one, other)
    assert answer.record in (one, other)
    if one != other:
        assert answer.ruling is not None
        loser = other if answer.record == one else one
        assert answer.ruling.lost_hash == compute_merge_key(loser)[-1]
        assert answer.ruling.kept != answer.ruling.lost


def test_a_task_moves_only_upwards_in_the_order_of_merging() -> None:
    # So a copy made earlier never wins over one made later.
    world = World()
    world.settle_cast()
    task_id = world.open_task()
    history = [world.task(task_id)]
    world.collect_answers(task_id, ["bob", "carol"])
    for _ in range(3):
        world.seal()
        history.append(world.task(task_id))
    world.pass_until(world.epoch + 20)
    history.append(world.task(task_id))
    keys = [compute_merge_key(task) for task in history]
    assert keys == sorted(keys)
    lives = [task for task in stations() if task.status is not TaskStatus.CANCELLED]
    keys = [
        compute_merge_key(task)
        for task in lives
        if task.status not in (TaskStatus.EXPIRED, TaskStatus.CANCELLED)
    ]
    assert keys == sorted(keys)


def by_status(status: TaskStatus, places: int = 0) -> Task:
    return next(
        task for task in stations() if task.status is status and len(task.participants) >= places
    )


@pytest.mark.parametrize(
    ("kept", "lost", "because"),
    [
        (by_status(TaskStatus.COMPLETED), by_status(TaskStatus.UNDER_VALIDATION), "phase"),
        (by_status(TaskStatus.IN_PROGRESS), by_status(TaskStatus.EXPIRED), "phase"),
        (by_status(TaskStatus.IN_PROGRESS), by_status(TaskStatus.CANCELLED), "phase"),
        (by_status(TaskStatus.CANCELLED), by_status(TaskStatus.EXPIRED), "closing"),
        (by_status(TaskStatus.EXPIRED), by_status(TaskStatus.PUBLISHED), "closing"),
        (by_status(TaskStatus.IN_PROGRESS, 2), by_status(TaskStatus.IN_PROGRESS), "evidence"),
        (stations()[-2], by_status(TaskStatus.COMPLETED), "evidence"),
        (stations()[-1], stations()[-2], "released"),
    ],
)
def test_what_beats_what_and_why(kept: Task, lost: Task, because: str) -> None:
    answer = RESOLVER.merge(lost, kept)
    assert answer.record == kept
    assert isinstance(answer.ruling, MergeRuling)
    assert answer.ruling.because == because


def test_a_resolved_dispute_beats_everything_before_it() -> None:
    task = by_status(TaskStatus.PUBLISHED)
    later = replace(task, lifecycle=replace(task.lifecycle, round=1))
    answer = RESOLVER.merge(stations()[-1], later)
    assert answer.record == later
    assert answer.ruling is not None
    assert answer.ruling.because == "round"


def test_equal_evidence_is_decided_by_the_hash_alike_everywhere() -> None:
    task = by_status(TaskStatus.IN_PROGRESS)
    other = replace(task, panel=(a_hash("somebody"),))
    answer = RESOLVER.merge(task, other)
    assert answer == RESOLVER.merge(other, task)
    assert answer.ruling is not None
    assert answer.ruling.because == "record_hash"


def test_the_parts_of_the_key_are_what_they_say() -> None:
    task = stations()[-1]
    round_, rank, closing, evidence, released, _ = compute_merge_key(task)
    assert (round_, rank, closing) == (0, 4, 0)
    # Two places, four moves, settled.
    assert evidence == 2 + 4 + 1
    pool = replace(task.pool, paid_out=5, refunded=7)
    assert compute_merge_key(replace(task, pool=pool))[4] == 12
    assert released == task.pool.paid_out + task.pool.refunded


def test_the_beacon_covers_transactions_and_evidence() -> None:
    world = World()
    tx = world.register("bob")
    place = (an_address("eve"), 3)
    epoch = build_epoch(5, SealedSet(a_hash("before"), (tx,), (place,)))
    ids = [tx.tx_id, compute_evidence_id(*place)]
    assert epoch.beacon == compute_beacon(a_hash("before"), compute_set_root(ids), None)
    assert (epoch.number, epoch.transactions, epoch.evidence) == (5, (tx,), (place,))


def test_records_of_two_tasks_are_not_merged() -> None:
    task = stations()[0]
    with pytest.raises(Rejected) as error:
        merge(task, replace(task, task_id=a_hash("another")))
    assert error.value.code == "merge_mismatch"


def test_a_closed_record_that_hides_where_it_was_closed_is_refused() -> None:
    task = by_status(TaskStatus.CANCELLED)
    bare = replace(task, lifecycle=replace(task.lifecycle, transitions=()))
    with pytest.raises(Rejected) as error:
        merge(task, bare)
    assert error.value.code == "wrong_phase"


def test_a_history_is_folded_to_its_records_and_rulings() -> None:
    world = run_program(bytes(range(0, 254, 3)))
    resolution = RESOLVER.resolve(world.to_history())
    assert resolution.records == world.view.rows
    assert {ruling.tx_id: ruling for ruling in resolution.rulings} == world.rulings
    check_whole_state(resolution.records)


def test_an_empty_history_is_the_genesis() -> None:
    genesis = a_genesis()
    resolution = RESOLVER.resolve(History(genesis, ()))
    assert resolution.records == genesis.rows()
    assert resolution.rulings == ()


def test_a_history_that_took_in_what_it_must_not_is_noticed() -> None:
    # Two transactions of one seq never share a set; folding them anyway must not pass silently.
    world = World()
    world.settle_cast()
    tx = world.publish()
    world.seal(tx)
    again = SealedSet(world.seal_hash, (tx,))
    with pytest.raises(InvariantBroken):
        RESOLVER.resolve(History(world.genesis, (*world.history, again)))
