"""Disputes at rest: found by id and by task, listed while they await a judgment, due in time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol.dispute_records import DisputeCase
from protocol.fold import Change
from protocol.phases import OPEN_DISPUTES, DisputeStatus
from protocol.tables import DISPUTES, dispute_key
from protocol.view import MemoryView
from storage.commit import stage_changes
from storage.engine import Batch
from storage.queries import PAGE_ITEMS_MAX, Page
from storage.store import Store
from tests.support.builders import a_dispute, a_hash

Ask = Callable[[int, bytes | None], Page[Any]]


def write(store: Store, before: DisputeCase | None, after: DisputeCase) -> None:
    """Write a dispute as a seal does: the row and the difference of its indexes."""
    batch = Batch()
    key = dispute_key(after.task_id, after.round)
    updates, _ = stage_changes(batch, [Change(DISPUTES, key, before, after)])
    store.engine.write(batch, sync=False)
    store.rows.cache.update(updates)


def read_pages(ask: Ask, limit: int) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = ask(limit, cursor)
        items += page.items
        if page.cursor is None:
            return items
        cursor = page.cursor


@pytest.fixture
def cases(store: Store) -> list[DisputeCase]:
    """Disputes of every status, those of one task among them, all stored."""
    tasks = [a_hash(f"task {i}") for i in range(len(DisputeStatus))]
    cases = [
        a_dispute(task_id, status=status, opened_at=20 - int(status))
        for task_id, status in zip(tasks, DisputeStatus, strict=True)
    ]
    cases += [a_dispute(tasks[0], round_, opened_at=30 + round_) for round_ in (1, 2)]
    for case in cases:
        write(store, None, case)
    return cases


def test_a_dispute_is_stored_found_and_listed_until_it_is_judged(store: Store) -> None:
    queries = store.queries
    case = a_dispute(a_hash("a task"))
    assert queries.dispute(case.dispute_id) is None
    write(store, None, case)
    assert queries.dispute(case.dispute_id) == case
    for status in DisputeStatus:
        moved = replace(case, status=status)
        write(store, queries.dispute(case.dispute_id), moved)
        assert queries.dispute(case.dispute_id) == moved
        listed = [moved] if status in OPEN_DISPUTES else []
        assert list(queries.disputes_pending().items) == listed
        assert list(queries.disputes_of_task(case.task_id).items) == [moved]


def test_lists_of_disputes_are_complete_at_every_page_size(
    store: Store, cases: list[DisputeCase]
) -> None:
    queries = store.queries
    by_time = sorted(cases, key=lambda one: one.opened_at)
    pending = [one for one in by_time if one.status in OPEN_DISPUTES]
    task_id = cases[0].task_id
    assert len(pending) == 5
    lists: list[tuple[Ask, list[DisputeCase]]] = [
        (queries.disputes, by_time[::-1]),
        (queries.disputes_pending, pending),
        (
            lambda n, c: queries.disputes_of_task(task_id, n, c),
            sorted((one for one in cases if one.task_id == task_id), key=lambda one: one.round),
        ),
        (lambda n, c: queries.disputes_of_task(a_hash("nothing"), n, c), []),
    ]
    for ask, wanted in lists:
        for limit in (1, 2, PAGE_ITEMS_MAX):
            assert read_pages(ask, limit) == wanted


def test_the_task_of_a_dispute_is_due_when_its_window_is_over(store: Store) -> None:
    windows = {
        DisputeStatus.PENDING: 10,
        DisputeStatus.APPEALED: 10,
        DisputeStatus.UNDER_REVIEW: 11,
        DisputeStatus.RESOLVED_APPEALABLE: 12,
    }
    for status in DisputeStatus:
        case = a_dispute(
            a_hash(status.name),
            status=status,
            pending_until=10,
            voting_deadline=11,
            appeal_deadline=12,
        )
        write(store, None, case)
    rows = {(DISPUTES.name, key): DISPUTES.decode_row(data) for key, data in scan(store)}
    memory = MemoryView(rows)
    for epoch in range(9, 15):
        wanted = sorted(a_hash(status.name) for status, end in windows.items() if end < epoch)
        assert store.view.due_tasks(epoch) == memory.due_tasks(epoch) == wanted


def scan(store: Store) -> list[tuple[bytes, bytes]]:
    return list(store.engine.scan(DISPUTES.name))
