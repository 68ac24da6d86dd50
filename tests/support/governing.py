"""Networks whose sealers change what was agreed: who votes for what, and what came of it."""

from collections.abc import Iterable, Sequence

from protocol.charter import compute_change_id, compute_voting_deadline
from protocol.charter_records import (
    Action,
    AdmitSealer,
    AdmitValidator,
    Change,
    ChangeCase,
    DismissSealer,
    DismissValidator,
    SetParameter,
)
from protocol.fold import Outcome
from protocol.genesis import Genesis
from protocol.kinds.vote_change import VoteChange
from protocol.params import MINIMAL, Params
from protocol.tables import CHANGES
from protocol.transactions import SignedTransaction
from tests.support.builders import CAST, a_genesis, an_address, name_of
from tests.support.world import World

SEALERS = ("sara", "saul", "selma", "simon")
"""Four: a quorum is three of them."""
CANDIDATES = ("stella", "sven")
"""Accounts that may become sealers."""
AHEAD = 4
"""From the first vote to the epoch from which a change holds, if nothing else is said."""


def a_governed_genesis(sealers: Sequence[str] = SEALERS, params: Params = MINIMAL) -> Genesis:
    """Return a network whose sealers have accounts, as all have who may become some."""
    cast = tuple({**dict.fromkeys(CAST), **dict.fromkeys((*sealers, *CANDIDATES))})
    return a_genesis(cast=cast, sealers=tuple(sealers), params=params)


def set_to(name: str, *values: int) -> SetParameter:
    """Return the setting of a parameter."""
    return SetParameter(name, values)


def admit(who: str) -> AdmitSealer:
    """Return the admission of a sealer."""
    return AdmitSealer(an_address(who))


def dismiss(who: str) -> DismissSealer:
    """Return the dismissal of a sealer."""
    return DismissSealer(an_address(who))


def license_(who: str) -> AdmitValidator:
    """Return the admission of a validator."""
    return AdmitValidator(an_address(who))


def ban(who: str) -> DismissValidator:
    """Return the dismissal of a validator."""
    return DismissValidator(an_address(who))


def a_change(world: World, action: Action, ahead: int = AHEAD) -> Change:
    """Return a change that holds `ahead` epochs after the next one."""
    return Change(world.epoch + 1 + ahead, action)


def back(world: World, who: str, change: Change) -> SignedTransaction:
    """Return somebody's vote for a change."""
    subject = compute_change_id(world.network, change)
    return world.sign(who, "vote_change", VoteChange(change), subject=subject)


def find_change(world: World, change: Change) -> ChangeCase | None:
    """Return what has become of a change, None if nobody voted on it."""
    return world.view.get(CHANGES, compute_change_id(world.network, change))


def case_of(world: World, change: Change) -> ChangeCase:
    """Return what has become of a change that somebody voted on."""
    case = find_change(world, change)
    assert case is not None
    return case


def decide(world: World, *changes: Change, voters: Iterable[str] = SEALERS[:3]) -> Outcome:
    """Have sealers vote for changes in the next epoch; return what the deciding seal did."""
    outcome = world.seal(*(back(world, who, change) for change in changes for who in voters))
    while world.epoch < max(map(compute_voting_deadline, changes)):
        outcome = world.seal()
    return outcome


def sealers_of(world: World) -> list[str]:
    """Return the names of the sealers of the next epoch, sorted."""
    return sorted(map(name_of, world.charter.sealers))
