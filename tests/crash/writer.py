"""The writer: a real store that lives through epochs, tells what it does, and dies in the middle.

It goes on from the world that its parent has in memory: the same people, the same chains.
"""

import random
import signal
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from storage.backup import make_backup
from storage.backup_folder import find_numbers, prune_backups
from storage.engine import TABLES, Batch, Engine
from storage.rocks import RocksEngine, RocksSettings
from tests.crash.facts import Kind, Teller
from tests.crash.failpoints import BACKUP_SITES, Failpoint
from tests.crash.reference import GHOST, CrashWorld, prune_steps
from tests.crash.telling import TellingStore
from tests.support.builders import PUBLISHER
from tests.support.stored import play_randomly

STEPS_MAX = 16
"""After so many a writer whose failpoint lies too far ends by itself."""
BLOB_BYTES_MAX = 150_000
BACKUPS_KEPT = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """One life of a writer.

    Attributes:
        seed: of what it does.
        settings: of its database; drawn anew for each life.
        failpoint: where it dies by itself; None if somebody kills it.
        is_halting: at its failpoint it stops and waits, as for a power cut.
        is_hasty: it acknowledges before it writes. A control: it must lose.
        is_unsynced: no write is synced, and acknowledged all the same. A control for power cuts.
    """

    seed: int
    settings: RocksSettings
    failpoint: Failpoint | None = None
    is_halting: bool = False
    is_hasty: bool = False
    is_unsynced: bool = False


class UnsyncedEngine(RocksEngine):
    """An engine that promises what is in memory only."""

    def write(self, batch: Batch, *, sync: bool) -> None:
        super().write(batch, sync=False)

    def flush(self) -> None:
        """Leave it in memory."""

    def compact(self, table: str) -> None:
        """Leave it in memory: RocksDB flushes before it compacts."""


def write_until_killed(
    path: Path, backups: Path, world: CrashWorld, plan: Plan, teller: Teller
) -> None:
    """Open the store in `path` and live in it; the process is meant to die in here."""
    if plan.failpoint is not None:
        plan.failpoint.arm(signal.SIGSTOP if plan.is_halting else signal.SIGKILL)
    chance = random.Random(plan.seed)
    engine_class = UnsyncedEngine if plan.is_unsynced else RocksEngine
    engine = engine_class(path, network=world.network, settings=plan.settings)
    store = TellingStore(engine, world.genesis, teller, is_hasty=plan.is_hasty)
    world.store = store
    teller.ready()
    is_backing_up = plan.failpoint is not None and plan.failpoint.site in BACKUP_SITES
    is_mortal = plan.failpoint is not None and not plan.is_halting
    for _ in range(STEPS_MAX) if is_mortal else count():
        take_step(world, store, engine, backups, chance)
        if is_backing_up:
            _back_up(store, backups)


def take_step(
    world: CrashWorld,
    store: TellingStore,
    engine: Engine,
    backups: Path,
    chance: random.Random,
) -> None:
    """Do one thing that a node does with its store; most often live through an epoch."""
    match chance.randrange(20):
        case 0 | 1 | 2:
            # Stored now, sealed with the next epoch.
            store.put_transactions(
                [world.publish(PUBLISHER) for _ in range(chance.randrange(1, 4))]
            )
        case 3:
            tx = world.sign(GHOST, "cancel_task", CancelTask("nobody"), subject=bytes(32))
            store.put_transactions([tx])
            store.bury([tx.tx_id])
        case 4:
            forger = world.find_forger()
            if forger is not None:
                place = world.equivocate(
                    forger, "cancel_task", CancelTask("one"), CancelTask("other")
                )
                store.bury([world.links[place].tx_id])
        case 5 | 6:
            data = chance.randbytes(chance.randrange(1, BLOB_BYTES_MAX))
            store.put_blob(compute_content_hash(data), data)
        case 7:
            if chance.randrange(3) == 0:
                _back_up(store, backups)
        case 8:
            if chance.randrange(2):
                engine.flush()
            else:
                engine.compact(chance.choice(TABLES))
        case 9:
            for _ in prune_steps(store):
                pass
        case _:
            play_randomly(world, chance, 1)


def _back_up(store: TellingStore, folder: Path) -> None:
    number = max(find_numbers(folder), default=0) + 1
    with store.telling(Kind.BACKUP, [b"%d" % number]):
        make_backup(store, folder)
    prune_backups(folder, BACKUPS_KEPT)
