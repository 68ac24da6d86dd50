"""The directory of a devnet: who its peers are, where each is reached, which processes run.

ROOT/                 ./.devnet, or MINESYNC_DEVNET_DIR
  devnet.json         everything a script needs: ports, URLs, paths, process numbers (0600)
  devnet.lock         held while devnet.json is rewritten
  genesis.cbor        the network
  n1/ n2/ ...         the data directory of each peer, as `minesync run --data-dir` wants it
  logs/n1.log ...     what each peer wrote to stdout and stderr, over all its runs
  events.jsonl        every fault and every start, with its time
  published.jsonl     every transaction that a peer acknowledged to the load generator
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devnet.errors import DevnetError
from devnet.processes import ProcessRef
from node.paths import DataPaths
from node.private_files import make_private_folder, read_private, replace_private

FORMAT = "minesync-devnet/1"
DIRECTORY_VARIABLE = "MINESYNC_DEVNET_DIR"
DEFAULT_DIRECTORY = ".devnet"
PEERS_MAX = 64
MANIFEST_BYTES_MAX = 1 << 20
LOG_TAIL_BYTES = 8_192

ROLES = ("validator", "miner", "observer")


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """One peer, as it was when the devnet was made.

    Attributes:
        name: n1, n2, ...
        role: validator, miner or observer.
        seals: it ends the epochs.
        peer_id: its name among peers.
        account: address of its account, 64 hex digits.
    """

    name: str
    role: str
    seals: bool
    p2p_port: int
    rpc_port: int
    peer_id: str
    account: str

    @property
    def address(self) -> str:
        """The multiaddr that others dial."""
        return f"/ip4/127.0.0.1/tcp/{self.p2p_port}/p2p/{self.peer_id}"

    @property
    def url(self) -> str:
        """Where its RPC answers."""
        return f"http://127.0.0.1:{self.rpc_port}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What devnet.json says, but for the processes.

    Attributes:
        seed: all keys come from it.
        network: the network id, 16 hex digits.
    """

    name: str
    seed: int
    network: str
    peers: tuple[PeerSpec, ...]


def find_root(chosen: Path | None = None) -> Path:
    """Return the directory of the devnet: `chosen`, else of the environment, else ./.devnet."""
    return Path(chosen or os.environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY).absolute()


