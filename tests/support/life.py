"""The life of one node, step by step: it seals, signs, takes in what others sign, and thinks.

A life is written down once, by a world that acts on a node that nothing befalls. Afterwards any
node can be led through it from any step on, whatever befalls it, and must become the same.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from node.author import Author
from node.diary_file import DiaryFile
from node.disk_watch import DiskWatch
from node.events import Broadcast
from node.high_water import HighWater
from node.opinions.keeper import OpinionKeeper
from node.sealer import Sealer
from node.state_manager import StateManager
from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from protocol.seals import Seal
from protocol.transactions import SignedTransaction
from storage.engine import TABLES, Batch, Engine, Row
from storage.memory import MemoryEngine
from storage.store import Store
from tests.support.builders import a_genesis, a_signer, a_task, an_address
from tests.support.listeners import Listeners
from tests.support.stored import draw_moves
from tests.support.world import World

OWNER, CHEAT, SEALER = "eve", "mallory", "sealer"
GENESIS = a_genesis()
BLOB = bytes(range(256)) * 300


class StandingClock:
    """A clock that stands: what is sealed again is sealed with the same time."""

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0


class Life:
    """A node on an engine; made anew on the same engine and folder it is the node restarted.

    Attributes:
        published: what it published of its own.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.store = Store(engine, GENESIS)
        self.state = StateManager(GENESIS, self.store, Broadcast())
        self._peers = Listeners()
        self.published: list[SignedTransaction] = []
        self.signed = HighWater(folder / "signed")
        self.sealed = HighWater(folder / "sealed")
        self.author = Author(self.state, a_signer(OWNER), self.signed, self.published.extend)
        self.diary = DiaryFile(folder / "sealer_diary")
        self.sealer = Sealer(
            self.state, a_signer(SEALER), StandingClock(), self.sealed, self.diary, self._peers
        )
        self.keeper = OpinionKeeper(self.state)
        self.disk = DiskWatch(
            self.state,
            None,
            reserve_bytes=0,
            warn_bytes=0,
            resumed=[self.author.resume, self.sealer.resume],
        )

    @property
    def told(self) -> list[Seal]:
        """The seals that it told its peers."""
        return [Seal.from_bytes(sealed.seal) for sealed in self._peers.seals]

    def close(self) -> None:
        """Close the marks; the engine is the caller's."""
        self.signed.close()
        self.sealed.close()
        self.diary.close()

    # --------------------------------------------------------------------------------- steps
    # Each does nothing that is done already, so that whoever is in doubt can do it again.

    async def take(self, transactions: list[SignedTransaction]) -> None:
        """Take in what others signed."""
        self.state.accept(transactions, "peer")

    async def publish(self, seq: int) -> None:
        """Sign a publication of one's own."""
        if self.state.next_link(self.author.address)[0] > seq:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.author.run)
            await self.author.submit("publish_task", a_task(title=f"Task {seq}"))
            nursery.cancel_scope.cancel()

    async def put_blob(self) -> None:
        """Keep an input."""
        self.store.put_blob(compute_content_hash(BLOB), BLOB)

    async def put_note(self, text: bytes) -> None:
        """Keep a local record."""
        self.store.meta_put("note", text)

    async def end_epoch(self, epoch: int) -> None:
        """Seal."""
        if self.state.epoch < epoch:
            self.sealer.end_epoch()

    async def think(self) -> None:
        """Form the opinions that the last seal asks for."""
        await self.keeper.catch_up()


Step = Callable[[Life], Awaitable[None]]
Rows = dict[str, list[Row]]


@dataclass(repr=False)
class Script:
    """A life as it was: each step, and what was on disk around it.

    Attributes:
        rows: what is on disk before each step, and behind the last.
        writes: how many writes each step makes.
        root: the state root in the end.
    """

    steps: list[Step] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    root: bytes = b""


async def write_script(folder: Path, epochs: int, seed: int) -> Script:
    """Live through some epochs undisturbed and return what happened."""
    script = Script()
    engine = _Counting()
    life = Life(engine, folder)
    world = World(GENESIS)
    chance = random.Random(seed)

    async def do(step: Step) -> None:
        script.rows.append(read_rows(engine))
        script.steps.append(step)
        count = engine.writes
        await step(life)
        script.writes.append(engine.writes - count)

    for epoch in range(1, epochs + 1):
        taken = draw_moves(world, chance)
        half = len(taken) // 2
        await do(partial(Life.take, transactions=taken[:half]))
        await do(partial(Life.take, transactions=taken[half:]))
        evidence = []
        if epoch == 2:
            one = world.sign(CHEAT, "cancel_task", CancelTask("a"))
            other = world.sign(CHEAT, "cancel_task", CancelTask("b"), seq=0)
            await do(partial(Life.take, transactions=[one]))
            await do(partial(Life.take, transactions=[other]))
            evidence = [(an_address(CHEAT), 0)]
        if epoch % 3 == 0:
            await do(partial(Life.publish, seq=epoch // 3 - 1))
            taken.append(life.published[-1])
            world.adopt(life.published)
        if epoch == 4:
            await do(Life.put_blob)
        await do(partial(Life.put_note, text=b"epoch %d" % epoch))
        await do(partial(Life.end_epoch, epoch=epoch))
        await do(Life.think)
        world.seal(*taken, evidence=evidence)
        world.seal_hash = world.anchors[epoch] = life.state.seal_hash
    script.rows.append(read_rows(engine))
    script.root = life.state.state_root
    life.close()
    return script


class _Counting(MemoryEngine):
    """Counts writes."""

    writes = 0

    def write(self, batch: Batch, *, sync: bool) -> None:
        self.writes += 1
        super().write(batch, sync=sync)


def read_rows(engine: Engine) -> Rows:
    """Return everything that is in an engine."""
    return {table: list(engine.scan(table)) for table in TABLES}


def an_engine(rows: Rows) -> MemoryEngine:
    """Return an engine in memory with some rows."""
    engine, batch = MemoryEngine(), Batch()
    for table, content in rows.items():
        for key, value in content:
            batch.put(table, key, value)
    engine.write(batch, sync=False)
    return engine
