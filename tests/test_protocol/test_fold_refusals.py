"""Each single rule broken: one clear line, and nothing changes but the author's chain."""

import re
from pathlib import Path
from typing import Any

import pytest

import protocol
from protocol.closing import compute_archive_epochs
from protocol.kinds.open_vote import OpenVote
from protocol.records import RejectReason, Verdict
from protocol.transactions import SignedTransaction
from tests.support.builders import COIN, STAKE, VALIDATORS, a_hash, a_vote, an_address
from tests.support.refusals import Case, Deed, check_refusal
from tests.support.world import World
from tests.test_protocol.test_change_refusals import CHANGE_CASES
from tests.test_protocol.test_dispute_refusals import CASES as DISPUTE_CASES


def a_world() -> World:
    world = World()
    world.settle_cast()
    return world


def answered(world: World, *miners: str, places: int = 3) -> bytes:
    task_id = world.open_task(max_participants=places)
    world.seal(*(world.submit(who, task_id) for who in miners))
    return task_id


def revealable(world: World, *miners: str) -> bytes:
    task_id = answered(world, *miners)
    world.pass_until(world.task(task_id).lifecycle.submission_deadline)
    return task_id


def votable(world: World, *miners: str) -> bytes:
    task_id = revealable(world, *miners)
    world.reveal_answers(task_id, miners)
    return task_id


def completed(world: World) -> bytes:
    task_id = votable(world, "bob")
    world.judge(task_id, {"bob": (80, 80, 80)})
    return task_id


def settled(world: World) -> bytes:
    task_id = completed(world)
    world.settle(task_id)
    return task_id


def unfunded_publication(world: World) -> SignedTransaction:
    reward = 499 * COIN
    world.seal(world.publish("eve", difficulty=3, reward=reward, stake_required=30 * COIN))
    world.seal(world.publish("eve", difficulty=3, reward=reward, stake_required=30 * COIN))
    return world.publish("eve")


def second_registration(world: World) -> SignedTransaction:
    return world.register("bob")


def registration_by_a_barred_author(world: World) -> SignedTransaction:
    tx = world.register("eve")
    world.seal(evidence=[(an_address("eve"), tx.header.seq + 1)])
    return tx


def registration_with_small_stake(world: World) -> SignedTransaction:
    return world.register("eve", stake=world.params.miner_stake_min - 1)


def publication(**changes: Any) -> Deed:
    def deed(world: World) -> SignedTransaction:
        return world.publish(**changes)

    deed.__name__ = "publication_with_" + "_and_".join(changes)
    return deed


def cancellation_of_nothing(world: World) -> SignedTransaction:
    return world.cancel("alice", a_hash("no task"))


def cancellation_by_another(world: World) -> SignedTransaction:
    return world.cancel("eve", world.open_task())


def cancellation_after_an_answer(world: World) -> SignedTransaction:
    return world.cancel("alice", answered(world, "bob"))


def answer_to_nothing(world: World) -> SignedTransaction:
    return world.submit("bob", a_hash("no task"))


def late_answer(world: World) -> SignedTransaction:
    return world.submit("carol", revealable(world, "bob"))


def answer_to_a_cancelled_task(world: World) -> SignedTransaction:
    task_id = world.open_task()
    world.seal(world.cancel("alice", task_id))
    return world.submit("bob", task_id)


def answer_to_a_task_long_over(world: World) -> SignedTransaction:
    task_id = world.open_task()
    world.seal(world.cancel("alice", task_id))
    world.pass_until(world.epoch + compute_archive_epochs(world.params))
    return world.submit("bob", task_id)


def answer_by_the_publisher(world: World) -> SignedTransaction:
    world.seal(world.register("alice"))
    return world.submit("alice", world.open_task())


def answer_by_a_stranger(world: World) -> SignedTransaction:
    return world.submit("eve", world.open_task())


def answer_by_a_suspended_miner(world: World) -> SignedTransaction:
    task_id = world.open_task()
    answer = world.submit("bob", task_id)
    world.seal(evidence=[(an_address("bob"), 2)])
    return answer


def answer_by_a_validator(world: World) -> SignedTransaction:
    return world.submit("vera", world.open_task())


def answer_outside_his_field(world: World) -> SignedTransaction:
    world.seal(world.register("eve", specializations=("code_analysis",)))
    return world.submit("eve", world.open_task())


