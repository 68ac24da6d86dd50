"""One peer of the node layer: `run_peer` itself, started, killed and started again on what is left.

Killed means: the disk refuses every further call at once, then all tasks are cancelled. Whatever a
task still does on its way out reaches neither the disk nor, a moment later, the network.
"""

import random
from typing import Any

import trio

from devnet.sim.cast import Cast
from devnet.sim.disk import CrashEngine, Image
from devnet.sim.fates import Fates
from devnet.sim.hands import Hands
from devnet.sim.heap import START_MS
from devnet.sim.node_network import WeatherNetwork, make_address, name_peer
from devnet.sim.node_worker import SimulatedWorker
from devnet.sim.plan import Plan
from devnet.sim.sealer_lies import SEALER_HABITS, SealerLies
from devnet.sim.sealer_watch import SealerWatch
from devnet.sim.witness import Witness, WitnessedMarks
from node.assembly import Ports, run_peer
from node.author import Author
from node.config import Config, P2pConfig, RolesConfig, RpcConfig, SyncConfig, WorkerConfig
from node.diary_file import DiaryFile
from node.high_water import HighWater
from node.peer import Peer
from node.roles.answer_box import open_answer_box
from node.roles.vote_box import open_vote_box
from node.transport.base import GossipValidator
from protocol.ballots import Word
from protocol.params import SCALE
from storage.errors import StorageError
from storage.store import Store

STATUS_INTERVAL_MS = 500
GOSSIP_DELAY_MS = 2
RESTART_S = 0.2


class SimulatedClock:
    """Virtual time with a wall clock that may be wrong by a day."""

    def __init__(self, offset_ms: int) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        """See `node.clock.Clock`, here and below."""
        return START_MS + int(trio.current_time() * 1_000) + self.offset_ms

    def monotonic_s(self) -> float:
        """Return trio's clock."""
        return trio.current_time()