class Devnet:
    """A devnet on disk. Several processes may hold one: each reads what the others wrote.

    Attributes:
        root: its directory.
        manifest: its peers; never changes.
    """

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest

    @classmethod
    def create(cls, root: Path, manifest: Manifest) -> "Devnet":
        """Write the directory of a new devnet.

        Raises:
            DevnetError: `devnet_exists`, `not_a_devnet`.
            KeyFileError: `folder_open`, `folder_unusable`.
        """
        if (root / "devnet.json").exists():
            raise DevnetError("devnet_exists", root, "`minesync devnet down --purge` first")
        if root.exists() and any(root.iterdir()):
            raise DevnetError("not_a_devnet", f"{root} with other files", "a new or empty folder")
        make_private_folder(root)
        (root / "logs").mkdir()
        devnet = cls(root, manifest)
        with devnet._locked():
            devnet._write({})
        return devnet

    @classmethod
    def load(cls, root: Path) -> "Devnet":
        """Return the devnet of a directory.

        Raises:
            DevnetError: `no_devnet`, `devnet_malformed`.
            KeyFileError: others may read the directory.
        """
        if not (root / "devnet.json").exists():
            raise DevnetError("no_devnet", f"none in {root}", "`minesync devnet up` first")
        return cls(root, _parse(root, _read(root))[0])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all peers, in order."""
        return tuple(peer.name for peer in self.manifest.peers)

    def peer(self, name: str) -> PeerSpec:
        """Return the peer of a name.

        Raises:
            DevnetError: `unknown_peer`.
        """
        for peer in self.manifest.peers:
            if peer.name == name:
                return peer
        raise DevnetError("unknown_peer", repr(name[:32]), ", ".join(self.names))

    def peers_of(self, role: str) -> tuple[PeerSpec, ...]:
        """Return the peers of a role, in order."""
        return tuple(peer for peer in self.manifest.peers if peer.role == role)

    def data_paths(self, name: str) -> DataPaths:
        """Return the files of a peer."""
        return DataPaths(self.root / name)

    def log_path(self, name: str) -> Path:
        """Return the log of a peer."""
        return self.root / "logs" / f"{name}.log"

    @property
    def genesis_path(self) -> Path:
        """The genesis of the network."""
        return self.root / "genesis.cbor"

    @property
    def events_path(self) -> Path:
        """Every fault and every start, a line of JSON each."""
        return self.root / "events.jsonl"

    @property
    def published_path(self) -> Path:
        """Every acknowledged publication, a line of JSON each."""
        return self.root / "published.jsonl"

    def read_processes(self) -> dict[str, ProcessRef]:
        """Return the last known process of each peer that has one; it may have ended."""
        return _parse(self.root, _read(self.root))[1]

    def record_process(self, name: str, ref: ProcessRef) -> None:
        """Write down which process a peer runs as."""
        with self._locked():
            self._write({**self.read_processes(), name: ref})

    def forget_processes(self) -> None:
        """Write down that no peer runs."""
        with self._locked():
            self._write({})

    def note_event(self, event: str, **facts: Any) -> None:
        """Add a line to the events."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, **facts})
        with self.events_path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def read_log_tail(self, name: str, lines_max: int) -> list[str]:
        """Return the last lines of a peer's log."""
        try:
            with self.log_path(name).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
                text = file.read(LOG_TAIL_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        return text.splitlines()[-lines_max:]

    def delete(self) -> None:
        """Remove the directory with everything in it; nothing may run any more."""
        # Only a folder that begins like ours: the path may come from a variable of the environment.
        Devnet.load(self.root)
        shutil.rmtree(self.root)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / "devnet.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write(self, processes: dict[str, ProcessRef]) -> None:
        peers: dict[str, Any] = {}
        for peer in self.manifest.peers:
            paths, ref = self.data_paths(peer.name), processes.get(peer.name)
            peers[peer.name] = {
                **dataclasses.asdict(peer),
                "url": peer.url,
                "address": peer.address,
                "data_dir": str(paths.root),
                "token_file": str(paths.rpc_token),
                "log": str(self.log_path(peer.name)),
                "pid": ref.pid if ref else None,
                "start_mark": ref.mark if ref else None,
            }
        document = {
            "format": FORMAT,
            "name": self.manifest.name,
            "seed": self.manifest.seed,
            "network": self.manifest.network,
            "genesis": str(self.genesis_path),
            "peers": peers,
        }
        text = json.dumps(document, indent=2) + "\n"
        replace_private(self.root / "devnet.json", text.encode("utf-8"))


def parse_groups(devnet: Devnet, text: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of `n1,n2|n3`: peers that are not named are together in one more.

    Raises:
        DevnetError: `unknown_peer`, `bad_groups`.
    """
    groups = [tuple(one.strip() for one in part.split(",")) for part in text.split("|")]
    named = [devnet.peer(name).name for group in groups for name in group]
    if len(set(named)) < len(named):
        raise DevnetError("bad_groups", "a peer that is named twice", "each in one group")
    rest = tuple(name for name in devnet.names if name not in named)
    if rest:
        groups.append(rest)
    if len(groups) < 2:
        raise DevnetError("bad_groups", "everybody in one group", "two groups, such as n1,n2|n3")
    return tuple(groups)


def choose_dials(place: int, count: int) -> Sequence[int]:
    """Return the places of the peers that the peer at `place` of `count` dials.

    All of them are lower, so no two peers dial each other at once. Few peers all know each other,
    so that either side of any partition is connected; among many, each dials four, and halving
    keeps the way to the first one short.
    """
    if count <= 8:
        return range(place)
    return sorted(
        {near for near in (place - 1, place - 2, place // 2, place // 3) if near >= 0} - {place}
    )


def _read(root: Path) -> Any:
    data = read_private(root / "devnet.json", MANIFEST_BYTES_MAX)
    try:
        return json.loads(data)
    except ValueError as error:
        raise _malformed(root, "no JSON") from error


def _parse(root: Path, document: Any) -> tuple[Manifest, dict[str, ProcessRef]]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _malformed(root, "another format")
    fields = [field.name for field in dataclasses.fields(PeerSpec)]
    processes: dict[str, ProcessRef] = {}
    peers: list[PeerSpec] = []
    try:
        for name, entry in document["peers"].items():
            peers.append(PeerSpec(**{field: entry[field] for field in fields}))
            if entry["pid"] is not None:
                processes[name] = ProcessRef(int(entry["pid"]), str(entry["start_mark"]))
        manifest = Manifest(
            str(document["name"]), int(document["seed"]), str(document["network"]), tuple(peers)
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(root, f"{type(error).__name__} {error}") from error
    return manifest, processes


def _malformed(root: Path, found: str) -> DevnetError:
    return DevnetError("devnet_malformed", f"{root / 'devnet.json'}: {found}", FORMAT)