def second_answer(world: World) -> SignedTransaction:
    task_id = answered(world, "bob")
    return world.submit("bob", task_id, commitment=a_hash("another"))


def answer_without_a_place(world: World) -> SignedTransaction:
    return world.submit("bob", answered(world, "carol", places=1))


def answer_with_small_stake(world: World) -> SignedTransaction:
    return world.submit("bob", world.open_task(), stake=STAKE - 1)


def reveal_of_nothing(world: World) -> SignedTransaction:
    return world.reveal("bob", a_hash("no task"))


def reveal_without_commitment(world: World) -> SignedTransaction:
    return world.reveal("carol", revealable(world, "bob"))


def reveal_of_an_answer_to_another_task(world: World) -> SignedTransaction:
    other = answered(world, "bob")
    task_id = revealable(world, "bob")
    return world.reveal("bob", task_id, submission_id=world.submission_id(other, "bob"))


def reveal_of_anothers_answer(world: World) -> SignedTransaction:
    task_id = revealable(world, "bob", "carol")
    return world.reveal("carol", task_id, submission_id=world.submission_id(task_id, "bob"))


def late_reveal(world: World) -> SignedTransaction:
    task_id = revealable(world, "bob", "carol")
    world.seal(world.reveal("carol", task_id))
    world.pass_until(world.task(task_id).lifecycle.reveal_deadline + 1)
    return world.reveal("bob", task_id)


def reveal_while_answers_come_in(world: World) -> SignedTransaction:
    return world.reveal("bob", answered(world, "bob"))


def early_reveal(world: World) -> SignedTransaction:
    return world.reveal("bob", answered(world, "bob", places=1))


def second_reveal(world: World) -> SignedTransaction:
    task_id = revealable(world, "bob", "carol")
    world.seal(world.reveal("bob", task_id))
    return world.reveal("bob", task_id)


def reveal_with_another_salt(world: World) -> SignedTransaction:
    return world.reveal("bob", revealable(world, "bob"), salt=bytes(32))


def vote_on_nothing(world: World) -> SignedTransaction:
    return world.vote("vera", a_hash("no task"), "bob", 80)


def vote_on_no_answer(world: World) -> SignedTransaction:
    return world.vote("vera", votable(world, "bob"), "carol", 80)


def vote_by_the_miner(world: World) -> SignedTransaction:
    return world.vote("bob", votable(world, "bob"), "bob", 100)


def vote_by_the_publisher(world: World) -> SignedTransaction:
    return world.vote("alice", votable(world, "bob"), "bob", 0)


def vote_by_a_stranger(world: World) -> SignedTransaction:
    return world.vote("eve", votable(world, "bob"), "bob", 80)


def vote_by_a_solver(world: World) -> SignedTransaction:
    return world.vote("dave", votable(world, "bob"), "bob", 80)


def vote_before_validation(world: World) -> SignedTransaction:
    return world.vote("vera", revealable(world, "bob"), "bob", 80)


