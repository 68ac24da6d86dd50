"""The zoo: bugs planted into the product for a moment, to see that a simulation finds them.

A simulator that finds nothing may be blind. Each bug here is a patch of a few names that is taken
back afterwards; each must be found within a bounded number of seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from devnet.sim.generate import make_plan
from devnet.sim.memo import forget
from devnet.sim.plan import CORE, NODE, Plan
from devnet.sim.run import Failure, run_plan

SEEDS_MAX = {CORE: 5_000, NODE: 200}


class Patch(NamedTuple):
    """A name of a module or class, and what takes its place."""

    owner: Any
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug.

    Attributes:
        text: what is wrong, in a line.
        layer: where it is looked for.
        patch: returns what to replace.
        shows: whether a plan has what the bug needs; the seeds of the others are counted, not run.
    """

    name: str
    text: str
    layer: str
    patch: Callable[[], Sequence[Patch]]
    shows: Callable[[Plan], bool] = lambda plan: True


@dataclass(frozen=True, slots=True)
class Hunt:
    """How the search for a bug ended; `seeds` tried, the last of them found it unless None did."""

    bug: Bug
    seeds: int
    seed: int | None
    failure: Failure | None


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Have the bug in the product while the block lasts."""
    patches = bug.patch()
    originals = [vars(one.owner)[one.name] for one in patches]
    forget()
    for one in patches:
        setattr(one.owner, one.name, one.value)
    try:
        yield
    finally:
        for one, original in zip(patches, originals, strict=True):
            setattr(one.owner, one.name, original)
        forget()


def hunt(bug: Bug, *, first: int = 0, seeds_max: int | None = None) -> Hunt:
    """Run seeds until one shows the bug."""
    most = SEEDS_MAX[bug.layer] if seeds_max is None else seeds_max
    with planted(bug):
        for tried in range(most):
            plan = make_plan(bug.layer, first + tried)
            failure = run_plan(plan).failure if bug.shows(plan) else None
            if failure is not None:
                return Hunt(bug, tried + 1, first + tried, failure)
    return Hunt(bug, most, None, None)


def describe_hunts(hunts: Sequence[Hunt]) -> str:
    """Return the one line of a visit to the zoo."""
    tries = [one.seeds for one in hunts if one.seed is not None]
    middle = int(median(tries)) if tries else 0
    found = [one for one in hunts if one.seed is not None]
    worst = max(found, key=lambda one: one.seeds, default=None)
    name = "" if worst is None else f" ({worst.bug.name})"
    return (
        f"ZOO {len(tries)}/{len(hunts)} found,"
        f" median seed {middle:,}, worst {max(tries, default=0):,}{name}"
    )
