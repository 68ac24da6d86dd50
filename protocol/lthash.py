"""LtHash over state rows: a hash of a set that grows and shrinks row by row, in any order.

    row    = BLAKE3 of "minesync/row/1" || len(table) 1 byte || table
                    || len(key) 2 bytes BE || key || value, extended to 2,048 bytes
    lanes  = 1,024 unsigned integers of 16 bits, little-endian, each added mod 2^16
    root   = SHA-256 of the lanes

Adding a row and removing it again changes nothing. Finding two sets with equal lanes is a lattice
problem (LtHash16, Lewi et al. 2019), which one wide sum of hashes is not. The lanes count how
often a row was added: that each row is in once is the caller's promise.
"""

import hashlib
from functools import reduce
from operator import or_

from blake3 import blake3

from protocol.errors import Rejected

LANES = 1_024
LANE_BITS = 16
LTHASH_BYTES = LANES * LANE_BITS // 8

_ROW_TAG = b"minesync/row/1"
# All lanes lie in one integer. Carries out of a lane are kept inside it by adding the low 15 bits
# of every lane with room to spare and the top bits without carry.
_TOP_BITS = reduce(or_, (1 << (LANE_BITS * lane + LANE_BITS - 1) for lane in range(LANES)))
_ALL_BITS = (1 << (LANES * LANE_BITS)) - 1
_LOW_BITS = _ALL_BITS ^ _TOP_BITS


class LtHash:
    """The lanes of one set of rows. Mutable; `copy` before trying something out."""

    __slots__ = ("_lanes",)

    def __init__(self) -> None:
        """Begin with no rows."""
        self._lanes = 0

    @classmethod
    def from_bytes(cls, data: bytes) -> "LtHash":
        """Return the set hash whose lanes are `data`.

        Raises:
            Rejected: `lthash_length`.
        """
        if len(data) != LTHASH_BYTES:
            raise Rejected("lthash_length", f"{len(data)} bytes", f"{LTHASH_BYTES} bytes")
        result = cls()
        result._lanes = int.from_bytes(data, "little")
        return result

    def to_bytes(self) -> bytes:
        """Return the lanes (2,048 bytes)."""
        return self._lanes.to_bytes(LTHASH_BYTES, "little")

    def copy(self) -> "LtHash":
        """Return a set hash of the same rows, independent of this one."""
        result = LtHash()
        result._lanes = self._lanes
        return result

    def add_row(self, table: str, key: bytes, value: bytes) -> None:
        """Put a row in."""
        self._lanes = _add(self._lanes, _hash_row(table, key, value))

    def remove_row(self, table: str, key: bytes, value: bytes) -> None:
        """Take a row out that is in."""
        self._lanes = _subtract(self._lanes, _hash_row(table, key, value))

    def combine(self, other: "LtHash") -> None:
        """Put in all rows of another set."""
        self._lanes = _add(self._lanes, other._lanes)

    def state_root(self) -> bytes:
        """Return the root (32 bytes) over all rows."""
        return hashlib.sha256(self.to_bytes()).digest()


def _hash_row(table: str, key: bytes, value: bytes) -> int:
    name = table.encode("ascii")
    # The lengths make the split unambiguous; to_bytes raises where one does not fit.
    head = _ROW_TAG + len(name).to_bytes(1, "big") + name + len(key).to_bytes(2, "big") + key
    return int.from_bytes(blake3(head + value).digest(LTHASH_BYTES), "little")


def _add(left: int, right: int) -> int:
    return ((left & _LOW_BITS) + (right & _LOW_BITS)) ^ ((left ^ right) & _TOP_BITS)


def _subtract(left: int, right: int) -> int:
    # The top bit lent to every lane pays for its borrow; it is settled without carry as above.
    return ((left | _TOP_BITS) - (right & _LOW_BITS)) ^ ((left ^ right ^ _TOP_BITS) & _TOP_BITS)
