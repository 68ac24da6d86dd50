"""What happens to each message, drawn from keyed hashes: one draw depends on no other.

The fate of the k-th message of a link is a hash of (seed, link, k). A stream of random numbers
would give every later message another fate as soon as one event of a plan is left out; this way a
shortened plan keeps the fates of what is left, and that is what makes shrinking work.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated

from protocol.params import SCALE, Bps
from protocol.schema import Between

DELAY_MS_MAX = 10_000
STRAGGLER_SHARE = 64
"""One message in so many of a long-tailed link takes ten times as long."""

Milliseconds = Annotated[int, Between(0, DELAY_MS_MAX)]


@dataclass(frozen=True, slots=True)
class Weather:
    """What links do to messages.

    Attributes:
        loss: share lost, in basis points. A request that is lost breaks its conversation.
        duplication: share of the gossip that comes twice.
        reordering: share of the gossip that is overtaken by what was sent after it.
        delay_ms_min, delay_ms_max: of a message that is not a straggler.
        stragglers: whether some take ten times as long.
    """

    loss: Bps = 0
    duplication: Bps = 0
    reordering: Bps = 0
    delay_ms_min: Milliseconds = 2
    delay_ms_max: Milliseconds = 20
    stragglers: bool = False


CALM = Weather()


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one message: when each copy arrives; none of a lost one."""

    delays_ms: tuple[int, ...]

    @property
    def is_lost(self) -> bool:
        """Whether no copy arrives."""
        return not self.delays_ms


class Fates:
    """All draws of one run.

    Args:
        seed: of the run.
        weather: of its links.
    """

    def __init__(self, seed: int, weather: Weather) -> None:
        self.weather = weather
        self.is_calm = False
        self._key = seed.to_bytes(8, "big")
        self._sent: dict[tuple[int, int], int] = {}

    def calm_down(self) -> None:
        """Let nothing go wrong by chance any more."""
        self.is_calm = True
        self.weather = CALM

    def draw(self, purpose: str, *place: int) -> int:
        """Return 64 bits that depend on the seed, the purpose and the place alone."""
        return int.from_bytes(self.draw_bytes(8, purpose, *place), "big")

    def draw_bytes(self, size: int, purpose: str, *place: int) -> bytes:
        """Return up to 64 bytes, likewise."""
        text = f"{purpose}/{'/'.join(map(str, place))}".encode()
        return hashlib.blake2b(text, digest_size=size, key=self._key).digest()

    def is_chosen(self, share: int, purpose: str, *place: int) -> bool:
        """Tell whether a thing of this share, in basis points, happens here."""
        return bool(share) and self.draw(purpose, *place) % SCALE < share

    def draw_message(self, source: int, target: int, *, is_gossip: bool) -> Fate:
        """Return the fate of the next message from one peer to another."""
        k = self._sent.get((source, target), 0)
        self._sent[(source, target)] = k + 1
        weather = self.weather
        bits = self.draw("message", source, target, k)
        if bits % SCALE < weather.loss:
            return Fate(())
        spread = weather.delay_ms_max - weather.delay_ms_min + 1
        delay_ms = weather.delay_ms_min + (bits >> 14) % spread
        if weather.stragglers and (bits >> 28) % STRAGGLER_SHARE == 0:
            delay_ms *= 10
        if not is_gossip:
            return Fate((delay_ms,))
        if (bits >> 34) % SCALE < weather.reordering:
            # Longer than the slowest of those sent with it: it is overtaken.
            delay_ms += weather.delay_ms_max
        if (bits >> 48) % SCALE < weather.duplication:
            return Fate((delay_ms, delay_ms + 1 + spread // 2))
        return Fate((delay_ms,))
