"""Opinions at rest: listed while they hold, paged, bounded, and outside every root."""

import pytest

from node.opinions.risk import RULESET
from protocol.errors import Rejected
from storage import local
from storage.indexes import INDEX_TABLE
from storage.keys import encode_key
from storage.local import LocalStore
from storage.local_tables import ANALYTICS, FRAUD, LOCAL_TABLES
from storage.store import Store
from tests.support.builders import a_hash, an_address
from tests.support.opinions import a_pattern, a_performance, an_analysis, some_metrics


def read_flagged(store: Store) -> list[int]:
    return [one.overall_risk for one in store.local.flagged().items]


def test_flagged_answers_come_in_pages_the_highest_risk_first(store: Store) -> None:
    for number in range(7):
        store.local.put_analysis(an_analysis(f"answer {number}", 7_100 + 100 * (number % 4)))
    risks, cursor = [], None
    while True:
        page = store.local.flagged(2, cursor)
        risks += [one.overall_risk for one in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert risks == sorted(risks, reverse=True)
    assert len(risks) == 7
    assert len(store.local.analyses().items) == 7
    with pytest.raises(Rejected, match="bad_limit"):
        store.local.flagged(0)


def test_opinions_change_no_root_and_no_count(store: Store) -> None:
    root, totals = store.head.state_root, store.totals
    store.local.put_analysis(an_analysis("answer", 9_000))
    store.local.put_metrics(some_metrics(1))
    assert (store.head.state_root, store.totals) == (root, totals)
    again = Store(store.engine, store.genesis)
    assert (again.head.state_root, again.totals) == (root, totals)
    assert again.local.progress.flagged == 1
    assert read_flagged(again) == [9_000]


def test_the_latest_metrics_are_those_of_the_last_epoch(store: Store) -> None:
    assert store.local.metrics_latest() is None
    for epoch in (1, 2, 300, 70_000):
        store.local.put_metrics(some_metrics(epoch, tasks=epoch))
    latest = store.local.metrics_latest()
    assert latest is not None
    assert latest.tasks == 70_000
    assert [one.epoch for one in store.local.all_metrics(2).items] == [70_000, 300]
    assert store.local.metrics(2) is not None
    assert store.local.metrics(3) is None


def test_old_metrics_are_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "METRICS_EPOCHS_MAX", 5)
    for epoch in range(1, 12):
        store.local.put_metrics(some_metrics(epoch))
    assert [one.epoch for one in store.local.all_metrics().items] == [11, 10, 9, 8, 7]


def test_rows_of_another_release_are_dropped_at_open(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(store.local.clear_steps(RULESET)) == []
    store.local.put_analysis(an_analysis("answer", 9_000))
    monkeypatch.setattr(local, "ROWS_VERSION", 2)
    opened = LocalStore(store.engine, store.rows)
    assert (opened.progress.ruleset, opened.progress.flagged) == (0, 0)
    for table in LOCAL_TABLES:
        assert list(store.engine.scan(table.name)) == []
    assert list(store.engine.scan(INDEX_TABLE, encode_key("fraud_flagged"), None)) == []
    assert opened.analysis(a_hash("answer")) is None


def test_a_pattern_is_read_back_as_it_was(store: Store) -> None:
    for sampled_at in (3, 9):
        store.local.put_behavior(a_pattern("bob", sampled_at))
    pattern = a_pattern("bob", 9)
    assert Store(store.engine, store.genesis).local.behavior(an_address("bob")) == pattern
    assert store.local.behavior(an_address("carol")) is None
    assert store.local.behaviors().items == (pattern,)


def test_a_performance_is_read_back_as_it_was(store: Store) -> None:
    for settled_at in (3, 9):
        store.local.put_analytics(a_performance("bob", settled_at))
    performance = a_performance("bob", 9)
    assert Store(store.engine, store.genesis).local.analytics(an_address("bob")) == performance
    assert store.local.analytics(an_address("carol")) is None
    assert store.local.all_analytics().items == (performance,)


def test_no_table_of_opinions_has_another_version_of_its_own() -> None:
    assert {table.version for table in LOCAL_TABLES} == {1}
    assert (FRAUD.name, ANALYTICS.name) == ("ai_fraud_analysis", "ai_performance_cache")
