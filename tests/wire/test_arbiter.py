"""An arbiter with a real worker: the process looks at the answers again, and the vote follows."""

import sys
from pathlib import Path

import pytest

from node.workers.messages import SCORER
from node.workers.program import WorkerSpec
from node.workers.supervisor import WorkerState, open_worker
from protocol.dispute_records import Choice
from tests.support.builders import name_of
from tests.support.courtroom import REAL_PAUSE_S, a_courtroom
from tests.support.waiting import wait_until
from tests.wire.test_workers import NETWORK, POLICY, PUPPET

pytestmark = pytest.mark.wire

KINDLY = WorkerSpec((sys.executable, "-IS", str(PUPPET), 'roles=["scorer"]'), SCORER, NETWORK)
"""Scores every answer 85 if the input of the task says so, else it says what is no score."""


@pytest.mark.parametrize(("score", "choice"), [(10, Choice.REVALIDATE), (80, Choice.UPHOLD)])
async def test_an_arbiter_votes_as_his_worker_sees_the_answers(
    tmp_path: Path, score: int, choice: Choice
) -> None:
    async with (
        open_worker(KINDLY, POLICY) as worker,
        a_courtroom(tmp_path, score, data=b"kindly", pause_s=REAL_PAUSE_S) as court,
    ):
        await worker.wait_state(WorkerState.UP)
        arbiter = name_of(court.case.panel[0])
        await court.market.start_arbiter(arbiter, worker)
        await wait_until(lambda: bool(court.votes), patience_s=20)
        assert [vote.choice for vote in court.votes] == [choice]


async def test_a_worker_that_gives_no_scores_is_left_and_nothing_is_guessed(tmp_path: Path) -> None:
    async with (
        open_worker(KINDLY, POLICY) as worker,
        a_courtroom(tmp_path, 80, data=b"something", pause_s=REAL_PAUSE_S) as court,
    ):
        await worker.wait_state(WorkerState.UP)
        court.market.seal_to((court.case.voting_deadline or 0) - 1)
        await court.market.start_arbiter(name_of(court.case.panel[0]), worker)
        await wait_until(lambda: bool(court.votes), patience_s=20)
        assert [vote.choice for vote in court.votes] == [Choice.ABSTAIN]
        assert worker.status.failed > 0
