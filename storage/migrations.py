"""Schemas of the database: which one it has, and the steps from an older one to ours.

Rule 1: a step yields batches. Each may be the last one written: begun anew, the step goes on from
        what it finds, and what it finished it does not find again. The number changes last, synced.
Rule 2: before the first step a database in a folder is copied beside itself; the copy is never
        written over, because a migration that was interrupted has already changed the original.
Rule 3: a database with a number above ours is refused with the release that reads it. That release
        wrote its own name beside the number.
Rule 4: a step changes where and how bytes lie, never rows of the sealed state: these are hashed
        into the state root, and what they are is the protocol's to say.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from protocol.errors import Rejected
from protocol.hashing import HASH_BYTES
from protocol.schema import AtMost, decode_record, encode_record
from storage.blobs import BLOBS, PIECES
from storage.engine import BATCH_ITEMS_MAX, Batch, Engine
from storage.errors import Corrupt, FormatTooNew
from storage.folder import Folder
from storage.meta import META
from storage.rocks import RocksEngine

SCHEMA_KEY = b"schema"
BATCH_BYTES_MAX = 1 << 20
FIRST_SCHEMA = 1
"""Of databases without a number."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step.

    Attributes:
        number: the schema it leads to.
        release: the first one that reads this schema.
        text: what it does, for people.
        make_batches: reads the database as the step finds it.
    """

    number: int
    release: str
    text: str
    make_batches: Callable[[Engine], Iterator[Batch]]


@dataclass(frozen=True, slots=True)
class _SchemaRow:
    number: int
    release: Annotated[str, AtMost(64)]


def _split_blobs(engine: Engine) -> Iterator[Batch]:
    """Move the pieces of blobs out of the table of their sizes."""
    batch = Batch()
    for key, piece in engine.scan(BLOBS):
        if len(key) == HASH_BYTES:
            continue
        batch.put(PIECES, key, piece)
        batch.delete(BLOBS, key)
        if len(batch) >= BATCH_ITEMS_MAX or batch.size_bytes >= BATCH_BYTES_MAX:
            yield batch
            batch = Batch()
    yield batch


def _change_nothing(engine: Engine) -> Iterator[Batch]:
    """Take a step that only adds a table: engines make those that lack."""
    yield from ()


MIGRATIONS: tuple[Migration, ...] = (
    Migration(2, "0.1.0", "lists blobs without reading their content", _split_blobs),
    Migration(3, "0.1.0", "keeps tombstones of what was pruned", _change_nothing),
    Migration(4, "0.1.0", "keeps reports of fraud", _change_nothing),
    Migration(5, "0.1.0", "keeps what sealers change of the network", _change_nothing),
    Migration(6, "0.1.0", "keeps commitments to votes", _change_nothing),
)
SCHEMA = MIGRATIONS[-1].number
assert [one.number for one in MIGRATIONS] == list(range(FIRST_SCHEMA + 1, SCHEMA + 1))


def stage_schema(batch: Batch, number: int = SCHEMA) -> None:
    """Add the number of a schema to a batch, with the release to install for it."""
    release = next(one.release for one in MIGRATIONS if one.number == number)
    batch.put(META, SCHEMA_KEY, encode_record(_SchemaRow(number, release)))


def read_schema(engine: Engine) -> int:
    """Return the schema of a database that is not empty.

    Raises:
        FormatTooNew: `schema_too_new`; it says which release to install.
        Corrupt: `meta_damaged`.
    """
    data = engine.get(META, SCHEMA_KEY)
    if data is None:
        return FIRST_SCHEMA
    try:
        row = decode_record(_SchemaRow, data)
    except Rejected as error:
        raise Corrupt("meta_damaged", str(error), "the schema") from error
    if row.number > SCHEMA:
        wanted = f"at most {SCHEMA}; install minesync {row.release} or later"
        raise FormatTooNew("schema_too_new", f"schema {row.number}", wanted)
    return row.number


def migrate(engine: Engine) -> int:
    """Take every step that is missing; return how many there were.

    Raises:
        StorageError: a write failed; begun again, it goes on from there.
    """
    taken = 0
    for migration in MIGRATIONS[read_schema(engine) - FIRST_SCHEMA :]:
        for batch in migration.make_batches(engine):
            engine.write(batch, sync=False)
        mark = Batch()
        stage_schema(mark, migration.number)
        engine.write(mark, sync=True)
        taken += 1
    return taken


def find_copy(path: Path, schema: int) -> Path:
    """Return where the copy of a database of an older schema lies."""
    return path.with_name(f"{path.name}.schema-{schema}")


def keep_copy(engine: RocksEngine, network: bytes) -> None:
    """Copy a database of an older schema to `<folder>.schema-<number>`, unless that is done.

    Raises:
        StorageError: as `RocksEngine.checkpoint`; `foreign_folder` if something else lies there.
    """
    path = find_copy(engine.path, read_schema(engine))
    copy = Folder(path, network)
    if not copy.is_empty():
        if copy.is_whole():
            return
        copy.remove()
    engine.checkpoint(path)
