"""What we remember of peers: faults, when to try again, and why we last spoke. Pure: told the time.

Only what a peer is answerable for counts against it: bytes that no honest peer sends. A slow or
leaving peer is not at fault, and neither is one that knows more or less than we do.
"""

from dataclasses import dataclass
from enum import Enum

FAULTS_MAX = 3
"""Faults within the memory below after which a peer is banned."""
FAULT_MEMORY_S = 600.0
BAN_S = 3_600.0
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 60.0
PEERS_REMEMBERED_MAX = 1_024
REST_MOST_S = 60.0
"""Longest rest between reconciliations with a peer from whom nothing comes."""


class SyncReason(Enum):
    """Why we speak with a peer."""

    CONNECTED = "connected"
    INTERVAL = "interval"
    ANNOUNCED = "announced"
    SEAL_AHEAD = "seal_ahead"
    MISSING_LINK = "missing_link"
    AUDIT = "audit"
    PROPOSED = "proposed"
    BALLOTS = "ballots"
    RESUMED = "resumed"


@dataclass(slots=True)
class PeerRecord:
    """One peer as we know it.

    Attributes:
        fruitless: reconciliations in a row that brought nothing, while our last seal was
            `rested_epoch`.
        promised: the last seal that he says he has; 0 once he failed to bring it.
        forked_at: hash of a seal that he showed us beside our own of the same epoch.
    """

    faults: int = 0
    last_fault_s: float = 0.0
    last_fault_code: str = ""
    banned_until_s: float = 0.0
    failures: int = 0
    retry_at_s: float = 0.0
    sessions: int = 0
    received: int = 0
    sent: int = 0
    last_reason: str = ""
    epoch: int = 0
    state_root: bytes = b""
    promised: int = 0
    equal: bool = False
    fruitless: int = 0
    rested_epoch: int = 0
    rest_until_s: float = 0.0
    forked_at: bytes = b""

    def note_reconciled(self, gained: int, epoch: int, now_s: float, first_rest_s: float) -> None:
        """Rest longer after each reconciliation that brought nothing; a gain ends that.

        An honest peer that still differs is found equal, or a seal comes, or gossip brings it;
        one that lies about his set costs us a session now and then.

        Args:
            gained: new items that came.
            epoch: our last seal; with a new one everything starts anew.
            now_s: the time.
            first_rest_s: after the first fruitless one.
        """
        if gained or epoch != self.rested_epoch:
            self.fruitless = 0
        if gained:
            self.rest_until_s = 0.0
        else:
            rest_s = min(REST_MOST_S, first_rest_s * 2 ** min(self.fruitless, 10))
            self.rest_until_s = now_s + rest_s
            self.fruitless += 1
        self.rested_epoch = epoch

    def may_reconcile(self, epoch: int, now_s: float) -> bool:
        """Tell whether it is time for another reconciliation."""
        return epoch != self.rested_epoch or now_s >= self.rest_until_s


class PeerBook:
    """All peers, by name; bounded, the oldest forgotten first."""

    def __init__(self) -> None:
        self._peers: dict[str, PeerRecord] = {}

    def get(self, name: str) -> PeerRecord:
        """Return a peer's record, a new one for a stranger."""
        record = self._peers.get(name)
        if record is None:
            if len(self._peers) >= PEERS_REMEMBERED_MAX:
                calm = (key for key, peer in self._peers.items() if not peer.banned_until_s)
                self._peers.pop(next(calm, next(iter(self._peers))))
            record = self._peers[name] = PeerRecord()
        return record

    def is_banned(self, name: str, now_s: float) -> bool:
        """Tell whether we refuse to speak with a peer now."""
        record = self._peers.get(name)
        return record is not None and now_s < record.banned_until_s

    def blame(self, name: str, code: str, now_s: float) -> bool:
        """Count a fault; return whether the peer is banned for it."""
        record = self.get(name)
        if now_s - record.last_fault_s > FAULT_MEMORY_S:
            record.faults = 0
        record.faults += 1
        record.last_fault_s = now_s
        record.last_fault_code = code
        if record.faults >= FAULTS_MAX or code == "wrong_network":
            record.banned_until_s = now_s + BAN_S
            return True
        return False

    def fail(self, name: str, now_s: float) -> None:
        """Count a failed dial or a broken conversation: wait longer before the next."""
        record = self.get(name)
        record.promised = 0
        record.failures += 1
        wait_s = min(RETRY_MOST_S, RETRY_FIRST_S * 2 ** min(record.failures - 1, 10))
        record.retry_at_s = now_s + wait_s

    def succeed(self, name: str) -> None:
        """Forget failures."""
        record = self.get(name)
        record.failures = 0
        record.retry_at_s = 0.0

    def is_due(self, name: str, now_s: float) -> bool:
        """Tell whether a peer may be tried again."""
        record = self._peers.get(name)
        return record is None or now_s >= max(record.retry_at_s, record.banned_until_s)
