"""Changes that sealers vote on: when they hold, whose votes count, and what cannot stand."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.charter import compute_change_id, find_charter, is_licensed
from protocol.charter_records import (
    CHANGE_VOTES_MAX,
    LEAD_EPOCHS,
    SEALERS_MAX,
    Action,
    Change,
    ChangeVote,
)
from protocol.errors import InvariantBroken, Rejected
from protocol.kinds.vote_change import AHEAD_DAYS_MAX, OPEN_CHANGES_MAX, VOTE_CHANGE, VoteChange
from protocol.parameters import (
    FIXED,
    NAMES,
    WINDOW_EPOCHS_MAX,
    check_value,
    read_values,
    with_values,
)
from protocol.params import EPOCH_MAX, MINIMAL, Params
from protocol.phases import ChangeStatus
from protocol.quota import FREE_PER_SEAL_MAX
from protocol.records import ROLE_VALIDATOR
from protocol.resolver import ConflictResolver
from protocol.tables import CHANGES, CHARTERS
from tests.support.builders import VALIDATORS, a_genesis, a_hash, an_address
from tests.support.governing import (
    AHEAD,
    SEALERS,
    a_change,
    a_governed_genesis,
    admit,
    back,
    ban,
    case_of,
    decide,
    dismiss,
    license_,
    sealers_of,
    set_to,
)
from tests.support.world import World

QUORUM = SEALERS[:3]


@pytest.fixture
def world() -> World:
    return World(a_governed_genesis())


# ------------------------------------------------------------------------------- what is changed


def test_a_parameter_has_its_new_value_from_the_epoch_that_was_voted_for(world: World) -> None:
    change = a_change(world, set_to("claim_fee", 7))
    decide(world, change)
    assert case_of(world, change).status is ChangeStatus.ADOPTED
    world.pass_until(change.effective_at - 2)
    assert world.params.claim_fee == MINIMAL.claim_fee
    world.seal()
    assert world.params == replace(MINIMAL, claim_fee=7)


def test_a_parameter_by_difficulty_is_set_as_a_whole(world: World) -> None:
    change = a_change(world, set_to("reward_max", 20, 30, 40, 50))
    with pytest.raises(Rejected, match="bad_value"):
        world.seal(back(world, "sara", a_change(world, set_to("reward_max", 20))))
    least = a_change(world, set_to("reward_min", 1, 2, 3, 4), AHEAD - 1)
    decide(world, least, change)
    world.pass_until(change.effective_at - 1)
    assert world.params.reward_max == (20, 30, 40, 50)
    assert world.params.reward_min == (1, 2, 3, 4)


def test_a_task_keeps_what_it_was_published_under_and_the_next_one_does_not(world: World) -> None:
    change = a_change(world, set_to("validation_epochs", 9))
    decide(world, change)
    world.pass_until(change.effective_at - 2)
    before, after = world.open_task(), world.open_task()
    windows = [
        world.task(one).lifecycle.validation_deadline - world.task(one).lifecycle.reveal_deadline
        for one in (before, after)
    ]
    assert windows == [MINIMAL.validation_epochs, 9]


def test_a_fee_is_that_of_the_epoch_in_which_it_is_paid(world: World) -> None:
    change = a_change(world, set_to("registration_fee", 0))
    decide(world, change)
    world.pass_until(change.effective_at - 2)
    world.seal(world.register("vera"))
    world.seal(world.register("vito"))
    paid = [world.genesis.allocations[0].balance - world.balance(who) for who in ("vera", "vito")]
    stake = MINIMAL.miner_stake_min
    assert paid == [stake + MINIMAL.registration_fee, stake]


def test_a_sealer_is_admitted_from_the_epoch_that_was_voted_for(world: World) -> None:
    change = a_change(world, admit("stella"))
    decide(world, change)
    world.pass_until(change.effective_at - 2)
    assert sealers_of(world) == sorted(SEALERS)
    world.seal()
    assert sealers_of(world) == sorted((*SEALERS, "stella"))


def test_a_sealer_is_dismissed_from_the_epoch_that_was_voted_for(world: World) -> None:
    change = a_change(world, dismiss("simon"))
    decide(world, change)
    world.pass_until(change.effective_at - 2)
    assert sealers_of(world) == sorted(SEALERS)
    world.seal()
    assert sealers_of(world) == sorted(SEALERS[:3])


def test_a_dismissed_validator_is_drawn_no_more_until_he_is_admitted_again(world: World) -> None:
    few = VALIDATORS[:4]
    world.seal(*(world.register(who, roles=ROLE_VALIDATOR) for who in few))
    world.seal(world.register("bob"))
    gone, again = a_change(world, ban("vera")), a_change(world, license_("vera"), AHEAD + 20)
    decide(world, gone)

    def draw() -> list[str]:
        task_id = world.open_task(max_participants=1, required_reviewers=4)
        world.collect_answers(task_id, ["bob"])
        world.reveal_answers(task_id, ["bob"])
        return sorted(world.panel(task_id))

    world.pass_until(gone.effective_at)
    assert draw() == sorted(few[1:])
    world.seal(*(back(world, who, again) for who in QUORUM))
    world.pass_until(again.effective_at)
    assert draw() == sorted(few)


def test_a_panel_that_was_drawn_stands_when_one_of_it_is_dismissed(world: World) -> None:
    world.settle_cast()
    task_id = world.open_task(max_participants=1)
    world.collect_answers(task_id, ["bob"])
    gone = a_change(world, ban("vera"), LEAD_EPOCHS)
    world.seal(world.reveal("bob", task_id), *(back(world, who, gone) for who in QUORUM))
    assert "vera" in world.panel(task_id)
    world.pass_until(gone.effective_at - 1)
    assert not is_licensed(world.view, an_address("vera"), world.epoch + 1)
    vote = world.vote("vera", task_id, "bob", 90)
    world.seal(vote)
    assert world.code_of(vote) is None


# ------------------------------------------------------------------------ when, and whose votes


@pytest.mark.parametrize(("ahead", "code"), [(LEAD_EPOCHS, None), (1, "deadline_passed")])
def test_a_vote_is_in_time_up_to_the_lead_before_the_change(
    world: World, ahead: int, code: str | None
) -> None:
    change = a_change(world, set_to("claim_fee", 7), ahead)
    votes = [back(world, who, change) for who in QUORUM]
    world.seal(*votes)
    assert [world.code_of(vote) for vote in votes] == [code] * 3
    world.pass_until(change.effective_at)
    assert (world.params.claim_fee == 7) is (code is None)


@pytest.mark.parametrize(
    ("epochs", "code"), [(0, None), (1, "too_far_ahead")], ids=["the latest", "one later"]
)
def test_a_change_is_proposed_so_long_before_and_no_longer(
    world: World, epochs: int, code: str | None
) -> None:
    most = AHEAD_DAYS_MAX * MINIMAL.epochs_per_day
    vote = back(world, "sara", a_change(world, set_to("claim_fee", 7), most + epochs))
    world.seal(vote)
    assert world.code_of(vote) == code


@pytest.mark.parametrize(
    ("voters", "status"), [(3, ChangeStatus.ADOPTED), (2, ChangeStatus.LAPSED)]
)
def test_a_quorum_adopts_and_with_one_vote_less_a_change_lapses(
    world: World, voters: int, status: ChangeStatus
) -> None:
    change = a_change(world, set_to("claim_fee", 7))
    decide(world, change, voters=SEALERS[:voters])
    case = case_of(world, change)
    assert (case.status, case.counted, case.quorum) == (status, voters, 3)
    assert case.decided_at == change.effective_at - LEAD_EPOCHS
    world.pass_until(change.effective_at)
    assert (world.params.claim_fee == 7) is (status is ChangeStatus.ADOPTED)


def test_a_change_is_decided_at_its_time_and_not_when_the_quorum_is_there(world: World) -> None:
    change = a_change(world, set_to("claim_fee", 7))
    world.seal(*(back(world, who, change) for who in SEALERS))
    assert case_of(world, change).status is ChangeStatus.OPEN
    assert world.view.open_changes() == [compute_change_id(world.network, change)]
    world.pass_until(change.effective_at - LEAD_EPOCHS)
    assert world.view.open_changes() == []


def test_only_sealers_vote_and_each_once(world: World) -> None:
    change = a_change(world, set_to("claim_fee", 7))
    first, second = back(world, "sara", change), back(world, "sara", change)
    stranger = back(world, "alice", change)
    world.seal(first, second, stranger)
    assert world.code_of(first) is None or world.code_of(second) is None
    assert {world.code_of(first), world.code_of(second)} == {None, "already_voted"}
    assert world.code_of(stranger) == "not_a_sealer"
    assert [vote.sealer for vote in case_of(world, change).votes] == [an_address("sara")]


def test_the_vote_of_a_sealer_who_left_before_the_decision_does_not_count(world: World) -> None:
    # Of the three who are left all three are needed, and one of the votes is that of the fourth.
    gone = a_change(world, dismiss("simon"), LEAD_EPOCHS)
    change = a_change(world, set_to("claim_fee", 7), LEAD_EPOCHS + 2)
    world.seal(
        *(back(world, who, gone) for who in QUORUM),
        *(back(world, who, change) for who in ("sara", "saul", "simon")),
    )
    world.pass_until(change.effective_at - LEAD_EPOCHS)
    case = case_of(world, change)
    assert (case.status, len(case.votes)) == (ChangeStatus.LAPSED, 3)
    assert (case.counted, case.quorum) == (2, 3)


def test_the_vote_of_a_sealer_who_left_after_the_decision_counted(world: World) -> None:
    gone = a_change(world, dismiss("simon"), LEAD_EPOCHS + 1)
    change = a_change(world, set_to("claim_fee", 7), LEAD_EPOCHS + 2)
    world.seal(
        *(back(world, who, gone) for who in QUORUM),
        *(back(world, who, change) for who in ("sara", "saul", "simon")),
    )
    world.pass_until(change.effective_at)
    assert case_of(world, change).status is ChangeStatus.ADOPTED


def test_a_change_keeps_the_votes_of_those_who_left_as_long_as_there_is_room() -> None:
    world = World(a_governed_genesis())
    change = a_change(world, set_to("claim_fee", 7), 20)
    world.seal(back(world, "sara", change))
    case = case_of(world, change)
    gone = tuple(ChangeVote(bytes([n]) * 32, a_hash(f"{n}"), 1) for n in range(CHANGE_VOTES_MAX))
    for votes, kept in ((gone[:-2], CHANGE_VOTES_MAX), (gone[:-1], 2)):
        world.view.rows[(CHANGES.name, case.change_id)] = replace(case, votes=(*case.votes, *votes))
        outcome = world.fold([back(world.fork(), "saul", change)])[1]
        changed = next(one.after for one in outcome.changes if one.table is CHANGES)
        assert len(changed.votes) == kept
        assert {an_address("sara"), an_address("saul")} <= {one.sealer for one in changed.votes}


def test_who_was_admitted_votes_from_his_first_epoch_on(world: World) -> None:
    new = a_change(world, admit("stella"), LEAD_EPOCHS)
    world.seal(*(back(world, who, new) for who in QUORUM))
    change = a_change(world, set_to("claim_fee", 7), 8)
    early = back(world, "stella", change)
    world.seal(early)
    assert world.code_of(early) == "not_a_sealer"
    in_time = back(world, "stella", change)
    world.seal(in_time, *(back(world, who, change) for who in QUORUM))
    assert world.code_of(in_time) is None
    world.pass_until(change.effective_at)
    case = case_of(world, change)
    assert (case.counted, case.quorum) == (4, 4), "of five sealers four"


def test_nobody_proposes_more_than_so_many_at_a_time(world: World) -> None:
    changes = [a_change(world, set_to("claim_fee", n)) for n in range(OPEN_CHANGES_MAX + 1)]
    votes = [back(world, "sara", change) for change in changes]
    world.seal(*votes)
    codes = [world.code_of(vote) for vote in votes]
    assert sorted(filter(None, codes)) == ["too_many_changes"]
    assert len(world.view.open_changes()) == OPEN_CHANGES_MAX
    again = back(world, "sara", changes[codes.index("too_many_changes")])
    world.seal(again)
    assert world.code_of(again) == "too_many_changes"
    other = back(world, "saul", again.payload.change)
    world.seal(other)
    assert world.code_of(other) is None, "what was refused can be proposed by somebody else"
    world.pass_until(changes[0].effective_at)
    assert world.view.open_changes() == []
    late = back(world, "sara", a_change(world, set_to("claim_fee", 99)))
    world.seal(late)
    assert world.code_of(late) is None


def test_a_sealer_who_proposes_too_much_takes_no_change_from_others(world: World) -> None:
    # Who comes first in an epoch by the lot proposed it: he must not make it part of his surplus.
    wanted = [a_change(world, dismiss("simon"), AHEAD + n) for n in range(12)]
    flood = [a_change(world, set_to("claim_fee", n)) for n in range(FREE_PER_SEAL_MAX // 8)]
    world.seal(
        *(back(world, "simon", change) for change in (*wanted, *flood)),
        *(back(world, who, change) for change in wanted for who in QUORUM),
    )
    kept = [case_of(world, change) for change in wanted]
    assert sum(case.proposer == an_address("simon") for case in kept) > 1
    assert {len(case.votes) for case in kept} == {4}
    world.pass_until(wanted[0].effective_at)
    assert sealers_of(world) == sorted(QUORUM)


# ------------------------------------------------------------------------- what cannot stand

Refusal = tuple[Callable[[], Action], str]

REFUSALS: list[Refusal] = [
    (lambda: set_to("claim_fee", MINIMAL.claim_fee), "changes_nothing"),
    (lambda: set_to("dispute_epochs", MINIMAL.resolution_epochs), "params_relation"),
    (lambda: set_to("reviewers_min", 2), "params_relation"),
    (lambda: admit("sara"), "already_a_sealer"),
    (lambda: dismiss("alice"), "no_such_sealer"),
    (lambda: ban("alice"), "no_such_validator"),
    (lambda: license_("vera"), "changes_nothing"),
]


@pytest.mark.parametrize(("action", "code"), REFUSALS)
def test_what_a_quorum_wants_and_cannot_stand_is_refused_with_a_ruling(
    world: World, action: Callable[[], Action], code: str
) -> None:
    world.settle_cast()
    change = a_change(world, action())
    outcome = decide(world, change)
    case = case_of(world, change)
    assert (case.status, case.code, case.lost_to) == (ChangeStatus.REFUSED, code, None)
    assert [ruling.code for ruling in outcome.rulings] == [code]
    assert outcome.rulings[0].tx_id == case.proposal_tx
    assert outcome.rulings[0].subject == case.change_id
    before = world.charter
    world.pass_until(change.effective_at)
    assert world.charter == before


def test_the_last_sealer_stays() -> None:
    world = World(a_governed_genesis(SEALERS[:1]))
    change = a_change(world, dismiss("sara"))
    decide(world, change, voters=SEALERS[:1])
    assert case_of(world, change).code == "last_sealer"
    assert sealers_of(world) == ["sara"]


def test_there_are_no_more_sealers_than_a_seal_can_name() -> None:
    many = tuple(f"sealer {n}" for n in range(SEALERS_MAX))
    world = World(a_governed_genesis(many))
    change = a_change(world, admit("stella"))
    decide(world, change, voters=many)
    assert case_of(world, change).code == "too_many_sealers"


def test_who_is_admitted_has_an_account_to_vote_from(world: World) -> None:
    change = a_change(world, admit("stranger"))
    decide(world, change)
    assert world.account("stranger").balance == 0
    world.pass_until(change.effective_at - 1)
    vote = back(world, "stranger", a_change(world, set_to("claim_fee", 7)))
    world.seal(vote)
    assert world.code_of(vote) is None


def test_who_signed_twice_does_not_become_a_sealer(world: World) -> None:
    tx = world.publish("sven")
    world.seal(evidence=[(an_address("sven"), tx.header.seq)])
    change = a_change(world, admit("sven"))
    decide(world, change)
    assert case_of(world, change).code == "equivocated"


def test_of_two_changes_that_cannot_both_stand_the_one_proposed_later_loses(world: World) -> None:
    # The least window may not be longer than the greatest.
    first = a_change(world, set_to("submission_epochs_max", 50), AHEAD + 1)
    world.seal(back(world, "sara", first))
    second = Change(first.effective_at, set_to("submission_epochs_min", 60))
    votes = [back(world, who, second) for who in QUORUM]
    world.seal(*votes, *(back(world, who, first) for who in ("saul", "selma")))
    world.pass_until(first.effective_at)
    won, lost = case_of(world, first), case_of(world, second)
    assert (won.status, lost.status) == (ChangeStatus.ADOPTED, ChangeStatus.REFUSED)
    assert (lost.code, lost.lost_to) == ("params_relation", won.change_id)
    ruling = world.rulings[lost.proposal_tx]
    assert ruling.lost_to == won.proposal_tx
    assert (world.params.submission_epochs_max, world.params.submission_epochs_min) == (50, 4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: set_to("claim_fee", 7), lambda: set_to("claim_fee", 8)),
        (lambda: admit("stella"), lambda: dismiss("stella")),
        (lambda: ban("vera"), lambda: license_("vera")),
    ],
)
def test_one_thing_is_changed_once_in_an_epoch(
    world: World, one: Callable[[], Action], other: Callable[[], Action]
) -> None:
    world.settle_cast()
    first = a_change(world, one(), AHEAD + 1)
    world.seal(back(world, "sara", first))
    second = Change(first.effective_at, other())
    decide(world, first, second, voters=("saul", "selma", "simon"))
    assert case_of(world, first).status is ChangeStatus.ADOPTED
    assert case_of(world, second).code == "changed_twice"
    assert case_of(world, second).lost_to == case_of(world, first).change_id


def test_two_changes_of_different_things_hold_from_one_epoch(world: World) -> None:
    changes = [
        a_change(world, action)
        for action in (set_to("claim_fee", 7), set_to("validate_fee", 8), admit("stella"))
    ]
    decide(world, *changes)
    world.pass_until(changes[0].effective_at)
    assert world.params == replace(MINIMAL, claim_fee=7, validate_fee=8)
    assert sealers_of(world) == sorted((*SEALERS, "stella"))


def test_dismissals_that_would_leave_nobody_stop_at_the_last() -> None:
    world = World(a_governed_genesis(SEALERS[:2]))
    changes = [a_change(world, dismiss(who)) for who in SEALERS[:2]]
    decide(world, *changes, voters=SEALERS[:2])
    codes = sorted(case_of(world, change).code for change in changes)
    assert codes == ["", "last_sealer"]
    world.pass_until(changes[0].effective_at)
    assert len(world.charter.sealers) == 1


def test_changes_of_epoch_after_epoch_follow_one_another(world: World) -> None:
    changes = [a_change(world, set_to("claim_fee", 7 + n), LEAD_EPOCHS + n) for n in range(6)]
    world.seal(*(back(world, who, change) for change in changes for who in QUORUM))
    shown = [world.params.claim_fee]
    for _ in range(8):
        world.seal()
        shown.append(world.params.claim_fee)
        row = world.require(CHARTERS, b"")
        asked = [find_charter(world.view, world.genesis, world.epoch + n) for n in range(3)]
        assert asked[1].params == world.params
        assert asked[0].since <= world.epoch, "whoever looks at a fork asks for the last epoch"
        assert len(row.versions) <= LEAD_EPOCHS + 1
    fees = [7 + n for n in range(6)]
    assert shown == [MINIMAL.claim_fee, *fees, 12, 12]


# ------------------------------------------------------------------------------ the parameters


@pytest.mark.parametrize("name", sorted(FIXED))
def test_what_the_past_depends_on_is_fixed(world: World, name: str) -> None:
    change = a_change(world, set_to(name, 9))
    with pytest.raises(Rejected, match="fixed_parameter"):
        world.seal(back(world, "sara", change))


@pytest.mark.parametrize("name", NAMES)
def test_every_other_parameter_has_another_value_that_it_can_take(name: str) -> None:
    values = read_values(MINIMAL, name)
    other = tuple(value + 1 for value in values)
    changed = with_values(MINIMAL, name, other)
    assert read_values(changed, name) == other
    assert with_values(changed, name, values) == MINIMAL


def test_the_longest_windows_still_end_before_the_last_epoch() -> None:
    windows = ("submission_epochs_max", "reveal_epochs_min", "validation_epochs", "finalize_epochs")
    params = MINIMAL
    for name in windows:
        params = with_values(params, name, (WINDOW_EPOCHS_MAX,))
    world = World(a_genesis(params=params))
    world.settle_cast()
    task_id = world.open_task(submission_epochs=WINDOW_EPOCHS_MAX)
    assert world.task(task_id).lifecycle.finalize_deadline < EPOCH_MAX // 16


def test_all_parameters_are_either_fixed_or_can_be_changed() -> None:
    assert set(NAMES) | set(FIXED) == set(Params.__dataclass_fields__)
    assert not set(NAMES) & set(FIXED)


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("no_such_thing", (1,), "unknown_parameter"),
        ("epoch_ms", (9,), "bad_value"),
        ("epoch_ms", (86_400_001,), "bad_value"),
        ("burned_share", (10_001,), "bad_value"),
        ("submission_epochs_max", (WINDOW_EPOCHS_MAX + 1,), "bad_value"),
        ("publish_fee", (0,), "bad_value"),
        ("claim_fee", (), "bad_value"),
        ("stake_min", (1, 2, 3), "bad_value"),
    ],
)
def test_a_value_outside_the_bounds_of_its_field_is_refused(
    name: str, values: tuple[int, ...], code: str
) -> None:
    with pytest.raises(Rejected, match=code):
        check_value(name, values)


def test_a_vote_names_the_change_as_its_subject(world: World) -> None:
    change = a_change(world, set_to("claim_fee", 7))
    tx = world.sign("sara", "vote_change", VoteChange(change), subject=bytes(32))
    with pytest.raises(Rejected, match="wrong_subject"):
        VOTE_CHANGE.check(tx.header, tx.payload)


# ----------------------------------------------------------------------------------- the state


def test_the_resolver_comes_to_the_same_charter_from_the_causes(world: World) -> None:
    changes = [a_change(world, action) for action in (admit("stella"), set_to("claim_fee", 7))]
    decide(world, *changes)
    later = a_change(world, dismiss("sara"))
    decide(world, later, voters=("saul", "selma", "simon", "stella"))
    world.pass_until(later.effective_at)
    resolution = ConflictResolver().resolve(world.to_history())
    assert resolution.records == world.view.rows


def test_a_decided_change_cannot_be_decided_again(world: World) -> None:
    change = a_change(world, set_to("claim_fee", 7))
    decide(world, change)
    case = case_of(world, change)
    world.view.rows[(CHANGES.name, case.change_id)] = replace(
        case, status=ChangeStatus.OPEN, decided_at=None
    )
    with pytest.raises(InvariantBroken, match="a_change_needs_a_quorum"):
        world.seal()
