"""Salvage: a damaged database is kept aside, and a new one is made of what is still readable in it.

Nothing derived is taken over: the new store replays the seals that are whole and takes in the
transactions that may still be sealed, each verified again. Its mark `needs_repair` is written
first, so that whatever happens in between, the node refills from peers before it serves.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from protocol.chains import is_alive, read_evidence
from protocol.errors import Rejected
from protocol.genesis import Genesis
from protocol.intake import Intake
from storage import meta
from storage.blobs import BLOBS
from storage.engine import Batch, Engine, Row
from storage.errors import Corrupt, StorageError
from storage.folder import Folder
from storage.journal import EVIDENCE, TRANSACTIONS, Journal
from storage.migrations import migrate
from storage.replay import Replay, replay
from storage.rocks import RocksEngine, RocksSettings, repair_files
from storage.store import Store

CARRIED_MAX = 20_000
"""Unsealed transactions taken over; more than that is fetched from peers again."""
PEERS = "peers"


@dataclass(frozen=True, slots=True)
class Salvage:
    """What a salvage brought.

    Attributes:
        store: the new store, open, `needs_repair` set.
        aside: the folder of the damaged one, untouched.
        replayed: how far its seals could be replayed.
        carried: unsealed transactions taken over.
    """

    store: Store
    aside: Path
    replayed: Replay
    carried: int


def salvage(path: Path, genesis: Genesis, *, settings: RocksSettings | None = None) -> Salvage:
    """Replace the damaged database in `path` by a new one.

    Raises:
        InUse, WrongNetwork, FormatTooNew: as `RocksEngine`; nothing is changed.
        Full: there is no room for the copy.
    """
    folder = Folder(path, genesis.network)
    folder.check_marker()
    # Under a running node the folder must not be renamed. One without its floor is taken as it is.
    with suppress(Corrupt):
        folder.lock()
    damaged = folder.set_aside()
    folder.close()
    work = damaged.copy_to(path.with_name(path.name + ".salvage"))
    store = Store.open(path, genesis, settings=settings)
    _mark(store, f"salvaged from {damaged.path.name}")
    source = _open_source(work, settings)
    if source is None:
        outcome, carried = Replay(0, "nothing could be read"), 0
    else:
        journal = Journal(source, genesis)
        outcome = replay(journal, store)
        carried = _carry_over(source, store)
        source.close()
    work.remove()
    return Salvage(store, damaged.path, outcome, carried)


def _mark(store: Store, reason: str) -> None:
    batch = Batch()
    batch.put(meta.META, meta.NEEDS_REPAIR, reason.encode("utf-8"))
    store.engine.write(batch, sync=True)


def _open_source(work: Folder, settings: RocksSettings | None) -> RocksEngine | None:
    """Return the damaged database as far as it opens, None if it does not."""
    if not work.rocks.is_dir():
        return None
    try:
        return RocksEngine(work.path, network=work.network, settings=settings, salvage=True)
    except Corrupt:
        try:
            repair_files(work)
            return RocksEngine(work.path, network=work.network, settings=settings, salvage=True)
        except Corrupt:
            return None


def _carry_over(source: Engine, store: Store) -> int:
    """Take over what no seal brought: open transactions, evidence, blobs, local records."""
    intake = Intake(store.genesis.network)
    carried = 0
    for _, wire in _scan_around_damage(source, TRANSACTIONS):
        if carried < CARRIED_MAX and _carry_transaction(store, intake, wire):
            carried += 1
    for _, row in _scan_around_damage(source, EVIDENCE):
        with suppress(Rejected, Corrupt):
            store.put_evidence(read_evidence(intake, Journal.read_proof(row)))
    with suppress(StorageError):
        # What does not arrive here is fetched from peers: it is named by its hash.
        migrate(source)
    blobs = Journal(source, store.genesis).blobs
    for key, _ in _scan_around_damage(source, BLOBS):
        with suppress(Rejected, Corrupt):
            data = blobs.get(key)
            if data is not None:
                store.put_blob(key, data)
    local = Batch()
    for key, value in _scan_around_damage(source, PEERS):
        local.put(PEERS, key, value)
    for key, value in _scan_around_damage(source, meta.META):
        if key.startswith(meta.LOCAL):
            local.put(meta.META, key, value)
    store.engine.write(local, sync=True)
    return carried


def _carry_transaction(store: Store, intake: Intake, wire: bytes) -> bool:
    try:
        tx = intake.read(wire)
        header = tx.header
        if not is_alive(header.epoch, store.head.epoch + 1, store.genesis.params.late_epochs):
            return False
        if store.journal.at(header.author, header.seq) is not None:
            return False
        store.put_transactions([intake.open(wire)])
    except Rejected:
        return False
    return True


def _scan_around_damage(engine: Engine, table: str) -> Iterator[Row]:
    """Return the rows before the first damage, then those behind the last, those backwards."""
    last = None
    try:
        for row in engine.scan(table):
            last = row[0]
            yield row
    except Corrupt:
        with suppress(Corrupt):
            for row in engine.scan(table, reverse=True):
                if last is not None and row[0] <= last:
                    return
                yield row
