"""Sealers on one network in memory: whole peers, each with its own clock, disk and power."""

import contextlib
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from node.clock import Clock, SystemClock
from node.diary_file import DiaryFile
from node.high_water import HighWater
from node.sealer import Sealer
from node.transport.base import PeerName, TransportError
from node.transport.memory import MemoryNetwork
from protocol.genesis import Genesis
from protocol.seals import Seal
from storage.memory import MemoryEngine
from storage.store import Store
from tests.support.peers import TestPeer, a_genesis, a_signer

SEALERS = ("alice", "bob", "carol", "dave")
EPOCH_S = 1.0


def a_council_genesis(sealers: Sequence[str] = SEALERS) -> Genesis:
    """Return a network that these members of the cast seal together."""
    return replace(a_genesis(), sealers=tuple(sorted(a_signer(name).address for name in sealers)))


class Seat:
    """One peer, most often a sealer: its disk survives, its process may not."""

    def __init__(self, name: str, council: "Council", clock: Clock | None = None) -> None:
        self.name = name
        self.engine = MemoryEngine()
        self.diary = DiaryFile(None)
        self.clock = clock or SystemClock()
        self.peer: TestPeer
        self._council = council
        self._scope: trio.CancelScope
        self._gone: trio.Event
        self._sealing: trio.CancelScope

    @property
    def epoch(self) -> int:
        return self.peer.state.epoch

    async def start(self, nursery: trio.Nursery) -> None:
        """Run it on what its disk holds, connected to everybody."""
        await nursery.start(self._run)

    async def kill(self) -> None:
        """End it without a word."""
        self._scope.cancel()
        await self._gone.wait()

    def silence(self) -> None:
        """Let it sync on, and seal no more."""
        self._sealing.cancel()

    async def _seal(self) -> None:
        sealer = Sealer(
            self.peer.state,
            self.peer.signer,
            self.clock,
            HighWater(self._council.folder / f"{self.name}.sealed"),
            self.diary,
            self.peer.sync,
        )
        with trio.CancelScope() as self._sealing:
            await sealer.run()

    async def _run(self, task_status: Any) -> None:
        council = self._council
        self.peer = TestPeer(
            self.name,
            council.genesis,
            Store(self.engine, council.genesis),
            council.network,
            council.folder,
        )
        hears = self.peer.sync.gossip.validate
        self.peer.sync.gossip.validate = (  # type: ignore[method-assign]
            lambda data: council.rng.random() >= council.loss and hears(data)
        )
        self._gone = trio.Event()
        with trio.CancelScope() as self._scope:
            async with self.peer.run(), trio.open_nursery() as nursery:
                if self.name in council.willing:
                    nursery.start_soon(self._seal)
                await council.connect(self.name)
                task_status.started()
                await trio.sleep_forever()
        self._gone.set()


class Council:
    """The sealers of one network, and what they have sealed.

    Attributes:
        loss: the part of all gossip that is not heard.
        rng: decides which.
        willing: those who seal when it is theirs: the sealers, and candidates who may become some.
    """

    def __init__(
        self,
        folder: Path,
        nursery: trio.Nursery,
        names: Sequence[str],
        watchers: Sequence[str],
        candidates: Sequence[str],
    ) -> None:
        self.folder = folder
        self.genesis = a_council_genesis(names)
        self.network = MemoryNetwork()
        self.seats = {name: Seat(name, self) for name in (*names, *candidates, *watchers)}
        self.willing = frozenset((*names, *candidates))
        self.running: set[str] = set()
        self.loss = 0.0
        self.rng = random.Random(1)
        self._nursery = nursery

    async def start(self, *names: str) -> None:
        """Start sealers, all of them if none is named."""
        for name in names or tuple(self.seats):
            await self.seats[name].start(self._nursery)
            self.running.add(name)

    async def kill(self, *names: str) -> None:
        """End sealers without a word."""
        for name in names:
            await self.seats[name].kill()
            self.running.discard(name)

    async def connect(self, name: str) -> None:
        """Dial everybody who runs."""
        own = self.seats[name].peer.transport
        for other in sorted(self.running - {name}):
            if other not in own.peers():
                # Whoever is cut off now is dialled when the network heals.
                with contextlib.suppress(TransportError):
                    await own.dial(f"/memory/{other}/p2p/{other}")

    def cut(self, left: Iterable[str], right: Iterable[str]) -> None:
        """Cut the links between two groups."""
        self.network.cut(tuple(map(PeerName, left)), tuple(map(PeerName, right)))

    async def heal(self) -> None:
        """Allow all links again, and dial."""
        self.network.heal()
        for name in sorted(self.running):
            await self.connect(name)

    def epochs(self) -> dict[str, int]:
        """Return the last sealed epoch of each that runs."""
        return {name: self.seats[name].epoch for name in sorted(self.running)}

    async def wait_for(self, epoch: int, *names: str, patience_s: float = 60.0) -> None:
        """Wait until these, or all that run, have sealed an epoch."""
        chosen = names or tuple(sorted(self.running))
        with trio.fail_after(patience_s):
            while any(self.seats[name].epoch < epoch for name in chosen):
                await trio.sleep(0.05)

    def check_one_history(self) -> int:
        """Check that nobody holds two seals of one epoch; return the last common epoch."""
        last = min(self.epochs().values())
        for epoch in range(1, last + 1):
            found = {
                self.seats[name].peer.state.store.journal.seal_hash(epoch) for name in self.running
            }
            assert len(found) == 1, f"epoch {epoch}: {len(found)} seals"
        roots = {self.read_seal(name, last).content.state_root for name in self.running if last}
        assert len(roots) <= 1
        return last

    def read_seal(self, name: str, epoch: int) -> Seal:
        """Return a seal as somebody holds it."""
        data = self.seats[name].peer.state.store.journal.seal(epoch)
        assert data is not None
        return Seal.from_bytes(data)


@asynccontextmanager
async def a_council(
    folder: Path,
    names: Sequence[str] = SEALERS,
    watchers: Sequence[str] = (),
    candidates: Sequence[str] = (),
) -> AsyncIterator[Council]:
    """Give a council that has not begun; whoever was started stops with the block."""
    async with trio.open_nursery() as nursery:
        yield Council(folder, nursery, names, watchers, candidates)
        nursery.cancel_scope.cancel()
