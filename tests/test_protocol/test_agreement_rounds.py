"""Rounds: every schedule of a few, and why a precommit is no signature under the seal."""

import pytest

from protocol.agreement import Agreement
from protocol.ballots import Proposal
from tests.support.agreeing import VALUES, quicken
from tests.support.exploring import Explorer, World


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken(monkeypatch.setattr)


def is_forked(world: World) -> bool:
    return len(world.decidable) > 1


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_no_schedule_of_three_rounds_makes_two_contents_decidable(liar: int) -> None:
    worlds = Explorer(liar).explore(3)
    assert len(worlds) > 5_000, "it did look around"
    assert {len(world.decidable) for world in worlds} == {0, 1}
    assert {name for world in worlds for name in world.decidable} == set(VALUES)


class Forgetful(Agreement):
    """Votes for whatever is proposed, locked or not."""

    def _may_prevote(self, proposal: Proposal) -> bool:
        return self._is_sound(proposal.plan)


class Credulous(Agreement):
    """Takes any polka for a reason to give up its lock, however old."""

    def _may_prevote(self, proposal: Proposal) -> bool:
        is_shown = proposal.polka is not None and self._is_sound(proposal.plan)
        return is_shown or super()._may_prevote(proposal)


@pytest.mark.parametrize(("machine", "rounds"), [(Forgetful, 2), (Credulous, 3)])
def test_sealers_that_give_up_their_locks_are_found_out(
    machine: type[Agreement], rounds: int
) -> None:
    assert Explorer(1, machine).search(rounds, is_forked) is not None


def test_precommits_of_different_rounds_would_add_up_to_two_seals() -> None:
    # With the liar's word each content has three precommits, though one is decided, rightly. Were a
    # precommit the signature under the seal, he could show two seals of one epoch.
    world = Explorer(2).search(4, lambda world: len(world.list_signed_by_quorum()) > 1)
    assert world is not None
    assert not is_forked(world)
