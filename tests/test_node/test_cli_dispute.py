"""minesync dispute and minesync stake: what they send, and how they show what the node says."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.exits import Exit
from tests.support.fake_node import Ask, make_ask, page

DISPUTE = "d1" + "00" * 31
TASK = "ab12" + "00" * 30
ANSWER = "cd" * 32
MINER = "ef" * 32
HOSTILE = "x\x1b[2J\nfake\u202e[red]y[/red]"


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command line against a fake node with the given replies."""
    return make_ask(tmp_path, monkeypatch, capsys)


@pytest.fixture
def proof(tmp_path: Path) -> str:
    path = tmp_path / "proof.txt"
    path.write_bytes(b"proof")
    return str(path)


def a_dispute(**changes: Any) -> dict[str, Any]:
    dispute = {
        "dispute_id": DISPUTE,
        "task_id": TASK,
        "type": "plagiarism",
        "status": "under_review",
        "reason": HOSTILE,
        "hearing": 0,
        "voting_deadline": 12,
        "locked": "500000000",
        "forfeited": "0",
        "verdict": None,
        "defendants": [MINER],
        "panel": [MINER],
        "evidence": [
            {"type": "prior_art", "content_hash": ANSWER, "submitter": MINER, "added_at": 9}
        ],
        "votes": [{"hearing": 0, "arbiter": MINER, "choice": "uphold", "share": 0}],
        "judgments": [{"hearing": 0, "choice": "uphold", "share": 0, "decided_at": 11}],
        "appeals": [{"appellant": MINER, "reason": HOSTILE, "appealed_at": 12}],
    }
    return {**dispute, **changes}


def test_a_dispute_is_opened_with_its_evidence(ask: Ask, proof: str) -> None:
    outcome = ask(
        *("dispute", "open", "ab12", "--type", "plagiarism", "--evidence", proof),
        *("--kind", "original_work", "--answer", ANSWER, "--bond", "1.5", "--reason", "mine"),
        task_list=page({"task_id": TASK}),
        dispute_open=lambda **_: {"dispute_id": DISPUTE, "bond": "1500000000"},
    )
    assert outcome.code == 0, outcome.err
    assert DISPUTE in outcome.out
    assert outcome.calls[-1] == (
        "dispute_open",
        {
            "task_id": TASK,
            "type": "plagiarism",
            "evidence": [{"type": "original_work", "data": "0x" + b"proof".hex()}],
            "submission_id": ANSWER,
            "reason": "mine",
            "bond": "1500000000",
        },
    )


def test_what_is_left_out_is_left_to_the_node(ask: Ask, proof: str) -> None:
    outcome = ask(
        *("dispute", "open", TASK, "--type", "technical_error", "--evidence", proof),
        dispute_open=lambda **_: {"dispute_id": DISPUTE},
    )
    assert set(outcome.calls[-1][1]) == {"task_id", "type", "evidence", "reason"}
    outcome = ask("dispute", "appeal", DISPUTE, dispute_appeal=lambda **_: {"deposit": "5"})
    assert outcome.calls == [("dispute_appeal", {"dispute_id": DISPUTE, "reason": ""})]


def test_disputes_are_listed_and_shown_on_lines_of_their_own(ask: Ask) -> None:
    outcome = ask("dispute", "list", "--open", dispute_list=page(a_dispute()))
    assert outcome.calls == [("dispute_list", {"limit": 50, "which": "open"})]
    assert "under_review" in outcome.out
    assert "no disputes" in ask("dispute", "list", dispute_list=page()).out
    listed = ask("dispute", "list", "--task", TASK, "--json", dispute_list=page(a_dispute()))
    assert json.loads(listed.out)["items"][0]["dispute_id"] == DISPUTE
    shown = ask("dispute", "show", "d100", dispute_list=page(a_dispute()), dispute_get=a_reply())
    assert shown.code == 0
    assert "\\x1b[2J" in shown.out
    assert "prior_art" in shown.out
    assert ["locked", "0.5"] in [line.split() for line in shown.out.splitlines()]


def a_reply() -> Any:
    return lambda dispute_id: a_dispute(dispute_id=dispute_id)


def test_a_vote_names_the_guilty(ask: Ask) -> None:
    outcome = ask(
        *("dispute", "vote", DISPUTE, "overturn", "--answer", ANSWER, "--validator", MINER),
        *("--reason", "A copy."),
        dispute_vote=lambda **_: {"tx_id": TASK},
    )
    assert outcome.code == 0, outcome.err
    (_, params) = outcome.calls[-1]
    assert (params["choice"], params["share"]) == ("overturn", 0)
    assert (params["submissions"], params["validators"]) == ([ANSWER], [MINER])
    split = ask(
        *("dispute", "vote", DISPUTE, "split", "--share", "25"),
        dispute_vote=lambda **_: {"tx_id": TASK},
    )
    assert split.calls[-1][1]["share"] == 2_500
    assert ask("dispute", "vote", DISPUTE, "split", "--share", "100").code == Exit.USAGE


def test_evidence_is_read_from_a_file_of_bounded_size(ask: Ask, proof: str, tmp_path: Path) -> None:
    outcome = ask(
        *("dispute", "evidence", DISPUTE, proof, "--kind", "expert_opinion"),
        dispute_evidence=lambda **_: {"content_hash": ANSWER},
    )
    given = {"type": "expert_opinion", "data": "0x" + b"proof".hex()}
    assert outcome.calls == [("dispute_evidence", {"dispute_id": DISPUTE, "evidence": given})]
    assert ANSWER in outcome.out
    assert ask("dispute", "evidence", DISPUTE, str(tmp_path / "none")).code == Exit.USAGE
    big = tmp_path / "big"
    big.write_bytes(bytes((1 << 20) + 1))
    assert "input_too_long" in ask("dispute", "evidence", DISPUTE, str(big)).err


def test_a_dispute_is_taken_back(ask: Ask) -> None:
    outcome = ask("dispute", "withdraw", DISPUTE, dispute_withdraw=lambda **_: {"tx_id": TASK})
    assert outcome.calls == [("dispute_withdraw", {"dispute_id": DISPUTE})]


def test_an_opinion_is_published(ask: Ask) -> None:
    outcome = ask("report", "publish", ANSWER, fraud_report=lambda **_: {"risk": 9_000})
    assert outcome.calls == [("fraud_report", {"submission_id": ANSWER})]
    assert "9000" in outcome.out


def test_a_stake_is_shown_raised_and_taken_back(ask: Ask) -> None:
    stake = {"address": MINER, "status": "exiting", "stake": "5", "withdrawable_after": 40}
    outcome = ask("stake", "show", MINER, stake_get=lambda **_: stake)
    assert outcome.calls == [("stake_get", {"address": MINER})]
    assert "0.000000005" in outcome.out
    outcome = ask("stake", "deposit", "2.5", stake_deposit=lambda **_: {"tx_id": TASK})
    assert outcome.calls == [("stake_deposit", {"amount": "2500000000"})]
    left = ask("stake", "exit", stake_exit=dict, stake_get=lambda: stake)
    assert "epoch 40" in left.out
    assert ask("stake", "withdraw", stake_withdraw=dict).code == 0
