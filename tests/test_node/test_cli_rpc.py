"""The commands that ask a node: what they send, and how they show what it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.exits import Exit
from node.rpc.client import RpcError
from tests.support.fake_node import Ask, make_ask, page

TASK = "ab12" + "00" * 30
OTHER = "ab13" + "00" * 30
ANSWER = "cd" * 32
MINER = "ef" * 32
CATEGORY = ("--field", "category=x")
PUZZLE = ("--field", "problem_type=x")
PYTHON = ("--field", "language=python")
HOSTILE = "x\x1b[2J\nfake\u202e[red]y[/red]"


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command line against a fake node with the given replies."""
    return make_ask(tmp_path, monkeypatch, capsys)


def a_task(task_id: str = TASK, **changes: Any) -> dict[str, Any]:
    task = {
        "task_id": task_id,
        "publisher": MINER,
        "status": "answers_submitted",
        "provisional": True,
        "task_type": {"type": "code_analysis", "language": "python", "complexity": "simple"},
        "title": HOSTILE,
        "description": HOSTILE * 20,
        "reward": "12500000000",
        "submission_deadline": 12,
        "participants": [{"miner": MINER, "submission_id": ANSWER}],
        "transitions": [
            {"epoch": 3, "from_status": "published", "to_status": "in_progress", "trigger": "x"}
        ],
        "submissions": [an_answer()],
        "rewards": [{"entries": [{"recipient": MINER, "role": "winner", "amount": "5"}]}],
    }
    return {**task, **changes}


def an_answer() -> dict[str, Any]:
    return {
        "submission_id": ANSWER,
        "task_id": TASK,
        "miner": MINER,
        "status": "revealed",
        "score": None,
        "stake": "1000000000",
    }


def test_status_is_0_when_ready_and_1_with_the_failing_checks_when_not(ask: Ask) -> None:
    status = {
        "ready": True,
        "epoch": 7,
        "checks": {"peers": {"ok": True}, "disk": {"ok": False}},
        "network_name": HOSTILE,
        "addresses": ["/ip4/127.0.0.1/tcp/1"],
        "uptime_ms": 3_661_000,
    }
    outcome = ask("status", node_status=lambda: status)
    assert outcome.code == Exit.OK
    assert "1 h 1 min 1 s" in outcome.out
    outcome = ask("status", node_status=lambda: {**status, "ready": False})
    assert outcome.code == Exit.FAILED
    assert "no: disk" in outcome.out
    outcome = ask("status", "--json", node_status=lambda: status)
    assert json.loads(outcome.out)["epoch"] == 7


def test_status_tells_of_the_sealers_where_there_are_several(ask: Ask) -> None:
    def show(signed: int, contradicted: int | None = None) -> dict[str, object]:
        words: dict[str, object] = {"prevote": "nil", "precommit": None, "contradicted_at": None}
        items = [{"signed_last": place < signed, **words} for place in range(4)]
        items[0]["contradicted_at"] = contradicted
        return {"quorum": 3, "round": 2, "items": items}

    status = {"ready": True, "sealing": show(3, contradicted=9)}
    out = " ".join(ask("status", node_status=lambda: status).out.split())
    assert "sealers 3 of 4 signed the last seal, 3 must" in out
    assert "next seal round 2, 4 voted" in out
    assert "liars 1 of the sealers contradicted themselves" in out
    alone = {"quorum": 1, "round": 0, "items": [{"signed_last": True}]}
    outcome = ask("status", node_status=lambda: {"ready": True, "sealing": alone})
    assert "sealers" not in outcome.out


