"""A bundle of a devnet: what goes in, and what is read out of one that somebody sent.

    bundle.json       which devnet, versions, platform, peers as they were last seen
    manifest.toml     what was asked for; with its seed it names keys, network and choices
    outcome.json      what became of the checks, and the state roots by epoch
    events.jsonl      every start, every fault, every verdict
    published.jsonl   what the peers acknowledged
    configs/n1.toml   what a peer ran with      logs/n1.log   what it wrote, its end

No key and no token is in it: the keys of a devnet follow from its seed, which is no secret.
"""

import dataclasses
import importlib.metadata
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from devnet.bundles.archive import read_archive, write_archive
from devnet.errors import DevnetError
from devnet.layout import LOGS
from devnet.manifests.fields import NAME_PATTERN
from devnet.manifests.reader import BYTES_MAX as MANIFEST_BYTES_MAX
from devnet.manifests.reader import read_manifest
from devnet.manifests.tables import Manifest
from devnet.observe import Observer
from devnet.outcome import BYTES_MAX as OUTCOME_BYTES_MAX
from devnet.outcome import FORMAT as OUTCOME_FORMAT
from devnet.outcome import NAME as OUTCOME
from devnet.outcome import Outcome, gather_roots, read_outcome
from devnet.provider import DOWN, Provider, find_awake
from devnet.records import read_record, write_record
from devnet.watch.watcher import Watcher
from node.version import VERSION

FORMAT = "minesync-bundle/1"
SUMMARY = "bundle.json"
MANIFEST = "manifest.toml"
SUMMARY_BYTES_MAX = 1 << 20
LINES_BYTES_MAX = 4 << 20
"""Of events and publications; of longer ones the end is kept."""
CONFIG_BYTES_MAX = 1 << 18
LOG_MIB_MAX = 8
_MIB = 1 << 20
_CONFIG = re.compile(rf"configs/{NAME_PATTERN}\.toml")
_LOG = re.compile(rf"{LOGS}/{NAME_PATTERN}\.log")


@dataclass(frozen=True, slots=True)
class PeerNote:
    """A peer as it was last seen; figures of one that did not answer are 0 and empty."""

    role: str
    state: str
    epoch: int
    state_root: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a bundle says first.

    Attributes:
        network: the network id, 16 hex digits.
        libraries: versions of what minesync needs, by name.
        again: the command that repeats it; empty where `reproduce` does.
        cut: files of which only the end is there.
    """

    name: str
    provider: str
    seed: int
    network: str
    version: str
    python: str
    platform: str
    libraries: dict[str, str]
    peers: dict[str, PeerNote]
    again: str
    cut: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read.

    Attributes:
        sizes: of all its files, in bytes, by name.
    """

    summary: Summary
    manifest: Manifest
    outcome: Outcome
    sizes: dict[str, int]


async def write_bundle(provider: Provider, path: Path, log_mib: int = 1, again: str = "") -> Bundle:
    """Write the bundle of a devnet, whether it runs or not, and return what it became.

    Args:
        provider: of the devnet; peers that are awake are asked.
        path: of the archive, which is replaced.
        log_mib: so much of the end of each log.
        again: the command that repeats what was run, if that is more than the manifest.

    Raises:
        DevnetError: `bad_value`, `no_bundle`.
        BadRecord: the outcome of the last run has been changed.
    """
    if not 0 <= log_mib <= LOG_MIB_MAX:
        raise DevnetError("bad_value", f"{log_mib} MiB of each log", f"0 to {LOG_MIB_MAX}")
    devnet = provider.devnet
    cut: list[str] = []
    files: dict[str, bytes] = {MANIFEST: devnet.manifest_path.read_bytes()}
    for one in (devnet.events_path, devnet.published_path):
        files[one.name] = _read_end(one, LINES_BYTES_MAX, one.name, cut)
    for name in devnet.names:
        config = devnet.data_paths(name).config
        if config.exists():
            files[f"configs/{name}.toml"] = config.read_bytes()
        if devnet.log_path(name).exists() and log_mib:
            inner = f"{LOGS}/{name}.log"
            files[inner] = _read_end(devnet.log_path(name), log_mib * _MIB, inner, cut)
    outcome = read_outcome(devnet)
    if find_awake(provider):
        history = (await Watcher(provider).look()).history
        outcome = dataclasses.replace(outcome, roots=gather_roots(history))
    files[OUTCOME] = write_record(outcome, OUTCOME_FORMAT)
    files[SUMMARY] = write_record(await _summarize(provider, again, cut), FORMAT)
    write_archive(path.absolute(), files)
    # As whoever gets it will.
    return read_bundle(path)


