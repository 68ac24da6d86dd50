"""The acceptance checks, each with a control: without its defence the check fails.

| check | what is promised                                             | defence taken away       |
|-------|--------------------------------------------------------------|--------------------------|
| a     | after any operations the indexes are what the rows say       | old index keys deleted   |
| b     | a kill between any two writes leaves before or after         | one batch a change       |
| c     | the same transaction twice has one effect                    | door and journal know it |
| d     | 1,000 orders of arrival give one state, on two nodes         | order by stage and tie   |
| e     | no coin appears or vanishes                                  | ledger, then the checker |
| f     | every illegal move is refused and changes nothing            | the table of moves       |
| g     | a retention beyond the past drops nothing                    | numbers that may be < 0  |
| h     | open, disputed, unclaimed and escrowed tasks keep all rows   | when a task has closed   |
| i     | what a backup held is there after a restore, read or cached  | a new cache at open      |
| j     | hit rate, latencies and bytes freed are above zero after use | meters and counters      |
| k     | a lower analysis unlists an answer; exactly 0.7 lists none   | deleted keys, strictness |
| l     | "a:b" never lies under "a"                                   | parts that say their end |
| m     | a claim twice, by another, too early or disputed is refused  | each of the four checks  |
| n     | a copied commitment fails at reveal                          | the miner in it          |
| o     | a task in every open state ends by itself                    | moves by time            |
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.door import Door
from node.opinions import risk
from protocol import accounts, answers, fold, lifecycle
from protocol.answers import compute_commitment
from protocol.book import Payment
from protocol.errors import InvariantBroken
from protocol.invariants import ConsistencyChecker
from protocol.kinds import cancel_task, claim_reward, reveal_answer
from storage import indexes, local, queries, store
from storage.blobs import Blobs
from storage.cache import RowCache
from storage.commit import stage_changes
from storage.engine import Batch, Engine
from storage.errors import StorageError
from storage.journal import Journal
from storage.local import LocalStore
from storage.meta import stage_totals
from storage.prune import Pruner
from storage.stats import Meter
from storage.store import Store
from storage.tombstones import Pruned
from storage.view import StoreView
from tests.support import acceptance_pruning as pruning
from tests.support import acceptance_rules as rules
from tests.support import acceptance_storage as at_rest
from tests.support import builders
from tests.support.acceptance_storage import Ground
from tests.support.defences import (
    join_by_colons,
    read_after_colons,
    remove_check,
    split,
    stage_without_deletes,
)

OF_STORAGE: dict[str, Callable[[Ground], None]] = {
    "b": at_rest.a_kill_leaves_before_or_after,
    "c": at_rest.twice_has_one_effect,
    "g": pruning.a_retention_beyond_the_past_drops_nothing,
    "h": pruning.a_task_that_is_not_over_keeps_every_row,
    "i": at_rest.a_restored_store_is_what_it_was,
    "j": at_rest.figures_are_above_zero_after_use,
    "k": at_rest.a_lower_analysis_takes_an_answer_off_the_list,
    "l": at_rest.a_name_with_a_colon_never_lies_under_another,
}
"""Each runs on every engine."""
OF_RULES: dict[str, Callable[[Path], None]] = {
    "a": at_rest.indexes_are_what_the_rows_say,
    "d": rules.any_order_of_arrival_gives_one_state,
    "e": rules.no_coin_appears_or_vanishes,
    "f": rules.an_illegal_move_is_refused_and_changes_nothing,
    "m": rules.a_claim_that_is_not_due_is_refused,
    "n": rules.a_copied_commitment_fails_at_reveal,
    "o": rules.an_open_task_ends_by_itself,
}
"""These bring whatever store they need."""
FAILURES = (AssertionError, InvariantBroken, StorageError)


@pytest.mark.parametrize("letter", OF_STORAGE)
def test_an_acceptance_check_of_storage_holds(letter: str, engine: Engine, tmp_path: Path) -> None:
    OF_STORAGE[letter](Ground(engine, tmp_path))


@pytest.mark.parametrize("letter", OF_RULES)
def test_an_acceptance_check_of_the_rules_holds(letter: str, tmp_path: Path) -> None:
    OF_RULES[letter](tmp_path)


# ----------------------------------------------------------------------- the defences taken away

Patch = pytest.MonkeyPatch


def old_index_keys_stay(patch: Patch) -> None:
    patch.setattr(store, "stage_changes", stage_without_deletes)


def old_keys_of_opinions_stay(patch: Patch) -> None:
    patch.setattr(local, "stage_changes", stage_without_deletes)


def a_seal_is_written_in_two(patch: Patch) -> None:
    def write(self: Store, batch: Batch, totals: Any, *, sync: bool) -> None:
        stage_totals(batch, totals)
        for half in split(batch):
            self.engine.write(half, sync=sync)
        self.totals = totals

    patch.setattr(Store, "_write", write)


def an_opinion_is_written_in_two(patch: Patch) -> None:
    def stage(batch: Batch, changes: Any) -> Any:
        told = stage_changes(batch, changes)
        engines[-1].write(split(batch)[0], sync=False)
        return told

    engines: list[Engine] = []
    begin = LocalStore.__init__

    def remember(self: LocalStore, engine: Engine, rows: Any) -> None:
        engines.append(engine)
        begin(self, engine, rows)

    patch.setattr(LocalStore, "__init__", remember)
    patch.setattr(local, "stage_changes", stage)


def the_door_knows_nothing(patch: Patch) -> None:
    remove_check(patch, Door.judge_all, "journal.has(tx.tx_id)")


def the_journal_knows_nothing(patch: Patch) -> None:
    patch.setattr(Journal, "find_stored", lambda self, ids: set())


def order_is_that_of_arrival(patch: Patch) -> None:
    patch.setattr(fold, "compute_order", lambda tx, beacon: (0, b""))


def a_payment_makes_money(patch: Patch) -> None:
    def add(self: accounts.Tally, payments: Any) -> None:
        pay_in(self, [Payment(one.source, one.target, one.amount) for one in payments])
        self._change(builders.an_address("mallory"), 1)

    pay_in = accounts.Tally.add
    patch.setattr(accounts.Tally, "add", add)


def the_ledger_lets_money_appear(patch: Patch) -> None:
    a_payment_makes_money(patch)
    remove_check(patch, accounts._settle_ledger, "held != ledger.supply")


def nobody_looks_at_the_money(patch: Patch) -> None:
    the_ledger_lets_money_appear(patch)
    patch.setattr(ConsistencyChecker, "check", lambda self, view, outcome: None)


def every_move_is_allowed(patch: Patch) -> None:
    patch.setattr(lifecycle, "require_move", lambda source, target, trigger: None)


def a_task_is_cancelled_in_any_phase(patch: Patch) -> None:
    remove_check(patch, lifecycle.require_status, "task.status not in allowed")
    patch.setattr(cancel_task, "move_task", lambda task, status, *_: replace(task, status=status))


def a_retention_wraps_around(patch: Patch) -> None:
    def begin(self: Pruner, store: Store, retention: int, *rest: Any) -> None:
        remember(self, store, retention, *rest)
        if retention > store.head.epoch:
            self._retention = retention - (1 << 63)

    remember = Pruner.__init__
    patch.setattr(Pruner, "__init__", begin)


def every_task_has_closed(patch: Patch) -> None:
    patch.setattr(indexes, "is_paid_out", lambda task: True)
    patch.setattr(StoreView, "closed_at", lambda self, task_id: 0)


def the_cache_outlives_the_database(patch: Patch) -> None:
    kept = RowCache()
    patch.setattr(store, "RowCache", lambda: kept)


def meters_do_not_count(patch: Patch) -> None:
    patch.setattr(Meter, "add", lambda self, spent_ns, rows, size_bytes: None)


def meters_do_not_time(patch: Patch) -> None:
    patch.setattr(Meter, "time", lambda self, spent_ns: None)


def the_cache_does_not_count(patch: Patch) -> None:
    patch.setattr(RowCache, "find", lambda self, place: (False, None))


def a_delete_tells_no_size(patch: Patch) -> None:
    patch.setattr(Blobs, "stage_delete", lambda self, batch, content_hash: 0)


def a_clean_up_tells_no_size(patch: Patch) -> None:
    def count(self: Pruned, *, tasks: int = 0, rows: int = 0, size_bytes: int = 0) -> Pruned:
        return replace(self, tasks=self.tasks + tasks, rows=self.rows + rows)

    patch.setattr(Pruned, "count", count)


def seven_tenths_are_flagged(patch: Patch) -> None:
    patch.setattr(risk, "RISK_FLAGGED_ABOVE", 6_999)


def keys_are_joined_by_colons(patch: Patch) -> None:
    patch.setattr(indexes, "encode_key", join_by_colons)
    patch.setattr(queries, "decode_key", read_after_colons)


def a_claim_may_come_twice(patch: Patch) -> None:
    remove_check(patch, claim_reward._apply, "already_claimed")


def a_claim_may_come_from_another(patch: Patch) -> None:
    remove_check(patch, claim_reward._apply, "not_recipient")


def a_claim_may_come_too_early(patch: Patch) -> None:
    remove_check(patch, claim_reward._apply, "not_claimable")


def a_claim_may_come_while_disputed(patch: Patch) -> None:
    remove_check(patch, claim_reward._apply, "dispute_open")


def a_commitment_is_bound_to_nobody(patch: Patch) -> None:
    def commit(network: bytes, task_id: bytes, miner: bytes, content: bytes, salt: bytes) -> bytes:
        return compute_commitment(network, task_id, bytes(32), content, salt)

    for module in (answers, reveal_answer, builders):
        patch.setattr(module, "compute_commitment", commit)


def time_moves_nothing(patch: Patch) -> None:
    patch.setattr(fold, "apply_time_moves", lambda book, subject: None)


CONTROLS_OF_STORAGE: list[tuple[str, Callable[[Patch], None]]] = [
    ("b", a_seal_is_written_in_two),
    ("b", an_opinion_is_written_in_two),
    ("c", the_door_knows_nothing),
    ("c", the_journal_knows_nothing),
    ("g", a_retention_wraps_around),
    ("h", every_task_has_closed),
    ("i", the_cache_outlives_the_database),
    ("j", meters_do_not_count),
    ("j", meters_do_not_time),
    ("j", the_cache_does_not_count),
    ("j", a_delete_tells_no_size),
    ("j", a_clean_up_tells_no_size),
    ("k", old_keys_of_opinions_stay),
    ("k", seven_tenths_are_flagged),
    ("l", keys_are_joined_by_colons),
]
CONTROLS_OF_RULES: list[tuple[str, Callable[[Patch], None]]] = [
    ("a", old_index_keys_stay),
    ("a", old_keys_of_opinions_stay),
    ("d", order_is_that_of_arrival),
    ("e", a_payment_makes_money),
    ("e", the_ledger_lets_money_appear),
    ("e", nobody_looks_at_the_money),
    ("f", every_move_is_allowed),
    ("f", a_task_is_cancelled_in_any_phase),
    ("m", a_claim_may_come_twice),
    ("m", a_claim_may_come_from_another),
    ("m", a_claim_may_come_too_early),
    ("m", a_claim_may_come_while_disputed),
    ("n", a_commitment_is_bound_to_nobody),
    ("o", time_moves_nothing),
]


def get_name(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", "")


@pytest.mark.parametrize(("letter", "remove"), CONTROLS_OF_STORAGE, ids=get_name)
def test_without_its_defence_a_check_of_storage_fails(
    letter: str,
    remove: Callable[[Patch], None],
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remove(monkeypatch)
    with pytest.raises(FAILURES):
        OF_STORAGE[letter](Ground(engine, tmp_path))


@pytest.mark.parametrize(("letter", "remove"), CONTROLS_OF_RULES, ids=get_name)
def test_without_its_defence_a_check_of_the_rules_fails(
    letter: str,
    remove: Callable[[Patch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remove(monkeypatch)
    with pytest.raises(FAILURES):
        OF_RULES[letter](tmp_path)


def test_every_check_has_a_control_and_a_line_in_the_table() -> None:
    letters = {*OF_STORAGE, *OF_RULES}
    assert letters == {letter for letter, _ in [*CONTROLS_OF_STORAGE, *CONTROLS_OF_RULES]}
    lines = [line for line in (__doc__ or "").splitlines() if line.startswith("| ")]
    assert {line.split()[1] for line in lines} == {*letters, "check"}
