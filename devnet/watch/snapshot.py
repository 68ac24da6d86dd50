"""A devnet at one moment, with its past: everything that pictures are drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from devnet.observe import NetworkView
from devnet.watch.events import RunEvent
from devnet.watch.history import History


@dataclass(frozen=True, slots=True)
class PeerLinks:
    """What one peer says of its links, by the names of the others, and of its clock.

    Attributes:
        connected: to whom.
        cut: whom a fault rule at this peer cuts off.
        deaf: of whom a fault rule at this peer lets nothing in.
        slow: to or from whom a rule at this peer delays, narrows or breaks what goes.
        outages: what the peer lacks as a whole: see `node.outages`.
        clock_offset_ms: how wrong its wall clock is.
    """

    connected: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    deaf: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()
    outages: tuple[str, ...] = ()
    clock_offset_ms: int = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """Which devnet it is.

    Attributes:
        names: of all peers, in order.
    """

    name: str
    seed: int
    network: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is known at one moment.

    Attributes:
        at_ms: the moment, in milliseconds since 1970.
        links: by peer, of those that answer.
        events: in the order of time.
    """

    identity: Identity
    at_ms: int
    view: NetworkView
    links: Mapping[str, PeerLinks] = field(default_factory=dict)
    events: Sequence[RunEvent] = ()
    history: History = field(default_factory=History)
