"""The measured engine keeps every promise of the engine behind it, and its figures are right."""

import random
from collections.abc import Callable
from itertools import count

import pytest

from storage.engine import Batch, Engine
from storage.errors import Closed, Full
from storage.memory import MemoryEngine
from storage.metered import TIMED_EVERY, MeteredEngine
from storage.stats import Meter
from tests.support.engine_contract import CONTRACT, numbered_rows, put_rows
from tests.support.engines import WatchedEngine

TABLE = "transactions"


def tick_by(step_ns: int) -> Callable[[], int]:
    """Return a clock that goes on by so much at each reading."""
    return count(0, step_ns).__next__


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_a_measured_engine_keeps_the_promises_of_an_engine(
    promise: Callable[[Engine], None], engine: Engine
) -> None:
    promise(MeteredEngine(engine))


def test_gets_are_counted_found_or_not_and_one_in_so_many_is_timed() -> None:
    engine = MeteredEngine(MemoryEngine(), read_ns=tick_by(1_000))
    put_rows(engine, {b"a": b"12345"})
    for key in [b"a", b"b"] * TIMED_EVERY:
        engine.get(TABLE, key)
    meter = engine.stats.meters["get"][TABLE]
    assert (meter.calls, meter.rows, meter.size_bytes) == (
        2 * TIMED_EVERY,
        TIMED_EVERY,
        5 * TIMED_EVERY,
    )
    assert (meter.timed, meter.spent_ns) == (2, 2_000)


def test_a_batch_counts_in_each_table_that_it_touches() -> None:
    engine = MeteredEngine(MemoryEngine(), read_ns=tick_by(7))
    batch = Batch()
    batch.put(TABLE, b"ab", b"cde")
    batch.delete(TABLE, b"x")
    batch.put("peers", b"k", b"")
    engine.write(batch, sync=True)
    meters = engine.stats.meters["write"]
    shown = {
        table: (meter.calls, meter.rows, meter.size_bytes, meter.spent_ns)
        for table, operation, meter in engine.stats.used()
        if operation == "write"
    }
    assert shown == {TABLE: (1, 2, 6, 7), "peers": (1, 1, 1, 7)}
    assert meters["meta"].calls == 0


@pytest.mark.parametrize("taken", [1, 2, 3, 200, 500])
def test_a_scan_counts_once_with_the_rows_it_read(engine: Engine, taken: int) -> None:
    measured = MeteredEngine(engine)
    put_rows(measured, numbered_rows(500))
    rows = measured.scan(TABLE)
    assert [key for _, (key, _) in zip(range(taken), rows, strict=False)] == [
        b"%04d" % number for number in range(taken)
    ]
    del rows
    meter = measured.stats.meters["scan"][TABLE]
    assert (meter.calls, meter.timed, meter.errors) == (1, 1, 0)
    # Pages grow by doubling, so at most about as much is read ahead as was asked for.
    assert taken <= meter.rows <= min(500, 2 * taken + 1)
    assert meter.size_bytes >= taken * len(b"0000value 0")


def test_many_gets_in_one_call_count_as_one_with_what_they_found() -> None:
    engine = MeteredEngine(MemoryEngine())
    put_rows(engine, {b"a": b"12", b"b": b"345"})
    assert engine.get_many(TABLE, [b"b", b"x", b"a"]) == [b"345", None, b"12"]
    meter = engine.stats.meters["get_many"][TABLE]
    assert (meter.calls, meter.rows, meter.size_bytes) == (1, 2, 5)


def test_what_fails_is_counted_as_an_error_and_raised() -> None:
    full = WatchedEngine(MemoryEngine())
    full.writes_left = 0
    engine = MeteredEngine(full)
    with pytest.raises(Full):
        put_rows(engine, {b"a": b"1"})
    rows = engine.scan(TABLE)
    engine.close()
    calls: list[Callable[[], object]] = [
        lambda: engine.get(TABLE, b"a"),
        lambda: engine.get_many(TABLE, [b"a"]),
        lambda: engine.scan(TABLE),
        lambda: list(rows),
    ]
    for call in calls:
        with pytest.raises(Closed):
            call()
    assert {
        operation: (meter.calls, meter.errors) for _, operation, meter in engine.stats.used()
    } == {"get": (1, 1), "get_many": (1, 1), "scan": (2, 2), "write": (1, 1)}


def test_a_table_that_does_not_exist_is_a_mistake_and_no_figure(engine: Engine) -> None:
    measured = MeteredEngine(engine)
    for call in (measured.get, measured.scan):
        with pytest.raises(KeyError):
            call("no_such_table", b"")
    assert list(measured.stats.used()) == []


@pytest.mark.parametrize("percent", [1, 50, 99, 100])
def test_a_quantile_is_at_most_a_factor_of_two_off(percent: int) -> None:
    chance = random.Random(percent)
    latencies = sorted(int(chance.lognormvariate(9, 2)) for _ in range(2_000))
    meter = Meter()
    for spent_ns in latencies:
        meter.add(spent_ns, 0, 0)
    exact = latencies[len(latencies) * percent // 100 - 1]
    assert exact <= 2 * meter.find_quantile_ns(percent)
    assert meter.find_quantile_ns(percent) <= 2 * exact


def test_the_quantiles_of_nothing_and_of_no_time_are_0() -> None:
    meter = Meter()
    assert meter.find_quantile_ns(99) == 0
    meter.add(0, 0, 0)
    assert meter.find_quantile_ns(99) == 0
