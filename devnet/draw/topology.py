"""The peers in a ring with their links: which are connected, which a fault rule cuts, which way."""

from collections.abc import Mapping, Sequence
from math import cos, hypot, pi, sin

from devnet.draw.markup import Markup, element, join
from devnet.draw.svg import (
    Point,
    cut_name,
    draw_line,
    draw_path,
    draw_svg,
    draw_text,
    draw_title,
)
from devnet.observe import PeerView
from devnet.watch.figures import rank_roots
from devnet.watch.links import Link, find_links, list_faults
from devnet.watch.snapshot import Snapshot

WIDTH, HEIGHT = 520.0, 400.0
_CENTRE = (WIDTH / 2, HEIGHT / 2 - 4)
_RING = (188.0, 146.0)
_RADIUS = 24.0
_RADIUS_MANY = 13.0
_MANY = 16


def draw_topology(snapshot: Snapshot) -> Markup:
    """Return the picture of all peers and links at one moment."""
    names = snapshot.identity.names
    spots = place_peers(names)
    radius = _RADIUS if len(names) <= _MANY else _RADIUS_MANY
    ranks = rank_peers(snapshot)
    links = find_links(names, snapshot.links)
    # Cuts are drawn last, over what is whole.
    links.sort(key=lambda link: (link.is_cut, link.is_one_way))
    parts = [draw_link(link, spots[link.first], spots[link.second], radius) for link in links]
    for peer in snapshot.view.peers:
        if peer.name in spots:
            parts.append(_draw_peer(peer, spots[peer.name], radius, ranks.get(peer.name)))
    faults = list_faults(snapshot)
    label = f"{len(names)} peers; faults: {', '.join(faults) or 'none'}"
    return draw_svg(WIDTH, HEIGHT, label, *parts, kind="topology")


def place_peers(names: Sequence[str]) -> dict[str, Point]:
    """Return where each peer stands: the first at the top, the others clockwise."""
    spots = {}
    for place, name in enumerate(names):
        turn = 2 * pi * place / len(names) - pi / 2
        is_alone = len(names) == 1
        x = _CENTRE[0] + (0.0 if is_alone else _RING[0] * cos(turn))
        y = _CENTRE[1] + (0.0 if is_alone else _RING[1] * sin(turn))
        spots[name] = (x, y)
    return spots


def rank_peers(snapshot: Snapshot) -> Mapping[str, int]:
    """Return the rank of each peer's root among the roots of the same epoch.

    A peer that is an epoch behind has another root, too, but has not parted from the others.
    """
    ranks = {}
    for peer in snapshot.view.peers:
        seals = [seen.get(peer.epoch) for seen in snapshot.history.seals.values()]
        roots = [seal.state_root for seal in seals if seal is not None]
        if peer.state_root:
            ranks[peer.name] = rank_roots([*roots, peer.state_root])[peer.state_root]
    return ranks


def draw_link(link: Link, first: Point, second: Point, radius: float) -> Markup:
    """Return one link: whole, cut, or with an arrow that points the way that is left."""
    begin, end = _shorten(first, second, radius), _shorten(second, first, radius)
    middle = ((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2)
    pair = f"{link.first} - {link.second}"
    if link.is_cut:
        line = draw_line(begin, end, "link cut", f"{pair}: cut")
        arm = 5.0
        cross = [
            draw_line((middle[0] - arm, middle[1] - dy), (middle[0] + arm, middle[1] + dy), "cross")
            for dy in (arm, -arm)
        ]
        return join([line, *cross])
    if link.is_one_way:
        source, target = (end, begin) if link.forth_cut else (begin, end)
        way = (link.second, link.first) if link.forth_cut else (link.first, link.second)
        title = f"{pair}: only from {way[0]} to {way[1]}"
        return join(
            [
                draw_line(source, target, "link one-way", title),
                _draw_arrow(source, target),
            ]
        )
    if link.is_slow:
        return draw_line(begin, end, "link slow", f"{pair}: slow")
    return draw_line(begin, end, "link", f"{pair}: connected")


def _draw_peer(peer: PeerView, spot: Point, radius: float, rank: int | None) -> Markup:
    fill = "rank-none" if rank is None else f"rank-{min(rank, 4)}"
    facts = [f"{peer.name} ({peer.role}): {peer.state}"]
    if peer.state_root:
        facts += [f"epoch {peer.epoch}", f"state root {peer.state_root[:16]}"]
    if peer.alarm:
        facts.append(peer.alarm)
    ring = {"cx": spot[0], "cy": spot[1], "r": radius, "class": f"peer {peer.state} {fill}"}
    is_above = spot[1] < _CENTRE[1] - 1
    below = spot[1] + radius + 17
    name_at = (spot[0], spot[1] - radius - 8 if is_above else below)
    shown = cut_name(peer.name)
    if peer.state != "up":
        shown += f" {peer.state}"
    inside = str(peer.epoch) if peer.state_root else "-"
    return element(
        "g",
        None,
        element("circle", ring),
        draw_text((spot[0], spot[1] + 5), inside, f"inside {fill}", anchor="middle"),
        draw_text(name_at, shown, "name", anchor="middle"),
        draw_title(", ".join(facts)),
    )


def _draw_arrow(source: Point, target: Point) -> Markup:
    length = hypot(target[0] - source[0], target[1] - source[1]) or 1.0
    along = ((target[0] - source[0]) / length, (target[1] - source[1]) / length)
    across = (-along[1], along[0])
    back = (target[0] - 12 * along[0], target[1] - 12 * along[1])
    corners = [
        target,
        (back[0] + 6 * across[0], back[1] + 6 * across[1]),
        (back[0] - 6 * across[0], back[1] - 6 * across[1]),
    ]
    return draw_path(corners, "arrow", is_closed=True)


def _shorten(begin: Point, end: Point, radius: float) -> Point:
    """Return the point of a line that lies on the ring of the peer where it begins."""
    length = hypot(end[0] - begin[0], end[1] - begin[1]) or 1.0
    share = min(0.5, (radius + 3) / length)
    return begin[0] + share * (end[0] - begin[0]), begin[1] + share * (end[1] - begin[1])
