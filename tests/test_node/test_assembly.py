"""A peer put together: which roles it refuses, how it begins and how it ends."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.assembly import Ports, run_peer
from node.clock import SystemClock
from node.config import Config, RolesConfig, WorkerConfig
from node.diary_file import DiaryFile
from node.high_water import HighWater
from node.peer import Peer
from node.roles.answer_box import open_answer_box
from node.roles.crew import Crew, choose_programs
from node.roles.vote_box import open_vote_box
from node.transport.memory import MemoryNetwork
from protocol.errors import BlamedError
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR
from storage.store import Store
from tests.support.builders import a_genesis, a_signer
from tests.support.market import FakeWorker

GENESIS = a_genesis()


class RunningWorker(FakeWorker):
    async def run(self) -> None:
        await trio.sleep_forever()


def some_ports(folder: Path, **changes: Any) -> Ports:
    wire = MemoryNetwork()
    ports = Ports(
        clock=SystemClock(),
        store=Store.in_memory(GENESIS),
        open_transport=lambda validate: wire.open("peer", validate=validate),
        rng=random.Random(1),
        signed=HighWater(folder / "signed"),
        sealed=HighWater(folder / "sealed"),
        diary=DiaryFile(None),
        answers=open_answer_box(None),
        votes=open_vote_box(None),
        open_worker=lambda role, line: RunningWorker(role),
        is_threaded=False,
    )
    return replace(ports, **changes)


def with_roles(command: str = "python solve.py", **roles: Any) -> Config:
    return Config(roles=RolesConfig(**roles), worker=WorkerConfig(command=command))


@pytest.mark.parametrize(
    ("config", "has_key", "code"),
    [
        (with_roles(miner=True), False, "no_account"),
        (with_roles(validator=True), False, "no_account"),
        (with_roles(command="", miner=True), True, "worker_missing"),
        (with_roles(command="python 'solve", miner=True), True, "bad_command"),
    ],
)
def test_a_role_that_cannot_work_is_refused(config: Config, has_key: bool, code: str) -> None:
    with pytest.raises(BlamedError, match=code):
        Crew(config, has_key, choose_programs(config, GENESIS))


async def test_the_roles_register_and_the_sealer_seals(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    config = with_roles(miner=True, validator=True)
    async with trio.open_nursery() as nursery:

        async def run(task_status: Any) -> None:
            await run_peer(
                config,
                GENESIS,
                some_ports(tmp_path),
                signer=a_signer("bob"),
                sealer=a_signer("sealer"),
                task_status=task_status,
            )

        peer: Peer = await nursery.start(run)
        assert peer.roles == ("miner", "validator", "sealer")
        await trio.sleep(3.5)
        assert peer.state.epoch == 3
        miner = peer.state.store.queries.miner(a_signer("bob").address)
        assert miner is not None
        assert miner.roles == ROLE_SOLVER | ROLE_VALIDATOR
        peer.stop.set()


async def test_a_peer_that_was_stopped_before_it_began_ends_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    stop = trio.Event()
    stop.set()
    with trio.fail_after(5):
        await run_peer(Config(), GENESIS, some_ports(tmp_path), stop=stop)


class FakeDoor:
    def __init__(self) -> None:
        self.story: list[str] = []

    async def run(self) -> None:
        self.story.append("opened")
        try:
            await trio.sleep_forever()
        finally:
            self.story.append("closed")

    async def drain(self) -> None:
        self.story.append("drained")
        await trio.lowlevel.checkpoint()


async def test_what_is_being_answered_is_waited_for_before_the_door_closes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    door, stop = FakeDoor(), trio.Event()
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            ports = some_ports(tmp_path)
            await run_peer(Config(), GENESIS, ports, stop=stop, open_door=lambda peer: door)

        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        stop.set()
    assert door.story == ["opened", "drained", "closed"]
