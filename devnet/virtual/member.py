"""One node in virtual time, over all its lives: `run_peer` itself, on a disk that can crash."""

import random
from functools import partial
from typing import Any

import trio

from devnet.errors import DevnetError
from devnet.genesis import derive_key
from devnet.liar import lie_on
from devnet.provider import DOWN, PAUSED, UP
from devnet.roster import PeerSpec
from devnet.sim.disk import CrashEngine
from devnet.sim.node_peer import SimulatedClock
from devnet.virtual.network import VirtualNetwork
from devnet.virtual.worker import open_inline
from node.assembly import Ports, run_peer
from node.config import Config
from node.diary_file import DiaryFile
from node.high_water import HighWater
from node.peer import Peer
from node.roles.answer_box import open_answer_box
from node.roles.vote_box import open_vote_box
from node.rpc.server import RpcApp
from node.transport.base import PeerName
from protocol.genesis import Genesis
from protocol.keys import Signer
from storage.errors import StorageError
from storage.store import Store


class FreezableClock(SimulatedClock):
    """Virtual time that a frozen node does not see pass."""

    def __init__(self, offset_ms: int) -> None:
        super().__init__(offset_ms)
        self._stands_at_s: float | None = None

    def monotonic_s(self) -> float:
        """Return trio's clock, or the moment at which the node was frozen."""
        return trio.current_time() if self._stands_at_s is None else self._stands_at_s

    def freeze(self) -> None:
        """Stand still."""
        self._stands_at_s = trio.current_time()

    def thaw(self) -> None:
        """Go on at the time that it is."""
        self._stands_at_s = None


class Member:
    """One node.

    Args:
        spec: who it is.
        config: what it starts with.
        genesis: of the network.
        network: that it joins.
        seed: of the devnet.

    Attributes:
        app: answers its RPC while it runs.
    """

    def __init__(
        self, spec: PeerSpec, config: Config, genesis: Genesis, network: VirtualNetwork, seed: int
    ) -> None:
        self.spec = spec
        self.config = config
        self.app: RpcApp | None = None
        self._genesis = genesis
        self._network = network
        self._seed = seed
        self._signer = Signer(derive_key(seed, "account", spec.key))
        self._clock = FreezableClock(0)
        self._disk = CrashEngine()
        # Beside the database, on files that a power cut does not tear.
        self._signed = HighWater(None)
        self._sealed = HighWater(None)
        self._diary = DiaryFile(None)
        self._answers = open_answer_box(None)
        self._votes = open_vote_box(None)
        self._peer: Peer | None = None
        self._is_paused = False
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._lives = 0

    @property
    def state(self) -> str:
        """Whether it is up, down or paused."""
        if self._peer is None:
            return DOWN
        return PAUSED if self._is_paused else UP

    async def start(self, nursery: trio.Nursery) -> None:
        """Begin a life; it goes on in `nursery`."""
        self._lives += 1
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        self._peer = await nursery.start(self._live)
        assert self._peer is not None
        self.app = RpcApp(self._peer)

    async def stop(self, limit_s: float) -> bool:
        """End the life gently; return whether that was in time, else it is ended by force."""
        if self._peer is None:
            return True
        self.thaw()
        self._peer.stop.set()
        with trio.move_on_after(limit_s):
            await self._ended.wait()
            return True
        await self.kill()
        return False

    async def kill(self) -> None:
        """End the life as a power cut does; of what was not synced a part stays."""
        self._require_running()
        unsynced = len(self._disk.unsynced)
        draws = random.Random(f"{self._seed}/{self.spec.name}/{self._lives}/kept")
        self._disk = self._disk.crash(draws.randint(0, unsynced))
        # At once: nobody is to ask a node that has lost its disk.
        self._peer, self.app = None, None
        self._scope.cancel()
        self.thaw()
        await self._ended.wait()

    def freeze(self) -> None:
        """Let the node stand still: its clock, its worker, all that it sends or would hear."""
        self._require_running()
        self._is_paused = True
        self._clock.freeze()
        self._network.freeze(self._name)

    def thaw(self) -> None:
        """Let it go on."""
        self._is_paused = False
        self._clock.thaw()
        self._network.thaw(self._name)

    # ---------------------------------------------------------------------------- inner parts

    @property
    def _name(self) -> PeerName:
        return PeerName(self.spec.peer_id)

    def _require_running(self) -> None:
        if self._peer is None:
            raise DevnetError("not_running", self.spec.name, "a peer that runs")

    async def _live(self, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        disk = self._disk
        try:
            with self._scope:
                await self._run(disk, task_status)
        except* StorageError:
            # A task touched the disk of a life that is over.
            if disk is self._disk:
                raise
        finally:
            if disk is self._disk:
                self._disk = disk.crash(len(disk.unsynced))
            self._peer = None
            self.app = None
            self._ended.set()

    async def _run(self, disk: CrashEngine, task_status: Any) -> None:
        draws = random.Random(f"{self._seed}/{self.spec.name}/{self._lives}")
        self._clock.offset_ms = self.config.dev.clock_offset_ms
        ports = Ports(
            clock=self._clock,
            store=Store(disk, self._genesis),
            open_transport=lambda validate: self._network.open(self._name, validate=validate),
            rng=draws,
            signed=self._signed,
            sealed=self._sealed,
            diary=self._diary,
            answers=self._answers,
            votes=self._votes,
            open_worker=open_inline(lambda: self._network.wait_thawed(self._name)),
            draw_bytes=draws.randbytes,
            is_threaded=False,
        )
        run = partial(
            run_peer,
            self.config,
            self._genesis,
            ports,
            signer=self._signer,
            sealer=self._signer if self.spec.seals else None,
        )
        async with trio.open_nursery() as nursery:
            peer: Peer = await nursery.start(run)
            task_status.started(peer)
            if self.spec.byzantine:
                await lie_on(peer, self.spec.byzantine, draws)
