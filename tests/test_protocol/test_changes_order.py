"""Laws of changes: whatever is voted for, in whatever order it arrives, one charter comes of it."""

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.charter_records import (
    LEAD_EPOCHS,
    Action,
    AdmitSealer,
    Change,
    ChangeCase,
    DismissSealer,
    SetParameter,
)
from protocol.errors import Rejected
from protocol.invariants import check_whole_state
from protocol.params import MINIMAL, Params
from protocol.phases import ChangeStatus
from protocol.resolver import ConflictResolver, History, SealedSet
from protocol.tables import CHANGES
from tests.support.builders import an_address
from tests.support.governing import (
    CANDIDATES,
    SEALERS,
    a_governed_genesis,
    admit,
    back,
    ban,
    dismiss,
    license_,
    set_to,
)
from tests.support.world import World

EPOCHS = 14
AHEAD_MOST = 6
PEOPLE = (*SEALERS, *CANDIDATES)
ACTIONS: tuple[Action, ...] = (
    set_to("claim_fee", 7),
    set_to("claim_fee", 8),
    set_to("submission_epochs_min", 60),
    set_to("submission_epochs_max", 50),
    set_to("reward_min", 1, 1, 1, 1),
    ban("vera"),
    license_("vera"),
    *(admit(who) for who in PEOPLE),
    *(dismiss(who) for who in PEOPLE),
)


def govern(program: random.Random) -> World:
    """Return a network after some epochs in which sealers, and others, vote at random."""
    world = World(a_governed_genesis())
    world.settle_cast()
    proposed: list[Change] = []
    zeal = program.choice((0.5, 0.8, 0.95))
    for _ in range(EPOCHS):
        if program.random() < 0.8:
            ahead = program.randrange(1, AHEAD_MOST)
            proposed.append(Change(world.epoch + 1 + ahead, program.choice(ACTIONS)))
        alive = [one for one in proposed if one.effective_at > world.epoch + 1][-4:]
        world.seal(
            *(
                back(world, who, change)
                for change in alive
                for who in PEOPLE
                if program.random() < zeal / 2
            )
        )
    world.pass_until(world.epoch + AHEAD_MOST + LEAD_EPOCHS)
    return world


def shuffle(history: History, chance: random.Random) -> History:
    """Return the same sets, each in another order."""
    epochs = []
    for sealed in history.epochs:
        arrived = list(sealed.transactions)
        chance.shuffle(arrived)
        epochs.append(SealedSet(sealed.prev, tuple(arrived), sealed.evidence))
    return History(history.genesis, tuple(epochs))


def list_cases(world: World) -> list[ChangeCase]:
    return [row for (name, _), row in sorted(world.view.rows.items()) if name == CHANGES.name]


seeds = st.integers(0, 1 << 32)


@settings(max_examples=60)
@given(seeds, seeds)
def test_any_order_gives_one_charter_and_the_same_rulings(seed: int, other: int) -> None:
    world = govern(random.Random(seed))
    again = ConflictResolver().resolve(shuffle(world.to_history(), random.Random(other)))
    assert again.records == world.view.rows
    assert {ruling.tx_id: ruling for ruling in again.rulings} == world.rulings
    check_whole_state(world.view.rows)


@settings(max_examples=60)
@given(seeds)
def test_what_holds_is_what_a_naive_count_of_all_votes_says(seed: int) -> None:
    # Everything again, from the votes alone and without the machinery: epoch by epoch.
    world = govern(random.Random(seed))
    cases = list_cases(world)
    sealers = {epoch: set(map(an_address, SEALERS)) for epoch in range(3)}
    params: dict[int, Params] = dict.fromkeys(range(3), MINIMAL)
    votes: dict[Change, set[bytes]] = {}
    for epoch, sealed in enumerate(world.history, start=1):
        for tx in sealed.transactions:
            if hasattr(tx.payload, "change") and tx.header.author in sealers[epoch]:
                change = tx.payload.change
                if epoch <= change.effective_at - LEAD_EPOCHS:
                    votes.setdefault(change, set()).add(tx.header.author)
        at = epoch + LEAD_EPOCHS
        sealers[at], params[at] = set(sealers[at - 1]), params[at - 1]
        due = [one for one in cases if one.change.effective_at == at]
        for case in sorted(due, key=lambda one: (one.proposed_at, one.change_id)):
            count = len(votes[case.change] & sealers[epoch])
            # Those who are not for it are no more than may be liars.
            has_quorum = len(sealers[epoch]) - count <= (len(sealers[epoch]) - 1) // 3
            assert (case.status is not ChangeStatus.LAPSED) is has_quorum
            if case.status is ChangeStatus.ADOPTED:
                action = case.change.action
                if isinstance(action, SetParameter):
                    value = action.values if len(action.values) > 1 else action.values[0]
                    params[at] = replace(params[at], **{action.name: value})  # type: ignore[arg-type]
                elif isinstance(action, AdmitSealer):
                    sealers[at].add(action.address)
                elif isinstance(action, DismissSealer):
                    sealers[at].remove(action.address)
            elif case.status is ChangeStatus.REFUSED and case.code == "params_relation":
                assert not stands(params[at], case.change.action)
    assert set(world.charter.sealers) == sealers[world.epoch + 1]
    assert world.params == params[world.epoch + 1]
    assert {case.change for case in cases} == set(votes)


def stands(params: Params, action: Action) -> bool:
    assert isinstance(action, SetParameter)
    try:
        replace(params, **{action.name: action.values[0]})  # type: ignore[arg-type]
    except Rejected:
        return False
    return True


@settings(max_examples=60)
@given(seeds)
def test_whatever_is_voted_on_every_change_ends_by_itself(seed: int) -> None:
    world = govern(random.Random(seed))
    assert world.view.open_changes() == []
    assert all(case.status is not ChangeStatus.OPEN for case in list_cases(world))


def test_programs_reach_every_end_and_most_reasons() -> None:
    # A generator that stays in the shallows would prove little.
    ends: Counter[ChangeStatus] = Counter()
    codes: Counter[str] = Counter()
    counts: Counter[int] = Counter()
    for seed in range(60):
        world = govern(random.Random(seed))
        ends.update(case.status for case in list_cases(world))
        codes.update(case.code for case in list_cases(world))
        codes.update(ruling.code for ruling in world.rulings.values())
        counts[len(world.charter.sealers)] += 1
    assert set(ends) == {ChangeStatus.ADOPTED, ChangeStatus.LAPSED, ChangeStatus.REFUSED}
    wanted = {"not_a_sealer", "already_voted", "deadline_passed", "changes_nothing"}
    wanted |= {"already_a_sealer", "no_such_sealer", "params_relation", "changed_twice"}
    assert wanted <= set(codes), codes
    assert len(counts) >= 3, counts
