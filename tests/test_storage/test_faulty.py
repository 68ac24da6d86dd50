"""The engine that fails on demand: inert it is like any other, and its faults are exact."""

from collections.abc import Callable

import pytest

from storage.engine import Engine
from storage.errors import Closed, Full, InUse, StorageError
from storage.gated import GatedEngine
from storage.memory import MemoryEngine
from tests.support.engine_contract import CONTRACT, numbered_rows, put_rows
from tests.support.faulty import Fate, FaultyEngine, a_full_disk, an_io_error

TABLE = "transactions"


@pytest.mark.parametrize("wrap", [FaultyEngine, GatedEngine])
@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_a_wrapped_engine_keeps_the_promises_of_an_engine(
    promise: Callable[[Engine], None], wrap: Callable[[Engine], Engine], engine: Engine
) -> None:
    promise(wrap(engine))


@pytest.mark.parametrize(
    ("fate", "at_once", "in_the_end"),
    [(Fate.LOST, None, None), (Fate.WRITTEN, b"1", b"1"), (Fate.REVEALED, None, b"1")],
)
def test_a_batch_meets_its_fate(
    fate: Fate, at_once: bytes | None, in_the_end: bytes | None
) -> None:
    engine = FaultyEngine(MemoryEngine())
    put_rows(engine, {b"before": b"0"})
    engine.fail_write(2, an_io_error(), fate)
    put_rows(engine, {b"between": b"0"})
    for _ in range(2):
        with pytest.raises(StorageError, match="storage_failed"):
            put_rows(engine, {b"a": b"1"})
    assert engine.get(TABLE, b"a") == at_once
    engine.reopen()
    assert engine.get(TABLE, b"a") == in_the_end
    put_rows(engine, {b"after": b"0"})
    assert {b"before", b"between", b"after"} <= {key for key, _ in engine.scan(TABLE)}


def test_a_read_fails_once() -> None:
    engine = FaultyEngine(MemoryEngine())
    engine.fail_read(2, an_io_error())
    engine.get(TABLE, b"a")
    with pytest.raises(StorageError):
        engine.get_many(TABLE, [b"a"])
    assert list(engine.scan(TABLE)) == []


def test_a_shut_gate_reads_and_takes_no_write_before_it_is_opened_again() -> None:
    engine = FaultyEngine(MemoryEngine())
    gate = GatedEngine(engine)
    put_rows(gate, numbered_rows(3))
    engine.fail_write(1, a_full_disk())
    with pytest.raises(Full):
        put_rows(gate, {b"a": b"1"})
    written = engine.writes
    for _ in range(3):
        with pytest.raises(Full, match="0 bytes free"):
            put_rows(gate, {b"a": b"1"})
    assert engine.writes == written
    assert dict(gate.scan(TABLE)) == numbered_rows(3)
    gate.reopen()
    put_rows(gate, {b"a": b"1"})
    assert gate.get(TABLE, b"a") == b"1"


def test_what_room_does_not_cure_stays_the_reason() -> None:
    gate = GatedEngine(MemoryEngine())
    gate.shut(a_full_disk())
    gate.shut(an_io_error())
    gate.shut(a_full_disk())
    with pytest.raises(StorageError, match="storage_failed"):
        put_rows(gate, {b"a": b"1"})
    gate.close()
    with pytest.raises(Closed):
        gate.get(TABLE, b"a")


class BusyEngine(MemoryEngine):
    """An engine that is asked for something else while it compacts, as by another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None

    def compact(self, table: str) -> None:
        self.meanwhile()


def test_a_gate_is_not_opened_under_a_compaction() -> None:
    engine = BusyEngine()
    gate = GatedEngine(engine)
    gate.shut(a_full_disk())
    engine.meanwhile = gate.reopen
    with pytest.raises(InUse, match="database_busy"):
        gate.compact(TABLE)
    with pytest.raises(Full):
        put_rows(gate, {b"a": b"1"})
    assert list(gate.scan(TABLE)) == []
    gate.reopen()
    put_rows(gate, {b"a": b"1"})
