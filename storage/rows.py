"""Typed rows over an engine: the tables of `protocol.tables`, decoded strictly, through a cache."""

from collections.abc import Iterator
from typing import TypeVar

from protocol.errors import Rejected
from protocol.tables import Table
from storage.cache import RowCache
from storage.engine import Engine
from storage.errors import Corrupt

T = TypeVar("T")


class Rows:
    """Reads of rows. Writes go through `storage.commit`, which also tells the cache."""

    def __init__(self, engine: Engine, cache: RowCache) -> None:
        self._engine = engine
        self.cache = cache

    def get(self, table: Table[T], key: bytes) -> T | None:
        """Return one row, or None.

        Raises:
            Corrupt: `row_damaged`.
        """
        place = (table.name, key)
        is_known, record = self.cache.find(place)
        if is_known:
            known: T | None = record
            return known
        data = self._engine.get(table.name, key)
        row = None if data is None else decode_row(table, key, data)
        self.cache.put(place, row, len(data or b""))
        return row

    def scan(
        self, table: Table[T], lower: bytes = b"", upper: bytes | None = None
    ) -> Iterator[tuple[bytes, T]]:
        """Return the rows with lower <= key < upper as of now; they do not fill the cache.

        Raises:
            Corrupt: `row_damaged`.
        """
        # Asked for here and not when the first row is: "as of now" means the call.
        rows = self._engine.scan(table.name, lower, upper)
        return ((key, decode_row(table, key, data)) for key, data in rows)


def decode_row(table: Table[T], key: bytes, data: bytes) -> T:
    """Return the record of a stored row.

    Raises:
        Corrupt: `row_damaged`: these are not bytes that we wrote.
    """
    try:
        return table.decode_row(data)
    except Rejected as error:
        raise Corrupt("row_damaged", f"{table.name} {key.hex()[:16]}: {error}", "a row") from error
