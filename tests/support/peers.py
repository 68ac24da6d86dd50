"""Whole peers in one loop: real state, sync and gossip over a network in memory.

Nothing is mocked but the wire. A test names its cast, seals when it wants time to pass, and waits
for conditions.
"""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from node.author import Author
from node.events import Broadcast
from node.high_water import HighWater
from node.state_manager import StateManager
from node.sync.manager import SyncManager
from node.transport.memory import MemoryNetwork, MemoryTransport
from node.verifier import Verifier
from protocol.genesis import Allocation, Genesis
from protocol.keys import Signer
from protocol.kinds.register_miner import RegisterMiner
from protocol.params import MINIMAL, NANO_PER_COIN, Params
from protocol.task_types import CodeAnalysis, Complexity, Difficulty, TaskTerms
from storage.memory import MemoryEngine
from storage.store import Store

CAST = ("alice", "bob", "carol", "dave", "erin")
START_BALANCE = 10_000 * NANO_PER_COIN
WAIT_S = 30.0


def a_signer(name: str) -> Signer:
    """Return the key of a member of the cast: always the same one."""
    return Signer(name.encode().ljust(32, b"."))


def a_genesis(names: Sequence[str] = CAST, params: Params = MINIMAL) -> Genesis:
    """Return a network in which all of the cast have money and the first one seals."""
    addresses = sorted(a_signer(name).address for name in names)
    return Genesis(
        name="test",
        salt=bytes(32),
        params=replace(params, late_epochs=20),
        allocations=tuple(Allocation(address, START_BALANCE) for address in addresses),
        sealers=(a_signer(names[0]).address,),
    )


def some_terms(*, title: str = "A task", window: int = 4, places: int = 5) -> TaskTerms:
    """Return the terms of a task that every network accepts."""
    return TaskTerms(
        task_type=CodeAnalysis("python", Complexity.SIMPLE),
        title=title,
        description="Count what is in this file.",
        data_hash=bytes([7]) * 32,
        data_bytes=0,
        reward=10 * NANO_PER_COIN,
        submission_epochs=window,
        stake_required=NANO_PER_COIN,
        max_participants=places,
        required_reviewers=3,
        consensus_threshold=7_500,
        difficulty=Difficulty.BEGINNER,
        quality_threshold=70,
        submission_requirements="",
    )


def some_registration(roles: int = 3) -> RegisterMiner:
    """Return the payload of a registration."""
    return RegisterMiner(roles, ("code_analysis",), 10 * NANO_PER_COIN, "", "")


class TestPeer:
    """One peer of the cast."""

    __test__ = False

    def __init__(
        self,
        name: str,
        genesis: Genesis,
        store: Store,
        network: MemoryNetwork,
        folder: Path,
        *,
        interval_s: float = 0.2,
        sessions_max: int = 4,
    ) -> None:
        self.name = name
        self.signer = a_signer(name)
        self.broadcast = Broadcast()
        self.state = StateManager(genesis, store, self.broadcast)
        self.sync = SyncManager(
            self.state,
            Verifier(self.state.intake, is_threaded=False),
            interval_s=interval_s,
            gossip_delay_s=0.001,
            sessions_max=sessions_max,
            bootstrap=(),
            rng=random.Random(name),
        )
        self.network = network
        mark = HighWater(folder / f"{name}.mark")
        self.author = Author(
            self.state,
            self.signer,
            mark,
            self.sync.gossip.tell_nowait,
            count_behind=self.sync.count_behind,
        )
        self.transport: MemoryTransport

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Run the peer while the block lasts."""
        async with (
            self.network.open(self.name, validate=self.sync.gossip.validate) as self.transport,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(
                lambda task_status: self.sync.run(self.transport, task_status=task_status)
            )
            nursery.start_soon(self.author.run)
            yield
            nursery.cancel_scope.cancel()

    def seal(self) -> None:
        """End the epoch; only the sealer of the genesis can."""
        sealed = self.state.seal(self.signer, time_ms=0)
        self.sync.gossip.tell_seal_nowait(sealed)


@asynccontextmanager
async def a_network(
    folder: Path, names: Sequence[str] = CAST, genesis: Genesis | None = None
) -> AsyncIterator[dict[str, TestPeer]]:
    """Run a fully connected network of the cast while the block lasts."""
    genesis = genesis or a_genesis(names)
    network = MemoryNetwork()
    peers = {
        name: TestPeer(name, genesis, Store(MemoryEngine(), genesis), network, folder)
        for name in names
    }
    async with trio.open_nursery() as nursery:
        started = []
        for peer in peers.values():
            event = trio.Event()
            started.append(event)
            nursery.start_soon(_hold, peer, event)
        for event in started:
            await event.wait()
        await connect_all(peers)
        yield peers
        nursery.cancel_scope.cancel()


async def _hold(peer: TestPeer, started: trio.Event) -> None:
    async with peer.run():
        started.set()
        await trio.sleep_forever()


async def connect_all(peers: dict[str, TestPeer]) -> None:
    """Dial every pair that is not connected."""
    names = sorted(peers)
    for place, name in enumerate(names):
        for other in names[:place]:
            if other not in peers[name].transport.peers():
                await peers[name].transport.dial(peers[other].transport.addresses()[0])


async def wait_until(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Wait for a condition; the time-out names it by failing the test."""
    with trio.fail_after(timeout_s):
        while not condition():
            await trio.sleep(0.01)


def are_equal(peers: dict[str, TestPeer]) -> bool:
    """Tell whether all peers stand at one seal with one state and one open set."""
    return len({peer.state.status() for peer in peers.values()}) == 1
