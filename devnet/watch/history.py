"""What was seen of a devnet while somebody watched: seals, arrivals, counts; bounded.

When a peer saw something is the peer's own word, taken at that moment; all peers of a devnet share
one machine and its clock, so times of different peers can be compared to the millisecond.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

EPOCHS_MAX = 4_096
TRANSACTIONS_MAX = 16_384
SAMPLES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class SealSeen:
    """A seal as one peer committed it.

    Attributes:
        state_root: after it, hex.
        at_ms: when, in milliseconds since 1970.
    """

    epoch: int
    state_root: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Some figures at one moment.

    Attributes:
        tasks: how many are in each status.
    """

    at_ms: int
    tasks: Mapping[str, int]


@dataclass(slots=True)
class History:
    """All that was seen.

    Attributes:
        seals: by peer, by epoch.
        arrivals: by transaction, by peer: when the peer had stored it.
        samples: in the order of time.
    """

    seals: dict[str, dict[int, SealSeen]] = field(default_factory=dict)
    arrivals: dict[str, dict[str, int]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def take_seal(self, peer: str, seal: SealSeen) -> None:
        """Note that a peer sealed an epoch; what it said first stays."""
        seen = self.seals.setdefault(peer, {})
        seen.setdefault(seal.epoch, seal)
        if len(seen) > EPOCHS_MAX:
            del seen[min(seen)]

    def take_arrival(self, peer: str, tx_id: str, at_ms: int) -> None:
        """Note when a peer stored a transaction; the first time counts."""
        self.arrivals.setdefault(tx_id, {}).setdefault(peer, at_ms)
        if len(self.arrivals) > TRANSACTIONS_MAX:
            del self.arrivals[next(iter(self.arrivals))]

    def take_sample(self, sample: Sample) -> None:
        """Note figures of a moment; unchanged ones are not repeated."""
        if self.samples and self.samples[-1].tasks == sample.tasks:
            return
        self.samples.append(sample)
        if len(self.samples) > SAMPLES_MAX:
            # Every other one of the older half: the course stays, the detail goes.
            half = SAMPLES_MAX // 2
            self.samples[:half] = self.samples[:half:2]

    @property
    def epochs(self) -> Sequence[int]:
        """Every epoch that some peer was seen to seal, in order."""
        return sorted({epoch for seen in self.seals.values() for epoch in seen})
