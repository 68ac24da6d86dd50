"""Each single rule of disputes and stakes broken: one clear line, and nothing changes."""

import pytest

from protocol.dispute_records import EVIDENCE_EACH_MAX, Choice, DisputeType
from protocol.kinds.adjust_stake import AdjustStake, StakeAction
from protocol.phases import ROUNDS_MAX
from protocol.transactions import SignedTransaction
from tests.support.builders import ARBITERS, SOLVERS, a_hash, an_address
from tests.support.court import (
    BOND,
    a_court,
    appeal,
    arbitrate,
    bring,
    close,
    hear,
    object_to,
    report,
    seat_panel,
    withdraw,
)
from tests.support.refusals import Case, Deed, check_refusal
from tests.support.tasks import a_judged_task, a_shown_task
from tests.support.world import World


def disputed(world: World) -> bytes:
    task_id = a_judged_task(world)
    world.seal(object_to(world, "alice", task_id))
    return task_id


def in_court(world: World) -> bytes:
    task_id = disputed(world)
    seat_panel(world, task_id)
    return task_id


def judged_by_court(world: World) -> bytes:
    task_id = disputed(world)
    hear(world, task_id, [Choice.UPHOLD] * 3)
    return task_id


def a_member(world: World, task_id: bytes) -> str:
    return seat_panel(world, task_id)[0]


# ------------------------------------------------------------------------------------ opening


def objection_to_nothing(world: World) -> SignedTransaction:
    return object_to(world, "alice", a_hash("no task"))


def objection_to_an_open_offer(world: World) -> SignedTransaction:
    return object_to(world, "alice", world.open_task())


def objection_by_a_stranger(world: World) -> SignedTransaction:
    return object_to(world, "eve", a_judged_task(world))


def objection_by_a_validator_of_another_task(world: World) -> SignedTransaction:
    task_id = a_judged_task(world)
    outsider = next(who for who in ARBITERS if who not in world.panel(task_id))
    return object_to(world, outsider, task_id)


def late_objection(world: World) -> SignedTransaction:
    task_id = a_judged_task(world)
    world.settle(task_id)
    return object_to(world, "alice", task_id)


def second_objection(world: World) -> SignedTransaction:
    return object_to(world, "bob", disputed(world))


def objection_after_three(world: World) -> SignedTransaction:
    task_id = a_judged_task(world)
    for _ in range(ROUNDS_MAX):
        world.seal(object_to(world, "alice", task_id))
        world.seal(withdraw(world, "alice", task_id))
    return object_to(world, "alice", task_id)


def objection_with_small_bond(world: World) -> SignedTransaction:
    return object_to(world, "alice", a_judged_task(world), bond=BOND - 1)


def objection_to_no_answer(world: World) -> SignedTransaction:
    return object_to(world, "alice", a_judged_task(world), submission_id=a_hash("no answer"))


def objection_to_a_hidden_answer(world: World) -> SignedTransaction:
    task_id = world.open_task()
    world.collect_answers(task_id, ["bob"])
    world.seal()
    return object_to(world, "alice", task_id, submission_id=world.submission_id(task_id, "bob"))


def objection_to_votes_before_any(world: World) -> SignedTransaction:
    return object_to(world, "bob", a_shown_task(world), type=DisputeType.VALIDATION_ACCURACY)


def objection_to_rewards_before_any(world: World) -> SignedTransaction:
    return object_to(world, "bob", a_shown_task(world), type=DisputeType.REWARD_DISTRIBUTION)


def unfunded_objection(world: World) -> SignedTransaction:
    return object_to(world, "alice", a_judged_task(world), bond=10**15)


# ------------------------------------------------------------------------------------- evidence


def evidence_in_no_dispute(world: World) -> SignedTransaction:
    task_id, other = disputed(world), disputed(world)
    payload = bring(world.fork(), "alice", other).payload
    return world.sign("alice", "add_evidence", payload, subject=task_id)