class NodePeer:
    """One peer over all its lives.

    Args:
        number: the first ones seal.
        watch: hears what honest sealers say.
        dials: the numbers of the peers it keeps connected.
    """

    def __init__(
        self,
        plan: Plan,
        cast: Cast,
        witness: Witness,
        fates: Fates,
        network: WeatherNetwork,
        watch: SealerWatch,
        number: int,
        dials: tuple[int, ...],
    ) -> None:
        self.number = number
        self.habit = plan.habits[number] if number < len(plan.habits) else ""
        self.accounts = [cast.signers[one] for one in cast.accounts_of(number, plan.peers)]
        self.disk = CrashEngine()
        self.backup: Image | None = None
        self.peer: Peer | None = None
        self.hands: list[Hands] = []
        self.lives = 0
        self.stays_down = False
        self._cast = cast
        self._witness = witness
        self._fates = fates
        self._network = network
        self._watch = watch
        self._seed = plan.seed
        self._offset_ms = (*plan.clock_offsets_ms, *([0] * plan.peers))[number]
        self._dials = dials
        self._marks = WitnessedMarks(witness, number)
        self._sealed = HighWater(None)
        self._diary = DiaryFile(None)
        self._answers = open_answer_box(None)
        self._votes = open_vote_box(None)
        self._scope = trio.CancelScope()
        self._down_s = 0.0
        self._salts = 0

    @property
    def is_up(self) -> bool:
        """Whether the peer has started and was not killed since."""
        return self.peer is not None

    async def live(self) -> None:
        """Run life after life; never returns unless the peer is to stay down."""
        while not self.stays_down:
            self._scope = trio.CancelScope()
            self._down_s = RESTART_S
            try:
                with self._scope:
                    await self._run_once()
            except* StorageError:
                # Either the disk failed, or a task touched the disk of a life that is over.
                if self.peer is not None:
                    self._witness.reach("a disk fails inside a batch")
                    self._take_down(self._fates.draw("kept", self.number, self.lives) % (SCALE + 1))
            await trio.sleep(self._down_s)

    def kill(self, kept_share: int, down_ms: int) -> None:
        """End the life as in a power cut; of the unsynced batches some stay."""
        self._down_s = RESTART_S + down_ms / 1_000
        self._take_down(kept_share)
        self._scope.cancel()

    def wipe(self, image: Image | None, down_ms: int) -> None:
        """End the life and begin the next on an empty disk, or on that of a backup."""
        self.kill(0, down_ms)
        self.disk = CrashEngine() if image is None else CrashEngine.from_image(image)
        self._witness.disk_is_gone(self.number, () if image is None else image["transactions"])

    # ---------------------------------------------------------------------------- inner parts

    def _take_down(self, kept_share: int) -> None:
        unsynced = len(self.disk.unsynced)
        kept = (unsynced + 1) * kept_share // (SCALE + 1)
        if kept < unsynced:
            self._witness.reach("a crash loses what was not synced")
        self.disk = self.disk.crash(kept)
        self.peer = None
        self.hands = []

    async def _run_once(self) -> None:
        self.lives += 1
        store = Store(self.disk, self._cast.genesis)
        self._marks.store = store
        async with trio.open_nursery() as nursery:
            peer: Peer = await nursery.start(self._run_peer, store)
            self.peer = peer
            self._make_hands(peer)
            self._listen_to_sealer(peer)
            self._witness.note("start", self.number, peer.state.epoch)

    async def _run_peer(self, store: Store, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        signer = self.accounts[0]
        seals = signer.address in self._cast.genesis.sealers and self.habit != "silent"
        ports = Ports(
            clock=SimulatedClock(self._offset_ms),
            store=store,
            open_transport=lambda validate: self._network.open(
                name_peer(self.number), validate=self._choose_validator(validate)
            ),
            rng=random.Random(f"{self._seed}/{self.number}/{self.lives}"),
            signed=self._marks,
            sealed=self._sealed,
            diary=self._diary,
            answers=self._answers,
            votes=self._votes,
            open_worker=lambda role, line: SimulatedWorker(role, signer.address),
            draw_bytes=self._draw_salt,
            is_threaded=False,
        )
        await run_peer(
            self._make_config(),
            self._cast.genesis,
            ports,
            signer=signer,
            sealer=signer if seals else None,
            task_status=task_status,
        )

    def _make_config(self) -> Config:
        works = not self.habit
        return Config(
            p2p=P2pConfig(bootstrap=tuple(make_address(one) for one in self._dials)),
            rpc=RpcConfig(enabled=False),
            sync=SyncConfig(status_interval_ms=STATUS_INTERVAL_MS, gossip_delay_ms=GOSSIP_DELAY_MS),
            roles=RolesConfig(miner=works, validator=works, claim=works),
            worker=WorkerConfig(command="simulated", concurrency=4),
        )

    def _make_hands(self, peer: Peer) -> None:
        """Give the accounts that have no node of their own somebody who acts for them."""
        tell = peer.sync.gossip.tell_nowait
        authors = [peer.require_author()]
        authors += [Author(peer.state, signer, self._marks, tell) for signer in self.accounts[1:]]
        self.hands = [Hands(peer.state, author) for author in authors]

    def _listen_to_sealer(self, peer: Peer) -> None:
        """Hear what the peer's sealer says, before its first epoch is over; a liar's is twisted."""
        tell, state = peer.sync.tell_word_nowait, peer.state
        lies = None
        if self.habit in SEALER_HABITS:
            lies = SealerLies(self.habit, state, self.accounts[0], self._fates)

        def tell_word_nowait(word: Word) -> None:
            if lies is None:
                if not self.habit:
                    self._watch.hear(self.number, word, state.ballots.box)
                tell(word)
                return
            for said in lies.twist(word):
                self._network.send_word(self.number, said)

        peer.sync.tell_word_nowait = tell_word_nowait  # type: ignore[method-assign]

    def _choose_validator(self, validate: GossipValidator) -> GossipValidator:
        """Return what decides on gossip; a liar that passes nothing on hears nothing either."""
        return (lambda data: False) if self.habit in ("silent", "forger") else validate

    def _draw_salt(self, size: int) -> bytes:
        self._salts += 1
        return self._fates.draw_bytes(size, "salt", self.number, self._salts)