def read_bundle(path: Path) -> Bundle:
    """Return a bundle that somebody made; nothing in it is believed, and nothing is unpacked.

    Raises:
        DevnetError: `no_bundle`, `bad_bundle`.
        BadRecord: `unknown_format`, `bad_record`.
        ManifestError: its manifest is none.
    """
    kept: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    for name, data in read_archive(path, find_limit):
        sizes[name] = len(data)
        if name in (SUMMARY, MANIFEST, OUTCOME):
            kept[name] = data
    for name in (SUMMARY, MANIFEST, OUTCOME):
        if name not in kept:
            raise DevnetError("bad_bundle", f"no {name}", "a bundle of `minesync devnet bundle`")
    summary = read_record(Summary, kept[SUMMARY], FORMAT, SUMMARY)
    outcome = read_record(Outcome, kept[OUTCOME], OUTCOME_FORMAT, OUTCOME)
    try:
        text = kept[MANIFEST].decode("utf-8")
    except ValueError as error:
        raise DevnetError("bad_bundle", f"{MANIFEST} is no UTF-8", "TOML in UTF-8") from error
    manifest = read_manifest(text, MANIFEST)
    # Within its bounds there, and what `found` writes.
    if manifest.devnet.seed is None or manifest.devnet.seed != summary.seed:
        found = f"seed {manifest.devnet.seed} in {MANIFEST}"
        raise DevnetError("bad_bundle", found, f"{summary.seed}, as in {SUMMARY}")
    return Bundle(summary, manifest, outcome, sizes)


def find_limit(name: str) -> int | None:
    """Return how long a file of a bundle may be; None for one that is in none."""
    known = {
        SUMMARY: SUMMARY_BYTES_MAX,
        MANIFEST: MANIFEST_BYTES_MAX,
        OUTCOME: OUTCOME_BYTES_MAX,
        "events.jsonl": LINES_BYTES_MAX,
        "published.jsonl": LINES_BYTES_MAX,
    }
    if name in known:
        return known[name]
    if _CONFIG.fullmatch(name):
        return CONFIG_BYTES_MAX
    return LOG_MIB_MAX * _MIB if _LOG.fullmatch(name) else None


def describe_place() -> tuple[str, str, str]:
    """Return version, Python and platform of what runs here."""
    return VERSION, platform.python_version(), platform.platform()


async def _summarize(provider: Provider, again: str, cut: list[str]) -> Summary:
    roster = provider.devnet.roster
    version, python, system = describe_place()
    peers = {peer.name: PeerNote(peer.role, DOWN, 0, "") for peer in roster.peers}
    for view in await Observer(provider).look_at_peers():
        peers[view.name] = PeerNote(view.role, view.state, view.epoch, view.state_root)
    return Summary(
        name=roster.name,
        provider=roster.provider,
        seed=roster.seed,
        network=roster.network,
        version=version,
        python=python,
        platform=system,
        libraries=_list_libraries(),
        peers=peers,
        again=again,
        cut=tuple(cut),
    )


def _list_libraries() -> dict[str, str]:
    wanted = importlib.metadata.requires("minesync") or []
    names = {re.split(r"[^A-Za-z0-9._-]", one)[0] for one in wanted if "extra ==" not in one}
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def _read_end(path: Path, bytes_max: int, name: str, cut: list[str]) -> bytes:
    """Return the last whole lines of a file; note in `cut` that there are more."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - bytes_max))
        data = file.read(bytes_max)
    if size <= bytes_max:
        return data
    cut.append(name)
    return data.partition(b"\n")[2]
