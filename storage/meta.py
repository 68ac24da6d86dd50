"""The table `meta`: where the store stands, what it counted, and small local records.

"head"          epoch, seal hash, lanes of the state hash
"totals"        what the journal and the rows hold, written in the batch that changes it
"genesis"       the genesis hash
"indexes"       version of `storage.indexes`
"schema"        number, and the release that reads it: `storage.migrations`
"needs_repair"  why, after a salvage
"local/" name   records of others on this machine
"""

from dataclasses import dataclass
from typing import Annotated

from protocol.errors import Rejected
from protocol.lthash import LTHASH_BYTES, LtHash
from protocol.schema import Exactly, decode_record, encode_record
from storage.engine import Batch, Engine
from storage.errors import Corrupt

META = "meta"
HEAD, TOTALS, GENESIS, INDEXES = b"head", b"totals", b"genesis", b"indexes"
NEEDS_REPAIR = b"needs_repair"
LOCAL = b"local/"


class Head:
    """The last seal and the state it left.

    Attributes:
        epoch: the last sealed epoch; 0 before the first seal.
        seal_hash: its hash; the genesis hash at epoch 0.
        rows_hash: set hash of all sealed rows. Copy it before changing it.
        state_root: its root, as the seal bears it.
    """

    __slots__ = ("epoch", "rows_hash", "seal_hash", "state_root")

    def __init__(self, epoch: int, seal_hash: bytes, rows_hash: LtHash) -> None:
        self.epoch = epoch
        self.seal_hash = seal_hash
        self.rows_hash = rows_hash
        self.state_root = rows_hash.state_root()


@dataclass(frozen=True, slots=True)
class _HeadRow:
    epoch: int
    seal_hash: Annotated[bytes, Exactly(32)]
    lanes: Annotated[bytes, Exactly(LTHASH_BYTES)]


@dataclass(frozen=True, slots=True)
class Totals:
    """What is stored, counted as it is written.

    Attributes:
        stored: transactions.
        open: of them, those in the open set.
        sealed: of them, those that a seal took in.
        evidence: proofs, sealed or not.
        items: sealed items in the range index.
        items_sum: sum of their ids as Negentropy adds them (32 bytes LE).
        rows: rows of the sealed state.
    """

    stored: int
    open: int
    sealed: int
    evidence: int
    items: int
    items_sum: Annotated[bytes, Exactly(32)]
    rows: int


NOTHING = Totals(0, 0, 0, 0, 0, bytes(32), 0)


def stage_head(batch: Batch, head: Head) -> None:
    """Add the head to a batch."""
    row = _HeadRow(head.epoch, head.seal_hash, head.rows_hash.to_bytes())
    batch.put(META, HEAD, encode_record(row))


def stage_totals(batch: Batch, totals: Totals) -> None:
    """Add the totals to a batch."""
    batch.put(META, TOTALS, encode_record(totals))


def read_head(engine: Engine) -> Head | None:
    """Return the head; None in a database that is new.

    Raises:
        Corrupt: `meta_damaged`.
    """
    data = engine.get(META, HEAD)
    if data is None:
        return None
    try:
        row = decode_record(_HeadRow, data)
    except Rejected as error:
        raise Corrupt("meta_damaged", str(error), "the head") from error
    return Head(row.epoch, row.seal_hash, LtHash.from_bytes(row.lanes))


def read_totals(engine: Engine) -> Totals:
    """Return the totals.

    Raises:
        Corrupt: `meta_damaged`.
    """
    data = engine.get(META, TOTALS)
    if data is None:
        raise Corrupt("meta_damaged", "no totals", "those of the last batch")
    try:
        return decode_record(Totals, data)
    except Rejected as error:
        raise Corrupt("meta_damaged", str(error), "the totals") from error
