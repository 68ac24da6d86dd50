"""The links between peers at one moment: who is connected, and which way a fault rule cuts.

A rule works at the peer that has it. To cut two peers apart it is enough that one of them does; to
stop one direction, that the receiver lets nothing in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from devnet.observe import PeerView
from devnet.provider import DOWN, PAUSED
from devnet.watch.events import describe_groups
from devnet.watch.snapshot import PeerLinks, Snapshot
from node.outages import DISCONNECT

PAIRS_SHOWN_MAX = 4


@dataclass(frozen=True, slots=True)
class Link:
    """Two peers.

    Attributes:
        first, second: their names, in the order of the devnet.
        is_connected: one of them says so.
        forth_cut: a rule stops what goes from the first to the second.
        back_cut: a rule stops what goes from the second to the first.
        is_slow: a rule delays, narrows or breaks what goes, one way at least.
    """

    first: str
    second: str
    is_connected: bool
    forth_cut: bool
    back_cut: bool
    is_slow: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether nothing gets through in either direction, because of a rule."""
        return self.forth_cut and self.back_cut

    @property
    def is_one_way(self) -> bool:
        """Whether a rule stops exactly one direction."""
        return self.forth_cut != self.back_cut


def find_links(names: Sequence[str], links: Mapping[str, PeerLinks]) -> list[Link]:
    """Return the links between all pairs of peers that are connected or cut."""
    nothing = PeerLinks()
    found = []
    for first, second in combinations(names, 2):
        one, other = links.get(first, nothing), links.get(second, nothing)
        is_cut = second in one.cut or first in other.cut
        is_cut |= DISCONNECT in (*one.outages, *other.outages)
        link = Link(
            first,
            second,
            is_connected=not is_cut and (second in one.connected or first in other.connected),
            forth_cut=is_cut or first in other.deaf,
            back_cut=is_cut or second in one.deaf,
            is_slow=second in one.slow or first in other.slow,
        )
        if link.is_connected or link.forth_cut or link.back_cut:
            found.append(link)
    return found


def list_faults(snapshot: Snapshot) -> list[str]:
    """Return the faults in force, each in a few words."""
    faults = [_describe_state(peer) for peer in snapshot.view.peers if _is_faulty(peer)]
    names = snapshot.identity.names
    links = find_links(names, snapshot.links)
    sides = find_sides(names, links)
    if len(sides) > 1:
        faults.append(f"cut {describe_groups(sides)}")
    side_of = {name: place for place, side in enumerate(sides) for name in side}
    inner = [link for link in links if link.is_cut and side_of[link.first] == side_of[link.second]]
    faults += _shorten([f"cut {link.first} | {link.second}" for link in inner])
    one_way = [link for link in links if link.is_one_way]
    faults += _shorten([_describe_one_way(link) for link in one_way])
    faults += _shorten([f"slow {link.first} - {link.second}" for link in links if link.is_slow])
    faults += [
        f"{name} {outage}"
        for name, one in snapshot.links.items()
        for outage in one.outages
        if outage != DISCONNECT
    ]
    faults += [
        f"{name} clock {one.clock_offset_ms / 1_000:+g} s"
        for name, one in snapshot.links.items()
        if one.clock_offset_ms
    ]
    return faults


def find_sides(names: Sequence[str], links: Sequence[Link]) -> list[tuple[str, ...]]:
    """Return the sides into which cuts part the peers; one side if there is a way round."""
    cut = {frozenset((link.first, link.second)) for link in links if link.is_cut}
    sides: list[list[str]] = []
    left = list(names)
    while left:
        side = [left.pop(0)]
        for name in side:
            near = [other for other in left if frozenset((name, other)) not in cut]
            side += near
            left = [other for other in left if other not in near]
        sides.append(side)
    return [tuple(sorted(side, key=list(names).index)) for side in sides]


def _is_faulty(peer: PeerView) -> bool:
    return bool(peer.alarm) or peer.state in (DOWN, PAUSED)


def _describe_state(peer: PeerView) -> str:
    return f"{peer.name} {peer.state}"


def _describe_one_way(link: Link) -> str:
    deaf, other = (link.second, link.first) if link.forth_cut else (link.first, link.second)
    return f"{deaf} hears nothing of {other}"


def _shorten(texts: list[str]) -> list[str]:
    more = len(texts) - PAIRS_SHOWN_MAX
    return texts[:PAIRS_SHOWN_MAX] + ([f"and {more} more links"] if more > 0 else [])
