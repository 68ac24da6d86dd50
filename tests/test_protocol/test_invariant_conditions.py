"""Every single thing that an invariant looks for, done to a sound state once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from protocol.invariants import ALL
from protocol.phases import (
    MinerStatus,
    RewardState,
    SubmissionStatus,
    TaskStatus,
    Trigger,
    VoteState,
)
from protocol.records import Participant
from protocol.scene import Scene
from protocol.tables import (
    ACCOUNTS,
    LEDGER,
    LEDGER_KEY,
    MINERS,
    REWARDS,
    SUBMISSIONS,
    TASKS,
    VALIDATIONS,
    VOTE_COMMITMENTS,
    Table,
    reward_key,
)
from tests.support.builders import an_address
from tests.support.stage import Stage

RULES = {rule.__name__: rule for rule in ALL}


@dataclass(frozen=True)
class Breach:
    """What is done, which rule must see it, and what it must say."""

    rule: str
    says: str
    deed: Callable[[Stage], None]


def task(
    fields: Callable[[Stage], dict[str, Any]], *, done: bool = False
) -> Callable[[Stage], None]:
    return lambda stage: stage.change(TASKS, stage.done if done else stage.open, **fields(stage))


def times(**fields: Any) -> Callable[[Stage], None]:
    def deed(stage: Stage) -> None:
        before = stage.world.task(stage.done).lifecycle
        stage.change(TASKS, stage.done, lifecycle=replace(before, **fields))

    return deed


def move(**fields: Any) -> Callable[[Stage], None]:
    """Change the last move of the open task."""

    def deed(stage: Stage) -> None:
        before = stage.world.task(stage.open).lifecycle
        history = (*before.transitions[:-1], replace(before.transitions[-1], **fields))
        stage.change(TASKS, stage.open, lifecycle=replace(before, transitions=history))

    return deed


def entry(place: int, **fields: Any) -> Callable[[Stage], None]:
    """Change an entry of the settled task; the first is claimed."""

    def deed(stage: Stage) -> None:
        entries = list(stage.done_entries)
        entries[place] = replace(entries[place], **fields)
        stage.change(REWARDS, reward_key(stage.done, 0), entries=tuple(entries))

    return deed


def answer(who: str, **fields: Any) -> Callable[[Stage], None]:
    return lambda stage: stage.change(SUBMISSIONS, stage.answer(who), **fields)


def vote(**fields: Any) -> Callable[[Stage], None]:
    return lambda stage: stage.change(VALIDATIONS, stage.vote, **fields)


def shown(**fields: Any) -> Callable[[Stage], None]:
    """Change the commitment to the vote that was shown."""
    return lambda stage: stage.change(VOTE_COMMITMENTS, stage.vote, **fields)


def hidden(**fields: Any) -> Callable[[Stage], None]:
    """Change the commitment to a vote that was not shown yet."""
    return lambda stage: stage.change(VOTE_COMMITMENTS, stage.vote_of(stage.silent), **fields)


def new_row(table: Table[Any], **fields: Any) -> Callable[[Stage], None]:
    """Add a vote, or a commitment to one, of somebody of the panel who has none."""

    def deed(stage: Stage) -> None:
        fields["validator"] = an_address(stage.idle)
        row = replace(stage.rows[(table.name, stage.vote)], **fields)
        stage.rows[(table.name, stage.vote_of(stage.idle))] = row

    return deed


def account(**fields: Any) -> Callable[[Stage], None]:
    return lambda stage: stage.change(ACCOUNTS, an_address("bob"), **fields)


def miner(**fields: Any) -> Callable[[Stage], None]:
    return lambda stage: stage.change(MINERS, an_address("bob"), **fields)


def reward(**fields: Any) -> Callable[[Stage], None]:
    return lambda stage: stage.change(REWARDS, reward_key(stage.done, 0), **fields)


def drop_distribution(stage: Stage) -> None:
    del stage.rows[(REWARDS.name, reward_key(stage.done, 0))]


def drop_task(stage: Stage) -> None:
    del stage.rows[(TASKS.name, stage.open)]


def bar_and_lift(stage: Stage) -> None:
    stage.world.seal(evidence=[(an_address("bob"), 9)])
    stage.rows = dict(stage.world.view.rows)
    stage.change(ACCOUNTS, an_address("bob"), barred_from=None)


def owe_to_the_barred(stage: Stage) -> None:
    stage.change(ACCOUNTS, stage.done_entries[1].recipient, barred_from=9)
    reward(computed_at=1)(stage)


def double_entry(stage: Stage) -> None:
    entry(1, entry_id=stage.done_entries[0].entry_id)(stage)


EARLY, LATE = bytes(32), b"\xff" * 32

BREACHES = (
    Breach("every_move_is_legal_and_follows_the_last", "a move from", move(epoch=0)),
    Breach(
        "every_move_is_legal_and_follows_the_last",
        "wrong_phase",
        move(trigger=Trigger.PUBLISHER_CANCELLED),
    ),
    Breach(
        "every_move_is_legal_and_follows_the_last",
        "after a move to",
        task(lambda _: {"status": TaskStatus.COMPLETED}),
    ),
    Breach("windows_follow_one_another", "windows end at", times(published_at=99)),
    Breach("windows_follow_one_another", "is missing", times(dispute_deadline=None)),
    Breach(
        "windows_follow_one_another",
        "completed at no time",
        times(completed_at=None, dispute_deadline=None),
    ),
    Breach("windows_follow_one_another", "disputable until", times(dispute_deadline=3)),
    Breach(
        "each_escrow_adds_up",
        "owed",
        task(
            lambda stage: {
                "pool": replace(
                    stage.world.task(stage.done).pool,
                    escrowed=0,
                    refunded=stage.world.task(stage.done).pool.escrowed,
                )
            },
            done=True,
        ),
    ),
    Breach("each_escrow_adds_up", "-1 owed", drop_distribution),
    Breach(
        "each_escrow_adds_up",
        "0 owed",
        task(lambda _: {"status": TaskStatus.EXPIRED}),
    ),
    Breach("each_reward_is_divided_without_rest", "of another task", reward(total=1)),
    Breach("each_reward_is_divided_without_rest", "one of them empty", entry(1, amount=0)),
    Breach("each_reward_is_divided_without_rest", "there twice", double_entry),
    Breach("rewards_open_when_the_task_settles", "CLAIMED", entry(0, claim_tx=None)),
    Breach("rewards_open_when_the_task_settles", "claimed at 1", entry(0, claimed_at=1)),
    Breach("rewards_open_when_the_task_settles", "CLAIMABLE", entry(1, claim_tx=EARLY)),
    Breach(
        "places_are_taken_once",
        "publisher takes part",
        task(lambda stage: {"publisher": an_address("carol")}),
    ),
    Breach(
        "places_are_taken_once",
        "without the answer",
        task(
            lambda stage: {
                "participants": (
                    *stage.world.task(stage.open).participants[:2],
                    Participant(an_address("bob"), EARLY),
                )
            }
        ),
    ),
    Breach("every_answer_has_its_place", "not shown so", answer("dave", reveal_tx=EARLY)),
    Breach(
        "every_answer_has_its_place",
        "without a score",
        answer("carol", status=SubmissionStatus.APPROVED),
    ),
    Breach("nobody_judges_his_own", "under another key", vote(round=1)),
    Breach("nobody_judges_his_own", "on no answer", vote(submission_id=EARLY)),
    Breach("nobody_judges_his_own", "on no answer", vote(task_id=EARLY)),
    Breach("nobody_judges_his_own", "by a party", vote(validator=an_address("carol"))),
    Breach("nobody_judges_his_own", "not counted", answer("carol", votes=())),
    Breach(
        "nobody_judges_his_own",
        "with a party",
        task(lambda stage: {"panel": (an_address("carol"),)}),
    ),
    Breach("nobody_judges_his_own", "a panel of 2", task(lambda _: {"panel": (LATE, EARLY)})),
    *(
        Breach("a_commitment_shows_what_its_state_says", says, deed)
        for says, deed in (
            ("under another key", hidden(round=1)),
            ("to no answer", hidden(submission_id=EARLY)),
            ("to no answer", hidden(task_id=EARLY)),
            ("by a party", hidden(validator=an_address("carol"))),
            ("without its vote", shown(reveal_tx=EARLY)),
            ("committed, but not shown so", hidden(reveal_tx=EARLY)),
            ("revealed, 1 nano still locked", shown(stake=1)),
        )
    ),
    Breach("a_closed_task_holds_no_stake", "answer", drop_task),
    Breach("a_closed_task_holds_no_stake", "vote", drop_task),
    Breach("a_closed_task_holds_no_stake", "commitment", drop_task),
    Breach(
        "a_closed_task_holds_no_stake",
        "task",
        task(lambda _: {"status": TaskStatus.CANCELLED}),
    ),
    Breach("a_reputation_stays_in_its_range", "miner", miner(stake=-1)),
    Breach("a_reputation_stays_in_its_range", "miner", miner(last_active=0)),
    Breach("no_account_is_overdrawn", "seq 0", account(next_seq=0)),
    Breach("no_account_is_overdrawn", "seq", account(head=None)),
    Breach(
        "no_account_is_overdrawn",
        "ledger",
        lambda stage: stage.change(LEDGER, LEDGER_KEY, treasury=-1),
    ),
    Breach(
        "what_was_agreed_stays",
        "a place was taken away",
        task(lambda stage: {"participants": stage.world.task(stage.open).participants[1:]}),
    ),
    Breach("what_was_agreed_stays", "its history changed", move(tx=LATE)),
    Breach(
        "what_was_agreed_stays", "became unsettled", task(lambda _: {"settled": False}, done=True)
    ),
    Breach("what_was_agreed_stays", "its terms changed", task(lambda _: {"publisher": EARLY})),
    Breach(
        "an_answer_keeps_its_commitment",
        "under_review to not_revealed",
        answer("carol", status=SubmissionStatus.NOT_REVEALED),
    ),
    Breach("an_answer_keeps_its_commitment", "revealed twice", answer("carol", reveal_tx=EARLY)),
    Breach("an_answer_keeps_its_commitment", "forfeited", answer("carol", forfeited=1)),
    Breach("an_answer_keeps_its_commitment", "forfeited", answer("carol", stake=1 << 40)),
    Breach("an_answer_keeps_its_commitment", "taken away", answer("carol", votes=())),
    Breach("a_vote_is_bound_before_any_is_shown", "without its", new_row(VALIDATIONS)),
    Breach("a_vote_is_bound_before_any_is_shown", "too early", new_row(VALIDATIONS, voted_at=9)),
    Breach(
        "a_vote_is_bound_before_any_is_shown",
        "too late",
        new_row(VOTE_COMMITMENTS, committed_at=99),
    ),
    Breach(
        "a_commitment_takes_legal_steps",
        "revealed to not_revealed",
        shown(state=VoteState.NOT_REVEALED),
    ),
    Breach("a_commitment_takes_legal_steps", "to another vote", hidden(weight=1)),
    Breach("a_commitment_takes_legal_steps", "forfeited", hidden(forfeited=1)),
    Breach("a_vote_is_cast_once", "its stake grew", vote(stake=1 << 40)),
    Breach("an_entry_is_claimed_once", "divided anew", reward(computed_at=1)),
    Breach("an_entry_is_claimed_once", "its entries changed", reward(entries=())),
    Breach("an_entry_is_claimed_once", "claimable to locked", entry(1, state=RewardState.LOCKED)),
    Breach("an_entry_is_claimed_once", "its terms changed", entry(1, amount=1)),
    Breach("a_miner_takes_legal_steps", "active to exited", miner(status=MinerStatus.EXITED)),
    Breach("a_miner_takes_legal_steps", "a count went down", miner(last_active=1)),
    Breach("a_chain_only_grows", "to 0", account(next_seq=0)),
    Breach("a_chain_only_grows", "another head", account(next_seq=99)),
    Breach("a_chain_only_grows", "a bar was lifted", bar_and_lift),
    Breach("who_can_sign_no_more_holds_nothing_up", "owed to one", owe_to_the_barred),
)


@pytest.mark.parametrize("breach", BREACHES, ids=lambda one: f"{one.rule}-{one.says}")
def test_an_invariant_sees_every_way_to_break_it(breach: Breach) -> None:
    stage = Stage()
    breach.deed(stage)
    rule = RULES[breach.rule]
    found = list(rule(Scene.of_outcome(stage.world.view, stage.build_outcome())))
    found += rule(Scene.of_rows(stage.rows))
    assert any(breach.says in line for line in found), found


def test_an_earlier_round_is_seen() -> None:
    stage = Stage()
    later = replace(stage.world.task(stage.open).lifecycle, round=1)
    view = stage.world.view
    view.apply([((TASKS.name, stage.open), replace(stage.world.task(stage.open), lifecycle=later))])
    found = list(RULES["what_was_agreed_stays"](Scene.of_outcome(view, stage.build_outcome())))
    assert any("round 1" in line for line in found)
