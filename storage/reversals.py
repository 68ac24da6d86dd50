"""ReversalLog: provisional results that a seal changed, the latest of them, and how many ever.

Rule 1: local records of this machine, in no hash: two peers saw different things before a seal.
Rule 2: nothing here is synced; a crash may take the reversals of the last seals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, TypeVar

from protocol.errors import Rejected
from protocol.params import Epochs
from protocol.schema import AtMost, Between, decode_record, encode_record
from protocol.task_types import Address, Id
from storage.engine import Batch, Engine
from storage.errors import Corrupt
from storage.meta import LOCAL, META
from storage.queries import PAGE_ITEMS, Page, read_page

T = TypeVar("T")

REVERSALS_MAX = 1_000
"""Reversals that are kept, the latest ones."""

_TOTAL = LOCAL + b"reversals"
_EACH = LOCAL + b"reversal/"

Word = Annotated[str, AtMost(64)]


class Reversed(IntEnum):
    """What a result was about."""

    TRANSACTION = 0
    TASK = 1
    ANSWER = 2
    DISPUTE = 3


@dataclass(frozen=True, slots=True)
class Reversal:
    """One provisional result that a seal changed.

    Attributes:
        epoch: whose seal changed it.
        item: id of the transaction, task, answer or dispute.
        subject: the task or miner it belongs to.
        author: of the transaction; None for what several authors made together.
        was: the result before the seal, in a word: stands, ruled, or a status.
        now: the result after it; also dead, for what no seal can take in any more.
        code: of the ruling that came or went, or why it is dead; None for a status.
        found: of the ruling.
        wanted: of the ruling.
        lost_to: the transaction that took its place, or made the move that was made instead.
    """

    epoch: Epochs
    what: Reversed
    item: Id
    subject: Id
    author: Address | None
    was: Word
    now: Word
    code: Word | None
    found: Annotated[str, AtMost(256)]
    wanted: Annotated[str, AtMost(256)]
    lost_to: Id | None


@dataclass(frozen=True, slots=True)
class _Total:
    count: Annotated[int, Between(0, (1 << 63) - 1)]


class ReversalLog:
    """Reads and writes of reversals.

    Attributes:
        total: reversals ever put here, those included that are no longer kept.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.reload()

    def reload(self) -> None:
        """Read the total anew.

        Raises:
            Corrupt: `meta_damaged`.
        """
        data = self._engine.get(META, _TOTAL)
        self.total = 0 if data is None else _read(_Total, data).count

    def put(self, reversals: Sequence[Reversal]) -> None:
        """Store reversals, the latest last; the oldest beyond the bound are dropped."""
        if not reversals:
            return
        total = self.total + len(reversals)
        batch = Batch()
        oldest = total - REVERSALS_MAX
        for number in range(max(0, self.total - REVERSALS_MAX), min(oldest, self.total)):
            batch.delete(META, _key(number))
        for number, one in enumerate(reversals, self.total):
            if number >= oldest:
                batch.put(META, _key(number), encode_record(one))
        batch.put(META, _TOTAL, encode_record(_Total(total)))
        self._engine.write(batch, sync=False)
        self.total = total

    def page(self, limit: int = PAGE_ITEMS, cursor: bytes | None = None) -> Page[Reversal]:
        """Return what is kept, the latest first.

        Raises:
            Rejected: `bad_limit`, `bad_cursor`.
        """

        def read(_: bytes, data: bytes) -> Reversal:
            return _read(Reversal, data)

        return read_page(self._engine, META, _EACH, limit, cursor, read, is_reverse=True)


def _key(number: int) -> bytes:
    return _EACH + number.to_bytes(8, "big")


def _read(cls: type[T], data: bytes) -> T:
    try:
        return decode_record(cls, data)
    except Rejected as error:
        raise Corrupt("meta_damaged", str(error), "a reversal") from error
