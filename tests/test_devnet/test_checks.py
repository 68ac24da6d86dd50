"""Each check tells what holds from what does not, on surveys made up by hand."""

from dataclasses import replace

import pytest

from devnet.checks import (
    CHECKS,
    Ledger,
    Survey,
    check_converged,
    find_common_epoch,
    find_diverged_epoch,
    run_checks,
)
from devnet.observe import RewardView

LEDGER = Ledger(
    supply=1_000, balances=700, escrowed=100, staked=150, treasury=40, burned=10, epoch=9
)
ENTRY = RewardView("entry", "task", "account", 5, "claimed", "claim")


def make_survey() -> Survey:
    """Two peers with nothing wrong."""
    names = ["n1", "n2"]
    return Survey(
        awake=names,
        heads={"n1": {8: ("s8", "r8"), 9: ("s9", "r9")}, "n2": {9: ("s9", "r9")}},
        target=9,
        lost={name: [] for name in names},
        acknowledged=3,
        reports={name: {"ok": True} for name in names},
        ledgers=dict.fromkeys(names, LEDGER),
        entries={name: [ENTRY] for name in names},
    )


def find_failed(survey: Survey) -> list[str]:
    return [verdict.name for verdict in run_checks(survey) if not verdict.ok]


def test_every_check_passes_where_nothing_is_wrong() -> None:
    verdicts = run_checks(make_survey())
    assert len(verdicts) == len(CHECKS)
    assert [verdict for verdict in verdicts if not verdict.ok] == []
    assert len({verdict.name for verdict in verdicts}) == len(CHECKS)


def test_an_empty_network_passes_for_nothing() -> None:
    assert {"answers", "converged", "money"} <= set(find_failed(Survey([])))


def test_a_peer_that_did_not_answer_fails() -> None:
    survey = make_survey()
    survey.failed["n2"] = "peer_silent"
    assert find_failed(survey) == ["answers"]


def test_two_roots_at_one_epoch_fail_even_if_a_later_epoch_agrees() -> None:
    survey = make_survey()
    survey.heads["n2"][8] = ("s8", "other")
    assert find_failed(survey) == ["converged"]
    assert "epoch 8" in check_converged(survey).detail


def test_a_peer_that_stays_behind_fails() -> None:
    survey = make_survey()
    survey.heads["n2"] = {8: ("s8", "r8")}
    assert find_failed(survey) == ["converged"]


def test_a_transaction_that_one_peer_lacks_fails() -> None:
    survey = make_survey()
    survey.lost["n2"] = ["feed" * 16]
    assert find_failed(survey) == ["nothing_lost"]


def test_a_broken_invariant_on_one_peer_fails() -> None:
    survey = make_survey()
    survey.reports["n2"] = {"ok": False, "broken": ["a task without a publisher"]}
    assert find_failed(survey) == ["invariants"]


@pytest.mark.parametrize("change", [{"burned": 9}, {"supply": 999}])
def test_money_that_appears_or_vanishes_fails(change: dict[str, int]) -> None:
    survey = make_survey()
    survey.ledgers["n2"] = replace(LEDGER, **change)
    assert find_failed(survey) == ["money"]


def test_two_supplies_fail_even_if_each_adds_up() -> None:
    survey = make_survey()
    survey.ledgers["n2"] = replace(LEDGER, supply=1_001, balances=701)
    assert find_failed(survey) == ["money"]


def test_an_entry_with_two_claims_fails() -> None:
    survey = make_survey()
    survey.entries["n2"] = [replace(ENTRY, claim_tx="another")]
    assert find_failed(survey) == ["one_claim"]


def test_a_claim_that_pays_twice_fails() -> None:
    survey = make_survey()
    survey.entries["n2"] = [ENTRY, replace(ENTRY, entry_id="second")]
    assert find_failed(survey) == ["one_claim"]


def test_entries_not_claimed_yet_are_no_double_claim() -> None:
    survey = make_survey()
    locked = replace(ENTRY, state="locked", claim_tx=None)
    survey.entries["n1"] = [locked, replace(locked, entry_id="second")]
    assert find_failed(survey) == []


def test_a_common_epoch_is_the_last_that_all_have_shown() -> None:
    heads = {"n1": {7: ("a", "a"), 9: ("b", "b")}, "n2": {7: ("a", "a"), 9: ("b", "b")}}
    assert find_common_epoch(heads, 1) == 9
    assert find_common_epoch(heads, 10) is None
    assert find_common_epoch({}, 0) is None
    assert find_diverged_epoch(heads) is None