def test_a_publication_leaves_to_the_node_what_is_not_chosen(ask: Ask, tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("x = 1\n")
    outcome = ask(
        *("task", "publish", "A title", "--description", "what is wanted", "--reward", "12.5"),
        *("--type", "code_analysis", "--field", "language=python", "--field", "complexity=simple"),
        *("--input", str(source)),
        task_publish=lambda **params: {"task_id": TASK, "tx_id": OTHER},
    )
    assert outcome.code == 0, outcome.err
    assert TASK in outcome.out
    (method, params) = outcome.calls[0]
    assert method == "task_publish"
    assert params["data"] == "0x" + b"x = 1\n".hex()
    assert params["terms"] == {
        "task_type": {"type": "code_analysis", "language": "python", "complexity": "simple"},
        "title": "A title",
        "description": "what is wanted",
        "reward": "12500000000",
        "max_participants": 10,
        "difficulty": "beginner",
        "quality_threshold": 60,
        "submission_requirements": "",
    }


def test_a_dry_run_signs_nothing_and_shows_the_cost(ask: Ask) -> None:
    outcome = ask(
        *("task", "publish", "T", "--description", "what is wanted", "--reward", "5", "--dry-run"),
        *("--field", "category=any"),
        task_estimate=lambda **params: {"fee": "1500000", "reward": "5000000000"},
    )
    assert outcome.code == 0
    assert "0.0015" in outcome.out
    assert [method for method, _ in outcome.calls] == ["task_estimate"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--reward", "much", *CATEGORY), "bad_amount"),
        (("--reward", "1.0000000001", *CATEGORY), "bad_amount"),
        (("--reward", "99999999999", *CATEGORY), "bad_amount"),
        (("--reward", "5", "--type", "code_analyses"), "did you mean code_analysis?"),
        (("--reward", "5", "--type", "code_analysis"), "missing_field"),
        (("--reward", "5", "--field", "categori=x"), "did you mean category?"),
        (("--reward", "5", "--field", "category"), "bad_field"),
        (
            ("--reward", "5", "--type", "logic_reasoning", *PUZZLE, "--field", "complexity=many"),
            "bad_field",
        ),
        (
            ("--reward", "5", "--type", "code_analysis", *PYTHON, "--field", "complexity=huge"),
            "simple or medium or complex or enterprise",
        ),
        (("--reward", "5", "--threshold", "101", "--field", "category=x"), "bad_percent"),
        (("--reward", "5", "--input", "/none", "--field", "category=x"), "input_unreadable"),
        (("--reward", "5", "--difficulty", "begginer"), 'Did you mean "beginner"?'),
    ],
)
def test_a_publication_that_makes_no_sense_is_not_sent(
    ask: Ask, words: tuple[str, ...], expected: str
) -> None:
    outcome = ask("task", "publish", "T", "--description", "what is wanted", *words)
    assert outcome.code == Exit.USAGE
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.calls == []


def test_hostile_text_of_a_task_is_shown_on_its_line(ask: Ask) -> None:
    outcome = ask("task", "list", task_list=page(a_task(), a_task(OTHER)))
    lines = outcome.out.rstrip("\n").split("\n")
    assert len(lines) == 4
    assert "ab1200000000" in lines[1]
    assert "12.5" in lines[1]
    shown = ask("task", "show", TASK, task_get=lambda task_id: a_task(task_id))
    assert "language" in shown.out
    assert "winner" in shown.out
    assert "\\x1b[2J" in shown.out
    assert "[red]" in shown.out


def test_an_id_may_be_cut_as_long_as_it_means_one_task(ask: Ask) -> None:
    both = page(a_task(), a_task(OTHER))
    outcome = ask("task", "show", "0xAB12", task_list=both, task_get=lambda task_id: a_task())
    assert outcome.calls[-1] == ("task_get", {"task_id": TASK})
    outcome = ask("task", "show", TASK, task_get=lambda task_id: a_task())
    assert [method for method, _ in outcome.calls] == ["task_get"]
    outcome = ask("task", "show", "ab1", task_list=both)
    assert (outcome.code, "bad_id" in outcome.err) == (Exit.USAGE, True)
    outcome = ask("task", "cancel", "ab1".ljust(64, "0") + "0", task_list=both)
    assert (outcome.code, "bad_id" in outcome.err) == (Exit.USAGE, True)
    outcome = ask("task", "show", "ffff", task_list=both)
    assert (outcome.code, "unknown_id" in outcome.err) == (Exit.FAILED, True)
    ambiguous = page(a_task(), a_task(TASK[:60] + "ffff"))
    outcome = ask("task", "show", "ab12", task_list=ambiguous)
    assert (outcome.code, "ambiguous_id" in outcome.err) == (Exit.FAILED, True)


def test_long_lists_are_fetched_page_by_page_up_to_the_limit(ask: Ask) -> None:
    def list_tasks(limit: int, cursor: str = "0") -> dict[str, Any]:
        start = int(cursor)
        items = [a_task(number.to_bytes(32, "big").hex()) for number in range(start, start + 300)]
        return {"items": items[:limit], "next_cursor": str(start + 300)}

    outcome = ask("task", "list", "--limit", "700", "--json", task_list=list_tasks)
    assert len(json.loads(outcome.out)["items"]) == 700
    assert [params["limit"] for _, params in outcome.calls] == [500, 400, 100]


def test_a_task_is_cancelled_by_its_full_id(ask: Ask) -> None:
    outcome = ask(
        *("task", "cancel", "ab12", "--reason", "changed my mind"),
        task_list=page(a_task()),
        task_cancel=lambda **params: {"tx_id": OTHER},
    )
    assert outcome.code == 0
    assert outcome.calls[-1] == ("task_cancel", {"task_id": TASK, "reason": "changed my mind"})


