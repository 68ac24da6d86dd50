"""What every engine promises. The same checks run on the real engine and on the fake."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from storage.engine import TABLES, Batch, Engine
from storage.errors import Closed

TABLE = "transactions"
OTHER = "peers"


def put_rows(engine: Engine, rows: dict[bytes, bytes], table: str = TABLE) -> None:
    """Write rows in one batch."""
    batch = Batch()
    for key, value in rows.items():
        batch.put(table, key, value)
    engine.write(batch, sync=False)


def numbered_rows(count: int) -> dict[bytes, bytes]:
    """Return rows with ascending keys of four digits."""
    return {b"%04d" % number: b"value %d" % number for number in range(count)}


def what_was_put_is_read_back(engine: Engine) -> None:
    put_rows(engine, {b"a": b"1", b"": b"empty key", b"b": b""})
    assert engine.get(TABLE, b"a") == b"1"
    assert engine.get(TABLE, b"") == b"empty key"
    assert engine.get(TABLE, b"b") == b""
    assert engine.get(TABLE, b"c") is None


def tables_do_not_share_keys(engine: Engine) -> None:
    put_rows(engine, {b"a": b"1"})
    put_rows(engine, {b"a": b"2"}, OTHER)
    assert engine.get(TABLE, b"a") == b"1"
    assert engine.get(OTHER, b"a") == b"2"
    assert engine.get("meta", b"a") is None


def every_table_of_the_list_exists(engine: Engine) -> None:
    for table in TABLES:
        assert list(engine.scan(table)) == []


def many_keys_come_back_in_the_order_asked(engine: Engine) -> None:
    put_rows(engine, {b"a": b"1", b"b": b"2"})
    assert engine.get_many(TABLE, [b"b", b"x", b"a", b"b"]) == [b"2", None, b"1", b"2"]
    assert engine.get_many(TABLE, []) == []


def the_last_operation_on_a_key_wins_inside_a_batch(engine: Engine) -> None:
    batch = Batch()
    batch.put(TABLE, b"a", b"1")
    batch.put(TABLE, b"a", b"2")
    batch.put(TABLE, b"b", b"1")
    batch.delete(TABLE, b"b")
    batch.delete(TABLE, b"c")
    batch.put(TABLE, b"c", b"3")
    assert len(batch) == 6
    assert batch.size_bytes == 10
    engine.write(batch, sync=True)
    assert list(engine.scan(TABLE)) == [(b"a", b"2"), (b"c", b"3")]


def deleting_what_is_not_there_is_no_error(engine: Engine) -> None:
    batch = Batch()
    batch.delete(TABLE, b"nothing")
    engine.write(batch, sync=False)
    assert list(engine.scan(TABLE)) == []


def an_empty_batch_is_no_error(engine: Engine) -> None:
    engine.write(Batch(), sync=True)


def a_batch_with_a_bad_operation_changes_nothing(engine: Engine) -> None:
    not_bytes: Any = bytearray(b"1")
    for bad_table, bad_value, error in (
        ("no_such_table", b"1", KeyError),
        (TABLE, not_bytes, TypeError),
    ):
        batch = Batch()
        batch.put(TABLE, b"a", b"1")
        batch.put(bad_table, b"b", bad_value)
        with pytest.raises(error):
            engine.write(batch, sync=False)
        assert engine.get(TABLE, b"a") is None


def an_unknown_table_is_a_programming_error(engine: Engine) -> None:
    with pytest.raises(KeyError):
        engine.get("no_such_table", b"a")
    with pytest.raises(KeyError):
        engine.get_many("no_such_table", [b"a"])
    with pytest.raises(KeyError):
        engine.scan("no_such_table")
    with pytest.raises(KeyError):
        engine.compact("no_such_table")


def a_scan_is_in_key_order_between_its_bounds(engine: Engine) -> None:
    rows = numbered_rows(300)
    shuffled = list(rows.items())
    random.Random(1).shuffle(shuffled)
    put_rows(engine, dict(shuffled))
    assert list(engine.scan(TABLE)) == list(rows.items())
    assert [key for key, _ in engine.scan(TABLE, b"0010", b"0013")] == [b"0010", b"0011", b"0012"]
    assert [key for key, _ in engine.scan(TABLE, b"0298")] == [b"0298", b"0299"]
    assert [key for key, _ in engine.scan(TABLE, b"00105", b"0012")] == [b"0011"]
    assert list(engine.scan(TABLE, b"0020", b"0020")) == []
    assert list(engine.scan(TABLE, b"0030", b"0020")) == []
    assert list(engine.scan(TABLE, b"", b"")) == []
    assert list(engine.scan(TABLE, b"1")) == []


def a_reverse_scan_is_the_scan_backwards(engine: Engine) -> None:
    put_rows(engine, numbered_rows(300))
    for lower, upper in (
        (b"", None),
        (b"0010", b"0200"),
        (b"00105", b"00115"),
        (b"0299", None),
        (b"1", None),
        (b"", b"0"),
        (b"0030", b"0020"),
    ):
        forward = list(engine.scan(TABLE, lower, upper))
        assert list(engine.scan(TABLE, lower, upper, reverse=True)) == forward[::-1]


def a_bound_holds_for_as_long_as_its_scan(engine: Engine) -> None:
    rows = {b"i" + bytes(8) + bytes([number]) * 32: bytes(900) for number in range(256)}
    put_rows(engine, rows)
    put_rows(engine, {b"s": b"behind the bound"})
    # The bounds are made on the spot and belong to nobody else; what comes after them in memory
    # must not be what the scans compare with.
    scans = [engine.scan(TABLE, b"i", b"j" + bytes([number]) * 8) for number in range(9)]
    others = [bytes([number % 256]) * (1 + number % 16) for number in range(20_000)]
    for scan in scans:
        assert [key for key, _ in scan] == list(rows)
    assert len(others) == 20_000


def a_scan_shows_the_moment_it_was_asked_for(engine: Engine) -> None:
    rows = numbered_rows(400)
    put_rows(engine, rows)
    scans = [engine.scan(TABLE), engine.scan(TABLE)]
    begun = [next(scans[0])]
    backward = engine.scan(TABLE, reverse=True)
    batch = Batch()
    batch.delete(TABLE, b"0007")
    batch.put(TABLE, b"0008", b"changed")
    batch.put(TABLE, b"00085", b"new")
    batch.put(TABLE, b"9999", b"new")
    engine.write(batch, sync=False)
    assert begun + list(scans[0]) == list(rows.items())
    assert list(scans[1]) == list(rows.items())
    assert list(backward) == list(rows.items())[::-1]
    assert engine.get(TABLE, b"0008") == b"changed"
    assert len(list(engine.scan(TABLE))) == 401


def rows_can_be_deleted_while_they_are_scanned(engine: Engine) -> None:
    put_rows(engine, numbered_rows(400))
    for key, _ in engine.scan(TABLE):
        batch = Batch()
        batch.delete(TABLE, key)
        engine.write(batch, sync=False)
    assert list(engine.scan(TABLE)) == []


def a_scan_left_half_way_does_no_harm(engine: Engine) -> None:
    put_rows(engine, numbered_rows(300))
    for _ in range(50):
        next(engine.scan(TABLE))
    put_rows(engine, {b"a": b"1"})
    assert engine.get(TABLE, b"a") == b"1"


def large_values_and_keys_of_any_bytes_survive(engine: Engine) -> None:
    rows = {bytes([first, second]): b"" for first in range(0, 256, 5) for second in (0, 1, 255)}
    rows[b"\x00" * 300] = bytes(range(256)) * 4_096
    put_rows(engine, rows)
    engine.flush()
    assert dict(engine.scan(TABLE)) == rows
    assert [key for key, _ in engine.scan(TABLE)] == sorted(rows)


def flush_and_compact_change_nothing_that_is_read(engine: Engine) -> None:
    put_rows(engine, numbered_rows(200))
    scan = engine.scan(TABLE)
    batch = Batch()
    for number in range(100):
        batch.delete(TABLE, b"%04d" % number)
    engine.write(batch, sync=False)
    engine.flush()
    engine.compact(TABLE)
    assert len(list(engine.scan(TABLE))) == 100
    assert len(list(scan)) == 200


def the_figures_count_what_is_there(engine: Engine) -> None:
    put_rows(engine, numbered_rows(200))
    engine.flush()
    engine.compact(TABLE)
    figures = engine.properties()
    assert figures[TABLE]["keys"] == 200
    assert figures[TABLE]["bytes"] > 0
    assert figures[OTHER]["keys"] == 0


def after_close_every_call_says_closed(engine: Engine) -> None:
    put_rows(engine, numbered_rows(300))
    scan = engine.scan(TABLE)
    next(scan)
    engine.close()
    engine.close()
    calls: list[Callable[[], object]] = [
        lambda: engine.get(TABLE, b"a"),
        lambda: engine.get_many(TABLE, [b"a"]),
        lambda: engine.scan(TABLE),
        lambda: engine.write(Batch(), sync=False),
        lambda: engine.flush(),
        lambda: engine.compact(TABLE),
        lambda: engine.properties(),
        lambda: list(scan),
    ]
    for call in calls:
        with pytest.raises(Closed):
            call()


def a_reopened_engine_has_what_it_had(engine: Engine) -> None:
    put_rows(engine, numbered_rows(300))
    begun, fresh = engine.scan(TABLE), engine.scan(TABLE, reverse=True)
    next(begun)
    engine.reopen()
    for scan in (begun, fresh):
        with pytest.raises(Closed):
            list(scan)
    assert dict(engine.scan(TABLE)) == numbered_rows(300)
    put_rows(engine, {b"a": b"1"})
    assert engine.get(TABLE, b"a") == b"1"
    engine.close()
    engine.reopen()
    assert len(list(engine.scan(TABLE))) == 301


def random_work_gives_what_a_dictionary_gives(engine: Engine) -> None:
    chance = random.Random(7)
    model: dict[bytes, bytes] = {}
    for step in range(300):
        batch = Batch()
        for _ in range(chance.randrange(6)):
            key = bytes(chance.choices(b"\x00\x01ab\xff", k=chance.randrange(4)))
            if chance.random() < 0.3:
                batch.delete(TABLE, key)
                model.pop(key, None)
            else:
                value = b"%d" % step
                batch.put(TABLE, key, value)
                model[key] = value
        engine.write(batch, sync=chance.random() < 0.05)
        if step % 50 == 0:
            engine.flush()
        lower, upper = (bytes(chance.choices(b"\x00\x01ab\xff", k=2)) for _ in range(2))
        is_reverse = chance.random() < 0.5
        wanted = sorted((key, value) for key, value in model.items() if lower <= key < upper)
        found = list(engine.scan(TABLE, lower, upper, reverse=is_reverse))
        assert found == (wanted[::-1] if is_reverse else wanted)


CONTRACT: tuple[Callable[[Engine], None], ...] = (
    what_was_put_is_read_back,
    tables_do_not_share_keys,
    every_table_of_the_list_exists,
    many_keys_come_back_in_the_order_asked,
    the_last_operation_on_a_key_wins_inside_a_batch,
    deleting_what_is_not_there_is_no_error,
    an_empty_batch_is_no_error,
    a_batch_with_a_bad_operation_changes_nothing,
    an_unknown_table_is_a_programming_error,
    a_scan_is_in_key_order_between_its_bounds,
    a_reverse_scan_is_the_scan_backwards,
    a_bound_holds_for_as_long_as_its_scan,
    a_scan_shows_the_moment_it_was_asked_for,
    rows_can_be_deleted_while_they_are_scanned,
    a_scan_left_half_way_does_no_harm,
    large_values_and_keys_of_any_bytes_survive,
    flush_and_compact_change_nothing_that_is_read,
    the_figures_count_what_is_there,
    after_close_every_call_says_closed,
    a_reopened_engine_has_what_it_had,
    random_work_gives_what_a_dictionary_gives,
)
