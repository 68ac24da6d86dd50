"""Whatever is asked of a store, in memory or on disk: the same answers, and nothing goes stale."""

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.errors import InvariantBroken
from storage.blobs import Blobs
from storage.cache import RowCache
from storage.errors import StorageError
from storage.journal import Journal
from storage.rocks import RocksEngine
from tests.support.store_program import AGAIN, live_through

LIVES = 150
LIVES_PER_TEST = 50
"""Of the same seeds `make long` lives 5,000."""


@pytest.mark.parametrize("first", range(0, LIVES, LIVES_PER_TEST))
def test_any_life_gives_the_same_answers_twice_and_leaves_nothing_stale(
    first: int, tmp_path: Path
) -> None:
    live_through(range(first, first + LIVES_PER_TEST), tmp_path)


def the_cache_is_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RowCache, "update", lambda self, changes: None)


def burials_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    bury = Journal.stage_burial
    patch.setattr(Journal, "stage_burial", lambda *given: bury(*given) and 0)


def sealed_evidence_is_dropped_like_any(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Journal, "sealed_in", staticmethod(lambda row: None))
    evidence = Journal.evidence

    def forget_the_seal(self: Journal, evidence_id: bytes) -> object:
        row = evidence(self, evidence_id)
        return row and type(row)(row.author, row.seq, row.proof, None)

    patch.setattr(Journal, "evidence", forget_the_seal)


def a_blob_is_not_deleted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Blobs, "stage_delete", lambda self, batch, content_hash: self.size(content_hash))


def the_disk_answers_in_another_order(patch: pytest.MonkeyPatch) -> None:
    get_many = RocksEngine.get_many
    patch.setattr(RocksEngine, "get_many", lambda *given: get_many(*given)[::-1])


@pytest.mark.parametrize(
    "spoil",
    [
        the_cache_is_not_told,
        burials_are_not_counted,
        sealed_evidence_is_dropped_like_any,
        a_blob_is_not_deleted,
        the_disk_answers_in_another_order,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_a_fault_ends_a_life_that_says_how_to_repeat_it(
    spoil: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    with pytest.raises((AssertionError, InvariantBroken, StorageError)) as caught:
        live_through(range(LIVES), tmp_path)
    *_, command = caught.value.__notes__
    seed = command.removeprefix(f"again: {AGAIN} ")
    # On a pair of its own that one life ends alike.
    (tmp_path / "again").mkdir()
    with pytest.raises(caught.type):
        live_through(range(int(seed), int(seed) + 1), tmp_path / "again")
