"""The only reader of time in a node. The wall clock is shown to people and decides nothing."""

import time
from typing import Protocol, runtime_checkable

import trio


class Clock(Protocol):
    """Two times: one for people, one for waiting. A simulation gives a peer its own."""

    def now_ms(self) -> int:
        """Return the wall clock: milliseconds since 1970, never negative."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never goes back; only differences mean something."""
        ...


@runtime_checkable
class SettableClock(Protocol):
    """A clock that a devnet can put wrong while its node runs.

    Attributes:
        offset_ms: added to the wall clock.
    """

    offset_ms: int


class SystemClock:
    """The clocks of this machine.

    Args:
        offset_ms: see `SettableClock`.
    """

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        """Return the wall clock; it works outside of trio too."""
        return max(0, read_wall_ms() + self.offset_ms)

    def monotonic_s(self) -> float:
        """Return trio's clock, which a test may have replaced."""
        return trio.current_time()


def read_wall_ms() -> int:
    """Return this machine's wall clock, milliseconds since 1970, whatever is configured."""
    return time.time_ns() // 1_000_000
