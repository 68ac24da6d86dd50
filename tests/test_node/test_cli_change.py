"""minesync change: what it sends, and how it shows what the node says."""

from pathlib import Path
from typing import Any

import pytest

from node.exits import Exit
from tests.support.fake_node import Ask, make_ask, page

CHANGE = "c0de" + "00" * 30
SEALER = "ef" * 32
HOSTILE = "x\x1b[2J\nfake\u202e[red]y[/red]"
VOTED = {"change_id": CHANGE, "tx_id": "ab" * 32, "effective_at": 90, "voting_deadline": 88}


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command line against a fake node with the given replies."""
    return make_ask(tmp_path, monkeypatch, capsys)


def a_change(**changes: Any) -> dict[str, Any]:
    change = {
        "change_id": CHANGE,
        "action": "set_parameter",
        "name": "epoch_ms",
        "values": ["5000"],
        "effective_at": 90,
        "voting_deadline": 88,
        "status": "open",
        "provisional": True,
        "counted": 2,
        "quorum": 3,
        "missing": 1,
        "votes": [{"sealer": SEALER, "voted_at": 12}],
        "awaited": ["cd" * 32],
    }
    return {**change, **changes}


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (
            ("set", "epoch_ms", "5000", "--at", "90"),
            {
                "action": "set_parameter",
                "name": "epoch_ms",
                "values": ["5000"],
                "effective_at": 90,
            },
        ),
        (
            ("set", "reward_min", "1", "2", "3", "4"),
            {"action": "set_parameter", "name": "reward_min", "values": ["1", "2", "3", "4"]},
        ),
        (("admit-sealer", SEALER), {"action": "admit_sealer", "address": SEALER}),
        (("dismiss-validator", SEALER), {"action": "dismiss_validator", "address": SEALER}),
    ],
)
def test_a_change_is_proposed(ask: Ask, words: tuple[str, ...], sent: dict[str, Any]) -> None:
    outcome = ask("change", "propose", *words, change_propose=lambda **_: VOTED)
    assert outcome.code == 0, outcome.err
    assert CHANGE in outcome.out
    assert "88" in outcome.out
    assert outcome.calls == [("change_propose", sent)]


@pytest.mark.parametrize(
    "words",
    [("set", "epoch_ms"), ("admit-sealer", SEALER, "1"), ("abolish", "x"), ("admit-sealer", "x")],
)
def test_words_that_mean_no_change_are_refused_here(ask: Ask, words: tuple[str, ...]) -> None:
    outcome = ask("change", "propose", *words)
    assert outcome.code == Exit.USAGE
    assert outcome.calls == []


def test_a_vote_names_a_change_by_its_first_digits(ask: Ask) -> None:
    outcome = ask(
        *("change", "vote", "c0de"),
        change_list=page(a_change()),
        change_vote=lambda **_: VOTED,
    )
    assert outcome.code == 0, outcome.err
    assert outcome.calls[-1] == ("change_vote", {"change_id": CHANGE})


def test_a_list_shows_votes_and_marks_what_is_provisional(ask: Ask) -> None:
    hostile = a_change(name=HOSTILE, status=HOSTILE, provisional=False)
    who = a_change(action="admit_sealer", name=None, values=None, address=SEALER)
    outcome = ask("change", "list", "--open", change_list=page(a_change(), who, hostile))
    assert outcome.code == 0, outcome.err
    words = " ".join(outcome.out.split())
    assert "set epoch_ms 5000 90 ~open ~2/3" in words
    assert f"admit sealer {SEALER[:12]}" in words
    assert outcome.calls[0][1]["which"] == "open"
    assert "no changes" in ask("change", "list", change_list=page()).out


def test_a_change_is_shown_with_those_who_are_awaited(ask: Ask) -> None:
    outcome = ask("change", "show", CHANGE, change_get=lambda **_: a_change())
    assert outcome.code == 0, outcome.err
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "status ~open" in lines
    assert "values 5000" in lines
    assert f"for it {SEALER}" in lines
    assert f"awaited {'cd' * 32}" in lines


def test_the_charter_shows_what_was_changed_and_what_follows(ask: Ask) -> None:
    charter = {
        "since": 5,
        "sealers": [SEALER],
        "quorum": 1,
        "parameters": [
            {"name": "epoch_ms", "values": ["5000"], "genesis": ["1000"], "fixed": None},
            {"name": "claim_fee", "values": ["7"], "genesis": ["7"], "fixed": None},
            {"name": "late_epochs", "values": ["2"], "genesis": ["2"], "fixed": "a reason"},
        ],
        "later": [
            {
                "since": 90,
                "sealers": ["cd" * 32],
                "quorum": 1,
                "changed": [{"name": "claim_fee", "values": ["8"], "genesis": ["7"]}],
            }
        ],
    }
    outcome = ask("change", "charter", change_get=None, charter_get=lambda: charter)
    assert outcome.code == 0, outcome.err
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "epoch_ms 5000 was 1000" in lines
    assert "late_epochs 2 fixed" in lines
    assert "from epoch 90" in lines
    assert "claim_fee 8" in lines
    assert f"sealer {'cd' * 32}" in lines


def test_a_status_shows_the_numbers_that_were_changed(ask: Ask) -> None:
    changed = [{"name": "epoch_ms", "values": ["5000"], "genesis": ["1000"]}]
    status = {"ready": True, "parameters_changed": changed}
    out = " ".join(ask("status", node_status=lambda: status).out.split())
    assert "changed epoch_ms 5000" in out
