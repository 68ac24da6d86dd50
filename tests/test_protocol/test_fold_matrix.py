"""Every action in every phase: the few that apply, and the code of each that does not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.phases import TaskStatus
from protocol.tables import TASKS
from protocol.transactions import SignedTransaction
from tests.support.builders import a_hash
from tests.support.world import World

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
    row = replace(world.task(task_id), status=TaskStatus.DISPUTED)
    world.view.apply([((TASKS.name, task_id), row)])
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


def claim(world: World, task_id: bytes) -> SignedTransaction:
    if world.task(task_id).lifecycle.completed_at is None:
        return world.claim("bob", task_id, a_hash("no entry yet"))
    return world.claim("bob", task_id, world.entries_of(task_id, "bob")[0])


PHASES = (
    published,
    in_progress,
    full_early,
    answers_submitted,
    under_validation,
    completed,
    settled,
    expired,
    cancelled,
    disputed,
)
ACTIONS = (cancel, answer, reveal, vote, claim)
CODES = """
                   cancel       answer           reveal           vote            claim
published          -            -                no_such_answer   no_such_answer  no_such_reward
in_progress        wrong_phase  -                wrong_phase      wrong_phase     no_such_reward
full_early         wrong_phase  task_full        too_early        wrong_phase     no_such_reward
answers_submitted  wrong_phase  deadline_passed  -                wrong_phase     no_such_reward
under_validation   wrong_phase  deadline_passed  wrong_phase      -               no_such_reward
completed          wrong_phase  deadline_passed  deadline_passed  wrong_phase     not_claimable
settled            wrong_phase  deadline_passed  deadline_passed  wrong_phase     -
expired            wrong_phase  deadline_passed  no_such_answer   no_such_answer  no_such_reward
cancelled          wrong_phase  wrong_phase      no_such_answer   no_such_answer  no_such_reward
disputed           wrong_phase  deadline_passed  deadline_passed  wrong_phase     dispute_open
"""


def read_codes() -> dict[tuple[str, str], str | None]:
    """Return the code of each cell by (phase, action); None where the action applies."""
    head, *rows = [line.split() for line in CODES.strip().splitlines()]
    cells = {}
    for phase, *codes in rows:
        for action, code in zip(head, codes, strict=True):
            cells[(phase, action)] = None if code == "-" else code
    return cells


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_an_action_applies_in_its_phase_and_in_no_other(
    phase: Callable[[World], bytes], action: Callable[[World, bytes], SignedTransaction]
) -> None:
    world = World()
    world.settle_cast()
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