def evidence_by_a_stranger(world: World) -> SignedTransaction:
    return bring(world, "eve", disputed(world))


def evidence_known_already(world: World) -> SignedTransaction:
    return bring(world, "alice", disputed(world), "proof")


def evidence_without_end(world: World) -> SignedTransaction:
    task_id = disputed(world)
    world.seal(*(bring(world, "alice", task_id, f"item {i}") for i in range(EVIDENCE_EACH_MAX - 1)))
    return bring(world, "alice", task_id, "one too many")


def evidence_after_the_end(world: World) -> SignedTransaction:
    task_id = judged_by_court(world)
    close(world, task_id)
    return bring(world, "alice", task_id)


# ---------------------------------------------------------------------------------------- votes


def vote_before_the_panel(world: World) -> SignedTransaction:
    return arbitrate(world, "ada", disputed(world), Choice.UPHOLD)


def vote_from_outside(world: World) -> SignedTransaction:
    return arbitrate(world, "alice", in_court(world), Choice.UPHOLD)


def vote_by_who_has_left(world: World) -> SignedTransaction:
    task_id = disputed(world)
    who = a_member(world, task_id)
    world.seal(world.sign(who, "adjust_stake", AdjustStake(StakeAction.EXIT, 0)))
    return arbitrate(world, who, task_id, Choice.UPHOLD)


def second_vote(world: World) -> SignedTransaction:
    task_id = disputed(world)
    who = a_member(world, task_id)
    world.seal(arbitrate(world, who, task_id, Choice.UPHOLD))
    return arbitrate(world, who, task_id, Choice.VOID)


def vote_for_another_hearing(world: World) -> SignedTransaction:
    task_id = disputed(world)
    who = a_member(world, task_id)
    return arbitrate(world, who, task_id, Choice.UPHOLD, hearing=1)


def vote_on_no_answer(world: World) -> SignedTransaction:
    task_id = disputed(world)
    who = a_member(world, task_id)
    return arbitrate(world, who, task_id, Choice.VOID, submissions=(a_hash("no answer"),))


def vote_on_a_hidden_answer(world: World) -> SignedTransaction:
    task_id = world.open_task()
    world.collect_answers(task_id, ["bob", "carol"])
    world.seal(world.reveal("bob", task_id), object_to(world, "alice", task_id))
    who = a_member(world, task_id)
    hidden = world.submission_id(task_id, "carol")
    return arbitrate(world, who, task_id, Choice.OVERTURN, submissions=(hidden,))


def vote_against_no_validator(world: World) -> SignedTransaction:
    task_id = disputed(world)
    who = a_member(world, task_id)
    return arbitrate(world, who, task_id, Choice.VOID, validators=(an_address("eve"),))


def split_of_nothing(world: World) -> SignedTransaction:
    task_id = a_shown_task(world)
    world.seal(object_to(world, "alice", task_id))
    who = a_member(world, task_id)
    return arbitrate(world, who, task_id, Choice.SPLIT, share=5_000)


def vote_after_the_judgment(world: World) -> SignedTransaction:
    task_id = judged_by_court(world)
    return arbitrate(world, "ada", task_id, Choice.UPHOLD)


# -------------------------------------------------------------------------- appeals, withdrawals


def appeal_before_a_judgment(world: World) -> SignedTransaction:
    return appeal(world, "alice", in_court(world))


def appeal_by_a_stranger(world: World) -> SignedTransaction:
    return appeal(world, "eve", judged_by_court(world))


def appeal_with_small_deposit(world: World) -> SignedTransaction:
    return appeal(world, "alice", judged_by_court(world), deposit=BOND - 1)


def appeal_against_another_hearing(world: World) -> SignedTransaction:
    return appeal(world, "alice", judged_by_court(world), hearing=1)


def second_appeal(world: World) -> SignedTransaction:
    task_id = judged_by_court(world)
    other = world.fork()
    world.seal(appeal(world, "alice", task_id))
    return world.sign(
        "bob", "appeal_dispute", appeal(other, "bob", task_id).payload, subject=task_id
    )


