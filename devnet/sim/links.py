"""Who is linked with whom: a ring of the honest core, and as many more as the plan asks for."""

from devnet.sim.fates import Fates
from devnet.sim.plan import Plan


def choose_links(plan: Plan, fates: Fates) -> list[tuple[int, ...]]:
    """Return the neighbours of each peer, sorted.

    The honest core is connected without any liar: that is what convergence rests on.
    """
    neighbours: list[set[int]] = [set() for _ in range(plan.peers)]

    def link(one: int, other: int) -> None:
        if one != other:
            neighbours[one].add(other)
            neighbours[other].add(one)

    core = plan.core
    for place, peer in enumerate(core):
        link(peer, core[(place + 1) % len(core)])
    wanted = plan.links or plan.peers - 1
    for peer in range(plan.peers):
        others = sorted(range(plan.peers), key=lambda one: fates.draw("link", peer, one))
        for other in others:
            if len(neighbours[peer]) >= wanted:
                break
            link(peer, other)
    return [tuple(sorted(one)) for one in neighbours]
