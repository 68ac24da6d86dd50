"""The arbiter: what it wants done, that it says so once, and that it never guesses."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.roles.arbiter import choose_vote
from protocol.answers import compute_commitment
from protocol.dispute_records import Choice
from protocol.hashing import compute_content_hash
from protocol.phases import TaskStatus
from tests.support.builders import a_content, a_salt, a_submission_id, an_address, name_of
from tests.support.court import a_court, case_of, object_to, seat_panel
from tests.support.courtroom import MINERS, PAUSE_S, a_courtroom, live_until
from tests.support.market import FakeWorker
from tests.support.tasks import a_judged_task, a_shown_task
from tests.support.world import World


async def test_a_false_result_is_judged_again_and_who_made_it_pays(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_courtroom(tmp_path, score=10) as court:
        liars = court.market.task(court.task_id).panel
        worker = FakeWorker("scorer", score_of=lambda output: 85)
        await court.start(worker)
        assert [vote.choice for vote in court.votes] == [Choice.REVALIDATE] * 3
        assert {vote.validators for vote in court.votes} == {liars}
        asked = {one.output for request in worker.scored for one in request.answers}
        assert asked == {a_content(name).decode() for name in MINERS}
        await live_until(court.market, court.task_id, TaskStatus.UNDER_VALIDATION)
        court.market.seal()
        others = court.market.task(court.task_id).panel
        assert others
        assert not set(others) & set(liars)
        rows = [court.market.miner(name_of(one)) for one in liars]
        assert all(row is not None and row.forfeited for row in rows)


async def test_a_fair_result_stands_and_everybody_says_so_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_courtroom(tmp_path, score=80) as court:
        await court.start(FakeWorker("scorer", score_of=lambda output: 88))
        assert [vote.choice for vote in court.votes] == [Choice.UPHOLD] * 3
        court.market.seal()
        await trio.sleep(PAUSE_S)
        assert len(court.votes) == 3


async def test_who_cannot_look_abstains_when_time_is_short_and_not_before(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_courtroom(tmp_path, score=80) as court:
        await court.start(FakeWorker("scorer", is_up=False))
        deadline = court.case.voting_deadline
        assert deadline is not None
        while court.market.state.epoch + 1 < deadline:
            assert court.votes == ()
            court.market.seal()
            await trio.sleep(PAUSE_S)
        assert [vote.choice for vote in court.votes] == [Choice.ABSTAIN] * 3


async def test_what_the_worker_cannot_judge_is_asked_once_and_decides_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_courtroom(tmp_path, score=80) as court:
        worker = FakeWorker("scorer", score_of=lambda output: None)
        await court.start(worker)
        assert [vote.choice for vote in court.votes] == [Choice.ABSTAIN] * 3
        assert len(worker.scored) == 3


async def test_a_vote_that_no_seal_took_in_is_cast_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with a_courtroom(tmp_path, score=80) as court:
        worker = FakeWorker("scorer", score_of=lambda output: 80)
        arbiter = name_of(court.case.panel[0])
        await court.market.start_arbiter(arbiter, worker)
        await trio.sleep(PAUSE_S)
        (vote,) = court.votes
        # What a sealer without this transaction would seal, until it is too late for it.
        for _ in range(court.market.state.params.late_epochs + 1):
            court.market.state.open.effective.pop(vote.tx, None)
            court.market.seal()
        await trio.sleep(PAUSE_S)
        (again,) = court.votes
        assert again.tx != vote.tx


# --------------------------------------------------------------------------- what it wants


def choose(world: World, task_id: bytes, looks: dict[str, int]) -> tuple[Choice, list[str], int]:
    """Return what an arbiter wants: the choice, whom he names, and how many answers."""
    seat_panel(world, task_id)
    by_id = {world.submission_id(task_id, who): score for who, score in looks.items()}
    case, tolerance = case_of(world, task_id), world.params.score_tolerance
    vote = choose_vote(world.view, world.task(task_id), case, by_id, tolerance)
    names = [name_of(one) for one in vote.validators]
    return vote.choice, names, len(vote.submissions)


@pytest.mark.parametrize(
    ("look", "choice", "liars"),
    [
        (80, Choice.UPHOLD, 0),
        (65, Choice.UPHOLD, 0),
        (64, Choice.REVALIDATE, 0),
        (50, Choice.REVALIDATE, 0),
        (49, Choice.REVALIDATE, 5),
    ],
)
def test_a_result_is_wrong_beyond_the_tolerance_and_a_vote_false_beyond_twice_that(
    look: int, choice: Choice, liars: int
) -> None:
    world = a_court()
    task_id = a_judged_task(world)
    world.seal(object_to(world, "bob", task_id))
    found = choose(world, task_id, {"bob": look, "carol": look})
    assert (found[0], len(found[1])) == (choice, liars)


def test_where_nothing_is_decided_only_false_votes_are_a_reason() -> None:
    world = a_court()
    task_id = a_shown_task(world)
    world.judge(task_id, {"bob": (80, 5)})
    second = world.panel(task_id)[1]
    world.seal(object_to(world, "bob", task_id))
    assert choose(world, task_id, {"bob": 80, "carol": 80}) == (Choice.REVALIDATE, [second], 0)
    assert choose(world, task_id, {"carol": 80}) == (Choice.UPHOLD, [], 0)
    assert choose(world, task_id, {}) == (Choice.ABSTAIN, [], 0)


def test_the_later_of_two_equal_answers_is_the_copy() -> None:
    world = a_court()
    task_id = world.open_task()
    world.seal(world.submit("bob", task_id))
    content_hash = compute_content_hash(a_content("bob"))
    copier, salt = an_address("carol"), a_salt("carol")
    copy = compute_commitment(world.network, task_id, copier, content_hash, salt)
    world.seal(world.submit("carol", task_id, commitment=copy))
    world.pass_until(world.task(task_id).lifecycle.submission_deadline)
    (mine,) = (o.submission_id for o in world.task(task_id).participants if o.miner == copier)
    world.seal(
        world.reveal("bob", task_id),
        world.reveal(
            "carol",
            task_id,
            submission_id=mine,
            content_hash=content_hash,
            content=a_content("bob"),
        ),
    )
    world.seal(object_to(world, "bob", task_id))
    seat_panel(world, task_id)
    case = case_of(world, task_id)
    vote = choose_vote(world.view, world.task(task_id), case, {}, world.params.score_tolerance)
    assert (vote.choice, vote.submissions) == (Choice.OVERTURN, (mine,))
    assert mine != a_submission_id(world.network, task_id, "bob")
