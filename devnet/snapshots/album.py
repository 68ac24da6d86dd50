"""The snapshots of a devnet on disk: one folder each, with an index of every file in it.

    ROOT/snapshots/NAME/
      snapshot.json    of which network, when, and size and SHA-256 of every file
      state/           devnet.json, manifest.toml, genesis.cbor, published.jsonl, n1/, n2/, ...

A folder is there whole or not at all: it is filled under another name. Nothing here opens a
database; that a folder is one, and of this network, its own marker says.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devnet.errors import DevnetError
from devnet.layout import SNAPSHOTS, Devnet
from devnet.manifests.fields import NAME_PATTERN
from devnet.records import BadRecord, read_record, write_record
from node.paths import DataPaths
from node.private_files import make_private_folder, replace_private, sync_folder
from node.text import clean_text, suggest
from storage.folder import Folder

FORMAT = "minesync-snapshot/1"
INDEX = "snapshot.json"
STATE = "state"
INDEX_BYTES_MAX = 16 << 20
CHUNK_BYTES = 1 << 20
_DRAFT = ".draft"


@dataclass(frozen=True, slots=True)
class FileMark:
    """What a file must be: its bytes, and their SHA-256 as hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The index of a snapshot.

    Attributes:
        name: under which it is kept.
        network: the network id, 16 hex digits.
        made_ms: when, in milliseconds since 1970.
        version: of the release that made it.
        nodes: that are in it, in order.
        files: by path below `state`.
    """

    name: str
    network: str
    made_ms: int
    version: str
    nodes: tuple[str, ...]
    files: dict[str, FileMark]

    @property
    def bytes_total(self) -> int:
        """Of all its files."""
        return sum(mark.size for mark in self.files.values())


def check_name(name: str) -> str:
    """Return the name of a snapshot, if it can be one.

    Raises:
        DevnetError: `bad_value`.
    """
    if re.fullmatch(NAME_PATTERN, name) is None:
        found = f"a snapshot {clean_text(name, 32)!r}"
        raise DevnetError("bad_value", found, "a name of small letters, digits, - and _")
    return name


def find_folder(root: Path, name: str) -> Path:
    """Return where a snapshot is kept."""
    return root / SNAPSHOTS / check_name(name)


def list_names(root: Path) -> list[str]:
    """Return the names of all snapshots of a devnet, in order."""
    folder = root / SNAPSHOTS
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if re.fullmatch(NAME_PATTERN, one.name))


def read_index(root: Path, name: str) -> Snapshot:
    """Return the index of a snapshot, as it is; of which network it is has not been looked at.

    Raises:
        DevnetError: `bad_value`, `no_snapshot`, `unknown_format`, `snapshot_damaged`.
    """
    folder = find_folder(root, name)
    if not folder.exists():
        names = list_names(root)
        wanted = (", ".join(names) or "one that `minesync devnet snapshot save` made") + suggest(
            name, names
        )
        raise DevnetError("no_snapshot", name, wanted)
    try:
        with (folder / INDEX).open("rb") as file:
            data = file.read(INDEX_BYTES_MAX + 1)
    except OSError as error:
        raise damaged(name, f"{INDEX}: {error.strerror}", "its index") from error
    if len(data) > INDEX_BYTES_MAX:
        raise damaged(name, f"{INDEX} is too long", f"at most {INDEX_BYTES_MAX} bytes")
    try:
        index = read_record(Snapshot, data, FORMAT, f"snapshot {name}")
    except BadRecord as error:
        if error.code == "unknown_format":
            raise
        raise damaged(name, error.found, error.wanted) from error
    for path in index.files:
        parts = path.split("/")
        if not path.isprintable() or not all(parts) or {".", ".."} & set(parts):
            raise damaged(name, f"a file {clean_text(path, 64)!r}", "paths below the snapshot")
    return index


class Draft:
    """A snapshot that is being made; it appears under its name with `finish`.

    Args:
        root: of the devnet.
        name: of the snapshot.

    Raises:
        DevnetError: `bad_value`, `snapshot_exists`.
        KeyFileError: the folder cannot be made.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._target = find_folder(root, name)
        if self._target.exists():
            wanted = "another name, or that folder deleted"
            raise DevnetError("snapshot_exists", self._target, wanted)
        self._folder = self._target.parent / (_DRAFT + name)
        # What a save left that was killed, whichever its name; `hold_snapshots` holds.
        for left in self._target.parent.glob(f"{_DRAFT}*"):
            shutil.rmtree(left, ignore_errors=True)
        for folder in (self._target.parent, self._folder, self._folder / STATE):
            make_private_folder(folder)
        self._files: dict[str, FileMark] = {}

    def take_bytes(self, path: str, data: bytes) -> None:
        """Put a file into it."""
        replace_private(self._folder / STATE / path, data)
        self._files[path] = FileMark(len(data), hashlib.sha256(data).hexdigest())

    def take_folder(self, folder: Path, path: str) -> None:
        """Copy a folder into it, but for what belongs to a running node.

        Raises:
            DevnetError: `not_a_file`.
        """
        lock = DataPaths(folder).lock.name
        for one in walk(folder):
            if one != lock:
                target = self._folder / STATE / path / one
                self._files[f"{path}/{one}"] = copy_file(folder / one, target)

    def finish(self, devnet: Devnet, version: str) -> Snapshot:
        """Put it on disk under its name."""
        roster = devnet.roster
        index = Snapshot(
            name=self._target.name,
            network=roster.network,
            made_ms=devnet.read_now_ms(),
            version=version,
            nodes=roster.names,
            files=dict(sorted(self._files.items())),
        )
        replace_private(self._folder / INDEX, write_record(index, FORMAT))
        os.sync()
        self._folder.rename(self._target)
        sync_folder(self._target.parent)
        return index

    def abandon(self) -> None:
        """Delete what was not finished; after `finish` there is nothing to delete."""
        shutil.rmtree(self._folder, ignore_errors=True)


