"""What a run has seen: its trace, what was acknowledged to whom, and the rare things it reached."""

import hashlib
from collections import Counter
from collections.abc import Collection

from devnet.sim.cast import Cast
from devnet.sim.plan import CORE, Plan
from node.high_water import HighWater
from storage.store import Store

SOMETIMES = (
    "a cut outlasts a sync period",
    "a cut goes one way",
    "a crash loses what was not synced",
    "a disk fails inside a batch",
    "a disk is full for a while",
    "a wiped disk is refilled",
    "an old backup is restored",
    "an own chain comes back from peers",
    "a peer takes in several seals at once",
    "open sets are made equal by ranges",
    "a seal waits for what it takes in",
    "a seal waits for a dead link",
    "a transaction is sealed late",
    "a transaction dies unsealed",
    "two faces meet",
    "an equivocation is sealed",
    "the provisional state is taken back",
    "a full task gets one more answer",
    "an answer comes too late",
    "a reveal comes too late",
    "a commitment is copied",
    "a reward is claimed",
    "a reward is claimed twice",
    "somebody claims what is another's",
    "a cancellation meets an answer",
    "a task expires",
    "an answer is never shown",
    "a vote is never shown",
    "peers stay equal while some lie",
    "a dispute is opened",
    "a dispute is withdrawn",
    "a panel judges a dispute",
    "a dispute ends without a judgment",
    "a judgment is appealed",
    "a task is judged again",
    "fraud is reported",
    "old tasks are cleaned up",
    "a stake is taken back",
    "seals go on without one of the sealers",
    "a cut leaves no quorum of sealers",
    "a seal takes a second round",
    "a proposal is voted down",
    "a sealer goes on from its diary",
    "a sealer asks for what a set lacks",
    "a sealer is convicted",
    "a secret is opened",
)
"""What a batch of runs must have reached; else its plans are blind."""

CORE_ONLY = frozenset(
    {
        "a peer takes in several seals at once",
        "an own chain comes back from peers",
        "open sets are made equal by ranges",
        "a seal waits for what it takes in",
        "a seal waits for a dead link",
        "two faces meet",
        "a sealer asks for what a set lacks",
        # A task's whole life, and then a lie about its end: rare in the short runs of that layer.
        "a reward is claimed twice",
    }
)
"""Else seen from inside a conversation, which in the node layer is the product's own."""


def list_sometimes(layer: str) -> tuple[str, ...]:
    """Return what a batch of a layer must have reached."""
    return tuple(name for name in SOMETIMES if layer == CORE or name not in CORE_ONLY)


class PropertyBroken(Exception):
    """A run broke what must always hold.

    Attributes:
        prop: P1 to P16.
        code: what kind of breach; a shrunk plan must break the same.
    """

    def __init__(self, prop: str, code: str, text: str) -> None:
        super().__init__(f"{prop} {code}: {text}")
        self.prop = prop
        self.code = code


class Witness:
    """Sees what the peers of one run do; steers nothing.

    Attributes:
        acknowledged: by peer, the ids it told somebody are on its disk; those a wiped disk took
            along are left out.
        reached: how often each thing of `SOMETIMES` happened.
        counts: of messages, crashes and the like.
    """

    def __init__(self, plan: Plan, cast: Cast) -> None:
        self.plan = plan
        self.cast = cast
        self.acknowledged: list[dict[bytes, None]] = [{} for _ in range(plan.peers)]
        self.reached: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._signed: dict[tuple[bytes, int], bytes] = {}
        self._trace = hashlib.sha256()

    def note(self, *parts: object) -> None:
        """Add a step to the trace: small numbers, words and bytes."""
        self._trace.update(repr(parts).encode())

    @property
    def trace(self) -> str:
        """The hash of all steps so far."""
        return self._trace.hexdigest()

    def reach(self, name: str) -> None:
        """Count something that happens sometimes."""
        self.reached[name] += 1

    def acknowledge(self, peer: int, address: bytes, first: int, last: int, store: Store) -> None:
        """Take down that a peer says that a piece of its author's chain is on its disk.

        Raises:
            PropertyBroken: P7: an honest account signed two transactions with one seq.
        """
        for seq in range(first, last + 1):
            tx = store.journal.at(address, seq)
            if tx is None:
                raise PropertyBroken("P5", "not_stored", f"peer {peer} seq {seq} acknowledged")
            self.acknowledged[peer][tx.tx_id] = None
            self.note("ack", peer, seq, tx.tx_id[:8])
            if self._signed.setdefault((address, seq), tx.tx_id) != tx.tx_id:
                raise PropertyBroken("P7", "signed_twice", f"peer {peer} seq {seq}")

    def disk_is_gone(self, peer: int, left: Collection[bytes]) -> None:
        """Take back what a peer acknowledged, but for the ids that its new disk knows."""
        known = self.acknowledged[peer]
        self.acknowledged[peer] = {tx_id: None for tx_id in known if tx_id in left}


class WitnessedMarks(HighWater):
    """The signing marks of one peer, on a disk that never fails; raising one acknowledges.

    The author raises its mark when a batch is on disk and before anybody is told of it.
    """

    def __init__(self, witness: Witness, peer: int) -> None:
        super().__init__(None)
        self.store: Store | None = None
        self._witness = witness
        self._peer = peer

    def raise_to(self, address: bytes, seq: int) -> None:
        """See `HighWater.raise_to`."""
        before = self.get(address)
        super().raise_to(address, seq)
        assert self.store is not None
        first = 0 if before is None else before + 1
        self._witness.acknowledge(self._peer, address, first, seq, self.store)
