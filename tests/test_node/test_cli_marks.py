"""What a person is told of what no seal has fixed: a mark, a legend, the reversals."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.commands.marks import LEGEND
from node.exits import Exit
from tests.support.fake_node import Ask, make_ask, page

ID, OTHER = "ab" * 32, "cd" * 32
PROVISIONAL = {"provisional": True}
FINAL = {"provisional": False}


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    return make_ask(tmp_path, monkeypatch, capsys)


def a_task(**changes: Any) -> dict[str, Any]:
    task = {
        "task_id": ID,
        "status": "completed",
        "winner": OTHER,
        "title": "Sort",
        "participants": [],
        "transitions": [{"epoch": 3, "from_status": "a", "to_status": "under_way", **changes}],
        "submissions": [{"submission_id": OTHER, "status": "approved", **changes}],
        "rewards": [{"entries": [{"recipient": ID, "amount": "5", "state": "claimed", **changes}]}],
    }
    return {**task, **changes}


SHOWS: dict[str, tuple[tuple[str, ...], str, dict[str, Any], tuple[str, ...]]] = {
    "task": (("task", "show", ID), "task_get", a_task(), ("completed", "under_way", "claimed")),
    "answer": (
        ("answer", "show", ID),
        "answer_get",
        {"submission_id": ID, "status": "approved"},
        ("approved",),
    ),
    "dispute": (
        ("dispute", "show", ID),
        "dispute_get",
        {"dispute_id": ID, "status": "under_review", "verdict": "uphold"},
        ("under_review", "uphold"),
    ),
    "stake": (("stake", "show"), "stake_get", {"status": "active", "stake": "7"}, ("active",)),
    "account": (
        ("account",),
        "account_get",
        {"balance": "9", "provisional_balance": "8000000000", "next_seq": 44},
        ("8", "44"),
    ),
}


@pytest.mark.parametrize("what", sorted(SHOWS))
def test_what_is_shown_is_marked_until_a_seal_fixed_it(what: str, ask: Ask) -> None:
    words, method, data, values = SHOWS[what]
    final = ask(*words, **{method: lambda **_: {**data, **FINAL}})
    assert (LEGEND in final.out, "~" in final.out) == (False, False)
    full = a_task(**PROVISIONAL) if what == "task" else {**data, **PROVISIONAL}
    shown = ask(*words, **{method: lambda **_: full})
    assert LEGEND in shown.out
    for value in values:
        assert f"~{value}" in shown.out
    assert json.loads(ask(*words, "--json", **{method: lambda **_: full}).out)["provisional"]


LISTS: dict[str, tuple[tuple[str, ...], str, dict[str, Any], str]] = {
    "tasks": (("task", "list"), "task_list", a_task(), "completed"),
    "answers": (
        ("answer", "list"),
        "answer_list",
        {"submission_id": ID, "status": "approved"},
        "approved",
    ),
    "answers to a task": (
        ("task", "answers", ID),
        "task_answers",
        {"submission_id": ID, "status": "approved"},
        "approved",
    ),
    "disputes": (
        ("dispute", "list"),
        "dispute_list",
        {"dispute_id": ID, "status": "pending"},
        "pending",
    ),
    "conflicts": (("conflicts",), "check_conflicts", {"tx_id": ID, "code": "full"}, "full"),
}


@pytest.mark.parametrize("what", sorted(LISTS))
def test_in_a_list_only_what_is_provisional_is_marked(what: str, ask: Ask) -> None:
    words, method, item, value = LISTS[what]
    both = ask(*words, **{method: page({**item, **PROVISIONAL}, {**item, **FINAL})})
    assert both.out.count(f"~{value}") == 1
    assert both.out.count(value) == 2
    assert LEGEND in both.out
    assert "~" not in ask(*words, **{method: page({**item, **FINAL})}).out


def test_reversals_are_listed_with_what_they_lost_to(ask: Ask) -> None:
    item = {
        "epoch": 9,
        "what": "transaction",
        "id": ID,
        "was": "stands",
        "is": "ruled",
        "code": "task_full",
        "lost_to": OTHER,
    }

    def reply(**_: Any) -> dict[str, Any]:
        return {"items": [item], "next_cursor": None, "total": 3}

    shown = ask("conflicts", "--reversals", check_reversals=reply)
    for part in ("stands", "ruled", "task_full", OTHER[:12], "1 of 3"):
        assert part in shown.out
    plain = json.loads(ask("conflicts", "--reversals", "--json", check_reversals=reply).out)
    assert plain == {"items": [item], "total": 3}
    empty = ask("conflicts", "--reversals", check_reversals=lambda **_: {"items": [], "total": 0})
    assert "no seal made otherwise" in empty.out
    refused = ask("conflicts", ID, "--reversals")
    assert (refused.code, "bad_flags" in refused.err) == (Exit.USAGE, True)


def test_the_status_counts_reversals(ask: Ask) -> None:
    assert "reversals" in ask("status", node_status=lambda: {"ready": True, "reversals": 0}).out