def check_origin(devnet: Devnet, index: Snapshot) -> None:
    """Check that a snapshot is of this network.

    Raises:
        DevnetError: `wrong_network`.
    """
    network = devnet.roster.network
    if index.network != network:
        found = f"snapshot {index.name} of network {clean_text(index.network, 32)}"
        raise DevnetError("wrong_network", found, network)


def copy_state(devnet: Devnet, index: Snapshot, target: Path) -> None:
    """Copy the state of a snapshot, checking all of it on the way.

    Raises:
        DevnetError: `wrong_network`, `snapshot_damaged`.
        StorageError: a database in it is of another network, or of no release that we know.
    """
    check_origin(devnet, index)
    source = find_folder(devnet.root, index.name) / STATE
    found = set(walk(source, index.name)) if source.is_dir() else set()
    odd = sorted(found ^ index.files.keys())
    if odd:
        what = "a file too many" if odd[0] in found else "no file"
        raise damaged(index.name, f"{what} {odd[0]}", "what its index names")
    for path, mark in index.files.items():
        made = copy_file(source / path, target / path)
        if made != mark:
            found_text = f"{path} of {made.size} bytes, SHA-256 {made.sha256[:16]}"
            raise damaged(index.name, found_text, f"{mark.size} bytes, {mark.sha256[:16]}")
    network = bytes.fromhex(devnet.roster.network)
    for name in index.nodes:
        database = DataPaths(target / name).database
        if database.exists():
            Folder(database, network).check_marker()


def copy_file(source: Path, target: Path) -> FileMark:
    """Copy a plain file, private whatever it was; return what was copied."""
    make_private_folder(target.parent)
    digest, size = hashlib.sha256(), 0
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb") as copy:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            copy.write(chunk)
    return FileMark(size, digest.hexdigest())


def walk(folder: Path, snapshot: str = "") -> Iterator[str]:
    """Yield the paths of all files below a folder, in order.

    Raises:
        DevnetError: `snapshot_damaged` in a snapshot, else `not_a_file`, for a link or a device.
    """
    for one in sorted(folder.rglob("*")):
        mode = one.lstat().st_mode
        if stat.S_ISREG(mode):
            yield one.relative_to(folder).as_posix()
        elif not stat.S_ISDIR(mode):
            if snapshot:
                raise damaged(snapshot, f"{one.name}, no file", "files and folders")
            raise DevnetError("not_a_file", one, "files and folders alone")


def damaged(name: str, found: object, wanted: object) -> DevnetError:
    """Return the error for a snapshot that is not what its index says."""
    return DevnetError("snapshot_damaged", f"snapshot {name}: {found}", wanted)
