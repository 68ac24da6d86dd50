"""The directory of a devnet: who its peers are, where each is reached, which processes run.

ROOT/                 ./.devnet, or MINESYNC_DEVNET_DIR
  devnet.json         everything a script needs: ports, URLs, paths, process numbers (0600)
  devnet.lock         held while devnet.json is rewritten
  devnet.guard        held while the peers of a command that was killed are ended
  devnet.unfinished   only while the directory is made or deleted: all that is in it may go
  manifest.toml       what was asked for
  genesis.cbor        the network
  n1/ n2/ ...         the data directory of each peer, as `minesync run --data-dir` wants it
  logs/n1.log ...     what each peer wrote to stdout and stderr, over all its runs
  events.jsonl        every fault and every start, with its time
  published.jsonl     every transaction that a peer acknowledged to the load generator
  outcome.json        what came of the last run (`devnet.outcome`)
  snapshots/          states of the whole devnet, by name (`devnet.snapshots`)
  swap.json           while the state of a snapshot takes the place of this one
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devnet.errors import DevnetError
from devnet.manifests.reader import load_manifest
from devnet.manifests.tables import Manifest
from devnet.manifests.writer import write_manifest
from devnet.processes import ProcessRef
from devnet.roster import PeerSpec, Roster, read_spec
from node.clock import read_wall_ms
from node.paths import DataPaths
from node.private_files import KeyFileError, make_private_folder, read_private, replace_private

FORMAT = "minesync-devnet/3"
DOCUMENT = "devnet.json"
DIRECTORY_VARIABLE = "MINESYNC_DEVNET_DIR"
DEFAULT_DIRECTORY = ".devnet"
UNFINISHED = "devnet.unfinished"
_MAY_GO = b"minesync makes or deletes this folder; all that is in it may go\n"
ROSTER_BYTES_MAX = 1 << 20
LOG_TAIL_BYTES = 8_192
LOGS = "logs"
SNAPSHOTS = "snapshots"
OWN_FOLDERS = (LOGS, SNAPSHOTS)
"""Names that no peer can have."""
SWAP = "swap.json"


def find_root(chosen: Path | None = None) -> Path:
    """Return the directory of the devnet: `chosen`, else of the environment, else ./.devnet."""
    return Path(chosen or os.environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY).absolute()


class Devnet:
    """A devnet on disk. Several processes may hold one: each reads what the others wrote.

    Attributes:
        root: its directory.
        roster: its peers.
        read_now_ms: the clock of its events.
    """

    def __init__(self, root: Path, roster: Roster) -> None:
        self.root = root
        self.roster = roster
        self.read_now_ms: Callable[[], int] = read_wall_ms

    @classmethod
    @contextlib.contextmanager
    def create(cls, root: Path, roster: Roster, manifest: Manifest) -> Iterator["Devnet"]:
        """Make the directory of a new devnet; it is one when the block is done, or gone.

        Raises:
            DevnetError: `devnet_exists`, `not_a_devnet`.
            KeyFileError: `folder_open`, `folder_unusable`.
        """
        if (root / DOCUMENT).exists():
            raise DevnetError("devnet_exists", root, "`minesync devnet down --purge` first")
        if _is_unfinished(root):
            _empty(root)
        if root.exists() and any(root.iterdir()):
            raise DevnetError("not_a_devnet", f"{root} with other files", "a new or empty folder")
        make_private_folder(root)
        replace_private(root / UNFINISHED, _MAY_GO)
        try:
            (root / LOGS).mkdir()
            devnet = cls(root, roster)
            devnet.manifest_path.write_text(write_manifest(manifest), encoding="utf-8")
            yield devnet
        except BaseException:
            _empty(root)
            raise
        with devnet.lock():
            devnet._write({})
        (root / UNFINISHED).unlink()

    @classmethod
    def load(cls, root: Path) -> "Devnet":
        """Return the devnet of a directory.

        Raises:
            DevnetError: `no_devnet`, `devnet_malformed`, `half_loaded` while the state of a
                snapshot takes the place of another.
            KeyFileError: others may read the directory.
        """
        if (root / SWAP).exists():
            raise DevnetError("half_loaded", root, "the end of `minesync devnet snapshot load`")
        if not (root / DOCUMENT).exists():
            raise DevnetError("no_devnet", f"none in {root}", "`minesync devnet up` first")
        return cls(root, cls.read_roster(root))

    @staticmethod
    def read_roster(folder: Path) -> Roster:
        """Return the roster of the devnet.json in a folder.

        Raises:
            DevnetError: `devnet_malformed`.
            KeyFileError: others may read it.
        """
        return _parse(folder, _read(folder))[0]

    def reload(self) -> None:
        """Take in what other processes wrote into devnet.json.

        Raises:
            DevnetError: `no_devnet`, `devnet_malformed`.
        """
        if not (self.root / DOCUMENT).exists():
            raise DevnetError(
                "no_devnet", f"none in {self.root} any more", "a devnet that is there"
            )
        self.roster = self.read_roster(self.root)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all peers, in order."""
        return self.roster.names

    def peer(self, name: str) -> PeerSpec:
        """Return the peer of a name.

        Raises:
            DevnetError: `unknown_peer`.
        """
        return self.roster.peer(name)

    def peers_of(self, role: str) -> tuple[PeerSpec, ...]:
        """Return the peers of a role, in order."""
        return tuple(peer for peer in self.roster.peers if peer.role == role)

    def read_manifest(self) -> Manifest:
        """Return what was asked for when the devnet was made.

        Raises:
            ManifestError: somebody has changed the file.
        """
        return load_manifest(str(self.manifest_path))

    def add_peer(self, spec: PeerSpec) -> None:
        """Write down one more peer."""
        self._change_roster(lambda roster: roster.with_peer(spec))

    def change_peer(self, name: str, **changes: Any) -> None:
        """Write down that something of a peer is different from now on.

        Raises:
            DevnetError: `unknown_peer`.
        """
        changed = dataclasses.replace(self.peer(name), **changes)
        self._change_roster(lambda roster: roster.replace_peer(changed))

    def remove_peer(self, name: str) -> None:
        """Strike a peer off and delete all that is its own; it must not run."""
        self._change_roster(lambda roster: roster.without_peer(name))
        shutil.rmtree(self.root / name, ignore_errors=True)

    def data_paths(self, name: str) -> DataPaths:
        """Return the files of a peer."""
        return DataPaths(self.root / name)

    def log_path(self, name: str) -> Path:
        """Return the log of a peer."""
        return self.root / LOGS / f"{name}.log"

    @property
    def manifest_path(self) -> Path:
        """What was asked for."""
        return self.root / "manifest.toml"

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
        with self.lock():
            self._write({**self.read_processes(), name: ref})

    def forget_processes(self) -> None:
        """Write down that no peer runs."""
        with self.lock():
            self._write({})

    def note_event(self, event: str, **facts: Any) -> None:
        """Add a line to the events."""
        now = datetime.fromtimestamp(self.read_now_ms() / 1_000, UTC)
        at = now.isoformat(timespec="milliseconds")
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
        return text.splitlines()[-lines_max:] if lines_max else []

    def delete(self) -> None:
        """Remove the directory with everything in it; nothing may run any more."""
        # Only a folder that begins like ours: the path may come from a variable of the environment.
        Devnet.load(self.root)
        replace_private(self.root / UNFINISHED, _MAY_GO)
        (self.root / DOCUMENT).unlink()
        _empty(self.root)
        self.root.rmdir()

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other process from changing devnet.json during the block."""
        with (self.root / "devnet.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _change_roster(self, change: Callable[[Roster], Roster]) -> None:
        with self.lock():
            roster, processes = _parse(self.root, _read(self.root))
            self.roster = change(roster)
            left = {name: ref for name, ref in processes.items() if name in self.names}
            self._write(left)

    def _write(self, processes: dict[str, ProcessRef]) -> None:
        replace_private(self.root / DOCUMENT, render_document(self.root, self.roster, processes))


def render_document(root: Path, roster: Roster, processes: Mapping[str, ProcessRef]) -> bytes:
    """Return devnet.json of a devnet in `root`."""
    devnet = Devnet(root, roster)
    peers: dict[str, Any] = {}
    for peer in roster.peers:
        paths, ref = devnet.data_paths(peer.name), processes.get(peer.name)
        peers[peer.name] = {
            **dataclasses.asdict(peer),
            "url": peer.url,
            "address": peer.address,
            "data_dir": str(paths.root),
            "token_file": str(paths.rpc_token),
            "log": str(devnet.log_path(peer.name)),
            "pid": ref.pid if ref else None,
            "start_mark": ref.mark if ref else None,
        }
    document = {
        "format": FORMAT,
        "name": roster.name,
        "provider": roster.provider,
        "seed": roster.seed,
        "network": roster.network,
        "switch": roster.switch,
        "genesis": str(devnet.genesis_path),
        "manifest": str(devnet.manifest_path),
        "peers": peers,
    }
    return (json.dumps(document, indent=2) + "\n").encode("utf-8")


def _is_unfinished(root: Path) -> bool:
    try:
        return read_private(root / UNFINISHED, len(_MAY_GO)) == _MAY_GO
    except KeyFileError:
        # None, or something else of that name: nothing here is ours to delete.
        return False


def _empty(root: Path) -> None:
    """Delete what was half made or half deleted, and last the file that says so."""
    for path in root.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != UNFINISHED:
            path.unlink()
    (root / UNFINISHED).unlink()


def _read(root: Path) -> Any:
    data = read_private(root / DOCUMENT, ROSTER_BYTES_MAX)
    try:
        return json.loads(data)
    except ValueError as error:
        raise _malformed(root, "no JSON") from error


def _parse(root: Path, document: Any) -> tuple[Roster, dict[str, ProcessRef]]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _malformed(root, "another format")
    processes: dict[str, ProcessRef] = {}
    peers: list[PeerSpec] = []
    try:
        for name, entry in document["peers"].items():
            peers.append(read_spec(entry))
            if entry["pid"] is not None:
                processes[name] = ProcessRef(int(entry["pid"]), str(entry["start_mark"]))
        roster = Roster(
            name=str(document["name"]),
            provider=str(document["provider"]),
            seed=int(document["seed"]),
            network=str(document["network"]),
            peers=tuple(peers),
            switch=str(document["switch"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(root, f"{type(error).__name__} {error}") from error
    return roster, processes


def _malformed(root: Path, found: str) -> DevnetError:
    return DevnetError("devnet_malformed", f"{root / 'devnet.json'}: {found}", FORMAT)
