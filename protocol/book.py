"""What one subject's fold reads and writes: its rows, its money moves and its notes on miners.

Rules:
1. Roles, reputation, stakes, balances and parameters come from the last seal only; so subjects
   fold independently of one another and in any order.
2. A subject writes its own rows. What it means for anyone else is a `Payment` or a `Note`, which
   the seal adds up afterwards; both commute.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from protocol.charter_records import Charter
from protocol.errors import Rejected
from protocol.tables import Table
from protocol.view import Key, StateView

T = TypeVar("T")


class Refused(Rejected):
    """A transaction cannot apply at its place; it is kept, with a ruling.

    Attributes:
        lost_to: id of the transaction that took what this one wanted, if one did.
    """

    def __init__(
        self, code: str, found: object = "", wanted: object = "", lost_to: bytes | None = None
    ) -> None:
        super().__init__(code, found, wanted)
        self.lost_to = lost_to


class Pot(IntEnum):
    """Where money lies that is on no account."""

    ESCROW = 0
    STAKE = 1
    TREASURY = 2
    BURNED = 3


class Payment(NamedTuple):
    """Money that moves from one place to another; a place is an account or a pot."""

    source: bytes | Pot
    target: bytes | Pot
    amount: int


@dataclass(frozen=True, slots=True)
class Note:
    """What a subject's outcome says of a miner; taken in at the seal.

    Attributes:
        score: consensus score of his answer, None if this is not about an answer.
        deviation: distance of his vote from the consensus, None if this is not about a vote.
        penalty: reputation points lost, before clamping.
        earned: nano-units claimed.
        forfeited: nano-units of stake lost.
        success: his answer was approved.
    """

    miner: bytes
    score: int | None = None
    success: bool = False
    deviation: int | None = None
    penalty: int = 0
    earned: int = 0
    forfeited: int = 0


class Book:
    """The working set of one subject in one epoch."""

    def __init__(
        self,
        sealed: StateView,
        charter: Charter,
        network: bytes,
        epoch: int,
        beacon: bytes | None,
        caught: frozenset[bytes] = frozenset(),
    ) -> None:
        self.sealed = sealed
        self.charter = charter
        self.params = charter.params
        self.network = network
        self.epoch = epoch
        self.beacon = beacon
        """Known once the epoch's set is fixed; None while the fold is provisional."""
        self.caught = caught
        """Authors against whom the epoch takes evidence in."""
        self._rows: dict[Key, Any] = {}
        self._tables: dict[Key, Table[Any]] = {}
        self._payments: list[Payment] = []
        self._notes: list[Note] = []

    def get(self, table: Table[T], key: bytes) -> T | None:
        """Return a row as this fold sees it: its own writes over the sealed state."""
        place = (table.name, key)
        if place in self._rows:
            row: T | None = self._rows[place]
            return row
        return self.sealed.get(table, key)

    def require(self, table: Table[T], key: bytes, code: str) -> T:
        """Return a row that must be there.

        Raises:
            Refused: with `code`.
        """
        row = self.get(table, key)
        if row is None:
            raise Refused(code, key.hex()[:16], f"a row in {table.name}")
        return row

    def put(self, table: Table[T], key: bytes, record: T) -> None:
        """Write a row."""
        self._rows[(table.name, key)] = record
        self._tables[(table.name, key)] = table

    def pay(self, source: bytes | Pot, target: bytes | Pot, amount: int) -> None:
        """Move money; nothing for an amount of 0."""
        if amount:
            self._payments.append(Payment(source, target, amount))

    def note(self, note: Note) -> None:
        """Add a note on a miner."""
        self._notes.append(note)

    def mark(self) -> tuple[dict[Key, Any], int, int]:
        """Return a point to go back to."""
        return dict(self._rows), len(self._payments), len(self._notes)

    def rewind(self, mark: tuple[dict[Key, Any], int, int]) -> None:
        """Forget all that was written since `mark`."""
        rows, payments, notes = mark
        self._rows = rows
        del self._payments[payments:]
        del self._notes[notes:]

    @property
    def payments(self) -> tuple[Payment, ...]:
        """All money moves, in order."""
        return tuple(self._payments)

    @property
    def notes(self) -> tuple[Note, ...]:
        """All notes, in order."""
        return tuple(self._notes)

    def changes(self) -> Iterator[tuple[Table[Any], bytes, Any]]:
        """Yield each row written, sorted by table and key."""
        for place in sorted(self._rows):
            yield self._tables[place], place[1], self._rows[place]
