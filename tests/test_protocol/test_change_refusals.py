"""What a vote for a change can be refused for: one clear line each, and nothing changes."""

import pytest

from protocol.charter_records import LEAD_EPOCHS
from protocol.kinds.vote_change import AHEAD_DAYS_MAX, OPEN_CHANGES_MAX
from protocol.transactions import SignedTransaction
from tests.support.governing import a_change, a_governed_genesis, back, decide, dismiss, set_to
from tests.support.refusals import Case, check_refusal
from tests.support.world import World

FEE = set_to("claim_fee", 7)


def vote_by_a_stranger(world: World) -> SignedTransaction:
    return back(world, "alice", a_change(world, FEE))


def vote_of_one_who_was_dismissed(world: World) -> SignedTransaction:
    gone = a_change(world, dismiss("simon"))
    decide(world, gone)
    world.pass_until(gone.effective_at - 1)
    return back(world, "simon", a_change(world, FEE))


def vote_after_the_deadline(world: World) -> SignedTransaction:
    change = a_change(world, FEE)
    world.seal(back(world, "sara", change))
    world.pass_until(change.effective_at - LEAD_EPOCHS)
    return back(world, "saul", change)


def vote_for_what_holds_already(world: World) -> SignedTransaction:
    return back(world, "saul", a_change(world, FEE, 0))


def second_vote(world: World) -> SignedTransaction:
    change = a_change(world, FEE)
    world.seal(back(world, "sara", change))
    return back(world, "sara", change)


def proposal_for_another_year(world: World) -> SignedTransaction:
    days = AHEAD_DAYS_MAX * world.params.epochs_per_day
    return back(world, "sara", a_change(world, FEE, days + 1))


def one_proposal_too_many(world: World) -> SignedTransaction:
    changes = [a_change(world, set_to("claim_fee", n)) for n in range(OPEN_CHANGES_MAX)]
    world.seal(*(back(world, "sara", change) for change in changes))
    return back(world, "sara", a_change(world, set_to("claim_fee", 99)))


CHANGE_CASES = (
    Case("not_a_sealer", vote_by_a_stranger),
    Case("not_a_sealer", vote_of_one_who_was_dismissed),
    Case("deadline_passed", vote_after_the_deadline),
    Case("deadline_passed", vote_for_what_holds_already),
    Case("already_voted", second_vote, loses=True),
    Case("too_far_ahead", proposal_for_another_year),
    Case("too_many_changes", one_proposal_too_many),
)


@pytest.mark.parametrize("case", CHANGE_CASES, ids=lambda case: f"{case.deed.__name__}-{case.code}")
def test_a_vote_that_cannot_count_gives_one_clear_line_and_changes_nothing(case: Case) -> None:
    check_refusal(World(a_governed_genesis()), case)