def vote_for_all_to_see(world: World) -> SignedTransaction:
    task_id = votable(world, "bob")
    answer = world.submission_id(task_id, "bob")
    payload = OpenVote(answer, Verdict.APPROVE, 80, RejectReason.NONE, "", STAKE // 2, 0)
    return world.sign(world.panel(task_id)[0], "open_vote", payload, subject=task_id)


def vote_after_the_verdict(world: World) -> SignedTransaction:
    task_id = completed(world)
    return world.vote(world.panel(task_id)[4], task_id, "bob", 10)


def vote_for_another_round(world: World) -> SignedTransaction:
    task_id = votable(world, "bob")
    return world.vote(world.panel(task_id)[0], task_id, "bob", 80, round=1)


def late_vote(world: World) -> SignedTransaction:
    task_id = votable(world, "bob")
    panel = world.panel(task_id)
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    return world.vote(panel[0], task_id, "bob", 80)


def vote_from_outside_the_panel(world: World) -> SignedTransaction:
    task_id = votable(world, "bob")
    world.seal(world.register("eve"))
    return world.vote("eve", task_id, "bob", 80)


def second_vote(world: World) -> SignedTransaction:
    task_id = votable(world, "bob")
    voter = world.panel(task_id)[0]
    world.seal(world.vote(voter, task_id, "bob", 80))
    return world.vote(voter, task_id, "bob", 20)


def vote_on_an_answer_never_shown(world: World) -> SignedTransaction:
    task_id = revealable(world, "bob", "carol")
    world.seal(world.reveal("bob", task_id))
    world.pass_until(world.task(task_id).lifecycle.reveal_deadline + 1)
    return world.vote(world.panel(task_id)[0], task_id, "carol", 80)


def vote_with_small_stake(world: World) -> SignedTransaction:
    task_id = votable(world, "bob")
    return world.vote(world.panel(task_id)[0], task_id, "bob", 80, stake=STAKE // 2 - 1)


def bound(world: World) -> tuple[bytes, SignedTransaction]:
    """Return a task on which one of the panel has committed to a vote, and his commitment."""
    task_id = votable(world, "bob")
    vote = world.vote(world.panel(task_id)[0], task_id, "bob", 80)
    world.seal(vote)
    return task_id, vote


def votes_open(world: World) -> tuple[bytes, SignedTransaction]:
    """Return the same when votes can be shown."""
    task_id, vote = bound(world)
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    return task_id, vote


def shown_vote_of_nothing(world: World) -> SignedTransaction:
    task_id = votable(world, "bob")
    vote = a_vote(world.submission_id(task_id, "bob"), 80)
    return world.sign(world.panel(task_id)[0], "reveal_vote", vote, subject=task_id)


def shown_vote_while_others_commit(world: World) -> SignedTransaction:
    return world.show(bound(world)[1])


def shown_vote_in_the_last_epoch_for_commitments(world: World) -> SignedTransaction:
    task_id, vote = bound(world)
    world.pass_until(world.task(task_id).lifecycle.validation_deadline - 1)
    return world.show(vote)


def shown_vote_with_another_salt(world: World) -> SignedTransaction:
    return world.show(votes_open(world)[1], salt=bytes(32))


def shown_vote_with_another_score(world: World) -> SignedTransaction:
    return world.show(votes_open(world)[1], score=81)


def shown_vote_with_other_words(world: World) -> SignedTransaction:
    return world.show(votes_open(world)[1], reasoning="on second thoughts")


def shown_vote_of_another(world: World) -> SignedTransaction:
    """The commitment of one, copied by another, and opened by him with what the first showed."""
    task_id = votable(world, "bob")
    first, second = world.panel(task_id)[:2]
    original = world.vote(first, task_id, "bob", 80)
    stolen = original.payload.commitment
    copied = world.sign(second, "validate_answer", original.payload, subject=task_id)
    world.seal(original, copied)
    assert copied.payload.commitment == stolen
    assert world.rulings == {}
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    world.seal(world.show(original))
    return world.show(copied)


def second_shown_vote(world: World) -> SignedTransaction:
    _, vote = votes_open(world)
    world.seal(world.show(vote))
    return world.show(vote)


def late_shown_vote(world: World) -> SignedTransaction:
    task_id, vote = votes_open(world)
    world.pass_until(world.task(task_id).lifecycle.finalize_deadline)
    return world.show(vote)


def claim_on_nothing(world: World) -> SignedTransaction:
    return world.claim("bob", a_hash("no task"), a_hash("no entry"))


def claim_before_completion(world: World) -> SignedTransaction:
    return world.claim("bob", votable(world, "bob"), a_hash("no entry"))


def claim_of_no_entry(world: World) -> SignedTransaction:
    return world.claim("bob", settled(world), a_hash("no entry"))


def claim_by_another(world: World) -> SignedTransaction:
    task_id = settled(world)
    return world.claim("eve", task_id, world.entries_of(task_id, "bob")[0])


def second_claim(world: World) -> SignedTransaction:
    task_id = settled(world)
    entry = world.entries_of(task_id, "bob")[0]
    world.seal(world.claim("bob", task_id, entry))
    return world.claim("bob", task_id, entry)


def claim_before_the_dispute_deadline(world: World) -> SignedTransaction:
    task_id = completed(world)
    return world.claim("bob", task_id, world.entries_of(task_id, "bob")[0])


CASES = (
    Case("unfunded", unfunded_publication),
    Case("already_registered", second_registration),
    Case("barred", registration_by_a_barred_author),
    Case("stake_too_small", registration_with_small_stake),
    Case("reward_out_of_range", publication(reward=4 * COIN)),
    # 15 coins are the least of the next level, so not the most of this one.
    Case("reward_out_of_range", publication(reward=15 * COIN)),
    Case("window_out_of_range", publication(submission_epochs=3)),
    Case("window_out_of_range", publication(submission_epochs=1_001)),
    Case("stake_too_small", publication(stake_required=STAKE - 1)),
    Case("too_few_reviewers", publication(required_reviewers=2)),
    Case("too_few_validators", publication(required_reviewers=len(VALIDATORS) + 1)),
    Case("threshold_too_low", publication(consensus_threshold=5_000)),
    Case("no_such_task", cancellation_of_nothing),
    Case("not_publisher", cancellation_by_another),
    Case("wrong_phase", cancellation_after_an_answer, loses=True),
    Case("no_such_task", answer_to_nothing),
    Case("deadline_passed", late_answer),
    Case("wrong_phase", answer_to_a_cancelled_task, loses=True),
    Case("own_task", answer_by_the_publisher),
    Case("not_registered", answer_by_a_stranger),
    Case("not_active", answer_by_a_suspended_miner),
    Case("wrong_role", answer_by_a_validator),
    Case("not_specialized", answer_outside_his_field),
    Case("already_submitted", second_answer, loses=True),
    Case("task_full", answer_without_a_place, loses=True),
    Case("stake_too_small", answer_with_small_stake),
    Case("no_such_task", reveal_of_nothing),
    Case("no_such_answer", reveal_without_commitment),
    Case("no_such_answer", reveal_of_an_answer_to_another_task),
    Case("not_committer", reveal_of_anothers_answer),
    Case("deadline_passed", late_reveal),
    Case("wrong_phase", reveal_while_answers_come_in, loses=True),
    Case("too_early", early_reveal),
    Case("already_revealed", second_reveal, loses=True),
    Case("wrong_opening", reveal_with_another_salt),
    Case("no_such_task", vote_on_nothing),
    Case("no_such_answer", vote_on_no_answer),
    Case("self_validation", vote_by_the_miner),
    Case("self_validation", vote_by_the_publisher),
    Case("not_registered", vote_by_a_stranger),
    Case("wrong_role", vote_by_a_solver),
    Case("deadline_passed", vote_after_the_verdict),
    Case("wrong_phase", vote_before_validation),
    Case("wrong_round", vote_for_another_round),
    Case("deadline_passed", late_vote),
    Case("not_on_panel", vote_from_outside_the_panel),
    Case("already_validated", second_vote, loses=True),
    Case("not_under_review", vote_on_an_answer_never_shown),
    Case("stake_too_small", vote_with_small_stake),
    Case("open_vote", vote_for_all_to_see),
    Case("not_committed", shown_vote_of_nothing),
    Case("too_early", shown_vote_while_others_commit),
    Case("too_early", shown_vote_in_the_last_epoch_for_commitments),
    Case("wrong_opening", shown_vote_with_another_salt),
    Case("wrong_opening", shown_vote_with_another_score),
    Case("wrong_opening", shown_vote_with_other_words),
    Case("wrong_opening", shown_vote_of_another),
    Case("already_revealed", second_shown_vote, loses=True),
    Case("deadline_passed", late_shown_vote),
    Case("no_such_task", claim_on_nothing),
    Case("no_such_reward", claim_before_completion),
    Case("no_such_reward", claim_of_no_entry),
    Case("not_recipient", claim_by_another),
    Case("already_claimed", second_claim, loses=True),
    Case("not_claimable", claim_before_the_dispute_deadline),
    Case("task_archived", answer_to_a_task_long_over),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.deed.__name__}-{case.code}")
def test_a_broken_rule_gives_one_clear_line_and_changes_nothing(case: Case) -> None:
    check_refusal(a_world(), case)


def test_every_code_that_a_kind_can_refuse_with_is_met() -> None:
    folder = Path(protocol.__file__).parent
    files = [*sorted((folder / "kinds").glob("*.py")), folder / "lifecycle.py"]
    found = set()
    for file in [*files, folder / "disputes.py", folder / "panel.py"]:
        text = file.read_text(encoding="utf-8")
        found.update(re.findall(r'Refused\(\s*"(\w+)"', text))
        found.update(re.findall(r'require\([^()]*, "(\w+)"\)', text))
    assert found - {case.code for case in (*CASES, *DISPUTE_CASES, *CHANGE_CASES)} == set()
