"""Every action in every phase: the few that apply, and the code of each that does not."""

from collections.abc import Callable

import pytest

from protocol.dispute_records import Choice
from protocol.tables import DISPUTES, TASKS, dispute_key
from protocol.transactions import SignedTransaction
from tests.support.builders import a_dispute, a_hash, a_vote
from tests.support.court import (
    a_court,
    appeal,
    arbiters,
    arbitrate,
    bring,
    close,
    hear,
    object_to,
    seat_panel,
    withdraw,
)
from tests.support.world import World

Action = Callable[[World, bytes], SignedTransaction]

# ------------------------------------------------------------------------------------ phases


def published(world: World) -> bytes:
    return world.open_task()


def in_progress(world: World) -> bytes:
    task_id = published(world)
    world.seal(world.submit("bob", task_id))
    return task_id


def full_early(world: World) -> bytes:
    task_id = world.open_task(max_participants=2)
    world.seal(world.submit("bob", task_id), world.submit("carol", task_id))
    return task_id


def answers_submitted(world: World) -> bytes:
    task_id = in_progress(world)
    world.pass_until(world.task(task_id).lifecycle.submission_deadline + 1)
    return task_id


def under_validation(world: World) -> bytes:
    task_id = answers_submitted(world)
    world.seal(world.reveal("bob", task_id))
    return task_id


def votes_open(world: World) -> bytes:
    task_id = under_validation(world)
    world.seal(world.vote(world.panel(task_id)[0], task_id, "bob", 80))
    world.pass_until(world.task(task_id).lifecycle.validation_deadline)
    return task_id


def completed(world: World) -> bytes:
    task_id = under_validation(world)
    world.judge(task_id, {"bob": (80, 80, 80)})
    return task_id


def settled(world: World) -> bytes:
    task_id = completed(world)
    world.settle(task_id)
    return task_id


def expired(world: World) -> bytes:
    task_id = published(world)
    world.pass_until(world.task(task_id).lifecycle.submission_deadline + 1)
    return task_id


def cancelled(world: World) -> bytes:
    task_id = published(world)
    world.seal(world.cancel("alice", task_id))
    return task_id


def disputed(world: World) -> bytes:
    task_id = completed(world)
    world.seal(object_to(world, "alice", task_id))
    return task_id


def in_court(world: World) -> bytes:
    task_id = disputed(world)
    seat_panel(world, task_id)
    return task_id


def appealable(world: World) -> bytes:
    task_id = disputed(world)
    hear(world, task_id, [Choice.UPHOLD] * 3)
    return task_id


def appealed(world: World) -> bytes:
    task_id = appealable(world)
    world.seal(appeal(world, "alice", task_id))
    return task_id


def resolved(world: World) -> bytes:
    task_id = appealable(world)
    close(world, task_id)
    return task_id


# ----------------------------------------------------------------------------------- actions


def cancel(world: World, task_id: bytes) -> SignedTransaction:
    return world.cancel("alice", task_id)


def answer(world: World, task_id: bytes) -> SignedTransaction:
    return world.submit("dave", task_id)


def reveal(world: World, task_id: bytes) -> SignedTransaction:
    return world.reveal("bob", task_id)


def vote(world: World, task_id: bytes) -> SignedTransaction:
    panel = world.panel(task_id)
    return world.vote(panel[-1] if panel else "vera", task_id, "bob", 80)


def show(world: World, task_id: bytes) -> SignedTransaction:
    panel = world.panel(task_id)
    payload = a_vote(world.submission_id(task_id, "bob"), 80)
    return world.sign(panel[0] if panel else "vera", "reveal_vote", payload, subject=task_id)


def claim(world: World, task_id: bytes) -> SignedTransaction:
    task = world.task(task_id)
    if task.lifecycle.completed_at is None:
        return world.claim("bob", task_id, a_hash("no entry yet"))
    entry = world.entries_of(task_id, "bob")[0]
    return world.claim("bob", task_id, entry, round=task.lifecycle.round)


def objection(world: World, task_id: bytes) -> SignedTransaction:
    return object_to(world, "alice", task_id)


def with_case(make: Action) -> Action:
    """Return an action about the task's dispute, or about none where it never had one."""

    def act(world: World, task_id: bytes) -> SignedTransaction:
        if world.view.get(DISPUTES, dispute_key(task_id, 0)) is None:
            other = world.fork()
            nothing = a_dispute(task_id, dispute_id=a_hash("no dispute"))
            other.view.apply([((DISPUTES.name, dispute_key(task_id, 0)), nothing)])
            return make(other, task_id)
        return make(world, task_id)

    act.__name__ = make.__name__
    return act


@with_case
def evidence(world: World, task_id: bytes) -> SignedTransaction:
    return bring(world, "alice", task_id)


@with_case
def withdrawal(world: World, task_id: bytes) -> SignedTransaction:
    return withdraw(world, "alice", task_id)


@with_case
def ballot(world: World, task_id: bytes) -> SignedTransaction:
    panel = arbiters(world, task_id)
    return arbitrate(world, panel[0] if panel else "ada", task_id, Choice.UPHOLD)