def test_answers_are_listed_and_shown(ask: Ask) -> None:
    outcome = ask("task", "answers", TASK, task_answers=page(an_answer()))
    assert "cdcdcdcdcdcd" in outcome.out
    outcome = ask("answer", "list", "--miner", "0x" + MINER, answer_list=page(an_answer()))
    assert outcome.calls == [("answer_list", {"limit": 50, "miner": MINER})]
    content = "0x" + HOSTILE.encode().hex()
    outcome = ask(
        "answer", "show", ANSWER, answer_get=lambda **_: {"content": content, **an_answer()}
    )
    assert "\\x1b[2J" in outcome.out
    assert ["stake", "1"] in [line.split() for line in outcome.out.splitlines()]
    assert ANSWER in outcome.out
    outcome = ask("answer", "show", ANSWER, answer_get=lambda **_: {"content": "0xff"})
    assert "0xff" in outcome.out
    assert "no answers" in ask("answer", "list", answer_list=page()).out


def test_peers_conflicts_account_and_worker_are_shown(ask: Ask) -> None:
    peer = {"peer": "12D3KooW" + "x" * 44, "state": "equal", "epoch": 3, "faults": 0}
    outcome = ask("peers", net_peers=page(peer))
    assert "12D3KooWxxx" in outcome.out
    assert "no peers" in ask("peers", net_peers=page()).out
    ruling = {"tx_id": TASK, "kind": "claim_reward", "epoch": 3, "code": HOSTILE, "lost_to": None}
    assert "claim_reward" in ask("conflicts", check_conflicts=page(ruling)).out
    assert "nothing was refused" in ask("conflicts", check_conflicts=page()).out
    account = {"address": MINER, "balance": "1500000000", "next_seq": 3}
    outcome = ask("account", account_get=lambda: account)
    assert "1.5" in outcome.out
    outcome = ask("worker", "status", worker_status=lambda: {"state": "up", "current": [HOSTILE]})
    assert "up" in outcome.out
    assert ask("worker", "pause", worker_pause=dict).calls == [("worker_pause", {})]


def test_a_refusal_of_the_node_is_one_line_with_its_hint(ask: Ask) -> None:
    def refuse(**params: Any) -> Any:
        raise RpcError("wrong_phase", "Expired", "Published", number=1_000, hint="see the status")

    outcome = ask("task", "cancel", TASK, task_cancel=refuse)
    assert outcome.code == Exit.REFUSED
    assert outcome.err == (
        "minesync: wrong_phase: found Expired, wanted Published (see the status)\n"
    )
    outcome = ask("task", "cancel", TASK, "--json", task_cancel=refuse)
    assert json.loads(outcome.err)["error"]["hint"] == "see the status"


def test_worker_init_writes_a_program_and_overwrites_none(ask: Ask, tmp_path: Path) -> None:
    program = tmp_path / "solve.py"
    assert ask("worker", "init", str(program)).code == 0
    outcome = ask("worker", "init", str(program))
    assert (outcome.code, "unwritable" in outcome.err) == (Exit.FAILED, True)
    compile(program.read_text(), str(program), "exec")


def test_the_report_of_the_database_is_a_table_that_fits(ask: Ask) -> None:
    line = {
        "table": "ai_reward_distributions",
        "operation": "get_many",
        "calls": 1_234_567,
        "errors": 0,
        "rows": 1_234_567,
        "bytes": 4_000_000_001,
        "p50_ns": 1_499,
        "p99_ns": 20_000,
    }
    report = {
        "operations": [line],
        "cache": {"hits": 3, "misses": 1, "rows": 4, "bytes": 600},
        "tables": {"meta": {"bytes": 2_048, "keys": 3}, "seals": {"bytes": 1_024, "keys": 1}},
        "database": {"background_errors": 0},
    }
    outcome = ask("db", "report", db_report=lambda: report)
    assert outcome.code == 0
    words = [" ".join(text.split()) for text in outcome.out.splitlines()]
    assert "ai_reward_distributions get_many 1234567 0 3906251 2 20" in words
    assert {"cache hits 75 %", "stored KiB 3", "background errors 0"} <= set(words)
    shown = ask("db", "report", "--json", db_report=lambda: report)
    assert json.loads(shown.out) == report
    empty: dict[str, Any] = {"operations": [], "cache": {}, "tables": {}, "database": {}}
    assert ask("db", "report", db_report=lambda: empty).code == 0
