"""Every history of a small market, breadth first: nothing breaks, nothing stays open for ever."""

from collections.abc import Callable

import pytest

from protocol import disputes, fold, kinds
from protocol.kinds import claim_reward, reveal_answer, reveal_vote, submit_answer, validate_answer
from protocol.phases import TaskStatus
from protocol.transactions import SignedTransaction
from tests.support.defences import remove_check
from tests.support.explorer import Broken, Explorer
from tests.support.small_moves import Bound

Patch = pytest.MonkeyPatch

ANSWERS = Bound((2,), (90,), (), (), 0)
"""Two places, all votes high: about what miners do."""
COURT = Bound((1,), (90,), ("publisher",), (TaskStatus.COMPLETED,), 1)
"""One answer, and a dispute of its result."""


@pytest.mark.parametrize("bound", [ANSWERS, COURT], ids=str)
def test_no_history_of_the_small_market_breaks_a_rule(bound: Bound) -> None:
    tally = Explorer(bound).run()
    assert tally.states > 90
    assert {"SETTLED", "EXPIRED", "CANCELLED"} <= tally.statuses.keys()
    assert len(tally.codes) > 20


def a_claim_may_come_from_another(patch: Patch) -> None:
    remove_check(patch, claim_reward._apply, "not_recipient")


def a_claim_may_come_too_early(patch: Patch) -> None:
    remove_check(patch, claim_reward._apply, "not_claimable")


def an_answer_may_be_shown_too_early(patch: Patch) -> None:
    remove_check(patch, reveal_answer._apply, "too_early")


def a_place_may_be_taken_twice(patch: Patch) -> None:
    remove_check(patch, submit_answer._apply, "task_full")


def anybody_may_judge(patch: Patch) -> None:
    remove_check(patch, validate_answer._apply, "not_on_panel")


def a_vote_may_be_shown_too_early(patch: Patch) -> None:
    remove_check(patch, reveal_vote._apply, "too_early")


def a_vote_may_be_another_than_committed_to(patch: Patch) -> None:
    remove_check(patch, reveal_vote._apply, "wrong_opening")


def the_order_of_arrival_counts(patch: Patch) -> None:
    def order(tx: SignedTransaction, beacon: bytes | None) -> tuple[int, bytes]:
        return kinds.BY_CODE[tx.header.kind].stage, b""

    patch.setattr(fold, "compute_order", order)


def a_dispute_waits_for_its_court_for_ever(patch: Patch) -> None:
    remove_check(patch, disputes.move_dispute_by_time, "case.resolution_deadline")


LOSSES: dict[Callable[[Patch], None], str] = {
    # By the publisher, of whom no note is taken as of a miner, or by anybody else.
    a_claim_may_come_from_another: "who is no miner|somebody else's entry",
    a_claim_may_come_too_early: "rewards_open_when_the_task_settles",
    an_answer_may_be_shown_too_early: "reveals .* and it was not refused",
    a_place_may_be_taken_twice: "places_are_taken_once",
    anybody_may_judge: "will give .* and it was not refused",
    a_vote_may_be_shown_too_early: "a_vote_is_bound_before_any_is_shown",
    a_vote_may_be_another_than_committed_to: "gives .* and it was not refused",
    the_order_of_arrival_counts: "another order",
    a_dispute_waits_for_its_court_for_ever: "stuck",
}


@pytest.mark.parametrize("remove", LOSSES, ids=lambda remove: remove.__name__)
def test_the_loss_of_a_defence_is_found(
    remove: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    remove(monkeypatch)
    with pytest.raises(Broken, match=LOSSES[remove]):
        Explorer(COURT).run()