@with_case
def objection_again(world: World, task_id: bytes) -> SignedTransaction:
    return appeal(world, "alice", task_id)


PHASES = (
    published,
    in_progress,
    full_early,
    answers_submitted,
    under_validation,
    votes_open,
    completed,
    settled,
    expired,
    cancelled,
    disputed,
    in_court,
    appealable,
    appealed,
    resolved,
)
TASK_ACTIONS = (cancel, answer, reveal, vote, show, claim)
COURT_ACTIONS = (objection, evidence, withdrawal, ballot, objection_again)
ACTIONS = (*TASK_ACTIONS, *COURT_ACTIONS)
CODES = """
                   cancel       answer           reveal           vote
published          -            -                no_such_answer   no_such_answer
in_progress        wrong_phase  -                wrong_phase      wrong_phase
full_early         wrong_phase  task_full        too_early        wrong_phase
answers_submitted  wrong_phase  deadline_passed  -                wrong_phase
under_validation   wrong_phase  deadline_passed  wrong_phase      -
votes_open         wrong_phase  deadline_passed  deadline_passed  deadline_passed
completed          wrong_phase  deadline_passed  deadline_passed  deadline_passed
settled            wrong_phase  deadline_passed  deadline_passed  deadline_passed
expired            wrong_phase  deadline_passed  no_such_answer   no_such_answer
cancelled          wrong_phase  wrong_phase      no_such_answer   no_such_answer
disputed           wrong_phase  deadline_passed  deadline_passed  deadline_passed
in_court           wrong_phase  deadline_passed  deadline_passed  deadline_passed
appealable         wrong_phase  deadline_passed  deadline_passed  deadline_passed
appealed           wrong_phase  deadline_passed  deadline_passed  deadline_passed
resolved           wrong_phase  deadline_passed  deadline_passed  deadline_passed
"""
REVEAL_CODES = """
                   show             claim
published          no_such_answer   no_such_reward
in_progress        not_committed    no_such_reward
full_early         not_committed    no_such_reward
answers_submitted  not_committed    no_such_reward
under_validation   not_committed    no_such_reward
votes_open         -                no_such_reward
completed          wrong_phase      not_claimable
settled            deadline_passed  -
expired            no_such_answer   no_such_reward
cancelled          no_such_answer   no_such_reward
disputed           wrong_phase      dispute_open
in_court           wrong_phase      dispute_open
appealable         deadline_passed  dispute_open
appealed           deadline_passed  dispute_open
resolved           deadline_passed  not_claimable
"""
COURT_CODES = """
                  objection       evidence        withdrawal      ballot          objection_again
published         wrong_phase     no_such_dispute no_such_dispute no_such_dispute no_such_dispute
in_progress       wrong_phase     no_such_dispute no_such_dispute no_such_dispute no_such_dispute
full_early        -               no_such_dispute no_such_dispute no_such_dispute no_such_dispute
answers_submitted -               no_such_dispute no_such_dispute no_such_dispute no_such_dispute
under_validation  -               no_such_dispute no_such_dispute no_such_dispute no_such_dispute
votes_open        -               no_such_dispute no_such_dispute no_such_dispute no_such_dispute
completed         -               no_such_dispute no_such_dispute no_such_dispute no_such_dispute
settled           deadline_passed no_such_dispute no_such_dispute no_such_dispute no_such_dispute
expired           wrong_phase     no_such_dispute no_such_dispute no_such_dispute no_such_dispute
cancelled         wrong_phase     no_such_dispute no_such_dispute no_such_dispute no_such_dispute
disputed          dispute_open    -               -               wrong_state     wrong_state
in_court          dispute_open    -               wrong_state     -               wrong_state
appealable        dispute_open    wrong_state     wrong_state     wrong_state     -
appealed          dispute_open    -               wrong_state     wrong_state     wrong_state
resolved          -               dispute_closed  dispute_closed  dispute_closed  dispute_closed
"""


def read_codes() -> dict[tuple[str, str], str | None]:
    """Return the code of each cell by (phase, action); None where the action applies."""
    cells = {}
    for table in (CODES, REVEAL_CODES, COURT_CODES):
        head, *rows = [line.split() for line in table.strip().splitlines()]
        for phase, *codes in rows:
            for action, code in zip(head, codes, strict=True):
                cells[(phase, action)] = None if code == "-" else code
    return cells


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_an_action_applies_in_its_phase_and_in_no_other(
    phase: Callable[[World], bytes], action: Callable[[World, bytes], SignedTransaction]
) -> None:
    world = a_court()
    task_id = phase(world)
    before = world.task(task_id).status
    tx = action(world, task_id)
    _, outcome = world.fold([tx])
    code = outcome.rulings[0].code if outcome.rulings else None
    assert code == read_codes()[(phase.__name__, action.__name__)]
    if code is not None:
        after = {one.key: one.after for one in outcome.changes if one.table is TASKS}
        assert after.get(task_id, world.task(task_id)).status is before


def test_the_table_has_every_phase_and_every_action() -> None:
    assert len(read_codes()) == len(PHASES) * len(ACTIONS)