def late_appeal(world: World) -> SignedTransaction:
    task_id = judged_by_court(world)
    other = world.fork()
    close(world, task_id)
    payload = appeal(other, "alice", task_id).payload
    return world.sign("alice", "appeal_dispute", payload, subject=task_id)


def withdrawal_by_the_other_side(world: World) -> SignedTransaction:
    return withdraw(world, "bob", disputed(world))


def withdrawal_from_the_court(world: World) -> SignedTransaction:
    return withdraw(world, "alice", in_court(world))


def withdrawal_while_answers_are_shown(world: World) -> SignedTransaction:
    task_id = world.open_task()
    world.collect_answers(task_id, ["bob"])
    world.seal(object_to(world, "alice", task_id))
    return withdraw(world, "alice", task_id)


# --------------------------------------------------------------------------------------- reports


def report_by_the_miner_himself(world: World) -> SignedTransaction:
    return report(world, "bob", a_shown_task(world), "bob")


def report_by_a_stranger(world: World) -> SignedTransaction:
    return report(world, "eve", a_shown_task(world), "bob")


def report_of_a_hidden_answer(world: World) -> SignedTransaction:
    task_id = world.open_task()
    world.collect_answers(task_id, ["bob"])
    return report(world, "carol", task_id, "bob")


def report_of_no_answer(world: World) -> SignedTransaction:
    return report(world, "vera", a_shown_task(world), "dave")


def second_report(world: World) -> SignedTransaction:
    task_id = a_shown_task(world)
    world.seal(report(world, "dave", task_id, "bob"))
    return report(world, "dave", task_id, "bob", risk=8_000)


def late_report(world: World) -> SignedTransaction:
    task_id = a_judged_task(world)
    world.settle(task_id)
    return report(world, "dave", task_id, "bob")


# ------------------------------------------------------------------------- claims, votes, stakes


def claim_while_disputed(world: World) -> SignedTransaction:
    task_id = disputed(world)
    return world.claim("bob", task_id, world.entries_of(task_id, "bob")[0])


def claim_of_a_revoked_entry(world: World) -> SignedTransaction:
    task_id = a_judged_task(world)
    entry = world.entries_of(task_id, "bob")[0]
    world.seal(object_to(world, "alice", task_id))
    close(world, task_id)
    world.settle(task_id)
    return world.claim("bob", task_id, entry)


def convicted(world: World, verdict: Choice) -> tuple[bytes, str, SignedTransaction]:
    """Return a task that goes on, a validator found guilty, and what he committed to besides."""
    task_id = a_shown_task(world)
    liar = world.panel(task_id)[0]
    lie, hidden = (world.vote(liar, task_id, miner, 0) for miner in ("bob", "carol"))
    world.seal(lie, hidden)
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    world.seal(world.show(lie))
    world.seal(object_to(world, "bob", task_id, type=DisputeType.VALIDATION_ACCURACY))
    hear(world, task_id, [verdict] * 3, validators=(an_address(liar),))
    close(world, task_id)
    return task_id, liar, hidden


def vote_by_a_convicted_validator(world: World) -> SignedTransaction:
    task_id, liar, _ = convicted(world, Choice.REVALIDATE)
    return world.vote(liar, task_id, "carol", 80)


def vote_shown_by_a_convicted_validator(world: World) -> SignedTransaction:
    _, _, hidden = convicted(world, Choice.OVERTURN)
    return world.show(hidden)


def stake(action: StakeAction, amount: int = 0, who: str = "bob") -> Deed:
    def deed(world: World) -> SignedTransaction:
        return world.sign(who, "adjust_stake", AdjustStake(action, amount))

    deed.__name__ = f"{action.name.lower()}_by_{who}"
    return deed


def early_withdrawal_of_a_stake(world: World) -> SignedTransaction:
    world.seal(stake(StakeAction.EXIT)(world))
    world.pass_until(world.epoch + 2 * world.params.resolution_epochs - 1)
    return stake(StakeAction.WITHDRAW)(world)


