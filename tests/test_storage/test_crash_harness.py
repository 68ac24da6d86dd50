"""The crash harness sees what it is there to see: losses, halves, other states.

No process dies here: a store lives on in memory and is then spoilt by hand.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.hashing import compute_content_hash
from protocol.lthash import LtHash
from protocol.tables import TASKS
from storage.backup import make_backup
from storage.backup_folder import MANIFEST
from storage.engine import Batch
from storage.indexes import INDEX_TABLE
from storage.journal import CHAINS, OPEN, TRANSACTIONS
from storage.memory import MemoryEngine
from storage.meta import Head, stage_head
from storage.range_leaves import TABLE as LEAVES
from storage.store import Store
from tests.crash.facts import Fact, Hearing, Kind, Teller
from tests.crash.failpoints import Failpoint
from tests.crash.reference import CrashWorld, a_reference, check_backups, compare, find_lost
from tests.crash.report import Tally
from tests.crash.telling import TellingStore
from tests.crash.writer import take_step
from tests.support.stored import StoredWorld, play_randomly

SEED, STEPS = 8, 28


class Told:
    """A writer's life in memory: its store, and what was heard of it."""

    def __init__(self, folder: Path, *, is_hasty: bool = False) -> None:
        self.hearing = Hearing()
        world = a_reference()
        teller = Teller(self.hearing.hear)
        self.store = TellingStore(MemoryEngine(), world.genesis, teller, is_hasty=is_hasty)
        world.store = self.store
        chance = random.Random(SEED)
        for _ in range(STEPS):
            take_step(world, self.store, self.store.engine, folder, chance)
        # Something is open at the end, and the last word is an acknowledged one.
        self.store.put_transactions([world.publish("alice")])
        data = b"the last"
        self.store.put_blob(compute_content_hash(data), data)
        self.facts = self.hearing.facts

    def compare(self, acknowledged: int | None = None) -> "tuple[int | None, bool, bool]":
        """Return the point, whether a loss was seen, whether a half."""
        promised = self.hearing.acknowledged if acknowledged is None else acknowledged
        found = compare(self.store, a_reference(), self.facts, 0, promised)
        return found.point, bool(found.lost), bool(found.half)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "backups")


def build(facts: list[Fact]) -> CrashWorld:
    """Return a world with a store that holds exactly these facts."""
    world = a_reference()
    for fact in facts:
        world.apply(fact)
    return world


def delete_last(store: Store, table: str) -> None:
    batch = Batch()
    batch.delete(table, next(iter(store.engine.scan(table, reverse=True)))[0])
    store.engine.write(batch, sync=False)


def spoil_root(store: Store) -> None:
    batch, rows_hash = Batch(), LtHash()
    rows_hash.add_row("ai_task_states", b"key", b"value")
    stage_head(batch, Head(store.head.epoch, store.head.seal_hash, rows_hash))
    store.engine.write(batch, sync=False)


def test_a_writer_does_everything_that_a_store_keeps(told: Told) -> None:
    assert {fact.kind for fact in told.facts} == set(Kind)


def test_a_sound_store_stands_at_the_last_fact(told: Told) -> None:
    assert told.compare() == (len(told.facts), False, False)


def test_the_fact_in_doubt_may_be_there_or_not(told: Told) -> None:
    last = len(told.facts)
    assert told.compare(acknowledged=last - 1) == (last, False, False)
    told.store = build(told.facts[:-1]).store  # type: ignore[assignment]
    assert told.compare(acknowledged=last - 1) == (last - 1, False, False)


@pytest.mark.parametrize("gone", [1, 5, 30])
def test_an_older_state_is_a_loss_and_no_half(told: Told, gone: int) -> None:
    promised = told.facts[-gone:]
    store = build(told.facts[:-gone]).store
    found = compare(store, a_reference(), told.facts, 0, len(told.facts))
    assert (found.point, found.half) == (None, [])
    # The blob at the end is of those that are gone, and each thing is named.
    assert len(found.lost) == len(find_lost(store, promised)) > 0
    assert found.lost[-1].startswith("blob ")


