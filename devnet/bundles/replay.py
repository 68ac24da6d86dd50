"""The run of a bundle once more: whether its manifest may run here, and how the two ended."""

from collections.abc import Iterable
from dataclasses import dataclass

from devnet.errors import DevnetError
from devnet.manifests.tables import EventTable, Manifest, NodeTable
from devnet.outcome import Outcome

HARMLESS = ("log.level", "log.format", "store.engine", "roles.arbiter", "worker.kinds")
"""Options of a node that are words, and lead to no program, file or host."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A check then and now; None where it was not made."""

    name: str
    then: bool | None
    now: bool | None

    @property
    def is_same(self) -> bool:
        """Whether it came out the same."""
        return self.then == self.now


def check_harmless(manifest: Manifest) -> None:
    """Check that a manifest runs nothing but what is installed here.

    Raises:
        DevnetError: `not_trusted`.
    """
    for place, own in _list_tables(manifest):
        odd = [name for name in ("exe", "env") if getattr(own, name)]
        odd += [
            key
            for key, value in (own.config if isinstance(own, NodeTable) else {}).items()
            if key not in HARMLESS and type(value) not in (int, bool)
        ]
        if odd:
            found = f"{place} {odd[0]}, chosen by whoever made the bundle"
            raise DevnetError("not_trusted", found, "--trust, once you have read its manifest")


def compare_verdicts(then: Outcome, now: Outcome) -> list[Comparison]:
    """Return each check of either run, in the order of the run that was."""
    before = {verdict.name: verdict.ok for verdict in then.verdicts}
    after = {verdict.name: verdict.ok for verdict in now.verdicts}
    names = dict.fromkeys((*before, *after))
    return [Comparison(name, before.get(name), after.get(name)) for name in names]


def describe_roots(then: Outcome, now: Outcome) -> str:
    """Return in a line how far the state roots of two runs are the same."""
    shared = sorted(then.roots.keys() & now.roots.keys(), key=lambda one: (len(one), one))
    if not shared:
        return "state roots: no epoch in common"
    for epoch in shared:
        if then.roots[epoch].keys() != now.roots[epoch].keys():
            return f"state roots: the first that differ are of epoch {epoch}"
    return f"state roots: the same in all {len(shared)} epochs"


def _list_tables(manifest: Manifest) -> Iterable[tuple[str, NodeTable | EventTable]]:
    yield "[defaults]", manifest.defaults
    for name, own in manifest.node.items():
        yield f"[node.{name}]", own
    for name, group in manifest.group.items():
        yield f"[group.{name}]", group
    for number, event in enumerate(manifest.event, start=1):
        yield f"[[event]] {number}", event
