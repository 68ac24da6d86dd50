"""Fixtures of the storage tests: every engine, in turn, and a store on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.engine import Engine
from storage.memory import MemoryEngine
from storage.rocks import RocksEngine
from storage.store import Store
from tests.support.builders import a_genesis


@pytest.fixture(params=["memory", "rocks"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty engine of each kind."""
    engine: Engine
    if request.param == "memory":
        engine = MemoryEngine()
    else:
        engine = RocksEngine(tmp_path / "db", network=a_genesis().network)
    yield engine
    engine.close()


@pytest.fixture
def store(engine: Engine) -> Store:
    """A new store of the builders' genesis."""
    return Store(engine, a_genesis())