@pytest.mark.parametrize("table", [CHAINS, OPEN, INDEX_TABLE, TASKS.name, LEAVES, "blob_pieces"])
def test_a_row_that_is_missing_is_a_half(told: Told, table: str) -> None:
    delete_last(told.store, table)
    assert told.compare()[::2] == (None, True)


def test_a_transaction_that_is_missing_is_a_half_and_a_loss(told: Told) -> None:
    delete_last(told.store, TRANSACTIONS)
    assert told.compare() == (None, True, True)


def test_another_root_is_a_half(told: Told) -> None:
    spoil_root(told.store)
    assert told.compare() == (None, False, True)


def test_an_epoch_that_the_facts_do_not_fold_to_is_a_half(told: Told) -> None:
    place = max(i for i, fact in enumerate(told.facts) if fact.kind is Kind.EPOCH)
    told.facts[place] = Fact(Kind.EPOCH, (b"another seal", *told.facts[place].parts[1:]))
    found = compare(told.store, a_reference(), told.facts, 0, place)
    assert "fold to another seal" in found.half[0]


def test_a_writer_that_promises_first_is_caught(tmp_path: Path) -> None:
    hasty = Told(tmp_path / "backups", is_hasty=True)
    promised = hasty.hearing.acknowledged
    store = build(hasty.facts[: promised - 1]).store
    assert compare(store, a_reference(), hasty.facts, 0, promised).lost


def test_words_that_the_death_cut_short_are_not_heard() -> None:
    said: list[bytes] = []
    teller = Teller(said.append)
    teller.ready()
    teller.tell(Fact(Kind.BLOB, (b"h", b"data")))
    teller.acknowledge()
    for cut in range(1, len(said[-1]) + 1):
        hearing = Hearing()
        hearing.hear(b"".join(said)[:-cut])
        assert (len(hearing.facts), hearing.acknowledged, hearing.items) == (1, 0, 0)


def spoil_manifest(path: Path) -> None:
    (path / MANIFEST).write_bytes(b"")


def cut_items(path: Path) -> None:
    items = max(path.iterdir(), key=lambda file: file.stat().st_size)
    items.write_bytes(items.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [spoil_manifest, cut_items])
def test_a_backup_that_is_not_whole_is_seen(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    world = StoredWorld(a_reference().store)
    play_randomly(world, random.Random(1), 2)
    backup = make_backup(world.store, tmp_path / "backups")
    assert check_backups(tmp_path / "backups", world.genesis, 1) == []
    assert check_backups(tmp_path / "backups", world.genesis, 2) != []
    spoil(backup.path)
    assert check_backups(tmp_path / "backups", world.genesis, 1) != []


@pytest.mark.parametrize(
    ("changes", "verdict", "is_failure"),
    [
        ({}, "PASS", False),
        ({"lost": 1}, "FAIL", True),
        ({"half": 1}, "FAIL", True),
        ({"faults": ["a fault"]}, "FAIL", True),
        ({"must_lose": True}, "FAIL (blind)", True),
        ({"must_lose": True, "lost": 1, "faults": ["gone"]}, "PASS (sees loss)", False),
        ({"must_lose": True, "lost": 1, "half": 1}, "FAIL (half)", True),
        ({"missing": "root"}, "NOT-RUN", False),
    ],
)
def test_a_part_passes_only_if_it_saw_what_it_must(
    changes: dict[str, object], verdict: str, is_failure: bool
) -> None:
    tally = replace(Tally("kill=test", 1), **changes)  # type: ignore[arg-type]
    assert (tally.verdict, tally.is_failure) == (verdict, is_failure)
    assert f"verdict={verdict}" in tally.to_lines()[0]


def test_a_failpoint_is_what_it_says() -> None:
    point = Failpoint("write", "before", 17)
    assert Failpoint.parse(str(point)) == point
    for text in ("write:during:1", "nowhere:before:1", "write:before:x", "write:before:0"):
        with pytest.raises(ValueError, match=r".+"):
            Failpoint.parse(text)
