"""A small database with a history, as files, and what must be true of whatever is made of them."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from node.events import Broadcast
from node.state_manager import StateManager
from protocol.hashing import compute_content_hash
from protocol.kinds.cancel_task import CancelTask
from protocol.tables import ALL
from storage.salvage import salvage
from storage.scrub import scrub
from storage.store import Store
from tests.support.builders import a_genesis
from tests.support.chains import exchange
from tests.support.life import Rows, an_engine, read_rows
from tests.support.stored import StoredWorld, play_randomly

GENESIS = a_genesis()
EPOCHS = 10
SEED = 4
DATA = random.Random(SEED).randbytes(3_000)
NOTE = b"of ours"
REPLICATED = (*(table.name for table in ALL), "seals")
"""Tables that a repaired node must have again, byte for byte."""


@dataclass(frozen=True, slots=True)
class Image:
    """One database at rest.

    Attributes:
        path: its folder; never opened, only copied.
        rows: everything in it; all of it was acknowledged.
        peer: a healthy peer that has the same.
    """

    path: Path
    rows: Rows
    peer: StateManager

    def copy(self, path: Path) -> None:
        """Copy the files."""
        shutil.copytree(self.path, path)


def build_image(folder: Path, *, is_flushed: bool) -> Image:
    """Live through some epochs and leave the files of it: in tables, or as a kill leaves a log."""
    live, path = folder / "live", folder / "image"
    store = Store.open(live, GENESIS)
    world = StoredWorld(store)
    play_randomly(world, random.Random(SEED), EPOCHS)
    place = world.equivocate("eve", "cancel_task", CancelTask("a"), CancelTask("b"))
    world.seal(evidence=[place])
    store.put_blob(compute_content_hash(DATA), DATA)
    store.put_transactions([world.publish()])
    # Synced, and the last: whatever is missing below was acknowledged.
    store.meta_put("note", NOTE)
    rows = read_rows(store.engine)
    if is_flushed:
        store.engine.flush()
        store.close()
    shutil.copytree(live, path)
    if not is_flushed:
        store.close()
    shutil.rmtree(live)
    peer = StateManager(GENESIS, Store(an_engine(rows), GENESIS), Broadcast())
    return Image(path, rows, peer)


def read_as_a_node_does(path: Path) -> Rows:
    """Open a database and read all of it, in order and one by one; return what is there.

    Raises:
        BlamedError: damage was found.
    """
    store = Store.open(path, GENESIS)
    try:
        rows = read_rows(store.engine)
        for table, content in rows.items():
            keys = [key for key, _ in content]
            found = store.engine.get_many(table, keys)
            rows[table] = [
                (key, value) for key, value in zip(keys, found, strict=True) if value is not None
            ]
        return rows
    finally:
        store.close()


def serve_again(path: Path, image: Image, *, is_refused: bool) -> bool:
    """Repair a damaged database and refill it from the peer; tell whether it is in service.

    Args:
        path: of the database.
        image: what it was.
        is_refused: its folder is not taken for ours, so that it is set aside by hand.
    """
    if is_refused:
        path.rename(path.with_name("aside"))
        store = Store.open(path, GENESIS)
    else:
        store = salvage(path, GENESIS).store
    try:
        state = StateManager(GENESIS, store, Broadcast())
        exchange(state, image.peer)
        if not store.journal.has_blob(compute_content_hash(DATA)):
            store.put_blob(compute_content_hash(DATA), DATA)
        store.mark_repaired()
        rows = read_rows(store.engine)
        return (
            state.status() == image.peer.status()
            and all(rows[table] == image.rows[table] for table in REPLICATED)
            and [line for line in scrub(store) if line] == []
        )
    finally:
        store.close()