def deposit_by_who_has_left(world: World) -> SignedTransaction:
    world.seal(stake(StakeAction.EXIT)(world))
    return stake(StakeAction.DEPOSIT, 1)(world)


def second_exit(world: World) -> SignedTransaction:
    world.seal(stake(StakeAction.EXIT)(world))
    return stake(StakeAction.EXIT)(world)


def answer_by_who_has_left(world: World) -> SignedTransaction:
    task_id = world.open_task()
    world.seal(stake(StakeAction.EXIT, who=SOLVERS[0])(world))
    return world.submit(SOLVERS[0], task_id)


CASES = (
    Case("no_such_task", objection_to_nothing),
    Case("wrong_phase", objection_to_an_open_offer, loses=True),
    Case("not_a_party", objection_by_a_stranger),
    Case("not_a_party", objection_by_a_validator_of_another_task),
    Case("deadline_passed", late_objection),
    Case("dispute_open", second_objection, loses=True),
    Case("no_more_rounds", objection_after_three),
    Case("bond_too_small", objection_with_small_bond),
    Case("no_such_answer", objection_to_no_answer),
    Case("not_revealed", objection_to_a_hidden_answer),
    Case("no_votes", objection_to_votes_before_any),
    Case("no_result", objection_to_rewards_before_any),
    Case("unfunded", unfunded_objection),
    Case("no_such_dispute", evidence_in_no_dispute),
    Case("not_a_party", evidence_by_a_stranger),
    Case("already_there", evidence_known_already),
    Case("too_much_evidence", evidence_without_end),
    Case("dispute_closed", evidence_after_the_end),
    Case("wrong_state", vote_before_the_panel, loses=True),
    Case("not_on_panel", vote_from_outside),
    Case("not_active", vote_by_who_has_left),
    Case("already_voted", second_vote, loses=True),
    Case("wrong_hearing", vote_for_another_hearing),
    Case("no_such_answer", vote_on_no_answer),
    Case("not_revealed", vote_on_a_hidden_answer),
    Case("no_such_vote", vote_against_no_validator),
    Case("no_result", split_of_nothing),
    Case("wrong_state", vote_after_the_judgment, loses=True),
    Case("wrong_state", appeal_before_a_judgment, loses=True),
    Case("not_a_party", appeal_by_a_stranger),
    Case("bond_too_small", appeal_with_small_deposit),
    Case("wrong_hearing", appeal_against_another_hearing),
    Case("wrong_state", second_appeal, loses=True),
    Case("dispute_closed", late_appeal),
    Case("not_disputer", withdrawal_by_the_other_side),
    Case("wrong_state", withdrawal_from_the_court, loses=True),
    Case("too_early", withdrawal_while_answers_are_shown),
    Case("own_answer", report_by_the_miner_himself),
    Case("not_registered", report_by_a_stranger),
    Case("not_revealed", report_of_a_hidden_answer),
    Case("no_such_answer", report_of_no_answer),
    Case("already_reported", second_report, loses=True),
    Case("task_closed", late_report),
    Case("dispute_open", claim_while_disputed),
    Case("not_claimable", claim_of_a_revoked_entry),
    Case("convicted", vote_by_a_convicted_validator),
    Case("convicted", vote_shown_by_a_convicted_validator),
    Case("not_registered", stake(StakeAction.EXIT, who="eve")),
    Case("unfunded", stake(StakeAction.DEPOSIT, 10**15)),
    Case("not_exiting", stake(StakeAction.WITHDRAW)),
    Case("too_early", early_withdrawal_of_a_stake),
    Case("not_active", deposit_by_who_has_left),
    Case("not_active", second_exit),
    Case("not_active", answer_by_who_has_left),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.deed.__name__}-{case.code}")
def test_a_broken_rule_gives_one_clear_line_and_changes_nothing(case: Case) -> None:
    check_refusal(a_court(), case)
