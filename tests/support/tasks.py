"""Tasks at the point of their lives that a test begins with."""

from collections.abc import Sequence

from tests.support.world import World

MINERS = ("bob", "carol")


def a_shown_task(world: World, miners: Sequence[str] = MINERS) -> bytes:
    """Return a task whose answers are all shown and whose panel can vote."""
    task_id = world.open_task()
    world.collect_answers(task_id, miners)
    world.reveal_answers(task_id, miners)
    return task_id


def a_judged_task(
    world: World, miners: Sequence[str] = MINERS, scores: Sequence[int | None] = (80,) * 5
) -> bytes:
    """Return a completed task whose panel gave every answer these scores."""
    task_id = a_shown_task(world, miners)
    world.judge(task_id, dict.fromkeys(miners, scores))
    return task_id
