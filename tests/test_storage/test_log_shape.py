"""Logs that RocksDB would read for ever: found before it does, and cut for a salvage."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.engine import Batch
from storage.errors import Corrupt
from storage.log_shape import BLOCK_BYTES, RECYCLED, find_trap, list_logs
from storage.rocks import RocksEngine
from storage.salvage import salvage
from storage.store import Store
from tests.support.builders import a_genesis
from tests.support.damage import find_log

NETWORK = b"testnet0"
HEADER_BYTES = 7
TYPE_AT = 6


def list_records(log: bytes) -> Iterator[int]:
    """Yield where the records of a whole log begin."""
    for block in range(0, len(log), BLOCK_BYTES):
        place, end = block, min(len(log), block + BLOCK_BYTES)
        while place + HEADER_BYTES <= end and log[place + TYPE_AT]:
            yield place
            place += HEADER_BYTES + int.from_bytes(log[place + 4 : place + 6], "little")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a database that was killed: records of all four types in its log."""
    folder = tmp_path_factory.mktemp("killed")
    engine = RocksEngine(folder / "live", network=NETWORK)
    for number, size in enumerate((10, 40_000, 300, 100_000, 5)):
        batch = Batch()
        batch.put("meta", bytes([number]), bytes([number]) * size)
        engine.write(batch, sync=True)
    shutil.copytree(folder / "live", folder / "db")
    engine.close()
    return folder / "db"


def set_type(log: Path, place: int, kind: int) -> None:
    with log.open("r+b") as opened:
        opened.seek(place + TYPE_AT)
        opened.write(bytes([kind]))


def test_a_log_of_ours_is_no_trap_and_opens(killed: Path, tmp_path: Path) -> None:
    records = list(list_records(find_log(killed).read_bytes()))
    kinds = {find_log(killed).read_bytes()[place + TYPE_AT] for place in records}
    assert kinds == {1, 2, 3, 4}
    assert [find_trap(file) for file in list_logs(killed / "rocks")] == [None] * 2
    shutil.copytree(killed, tmp_path / "db")
    engine = RocksEngine(tmp_path / "db", network=NETWORK)
    assert len(list(engine.scan("meta"))) == 5
    engine.close()


@pytest.mark.parametrize("name", ["log", "manifest"])
def test_every_type_of_every_record_is_refused_or_read_and_never_read_for_ever(
    killed: Path, tmp_path: Path, name: str
) -> None:
    def find(folder: Path) -> Path:
        return find_log(folder) if name == "log" else max((folder / "rocks").glob("MANIFEST-*"))

    data = find(killed).read_bytes()
    records = list(list_records(data))
    assert len(records) > 3
    for number, place in enumerate(records):
        bits = [1 << bit for bit in range(8)]
        for kind in (data[place + TYPE_AT] ^ bits[number % 8], 5 + number % 4):
            folder = tmp_path / f"{number}.{kind}"
            shutil.copytree(killed, folder)
            set_type(find(folder), place, kind)
            assert (find_trap(find(folder)) == place) == (kind in RECYCLED)
            with pytest.raises(Corrupt):
                RocksEngine(folder, network=NETWORK)
            shutil.rmtree(folder)


def test_a_salvage_reads_up_to_the_trap(tmp_path: Path) -> None:
    live = Store.open(tmp_path / "live", a_genesis())
    live.meta_put("first", b"1")
    size = len(find_log(tmp_path / "live").read_bytes().rstrip(b"\x00"))
    live.meta_put("second", b"2")
    shutil.copytree(tmp_path / "live", tmp_path / "db")
    live.close()
    log = find_log(tmp_path / "db")
    last = max(list_records(log.read_bytes()))
    assert last <= size + BLOCK_BYTES
    set_type(log, last, 7)
    with pytest.raises(Corrupt, match="recycled"):
        Store.open(tmp_path / "db", a_genesis())
    store = salvage(tmp_path / "db", a_genesis()).store
    assert (store.meta_get("first"), store.meta_get("second")) == (b"1", None)
    store.close()
