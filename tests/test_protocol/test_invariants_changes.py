"""Every invariant of changes is silent on what the fold makes, and sees every way to break it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from protocol.charter_records import (
    SEALERS_MAX,
    Action,
    Change,
    ChangeCase,
    Charter,
    Charters,
)
from protocol.fold import Outcome
from protocol.invariants import check_whole_state
from protocol.invariants_changes import CHANGE_ROW_RULES, CHANGE_STEP_RULES
from protocol.params import MINIMAL
from protocol.phases import ChangeStatus
from protocol.scene import Scene
from protocol.tables import CHANGES, CHARTERS, LICENCES
from protocol.view import MemoryView
from tests.support.builders import an_address
from tests.support.governing import (
    a_change,
    a_governed_genesis,
    admit,
    back,
    ban,
    case_of,
    dismiss,
    set_to,
)
from tests.support.world import World

RULES = {rule.__name__: rule for rule in (*CHANGE_ROW_RULES, *CHANGE_STEP_RULES)}


class Session:
    """The epoch in which a seal decides changes of every kind, and its outcome to be spoilt."""

    def __init__(self) -> None:
        """Have one of each adopted, one lapse, one go on, and one decided the epoch before."""
        world = World(a_governed_genesis())
        world.settle_cast()
        actions: dict[str, Action] = {
            "fee": set_to("claim_fee", 7),
            "come": admit("stella"),
            "gone": dismiss("simon"),
            "out": ban("vera"),
        }
        self.changes = {name: a_change(world, action) for name, action in actions.items()}
        self.changes["past"] = a_change(world, set_to("validate_fee", 9), 3)
        self.changes["lapsed"] = a_change(world, set_to("submit_fee", 9))
        self.changes["open"] = a_change(world, set_to("submit_fee", 8), 9)
        weak = ("lapsed", "open")
        world.seal(
            *(
                back(world, who, change)
                for name, change in self.changes.items()
                for who in ("sara", "saul", "selma")[: 2 if name in weak else 3]
            )
        )
        world.pass_until(self.changes["past"].effective_at - 2)
        self.view = MemoryView(world.view.rows)
        self.outcome = world.seal()
        self.world = world

    def find(self, name: str) -> ChangeCase:
        """Return a change as it is after the epoch."""
        return case_of(self.world, self.changes[name])

    def spoil(self, table: Any, key: bytes, record: Any) -> None:
        """Put another row into the outcome."""
        others = [one for one in self.outcome.changes if (one.table, one.key) != (table, key)]
        made = [one for one in self.outcome.changes if (one.table, one.key) == (table, key)]
        first = made[0] if made else None
        before = first.before if first else self.view.get(table, key)
        changed = replace(self.outcome.changes[0], table=table, key=key, before=before)
        spoilt = (*others, replace(changed, after=record))
        self.outcome = Outcome(self.outcome.epoch, spoilt, self.outcome.rulings)

    def spoil_case(self, name: str, **fields: Any) -> None:
        """Put another row of a change into the outcome."""
        case = self.find(name)
        self.spoil(CHANGES, case.change_id, replace(case, **fields))

    def spoil_charters(self, spoil: Callable[[tuple[Charter, ...]], tuple[Charter, ...]]) -> None:
        """Put other charters into the outcome."""
        row = self.world.require(CHARTERS, b"")
        self.spoil(CHARTERS, b"", Charters(spoil(row.versions)))

    def scene(self) -> Scene:
        """Return what the rules look at."""
        return Scene.of_outcome(self.view, self.outcome)


@dataclass(frozen=True)
class Breach:
    """What is done, which rule must see it, and what it must say."""

    rule: str
    says: str
    deed: Callable[[Session], None]


def case(name: str, **fields: Any) -> Callable[[Session], None]:
    return lambda session: session.spoil_case(name, **fields)


def last(**fields: Any) -> Callable[[Session], None]:
    return lambda session: session.spoil_charters(
        lambda versions: (*versions[:-1], replace(versions[-1], **fields))
    )


def unlicence(**fields: Any) -> Callable[[Session], None]:
    key = an_address("vera")

    def deed(session: Session) -> None:
        session.spoil(LICENCES, key, replace(session.world.require(LICENCES, key), **fields))

    return deed


def vote_twice(session: Session) -> None:
    votes = session.find("open").votes
    session.spoil_case("open", votes=(*votes, votes[0]))


def add_charter(session: Session) -> None:
    session.spoil_charters(lambda versions: (versions[0], replace(versions[-1], since=77)))


SEATED = "somebody_always_seals"
COUNTED = "a_change_needs_a_quorum"
ONCE = "a_change_is_decided_once"
HOLDS = "what_is_adopted_will_hold"
OTHER = Change(1, set_to("claim_fee", 1))
CROWD = tuple(b"%032d" % n for n in range(SEALERS_MAX + 1))
ADOPTED, LAPSED, OPEN = ChangeStatus.ADOPTED, ChangeStatus.LAPSED, ChangeStatus.OPEN

BREACHES = [
    Breach(SEATED, "0 sealers", last(sealers=())),
    Breach(SEATED, "2 sealers", last(sealers=(b"b" * 32, b"a" * 32))),
    Breach(SEATED, f"{len(CROWD)} sealers", last(sealers=CROWD)),
    Breach(SEATED, "charters from", lambda one: one.spoil_charters(lambda _: ())),
    Breach(SEATED, "charters from", lambda one: one.spoil_charters(lambda rows: rows[::-1])),
    Breach(COUNTED, "counted of 2", vote_twice),
    Breach(COUNTED, "4 counted of 3", case("fee", counted=4)),
    Breach(COUNTED, "adopted with 2 of 3", case("fee", counted=2)),
    Breach(COUNTED, "adopted with 3 of 0", case("fee", quorum=0)),
    Breach(COUNTED, "lapsed with 2 of 2", case("lapsed", quorum=2)),
    Breach(COUNTED, "open in epoch 9", case("open", decided_at=9)),
    Breach(COUNTED, "decided in epoch 9", case("fee", decided_at=9)),
    Breach(ONCE, "adopted to lapsed", case("past", status=LAPSED)),
    Breach(ONCE, "decided again", case("past", counted=2)),
    Breach(ONCE, "another change", case("fee", change=OTHER)),
    Breach(ONCE, "another change", case("open", proposer=b"p" * 32)),
    Breach(HOLDS, "nothing follows", case("lapsed", status=ADOPTED)),
    Breach(HOLDS, "nothing follows", last(sealers=(b"a" * 32,))),
    Breach(HOLDS, "nothing follows", last(params=MINIMAL)),
    Breach(HOLDS, "nothing follows", unlicence(is_admitted=True)),
    Breach(HOLDS, "nothing follows", unlicence(since=99)),
    Breach(HOLDS, "nobody wanted it", add_charter),
]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_says_nothing_of_what_the_fold_made(rule: Any) -> None:
    session = Session()
    statuses = {name: session.find(name).status for name in session.changes}
    assert [
        statuses[name] for name in ("fee", "come", "gone", "out", "past", "lapsed", "open")
    ] == [
        *[ChangeStatus.ADOPTED] * 5,
        ChangeStatus.LAPSED,
        ChangeStatus.OPEN,
    ]
    assert list(rule(session.scene())) == []
    check_whole_state(session.world.view.rows)


def test_every_rule_is_broken_somewhere() -> None:
    assert {breach.rule for breach in BREACHES} == set(RULES)


@pytest.mark.parametrize("breach", BREACHES, ids=lambda one: f"{one.rule}: {one.says}")
def test_a_rule_speaks_up_when_it_is_broken(breach: Breach) -> None:
    session = Session()
    breach.deed(session)
    said = list(RULES[breach.rule](session.scene()))
    assert any(breach.says in line for line in said), said
