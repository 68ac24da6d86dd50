"""What happens inside a peer, told to whoever listens: bounded, and a slow listener loses.

A listener that falls behind is told so by `lagged` and looks at the state again; nobody waits for
it. Events are hints, like gossip: the state is the truth.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from node.buggify import buggify

LISTENER_EVENTS_MAX = 256


@dataclass(frozen=True, slots=True)
class Stored:
    """New transactions are on disk; `source` is the peer they came from, None for our own."""

    tx_ids: tuple[bytes, ...]
    source: str | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """An epoch was sealed and folded here."""

    epoch: int


@dataclass(frozen=True, slots=True)
class EvidenceFound:
    """An author was caught signing two transactions with one seq."""

    evidence_id: bytes


@dataclass(frozen=True, slots=True)
class Alarm:
    """Folding stopped: this peer's state differs from a seal over the same set."""

    reason: str


@dataclass(frozen=True, slots=True)
class Heard:
    """Something new was heard of the agreement on the next seal."""


Event = Stored | Sealed | EvidenceFound | Alarm | Heard


class Listener:
    """One listener's inbox."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Event](LISTENER_EVENTS_MAX)
        self.lagged = False

    def tell_nowait(self, event: Event) -> None:
        """Put an event in; a full inbox drops it and remembers that it did."""
        if buggify("listener_full"):
            self.lagged = True
            return
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self.lagged = True

    async def next(self) -> Event:
        """Return the next event, waiting for it."""
        return await self._receive.receive()

    def next_nowait(self) -> Event | None:
        """Return the next event, None if there is none yet."""
        try:
            return self._receive.receive_nowait()
        except trio.WouldBlock:
            return None

    async def wait(self, timeout_s: float) -> bool:
        """Wait for an event or the time-out, then empty the inbox; return whether one came."""
        happened = False
        with trio.move_on_after(timeout_s):
            await self._receive.receive()
            happened = True
        while self.next_nowait() is not None:
            happened = True
        self.lagged = False
        return happened


class Broadcast:
    """Tells every listener of every event."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def tell_nowait(self, event: Event) -> None:
        """Tell all listeners; never blocks."""
        for listener in self._listeners:
            listener.tell_nowait(event)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Listen while the block lasts."""
        listener = Listener()
        self._listeners.append(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)
