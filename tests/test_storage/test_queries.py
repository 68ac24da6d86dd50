"""Lists in pages: complete, in order, without repeats, and strict about what comes from outside."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from protocol.errors import Rejected
from protocol.phases import RewardState, TaskStatus
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from protocol.tables import (
    DISPUTES,
    FRAUD_REPORTS,
    MINERS,
    REWARDS,
    RULINGS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
)
from storage.indexes import is_active
from storage.queries import CURSOR_BYTES_MAX, PAGE_ITEMS_MAX, Page
from storage.store import Store
from tests.support.builders import SLUG, SOLVERS, VALIDATORS, a_hash, an_address
from tests.support.stored import StoredWorld, play_randomly

Ask = Callable[[int, bytes | None], Page[Any]]


@pytest.fixture
def world(store: Store) -> StoredWorld:
    """A store with a history of thirty epochs."""
    world = StoredWorld(store)
    world.settle_cast()
    play_randomly(world, random.Random(11), 30)
    return world


def read_pages(ask: Ask, limit: int) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = ask(limit, cursor)
        assert len(page.items) <= limit
        items += page.items
        if page.cursor is None:
            return items
        assert len(page.items) == limit
        cursor = page.cursor


def read_table(world: StoredWorld, name: str) -> list[Any]:
    return [row for (table, _), row in sorted(world.view.rows.items()) if table == name]


def as_set(rows: list[Any]) -> set[str]:
    return {repr(row) for row in rows}


def test_every_list_is_complete_at_every_page_size(world: StoredWorld) -> None:
    queries = world.store.queries
    tasks = read_table(world, TASKS.name)
    miners = read_table(world, MINERS.name)
    submissions = read_table(world, SUBMISSIONS.name)
    validations = read_table(world, VALIDATIONS.name)
    rulings = read_table(world, RULINGS.name)
    reports = read_table(world, FRAUD_REPORTS.name)
    assert reports
    assert min(map(len, (tasks, miners, submissions, validations, rulings))) > 5
    lists: list[tuple[Ask, list[Any]]] = [
        (queries.tasks, tasks),
        (queries.tasks_active, [task for task in tasks if is_active(task)]),
        (queries.miners, miners),
        (queries.top_miners, miners),
        (queries.rulings, rulings),
        (lambda n, c: queries.tasks_by_publisher(an_address("alice"), n, c), tasks),
        (lambda n, c: queries.tasks_by_publisher(an_address("bob"), n, c), []),
        (lambda n, c: queries.tasks_by_type(SLUG, n, c), tasks),
        (lambda n, c: queries.tasks_by_type("code_analysis", n, c), []),
        (lambda n, c: queries.miners_by_specialization(SLUG, n, c), miners),
        (lambda n, c: queries.accounts(n, c), read_table(world, "accounts")),
        (queries.disputes, read_table(world, DISPUTES.name)),
    ]
    assert as_set(list(queries.active_tasks())) == as_set(
        [task for task in tasks if is_active(task)]
    )
    for role in (ROLE_SOLVER, ROLE_VALIDATOR):
        some = [miner for miner in miners if miner.roles & role]
        lists.append((partial(queries.miners_by_role, role), some))
    for status in TaskStatus:
        some = [task for task in tasks if task.status == status]
        lists.append((partial(queries.tasks_by_status, status), some))
    for who in (*SOLVERS, *VALIDATORS):
        address = an_address(who)
        some = [row for row in submissions if row.miner == address]
        lists.append((partial(queries.submissions_of_miner, address), some))
        some = [row for row in validations if row.validator == address]
        lists.append((partial(queries.validations_of_validator, address), some))
    for task in tasks:
        key = task.task_id
        some = [row for row in submissions if row.task_id == key]
        lists.append((partial(queries.submissions_of_task, key), some))
        some = [row for row in rulings if row.subject == key]
        lists.append((partial(queries.rulings_of_subject, key), some))
        some = [row for row in read_table(world, REWARDS.name) if row.task_id == key]
        lists.append((partial(queries.distributions_of_task, key), some))
        some = [row for row in read_table(world, DISPUTES.name) if row.task_id == key]
        lists.append((partial(queries.disputes_of_task, key), some))
    for submission in submissions:
        key = submission.submission_id
        some = [row for row in validations if row.submission_id == key]
        lists.append((partial(queries.validations_of_submission, key), some))
        some = [row for row in reports if row.submission_id == key]
        lists.append((partial(queries.fraud_reports_of_submission, key), some))
    for epoch in range(world.epoch + 1):
        some = [row for row in rulings if row.epoch == epoch]
        lists.append((partial(queries.rulings_of_epoch, epoch), some))
    for ask, wanted in lists:
        for limit in (1, 3, PAGE_ITEMS_MAX):
            found = read_pages(ask, limit)
            assert len(found) == len(wanted)
            assert as_set(found) == as_set(wanted)


def test_lists_are_in_the_order_they_promise(world: StoredWorld) -> None:
    queries = world.store.queries
    published = [task.lifecycle.published_at for task in read_pages(queries.tasks, 4)]
    assert published == sorted(published, reverse=True)
    oldest = [task.lifecycle.published_at for task in read_pages(queries.tasks_active, 4)]
    assert oldest == sorted(oldest)
    scores = [miner.reputation.score for miner in read_pages(queries.top_miners, 2)]
    assert scores == sorted(scores, reverse=True)
    epochs = [ruling.epoch for ruling in read_pages(queries.rulings, 5)]
    assert epochs == sorted(epochs, reverse=True)


def test_unclaimed_rewards_are_the_entries_nobody_collected(world: StoredWorld) -> None:
    queries = world.store.queries
    total = 0
    for who in (*SOLVERS, *VALIDATORS, "alice"):
        address = an_address(who)
        wanted = {
            entry.entry_id
            for row in read_table(world, REWARDS.name)
            for entry in row.entries
            if entry.recipient == address
            and entry.state in (RewardState.LOCKED, RewardState.CLAIMABLE)
        }
        found = read_pages(partial(queries.unclaimed_rewards, address), 2)
        assert {one.entry.entry_id for one in found} == wanted
        assert all(one.entry.recipient == address for one in found)
        total += len(found)
    assert total > 0


def test_a_cursor_continues_behind_what_was_shown_while_rows_come(store: Store) -> None:
    world = StoredWorld(store)
    for _ in range(6):
        world.open_task()
    first = store.queries.tasks(3)
    world.open_task()
    shown = [task.task_id for task in first.items]
    rest = store.queries.tasks(100, first.cursor)
    assert len(shown) + len(rest.items) == 6
    assert not set(shown) & {task.task_id for task in rest.items}


def test_single_rows_are_found_or_none(world: StoredWorld) -> None:
    queries = world.store.queries
    task = read_table(world, TASKS.name)[0]
    submission = read_table(world, SUBMISSIONS.name)[0]
    assert queries.task(task.task_id) == task
    assert queries.submission(submission.submission_id) == submission
    assert queries.miner(an_address("bob")) == world.miner("bob")
    assert queries.account(an_address("bob")) == world.account("bob")
    assert queries.ledger() == world.ledger
    nobody = a_hash("nobody")
    assert queries.task(nobody) is None
    assert queries.submission(nobody) is None
    assert queries.miner(nobody) is None
    assert queries.account(nobody) is None
    assert queries.submissions_of_task(nobody).items == ()
    assert queries.unclaimed_rewards(nobody).items == ()


def test_limits_and_cursors_from_outside_are_checked(world: StoredWorld) -> None:
    queries = world.store.queries
    for limit in (-1, 0, PAGE_ITEMS_MAX + 1):
        with pytest.raises(Rejected, match="bad_limit"):
            queries.tasks(limit)
    with pytest.raises(Rejected, match="bad_cursor"):
        queries.tasks(10, bytes(CURSOR_BYTES_MAX + 1))
    # Whatever else a cursor is, it shows rows of its own list and no others.
    chance = random.Random(1)
    for _ in range(200):
        cursor = chance.randbytes(chance.randrange(50))
        for page in (
            queries.miners_by_role(ROLE_SOLVER, 5, cursor),
            queries.tasks(5, cursor),
            queries.rulings(5, cursor),
        ):
            assert len(page.items) <= 5


def test_no_reward_index_entry_outlives_its_claim(world: StoredWorld) -> None:
    states = set()
    for row in read_table(world, REWARDS.name):
        for entry in row.entries:
            listed = [
                one.entry.entry_id
                for one in read_pages(
                    partial(world.store.queries.unclaimed_rewards, entry.recipient),
                    100,
                )
            ]
            is_owed = entry.state in (RewardState.LOCKED, RewardState.CLAIMABLE)
            assert (entry.entry_id in listed) == is_owed
            states.add(entry.state)
    assert states >= {RewardState.LOCKED, RewardState.CLAIMABLE, RewardState.CLAIMED}
