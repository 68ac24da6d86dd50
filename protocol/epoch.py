"""What one epoch takes in: the input of the fold."""

from dataclasses import dataclass

from protocol.transactions import SignedTransaction


@dataclass(frozen=True, slots=True)
class Epoch:
    """All that one epoch takes in.

    Attributes:
        beacon: `protocol.seals.compute_beacon`, None while the fold is provisional.
        evidence: (author, seq) of each equivocation that the epoch takes in.
    """

    number: int
    beacon: bytes | None
    transactions: tuple[SignedTransaction, ...]
    evidence: tuple[tuple[bytes, int], ...] = ()

    @property
    def caught(self) -> frozenset[bytes]:
        """The authors against whom there is evidence."""
        return frozenset(author for author, _ in self.evidence)
