"""What one peer may make us do: requests priced by their cost, paid from a bucket that refills.

Whoever asks for more than his share waits; nobody is blamed for it, since an honest newcomer asks
for much too. Prices are estimates in units of about five microseconds of one core, so that nothing
depends on how fast this machine happens to be, and a simulation stays one run.
"""

import trio

from protocol.hashing import HASH_BYTES
from protocol.messages import (
    SCOPE_ALL,
    GetBallots,
    GetBlob,
    GetChain,
    GetIds,
    GetSeals,
    GetSet,
    Items,
    Ranges,
    Want,
)

UNITS_PER_S = 100_000.0
"""Half a core for one peer: 50,000 transactions a second taken from us, or 8,000 pushed."""
UNITS_MAX = 400_000.0
PEERS_MAX = 256
"""Buckets kept; the one that was used longest ago goes first."""

AUDIT_UNITS = 100_000
"""Laying the open set over all that is sealed; a peer may begin about one audit a second."""
FIRST_UNITS = 400
"""A view of an open set that has changed: one may be built for each session."""
SIGNATURE_UNITS = 12


def price(request: object) -> int:
    """Return what a request costs, in units."""
    match request:
        case Ranges():
            # Each range of a few bytes makes us compute a fingerprint and perhaps split.
            units = 8 + len(request.message) // 8
            if request.is_first:
                units += AUDIT_UNITS if request.scope == SCOPE_ALL else FIRST_UNITS
            return units
        case Want():
            return 8 + 2 * (len(request.ids) // HASH_BYTES)
        case Items():
            return 8 + SIGNATURE_UNITS * (len(request.transactions) + 2 * len(request.evidence))
        case GetSeals():
            return 2_000
        case GetChain():
            return 1_000
        case GetIds():
            return 400 + min(request.offset, 1 << 24) // 512
        case GetBallots() | GetSet():
            return 200
        case GetBlob():
            return 40
        case _:
            return 4


class Bucket:
    """A number of units that refills with time.

    Args:
        per_s: units that come back each second.
        most: units it holds when it is full, as it is at first.
    """

    def __init__(self, per_s: float = UNITS_PER_S, most: float = UNITS_MAX) -> None:
        self._per_s = per_s
        self._most = most
        self._units = most
        self._filled_s = trio.current_time()

    def take_nowait(self, units: float) -> bool:
        """Take units if they are there; return whether they were."""
        self._fill()
        if units > self._units:
            return False
        self._units -= units
        return True

    async def take(self, units: float) -> None:
        """Take units, waiting until they are there; what is owed counts for the next too."""
        self._fill()
        self._units -= units
        if self._units < 0:
            await trio.sleep(-self._units / self._per_s)

    def _fill(self) -> None:
        now_s = trio.current_time()
        self._units = min(self._most, self._units + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s


class Buckets:
    """One bucket for each peer, whichever of his streams asks.

    Args:
        per_s, most: of each bucket.
    """

    def __init__(self, per_s: float = UNITS_PER_S, most: float = UNITS_MAX) -> None:
        self._per_s = per_s
        self._most = most
        self._buckets: dict[str, Bucket] = {}

    def of(self, peer: str) -> Bucket:
        """Return a peer's bucket."""
        bucket = self._buckets.pop(peer, None) or Bucket(self._per_s, self._most)
        # A dictionary keeps the order of insertion: what was used last stands last.
        self._buckets[peer] = bucket
        if len(self._buckets) > PEERS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return bucket
