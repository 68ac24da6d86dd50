"""What is wrong with a peer's network now: who is cut off, who is not heard, which links are slow.

All rules hold at this end. `in` is what comes from a peer, `out` what goes to it.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import trio

from node.transport.base import GossipValidator, PeerName, TransportError

IN = "in"
OUT = "out"
WAYS = (IN, OUT)


@dataclass(frozen=True, slots=True)
class LinkRule:
    """How one direction of a link does.

    Attributes:
        latency_ms: added to each message.
        jitter_ms: at most so much more, drawn for each message.
        bandwidth: bytes a second, shared by all that goes this way; 0: no bound.
        reset_after: bytes after which the stream that sends them breaks, again and again; 0: never.
    """

    latency_ms: int = 0
    jitter_ms: int = 0
    bandwidth: int = 0
    reset_after: int = 0


CLEAR = LinkRule()


@dataclass(slots=True)
class _Lane:
    """One direction of a link with a rule: when it is free again, and what has passed."""

    rule: LinkRule
    free_s: float = 0.0
    passed: int = 0


class FaultRules:
    """The rules of one peer; they change while it runs.

    Args:
        rng: draws jitter.

    Attributes:
        cut: peers that are not connected, whoever tries.
        deaf: peers of which nothing is heard, while they hear us.
        is_alone: nobody is connected, whoever tries.
        is_off_topic: no gossip is heard, told or passed on; streams work.
    """

    def __init__(self, rng: random.Random) -> None:
        self.cut: set[PeerName] = set()
        self.deaf: set[PeerName] = set()
        self.is_alone = False
        self.is_off_topic = False
        self._rng = rng
        self._lanes: dict[tuple[str, PeerName], _Lane] = {}
        self._heard = trio.Event()

    def deafen(self, peers: Iterable[PeerName]) -> None:
        """Hear nothing of these peers until `allow`."""
        self.deaf.update(peers)

    def allow(self, peers: Iterable[PeerName] | None) -> None:
        """Take back what `cut` and `deaf` say of these peers, or of all."""
        self.cut.difference_update(tuple(self.cut) if peers is None else tuple(peers))
        self.deaf.difference_update(tuple(self.deaf) if peers is None else tuple(peers))
        self._heard.set()
        self._heard = trio.Event()

    def set_link(self, peer: PeerName, rule: LinkRule, ways: Iterable[str]) -> None:
        """Put a rule on directions of a link; `CLEAR` takes it away."""
        for way in ways:
            if rule == CLEAR:
                self._lanes.pop((way, peer), None)
            else:
                self._lanes[(way, peer)] = _Lane(rule)

    @property
    def slow(self) -> tuple[PeerName, ...]:
        """The peers of whose link one direction has a rule, sorted."""
        return tuple(sorted({peer for _, peer in self._lanes}))

    def guard(self, validate: GossipValidator) -> GossipValidator:
        """Return what passes nothing on while there is no gossip, and is `validate` otherwise."""
        return lambda data: not self.is_off_topic and validate(data)

    def is_cut(self, peer: PeerName) -> bool:
        """Whether there is no connection to a peer, whoever tries."""
        return self.is_alone or peer in self.cut

    def is_gossip_lost(self, sender: PeerName) -> bool:
        """Whether the gossip that a peer forwards is dropped."""
        return self.is_off_topic or self.is_cut(sender) or sender in self.deaf

    def check_not_cut(self, peer: PeerName) -> None:
        """Refuse what a cut makes impossible.

        Raises:
            TransportError: `link_cut`.
        """
        if self.is_cut(peer):
            raise TransportError("link_cut", peer, "a peer that no fault rule cuts off")

    async def wait_heard(self, peer: PeerName) -> None:
        """Wait until something of a peer can be heard; at once if it can."""
        while peer in self.deaf:
            await self._heard.wait()

    def take_delay_s(self, way: str, peer: PeerName, size: int) -> float:
        """Let `size` bytes into a direction of a link; return how long they take, in seconds."""
        lane = self._lanes.get((way, peer))
        if lane is None:
            return 0.0
        rule, now_s = lane.rule, trio.current_time()
        if rule.bandwidth:
            lane.free_s = max(now_s, lane.free_s) + size / rule.bandwidth
        jitter_ms = self._rng.randint(0, rule.jitter_ms) if rule.jitter_ms else 0
        return max(0.0, lane.free_s - now_s) + (rule.latency_ms + jitter_ms) / 1_000

    def is_breaking(self, peer: PeerName, size: int) -> bool:
        """Count `size` bytes that a stream sends to a peer; tell whether it breaks of them."""
        lane = self._lanes.get((OUT, peer))
        if lane is None or not lane.rule.reset_after:
            return False
        lane.passed += size
        if lane.passed < lane.rule.reset_after:
            return False
        lane.passed = 0
        return True
