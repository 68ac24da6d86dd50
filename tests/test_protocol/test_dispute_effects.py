"""What disputes do to money, votes, stakes and reputations, to the last nano."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from protocol.dispute_records import Choice, DisputeType
from protocol.fees import STAKE_SHARE_LOST
from protocol.invariants import check_whole_state
from protocol.params import SCALE
from protocol.phases import ROUNDS_MAX, DisputeStatus, RewardState, SubmissionStatus, TaskStatus
from protocol.records import RewardRole
from protocol.reputation import PENALTY_POINTS, Violation
from protocol.tables import FRAUD_REPORTS, report_key
from tests.support.builders import COIN, STAKE, a_hash, an_address, name_of
from tests.support.court import (
    BOND,
    a_court,
    appeal,
    arbitrate,
    bring,
    case_of,
    close,
    hear,
    object_to,
    report,
    seat_panel,
    withdraw,
)
from tests.support.tasks import a_judged_task, a_shown_task
from tests.support.world import World

At = TaskStatus
REWARD = 10 * COIN


def balances(world: World, *names: str) -> list[int]:
    return [world.balance(who) for who in names]


def try_case(
    world: World,
    task_id: bytes,
    choice: Choice,
    *,
    by: str = "alice",
    opening: Mapping[str, Any] | None = None,
    **changes: Any,
) -> list[str]:
    """Open a dispute, have the whole panel want the same, wait for the end; return the panel."""
    world.seal(object_to(world, by, task_id, **(opening or {})))
    panel = seat_panel(world, task_id)
    world.seal(*(arbitrate(world, who, task_id, choice, **changes) for who in panel))
    close(world, task_id)
    return panel


# ---------------------------------------------------------------------------------------- bonds


def test_a_frivolous_bond_goes_half_to_the_other_side_and_half_to_the_arbiters() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    bond = BOND + 7
    world.seal(object_to(world, "alice", task_id, bond=bond))
    panel = seat_panel(world, task_id)
    before = balances(world, "bob", "carol", *panel)
    votes = [arbitrate(world, who, task_id, Choice.UPHOLD) for who in panel]
    world.seal(*votes)
    case = close(world, task_id)
    after = balances(world, "bob", "carol", *panel)
    gained = [new - old for new, old in zip(after, before, strict=True)]
    assert (sum(gained[:2]), sum(gained[2:])) == (bond // 2, bond - bond // 2)
    assert max(gained[:2]) - min(gained[:2]) <= 1
    assert max(gained[2:]) - min(gained[2:]) <= 1
    assert (case.bond, case.forfeited) == (0, bond)


def test_only_arbiters_who_took_a_side_are_paid() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    panel = seat_panel(world, task_id)
    before = balances(world, *panel)
    hear(world, task_id, [Choice.UPHOLD, Choice.ABSTAIN, Choice.UPHOLD])
    close(world, task_id)
    gained = [new - old for new, old in zip(balances(world, *panel), before, strict=True)]
    assert gained == [BOND // 4, 0, BOND // 4]


@pytest.mark.parametrize("choice", [Choice.REVALIDATE, Choice.VOID, Choice.SPLIT])
def test_who_objected_rightly_has_his_bond_back_but_not_the_fee(choice: Choice) -> None:
    world = a_court()
    task_id = a_judged_task(world)
    before = world.balance("carol")
    share: dict[str, Any] = {"share": 1} if choice is Choice.SPLIT else {}
    try_case(world, task_id, choice, by="carol", **share)
    stake = STAKE if choice is Choice.VOID else 0
    assert world.balance("carol") == before - world.params.validate_fee + stake
    assert case_of(world, task_id).forfeited == 0


def test_where_nobody_judges_the_bond_comes_back() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    before = world.balance("alice")
    world.seal(object_to(world, "alice", task_id))
    close(world, task_id)
    assert world.balance("alice") == before - world.params.validate_fee


def test_a_withdrawal_costs_half_the_bond_so_that_rounds_are_not_used_up_for_nothing() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    before = balances(world, "alice", "bob", "carol")
    for _ in range(ROUNDS_MAX):
        world.seal(object_to(world, "alice", task_id))
        world.seal(withdraw(world, "alice", task_id))
    lost = BOND // 2
    after = balances(world, "alice", "bob", "carol")
    assert before[0] - after[0] == ROUNDS_MAX * (lost + world.params.validate_fee)
    assert after[1] - before[1] + after[2] - before[2] == ROUNDS_MAX * lost
    assert world.task(task_id).status is At.COMPLETED


def test_the_bond_of_an_equivocator_is_lost() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    opening = object_to(world, "alice", task_id)
    world.seal(opening, evidence=[(an_address("alice"), opening.header.seq + 1)])
    ledger, before = world.ledger, balances(world, "bob", "carol")
    world.seal()
    after = balances(world, "bob", "carol")
    assert sum(after) - sum(before) == BOND // 2
    burned = (BOND - BOND // 2) * world.params.burned_share // SCALE
    assert world.ledger.burned - ledger.burned == burned
    assert world.ledger.treasury - ledger.treasury == BOND - BOND // 2 - burned


@pytest.mark.parametrize(
    ("second", "lost"), [(Choice.UPHOLD, BOND), (Choice.VOID, 0), (None, 0)], ids=str
)
def test_a_deposit_is_lost_if_the_next_panel_says_the_same(
    second: Choice | None, lost: int
) -> None:
    world = a_court()
    task_id = a_judged_task(world)
    world.seal(object_to(world, "carol", task_id))
    hear(world, task_id, [Choice.UPHOLD] * 3)
    before = world.balance("carol")
    world.seal(appeal(world, "carol", task_id))
    panel = seat_panel(world, task_id)
    paid = sum(balances(world, *panel))
    if second is not None:
        hear(world, task_id, [second] * 5)
    case = close(world, task_id)
    assert case.appeals[0].deposit == 0
    bond = 0 if second is Choice.VOID else BOND
    assert case.forfeited == lost + bond
    stake = STAKE if second is Choice.VOID else 0
    released = BOND - bond
    fee = world.params.validate_fee
    assert world.balance("carol") == before - fee - lost + released + stake
    # Those who judged last have their half of what was lost by both.
    judged = second is not None
    assert sum(balances(world, *panel)) - paid == (lost + bond) // 2 * judged


def test_a_lost_dispute_costs_its_miner_a_hundred_points_and_a_publisher_who_is_none_nothing() -> (
    None
):
    world = a_court()
    task_id = a_judged_task(world)
    before = world.miner("carol").reputation.score
    try_case(world, task_id, Choice.UPHOLD, by="carol")
    points = PENALTY_POINTS[Violation.FRIVOLOUS_DISPUTE]
    assert world.miner("carol").reputation.score == before - points
    try_case(world, task_id, Choice.UPHOLD, by="alice")
    assert world.task(task_id).lifecycle.round == 2


# ----------------------------------------------------------------------------------- T13: results


def test_an_upheld_result_pays_in_the_next_round_exactly_what_it_would_have_paid() -> None:
    world = a_court()
    task_id = a_judged_task(world, scores=(90, 82, 85, 88, 91))
    old = world.distribution(task_id)
    winner = world.task(task_id).winner
    try_case(world, task_id, Choice.UPHOLD)
    new = world.distribution(task_id)
    assert (new.round, new.refund, new.network_fee) == (1, old.refund, old.network_fee)
    assert [(e.recipient, e.amount, e.role, e.rank) for e in new.entries] == [
        (e.recipient, e.amount, e.role, e.rank) for e in old.entries
    ]
    assert {e.entry_id for e in new.entries}.isdisjoint(e.entry_id for e in old.entries)
    assert world.task(task_id).winner == winner
    assert new.claimable_after == world.epoch + world.params.dispute_epochs
    world.settle(task_id)
    entry = world.entries_of(task_id, "bob")[0]
    claim = world.claim("bob", task_id, entry, round=1)
    world.seal(claim, world.claim("bob", task_id, world.entries_of(task_id, "bob")[0], round=1))
    assert world.task(task_id).pool.paid_out == new.network_fee + entry.amount


def test_an_answer_that_is_struck_out_wins_nothing_and_loses_its_stake_once() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    before, points = world.balance("bob"), world.miner("bob").reputation.score
    opening = {
        "type": DisputeType.PLAGIARISM,
        "submission_id": world.submission_id(task_id, "bob"),
    }
    guilty = (world.submission_id(task_id, "bob"),)
    try_case(world, task_id, Choice.OVERTURN, opening=opening, submissions=guilty)
    struck = world.submission(task_id, "bob")
    lost = STAKE * STAKE_SHARE_LOST[Violation.PLAGIARISM] // SCALE
    assert (struck.status, struck.score, struck.stake) == (SubmissionStatus.REJECTED, 0, 0)
    assert struck.forfeited == lost
    assert world.balance("bob") == before + STAKE - lost
    left = max(0, points - PENALTY_POINTS[Violation.PLAGIARISM])
    assert world.miner("bob").reputation.score == left
    assert world.entries_of(task_id, "bob") == []
    assert world.task(task_id).winner == world.submission_id(task_id, "carol")
    # The same again takes nothing more, and settling judges him no second time.
    try_case(world, task_id, Choice.OVERTURN, opening=opening, submissions=guilty)
    world.settle(task_id)
    assert world.balance("bob") == before + STAKE - lost
    assert world.miner("bob").reputation.score == left
    assert world.miner("bob").forfeited == lost
    assert world.miner("bob").reputation.tasks == 0
    check_whole_state(world.view.rows)


VIOLATIONS = {
    DisputeType.VALIDATION_ACCURACY: Violation.POOR_QUALITY,
    DisputeType.REWARD_DISTRIBUTION: Violation.POOR_QUALITY,
    DisputeType.PLAGIARISM: Violation.PLAGIARISM,
    DisputeType.QUALITY_ASSESSMENT: Violation.INCORRECT_ANSWER,
    DisputeType.TECHNICAL_ERROR: Violation.POOR_QUALITY,
    DisputeType.FRAUD_ACCUSATION: Violation.MALICIOUS_BEHAVIOR,
}


@pytest.mark.parametrize("type_", DisputeType, ids=lambda type_: type_.name)
def test_what_the_guilty_lose_depends_on_what_the_dispute_is_about(type_: DisputeType) -> None:
    world = a_court()
    task_id = a_judged_task(world)
    liar = world.panel(task_id)[0]
    before = world.balance("alice")
    try_case(
        world,
        task_id,
        Choice.VOID,
        opening={"type": type_},
        submissions=(world.submission_id(task_id, "bob"),),
        validators=(an_address(liar),),
    )
    answer = STAKE * STAKE_SHARE_LOST[VIOLATIONS[type_]] // SCALE
    is_fraud = type_ is DisputeType.FRAUD_ACCUSATION
    lied = Violation.COLLUSION if is_fraud else Violation.FALSE_VALIDATION
    vote = STAKE // 2 * STAKE_SHARE_LOST[lied] // SCALE
    assert world.miner("bob").forfeited == answer
    # A vote on each of two answers; the reputation is lost once.
    assert world.miner(liar).forfeited == 2 * vote
    start = world.params.reputation_start
    assert world.miner(liar).reputation.score == max(0, start - PENALTY_POINTS[lied])
    # The publisher is the harmed party: half of all that is lost is his.
    fee = world.params.validate_fee
    assert world.balance("alice") == before - fee + REWARD + answer // 2 + 2 * (vote // 2)


def test_votes_that_are_struck_out_decide_no_more() -> None:
    # Two of five would have it that Bob's answer is worthless; without them it is good.
    world = a_court()
    task_id = a_shown_task(world, ["bob"])
    panel = world.panel(task_id)
    world.judge(task_id, {"bob": (90, 90, 0, 0, 0)})
    assert world.task(task_id).status is At.UNDER_VALIDATION
    liars = tuple(sorted(map(an_address, panel[2:])))
    world.seal(object_to(world, "bob", task_id, type=DisputeType.VALIDATION_ACCURACY))
    hear(world, task_id, [Choice.OVERTURN] * 3, validators=liars)
    close(world, task_id)
    assert world.task(task_id).status is At.UNDER_VALIDATION
    assert {world.miner(who).forfeited for who in panel[2:]} == {STAKE // 2 * 3_000 // SCALE}
    # What the honest said still stands, and they are too few: it ends without a quorum.
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline + 1)
    assert world.task(task_id).status is At.EXPIRED
    assert world.submission(task_id, "bob").stake == 0
    check_whole_state(world.view.rows)


def test_a_result_is_decided_anew_without_the_false_votes() -> None:
    world = a_court()
    task_id = a_judged_task(world, ["bob"], scores=(90, 90, 90, 88, 86))
    liars = tuple(sorted(map(an_address, world.panel(task_id)[3:])))
    try_case(
        world,
        task_id,
        Choice.OVERTURN,
        by="bob",
        opening={"type": DisputeType.VALIDATION_ACCURACY},
        validators=liars,
    )
    entries = world.distribution(task_id).entries
    paid = {entry.recipient for entry in entries if entry.role is RewardRole.VALIDATOR}
    assert len(paid) == 3
    assert paid.isdisjoint(liars)
    assert world.submission(task_id, "bob").score == 90
    honest = world.panel(task_id)[:3]
    world.settle(task_id)
    assert {world.miner(who).reputation.votes for who in honest} == {1}
    assert {world.miner(name_of(who)).reputation.votes for who in liars} == {0}


def test_without_enough_honest_votes_the_reward_goes_back_and_nobody_is_blamed() -> None:
    world = a_court()
    task_id = a_judged_task(world, ["bob"], scores=(90, 90, 90))
    liar = an_address(world.panel(task_id)[0])
    opening = {"type": DisputeType.VALIDATION_ACCURACY}
    try_case(world, task_id, Choice.OVERTURN, by="alice", opening=opening, validators=(liar,))
    distribution = world.distribution(task_id)
    assert distribution.entries == ()
    assert distribution.refund == REWARD - distribution.network_fee
    undecided = world.submission(task_id, "bob")
    assert undecided.status is SubmissionStatus.REQUIRES_EXPERT_REVIEW
    world.settle(task_id)
    assert world.submission(task_id, "bob").forfeited == 0


def test_a_split_sends_a_share_of_every_entry_back_and_nothing_is_lost() -> None:
    world = a_court()
    task_id = a_judged_task(world, scores=(90, 82, 85, 88, 91))
    old = world.distribution(task_id)
    try_case(world, task_id, Choice.SPLIT, share=3_333)
    new = world.distribution(task_id)
    assert [e.amount for e in new.entries] == [e.amount * 6_667 // SCALE for e in old.entries]
    paid = sum(e.amount for e in new.entries)
    assert paid + new.refund + new.network_fee == REWARD
    world.settle(task_id)
    assert world.task(task_id).pool.refunded == new.refund


# --------------------------------------------------------------------------- T14: validated again


def test_another_panel_judges_again_and_the_earlier_votes_are_void() -> None:
    world = a_court()
    task_id = a_judged_task(world, ["bob"], scores=(20, 20, 20))
    first = world.panel(task_id)
    before = balances(world, *first)
    try_case(world, task_id, Choice.REVALIDATE, by="bob")
    task = world.task(task_id)
    assert task.status is At.UNDER_VALIDATION
    assert task.lifecycle.validation_deadline == world.epoch + world.params.validation_epochs
    assert (task.lifecycle.completed_at, task.lifecycle.dispute_deadline) == (None, None)
    again = world.panel(task_id)
    assert len(again) == 5
    # Who has voted is barred; who was only drawn may be drawn again.
    assert set(first[:3]).isdisjoint(again)
    assert balances(world, *first)[:3] == [one + STAKE // 2 for one in before[:3]]
    assert world.submission(task_id, "bob").score is None
    world.judge(task_id, {"bob": (95, 95, 95)})
    assert world.task(task_id).status is At.COMPLETED
    assert world.submission(task_id, "bob").score == 95
    world.settle(task_id)
    assert {world.miner(who).reputation.votes for who in first[:3]} == {0}
    assert {world.miner(who).reputation.votes for who in again[:3]} == {1}
    check_whole_state(world.view.rows)


def test_votes_of_a_task_that_goes_on_stay_valid() -> None:
    world = a_court()
    task_id = a_shown_task(world, ["bob"])
    panel = world.panel(task_id)
    early = [world.vote(who, task_id, "bob", 90) for who in panel[:2]]
    world.seal(*early)
    try_case(world, task_id, Choice.UPHOLD)
    assert world.task(task_id).status is At.UNDER_VALIDATION
    assert world.panel(task_id) == panel
    world.seal(world.vote(panel[2], task_id, "bob", 91))
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    world.seal(*map(world.show, world.hidden_votes(task_id)))
    assert world.task(task_id).status is At.COMPLETED
    assert world.distribution(task_id).round == 1


def test_where_too_few_can_judge_a_dispute_ends_and_the_result_stands() -> None:
    world = World()
    world.settle_cast()
    world.seal(*(world.register(who, roles=3) for who in ("eve", "mallory")))
    task_id = a_judged_task(world, ["bob"])
    world.seal(object_to(world, "bob", task_id))
    case = close(world, task_id)
    assert (case.status, case.panel) == (DisputeStatus.EXPIRED, ())
    world.settle(task_id)
    assert world.entries_of(task_id, "bob")[0].state is RewardState.CLAIMABLE


# -------------------------------------------------------------------------------------- T15: void


def test_a_void_task_gives_the_reward_and_the_stakes_of_the_innocent_back() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    panel = world.panel(task_id)
    people = ("alice", "carol", *panel)
    before = balances(world, *people)
    old = world.distribution(task_id)
    try_case(world, task_id, Choice.VOID, submissions=(world.submission_id(task_id, "bob"),))
    lost = STAKE * 3_000 // SCALE
    fee = world.params.validate_fee
    assert balances(world, *people) == [
        before[0] - fee + REWARD + lost // 2,
        before[1] + STAKE,
        *(one + STAKE for one in before[2:]),
    ]
    assert world.task(task_id).pool.refunded == REWARD
    assert world.ledger.escrowed == 0
    entries = world.distribution(task_id, 0).entries
    assert {entry.state for entry in entries} == {RewardState.REVOKED}
    assert len(entries) == len(old.entries)


def test_a_void_task_still_punishes_who_never_showed_his_answer() -> None:
    world = a_court()
    task_id = world.open_task()
    world.collect_answers(task_id, ["bob", "carol"])
    world.seal(world.reveal("bob", task_id), object_to(world, "alice", task_id))
    hear(world, task_id, [Choice.VOID] * 3)
    close(world, task_id)
    hidden = world.submission(task_id, "carol")
    assert (hidden.status, hidden.forfeited) == (
        SubmissionStatus.NOT_REVEALED,
        STAKE * 3_000 // SCALE,
    )
    assert world.submission(task_id, "bob").forfeited == 0


# ------------------------------------------------------------------------------------ judgments


def judged(choices: Sequence[Choice], **changes: Any) -> Choice:
    world = a_court()
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    named = {"submissions": (world.submission_id(task_id, "bob"),)}
    hear(world, task_id, choices, **{**named, **changes})
    return close(world, task_id).judgments[-1].choice


def test_a_tie_upholds() -> None:
    assert judged([Choice.VOID, Choice.UPHOLD, Choice.ABSTAIN]) is Choice.UPHOLD
    assert judged([Choice.VOID, Choice.OVERTURN, Choice.REVALIDATE]) is Choice.UPHOLD


def test_a_majority_of_those_who_took_a_side_is_enough() -> None:
    assert judged([Choice.VOID, Choice.ABSTAIN, Choice.ABSTAIN]) is Choice.VOID
    assert judged([Choice.VOID, Choice.VOID, Choice.UPHOLD]) is Choice.VOID


def test_without_a_majority_about_who_is_guilty_nobody_is() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    panel = seat_panel(world, task_id)
    bob, carol = (world.submission_id(task_id, who) for who in ("bob", "carol"))
    liar = an_address(world.panel(task_id)[0])
    world.seal(
        arbitrate(world, panel[0], task_id, Choice.OVERTURN, submissions=(bob,)),
        arbitrate(world, panel[1], task_id, Choice.OVERTURN, submissions=(carol,)),
        arbitrate(world, panel[2], task_id, Choice.OVERTURN, validators=(liar,)),
    )
    case = close(world, task_id)
    assert case.judgments[-1].choice is Choice.UPHOLD
    assert world.submission(task_id, "bob").forfeited == 0


def test_a_report_is_an_opinion_and_moves_nothing_but_its_fee() -> None:
    world = a_court()
    task_id = a_shown_task(world, ["bob"])
    bob, before, ledger = world.miner("bob"), world.balance("dave"), world.ledger
    world.seal(report(world, "dave", task_id, "bob"))
    assert world.balance("dave") == before - world.params.validate_fee
    assert world.miner("bob") == bob
    assert (world.ledger.escrowed, world.ledger.staked) == (ledger.escrowed, ledger.staked)
    key = report_key(world.submission_id(task_id, "bob"), an_address("dave"))
    filed = world.require(FRAUD_REPORTS, key)
    assert (filed.risk, filed.analysis_hash) == (9_000, a_hash("analysis"))
    assert (filed.task_id, filed.reported_at) == (task_id, world.epoch)


def test_evidence_of_both_sides_is_in_the_file() -> None:
    world = a_court()
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    world.seal(bring(world, "alice", task_id, "one"), bring(world, "bob", task_id, "two"))
    seat_panel(world, task_id)
    world.seal(bring(world, "carol", task_id, "three"))
    hashes = [one.content_hash for one in case_of(world, task_id).evidence]
    assert hashes[0] == a_hash("proof")
    assert set(hashes[1:]) == {a_hash(text) for text in ("one", "two", "three")}
