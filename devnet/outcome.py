"""What came of a run, written down beside it: its checks, and every state root by epoch."""

from dataclasses import dataclass, field
from pathlib import Path

from devnet.checks import Verdict
from devnet.layout import Devnet
from devnet.records import read_record, write_record
from devnet.watch.history import History
from node.private_files import read_private, replace_private

FORMAT = "minesync-outcome/1"
NAME = "outcome.json"
BYTES_MAX = 16 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run.

    Attributes:
        verdicts: what became of its checks.
        roots: by epoch, as text: by state root, the peers that had it.
    """

    verdicts: tuple[Verdict, ...] = ()
    roots: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)


def gather_roots(history: History) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the state roots that were seen, in the form of an outcome."""
    roots: dict[str, dict[str, tuple[str, ...]]] = {}
    for epoch in history.epochs:
        by_root: dict[str, tuple[str, ...]] = {}
        for peer, seen in sorted(history.seals.items()):
            if epoch in seen:
                root = seen[epoch].state_root
                by_root[root] = (*by_root.get(root, ()), peer)
        roots[str(epoch)] = by_root
    return roots


def write_outcome(devnet: Devnet, outcome: Outcome) -> None:
    """Write down what came of a run of a devnet."""
    replace_private(devnet.root / NAME, write_record(outcome, FORMAT))


def read_outcome(devnet: Devnet) -> Outcome:
    """Return what came of the last run of a devnet; nothing if none has ended.

    Raises:
        BadRecord: somebody has changed the file.
        KeyFileError: others may read it.
    """
    path: Path = devnet.root / NAME
    if not path.exists():
        return Outcome()
    return read_record(Outcome, read_private(path, BYTES_MAX, "an outcome"), FORMAT, NAME)
