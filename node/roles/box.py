"""What an account has committed to and not shown yet, each thing as a private file of its own.

A commitment can be opened only with what it is to and with its salt, and not to open it costs a
part of a stake. So both are on disk before the commitment is signed. They lie beside the database
and not in it, like the signing marks: a database that is restored, or filled again from peers,
brings the commitment back, but no peer knows the salt.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from node.private_files import (
    KeyFileError,
    create_private,
    make_private_folder,
    read_private,
    sync_folder,
)
from protocol.errors import Rejected
from protocol.schema import decode_record, encode_record

log = structlog.get_logger("roles")

ITEMS_MAX = 4_096
"""Kept in one box at one time; whoever has so much to show takes nothing more on."""
_ENDING = ".cbor"

SALT_BYTES = 32
DrawBytes = Callable[[int], bytes]
"""Draws so many bytes that nobody can guess."""

R = TypeVar("R")


class Box(Generic[R]):
    """Things of one sort, of one account on one network.

    Args:
        folder: where they are kept; None: in memory, which a restart forgets.
        record: what they are.
        get_key: by which they are found; it names the file.
        bytes_max: of one file.

    Raises:
        KeyFileError: the folder is open to others or cannot be made.
    """

    def __init__(
        self, folder: Path | None, record: type[R], get_key: Callable[[R], bytes], bytes_max: int
    ) -> None:
        self._folder = folder
        self._record = record
        self._get_key = get_key
        self._bytes_max = bytes_max
        self._items: dict[bytes, R] = {}
        if folder is None:
            return
        make_private_folder(folder)
        for path in sorted(folder.glob(f"*{_ENDING}")):
            item = self._read(path)
            if item is not None:
                self._items[get_key(item)] = item

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for anything more."""
        return len(self._items) >= ITEMS_MAX

    def list_keys(self) -> list[bytes]:
        """Return the keys of all there is, sorted."""
        return sorted(self._items)

    def get(self, key: bytes) -> R | None:
        """Return one thing, or None."""
        return self._items.get(key)

    def put(self, item: R) -> R:
        """Keep something; it is on disk when this returns.

        Raises:
            KeyFileError: it cannot be written, or there is something already under its key.
        """
        key = self._get_key(item)
        if self._folder is not None:
            create_private(self._path(self._folder, key), encode_record(item))
        self._items[key] = item
        return item

    def remove(self, key: bytes) -> None:
        """Forget what is over."""
        if self._items.pop(key, None) is not None and self._folder is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path(self._folder, key))
                sync_folder(self._folder)

    def _path(self, folder: Path, key: bytes) -> Path:
        return folder / f"{key.hex()}{_ENDING}"

    def _read(self, path: Path) -> R | None:
        """Return what a file holds; one that cannot be read is left where it is, and told."""
        try:
            return decode_record(self._record, read_private(path, self._bytes_max))
        except (Rejected, KeyFileError) as error:
            log.error("box_unreadable", file=path.name, code=error.code, found=error.found)
            return None
