"""Sides of a partition: `n1,n2|n3` names nodes, groups or zones, and whoever is left out."""

from collections.abc import Mapping, Sequence

from devnet.errors import DevnetError
from node.text import suggest

Groups = tuple[tuple[str, ...], ...]


def parse_groups(
    names: Sequence[str], text: str, sets: Mapping[str, tuple[str, ...]] | None = None
) -> Groups:
    """Return the groups of `n1,n2|n3`: nodes that are not named are together in one more.

    Args:
        names: of all nodes.
        text: what was typed.
        sets: the nodes that further names stand for.

    Raises:
        DevnetError: `unknown_peer`, `bad_groups`.
    """
    known = {**{name: (name,) for name in names}, **(sets or {})}
    groups: list[tuple[str, ...]] = []
    for part in text.split("|"):
        group: list[str] = []
        for word in part.split(","):
            name = word.strip()
            if name not in known:
                wanted = ", ".join(names) + suggest(name, known)
                raise DevnetError("unknown_peer", repr(name[:32]), wanted)
            group += known[name]
        groups.append(tuple(group))
    named = [name for group in groups for name in group]
    if len(set(named)) < len(named):
        raise DevnetError("bad_groups", "a peer that is named twice", "each in one group")
    rest = tuple(name for name in names if name not in named)
    if rest:
        groups.append(rest)
    if len(groups) < 2:
        raise DevnetError("bad_groups", "everybody in one group", "two groups, such as n1,n2|n3")
    return tuple(groups)
