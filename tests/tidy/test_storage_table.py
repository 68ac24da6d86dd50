"""The table of the founding document's interface says what is there, of all of its 39 methods."""

import importlib
import re

import pytest

from storage.engine import TABLES
from storage.indexes import INDEXES
from tests.tidy.tree import ROOT, read_sources

FOUNDING_METHODS = [
    "store_task_state",
    "get_task_state",
    "update_task_status",
    "list_active_tasks",
    "list_tasks_by_status",
    "delete_expired_tasks",
    "store_miner_state",
    "get_miner_state",
    "update_miner_reputation",
    "list_miners_by_specialization",
    "get_top_miners_by_reputation",
    "store_submission",
    "get_submission",
    "list_submissions_for_task",
    "update_submission_validation",
    "store_validation_result",
    "get_validation_results",
    "list_validations_by_validator",
    "store_reward_distribution",
    "get_reward_distribution",
    "list_unclaimed_rewards",
    "mark_reward_claimed",
    "store_fraud_analysis",
    "get_fraud_analysis",
    "list_flagged_submissions",
    "store_behavioral_pattern",
    "store_network_metrics",
    "get_latest_network_metrics",
    "store_performance_analytics",
    "store_dispute",
    "get_dispute",
    "update_dispute_status",
    "list_pending_disputes",
    "batch_store_submissions",
    "batch_update_task_statuses",
    "cleanup_expired_data",
    "compact_storage",
    "backup_data",
    "restore_data",
]
SPAN = re.compile(r"`([^`]+)`")
NOTHING = "—"


def read_rows() -> list[list[str]]:
    """Return the cells of each row of the table."""
    text = (ROOT / "storage" / "README.md").read_text(encoding="utf-8")
    section = text.partition("## The founding document's interface\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def find_ours(dotted: str) -> bool:
    """Tell whether some module of storage has a class with this method, or this function."""
    owner, _, name = dotted.rpartition(".")
    for source in read_sources("storage"):
        module = importlib.import_module(source.path.removesuffix(".py").replace("/", "."))
        place = getattr(module, owner, None) if owner else module
        if place is not None and callable(getattr(place, name, None)):
            return True
    return False


def test_the_table_names_every_method_of_the_founding_document_once() -> None:
    assert [row[0] for row in read_rows()] == FOUNDING_METHODS
    assert len(FOUNDING_METHODS) == 39


@pytest.mark.parametrize("row", read_rows(), ids=lambda row: row[0])
def test_every_row_names_what_exists(row: list[str]) -> None:
    _, ours, column, index, cost, test = row
    assert ours == NOTHING or SPAN.findall(ours)
    assert [one for one in SPAN.findall(ours) if not find_ours(one)] == []
    assert [one for one in SPAN.findall(column) if one not in TABLES] == []
    names = {one.name for one in INDEXES}
    assert [one for one in SPAN.findall(index) if one not in names] == []
    # What does not exist claims neither a cost nor a test; what exists names both.
    assert (ours == NOTHING) == (cost == NOTHING) == (test == NOTHING)
    if test != NOTHING:
        texts = [source.text for source in read_sources("tests")]
        assert any(f"def {test}(" in text for text in texts)


def test_the_check_of_the_table_misses_what_is_missing() -> None:
    assert find_ours("Queries.task")
    assert not find_ours("Queries.no_such_method")
    assert not find_ours("NoSuchClass.task")
