"""Facts: what a writer promises, as it goes over the pipe to the parent that will ask for it.

A fact is told before it is written and acknowledged after that, so when the writer dies at most
what was told last is in doubt: it is there or it is not, and nothing between.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import cbor2

LENGTH_BYTES = 4
_READY, _ACKNOWLEDGED = 0, 1


class Kind(IntEnum):
    """What a fact is; in brackets its parts."""

    TRANSACTIONS = 2
    """Stored in one batch [wires]."""
    BURIAL = 3
    """Taken out of the open set [ids]; not synced, so never acknowledged."""
    EVIDENCE = 4
    """[proof]."""
    BLOB = 5
    """[hash, data]."""
    EPOCH = 6
    """[seal, ids]."""
    BACKUP = 7
    """[number in decimal]."""
    PRUNING = 8
    """One slice of rows dropped []; not synced, so never acknowledged."""


UNSYNCED = (Kind.BURIAL, Kind.PRUNING)
"""What a store does without a promise: after a crash it is done again."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a store was asked to keep."""

    kind: Kind
    parts: tuple[bytes, ...]

    def count_items(self) -> int:
        """Return how many things are promised with it."""
        if self.kind in UNSYNCED:
            return 0
        return len(self.parts) if self.kind is Kind.TRANSACTIONS else 1


class Teller:
    """The writer's end of the pipe; `send` takes all bytes of a message or dies."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send_bytes = send

    def ready(self) -> None:
        """Say that the store is open."""
        self._send([_READY])

    def tell(self, fact: Fact) -> None:
        """Say what is going to be written."""
        self._send([int(fact.kind), *fact.parts])

    def acknowledge(self) -> None:
        """Promise what was told last, and with it all before."""
        self._send([_ACKNOWLEDGED])

    def _send(self, message: Sequence[int | bytes]) -> None:
        data = cbor2.dumps(message)
        self._send_bytes(len(data).to_bytes(LENGTH_BYTES, "big") + data)


@dataclass(slots=True)
class Hearing:
    """The parent's end: what was heard of one life of a writer.

    Attributes:
        is_ready: the store was opened.
        facts: in the order told.
        acknowledged: how many of them are promised.
        items: how many things are promised with those.
    """

    is_ready: bool = False
    facts: list[Fact] = field(default_factory=list)
    acknowledged: int = 0
    items: int = 0
    _rest: bytes = b""

    def hear(self, data: bytes) -> None:
        """Take in what came through the pipe; a message that the death cut short is not one."""
        self._rest += data
        while len(self._rest) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._rest[:LENGTH_BYTES], "big")
            if len(self._rest) < end:
                return
            message = cbor2.loads(self._rest[LENGTH_BYTES:end])
            self._rest = self._rest[end:]
            self._take(message[0], tuple(message[1:]))

    def _take(self, code: int, parts: tuple[bytes, ...]) -> None:
        if code == _READY:
            self.is_ready = True
        elif code == _ACKNOWLEDGED:
            self.acknowledged = len(self.facts)
            self.items += self.facts[-1].count_items()
        else:
            self.facts.append(Fact(Kind(code), parts))
