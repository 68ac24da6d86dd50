"""What we ask of a database: ordered bytes in named tables, atomic batches. Nothing else.

Two engines implement it, `storage.rocks` for nodes and `storage.memory` for tests and
simulations; both pass the same contract tests.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

FOUNDING_TABLES = (
    "ai_task_states",
    "ai_miner_states",
    "ai_submissions",
    "ai_validation_results",
    "ai_reward_distributions",
    "ai_fraud_analysis",
    "ai_behavioral_patterns",
    "ai_network_metrics",
    "ai_dispute_cases",
    "ai_performance_cache",
    "ai_index_mappings",
)
"""The eleven column families of the founding document, under their own names."""

NODE_TABLES = (
    "accounts",
    "ledger",
    "rulings",
    "ai_vote_commitments",
    "fraud_reports",
    "changes",
    "charters",
    "licences",
    "tombstones",
    "transactions",
    "author_chains",
    "open_set",
    "range_leaves",
    "seals",
    "evidence",
    "blobs",
    "blob_pieces",
    "peers",
    "meta",
)

TABLES = FOUNDING_TABLES + NODE_TABLES
"""Every table there is; engines know them at open, and a name outside is a programming error."""

BATCH_ITEMS_MAX = 2_000
"""What a writer on the event loop puts into one batch: a write holds the interpreter's lock."""

Row = tuple[bytes, bytes]


class Batch:
    """Puts and deletes that become visible together or not at all; the last word on a key wins."""

    __slots__ = ("_size_bytes", "operations")

    def __init__(self) -> None:
        self.operations: list[tuple[str, bytes, bytes | None]] = []
        self._size_bytes = 0

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Set a key of a table."""
        self.operations.append((table, key, value))
        self._size_bytes += len(key) + len(value)

    def delete(self, table: str, key: bytes) -> None:
        """Remove a key of a table; removing what is not there is no error."""
        self.operations.append((table, key, None))
        self._size_bytes += len(key)

    def __len__(self) -> int:
        return len(self.operations)

    @property
    def size_bytes(self) -> int:
        """Bytes of all keys and values."""
        return self._size_bytes


class Engine(Protocol):
    """Tables of sorted bytes.

    Any call may raise a `StorageError`; a table outside `TABLES` raises `KeyError`.
    """

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        ...

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in the order asked."""
        ...

    def scan(
        self, table: str, lower: bytes = b"", upper: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Row]:
        """Return the rows with lower <= key < upper, in key order or in reverse.

        The rows are those of the moment of the call: later writes are not seen. After `close`
        the iterator raises `Closed`.
        """
        ...

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply a batch atomically; with `sync` it is on disk when this returns."""
        ...

    def flush(self) -> None:
        """Put everything written so far on disk."""
        ...

    def compact(self, table: str) -> None:
        """Give back the room of what was deleted from a table."""
        ...

    def properties(self) -> Mapping[str, Mapping[str, int]]:
        """Return figures by table: at least `keys` (estimated) and `bytes`."""
        ...

    def reopen(self) -> None:
        """Close and open again, with all that is on disk; running scans end as after `close`.

        Raises:
            Full: there is too little room to open; reads go on as before.
        """
        ...

    def close(self) -> None:
        """Release everything; a second close is no error."""
        ...
