"""Golden databases: all rows of a small store as one file, for every schema that was released.

Written once, by the release that had the schema: `python -m tests.support.golden`. A later
release must still open it, so a file is never written anew.
"""

import random
import zlib
from pathlib import Path

import cbor2

from protocol.hashing import compute_content_hash
from storage.engine import TABLES, Batch, Engine
from storage.memory import MemoryEngine
from storage.migrations import read_schema
from storage.store import Store
from tests.support.builders import a_genesis, a_task
from tests.support.stored import StoredWorld, play_randomly

FOLDER = Path(__file__).parents[1] / "vectors"
SEED = 7
EPOCHS = 12
BLOB_SIZES = (0, 10, 65_536, 65_537, 200_000, 1_048_576)


def make_blobs() -> list[bytes]:
    """Return the blobs of a golden database; they compress well."""
    return [f"{size} ".encode().ljust(8, b".") * (size // 8 + 1) for size in BLOB_SIZES]


def build_store() -> Store:
    """Return a store in memory with something of everything."""
    store = Store(MemoryEngine(), a_genesis())
    world = StoredWorld(store)
    for size, data in zip(BLOB_SIZES, make_blobs(), strict=True):
        store.put_blob(compute_content_hash(data[:size]), data[:size])
    play_randomly(world, random.Random(SEED), EPOCHS)
    world.seal(
        evidence=[
            world.equivocate("eve", "publish_task", a_task(title="one"), a_task(title="other"))
        ]
    )
    store.put_transactions([world.publish("mallory"), world.register("eve")])
    store.meta_put("peers", b"some peers")
    return store


def read_rows(engine: Engine) -> dict[str, dict[bytes, bytes]]:
    """Return all rows by table."""
    return {table: dict(engine.scan(table)) for table in TABLES}


def load_golden(number: int, engine: Engine) -> None:
    """Write the rows of the golden database of a schema into a new engine."""
    data = (FOLDER / f"database_{number}.cbor.zlib").read_bytes()
    tables: dict[str, dict[bytes, bytes]] = cbor2.loads(zlib.decompress(data))
    batch = Batch()
    for table, rows in tables.items():
        for key, value in rows.items():
            batch.put(table, key, value)
    engine.write(batch, sync=True)


if __name__ == "__main__":
    engine = build_store().engine
    rows = {table: found for table, found in read_rows(engine).items() if found}
    with (FOLDER / f"database_{read_schema(engine)}.cbor.zlib").open("xb") as file:
        file.write(zlib.compress(cbor2.dumps(rows), 9))
