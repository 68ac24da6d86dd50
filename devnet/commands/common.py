"""What the commands of `minesync devnet` share: their flags, and how they read and print."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.guard import wait_for_guards
from devnet.layout import DOCUMENT, Devnet, find_root
from devnet.manifests.fields import DURATION, BadValue, Kind
from devnet.manifests.tables import PROCESS, Manifest
from devnet.snapshots.swap import recover
from node.config import OPTIONS
from node.text import suggest

WhichPeer = Annotated[str, Parameter(help="n1, n2, ...")]
Count = Annotated[int | None, Parameter(name=["--peers", "-n"], help="How many peers; else 5.")]
Seed = Annotated[int | None, Parameter(help="All keys and choices come from it; else random.")]
Report = Annotated[
    Path | None, Parameter(help="Folder for a report of the run, as HTML and as JSON.")
]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON for programs.", negative="")]
NetworkKind = Annotated[
    str | None,
    Parameter(
        name="--network", help="loopback, or namespaces of Linux, for root; else by the manifest."
    ),
]
Lasting = Annotated[
    str | None, Parameter(name="--for", help="Wait so long, such as 10s, then take it back.")
]
OneWay = Annotated[bool, Parameter(help="Only from the first to the second.", negative="")]
Settings = Annotated[
    list[str] | None,
    Parameter(name="--set", help="An option, such as sync.sessions_max=2.", negative_iterable=""),
]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """The flag that every command takes."""

    dir: Annotated[
        Path | None,
        Parameter(help="Directory of the devnet, else MINESYNC_DEVNET_DIR, else ./.devnet."),
    ] = None

    @property
    def root(self) -> Path:
        """The directory that is meant."""
        return find_root(self.dir)

    @property
    def is_there(self) -> bool:
        """Whether a devnet is there."""
        return (self.root / DOCUMENT).exists()

    def load(self) -> Devnet:
        """Return the devnet that is there; a load that was interrupted is finished or undone first.

        Of a command that was killed nobody runs any more then.

        Raises:
            DevnetError: `no_devnet`, `snapshots_busy`, and as `Devnet.load`.
        """
        wait_for_guards(self.root)
        done = recover(self.root)
        if done:
            sys.stderr.write(f"minesync: {done}\n")
        return Devnet.load(self.root)

    def open(self) -> ProcessCluster:
        """Return the devnet that is there.

        Raises:
            DevnetError: `no_devnet`, or `simulation_over` for what a simulation left.
        """
        devnet = self.load()
        if devnet.roster.provider != PROCESS:
            found = f"a simulation in {self.root}, which ended with its run"
            raise DevnetError("simulation_over", found, "a devnet of processes")
        return ProcessCluster(devnet)


HERE = Where()
"""No flag given."""


def read_value(kind: Kind, text: str, what: str) -> Any:
    """Return the typed value of a text that was typed.

    Raises:
        DevnetError: `bad_value`.
    """
    try:
        return kind.read(text)
    except BadValue as error:
        raise DevnetError("bad_value", f"{what} {error.found}", error.wanted) from error


def read_seconds(text: str, what: str) -> float:
    """Return the seconds of a time such as 500ms.

    Raises:
        DevnetError: `bad_value`.
    """
    return float(read_value(DURATION, text, what)) / 1_000


def with_devnet(manifest: Manifest, **changes: object) -> Manifest:
    """Return a manifest with other fields in its `[devnet]`; what is None stays as it is."""
    given = {name: value for name, value in changes.items() if value is not None}
    devnet = dataclasses.replace(manifest.devnet, **given)  # type: ignore[arg-type]
    return dataclasses.replace(manifest, devnet=devnet)


def check_choice(flag: str, value: str | None, words: Sequence[str]) -> None:
    """Check that a flag, if it is given, has one of a few words.

    Raises:
        DevnetError: `bad_value`.
    """
    if value is not None and value not in words:
        wanted = " or ".join(words) + suggest(value, words)
        raise DevnetError("bad_value", f"{flag} {value[:32]}", wanted)


def read_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Return typed values, by dotted key, of options given as key=value.

    Raises:
        DevnetError: `bad_value`.
        ConfigError: a value that the option does not take.
    """
    values = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or key not in OPTIONS:
            wanted = f"an option, as key=value{suggest(key, OPTIONS)}"
            raise DevnetError("bad_value", repr(pair[:64]), wanted)
        values[key] = OPTIONS[key].read_text(text, "--set")
    return values


def print_json(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, default=dataclasses.asdict) + "\n")


def purge(where: Where) -> None:
    """Delete a devnet that does not run; do nothing where there is none.

    Raises:
        DevnetError: `already_running`.
    """
    if not where.is_there:
        return
    cluster = ProcessCluster(where.load())
    if cluster.find_running():
        found = f"a devnet in {where.root}"
        raise DevnetError("already_running", found, "`minesync devnet down` first")
    cluster.take_down_network()
    cluster.devnet.delete()
