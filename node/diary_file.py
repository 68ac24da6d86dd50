"""The diary of this node's sealer, on disk before a word of it is sent.

A sealer that crashed and came back must not contradict what it said before, and must be able to
show again what it made others vote for. So its diary and the sets that it names lie in a file of
their own beside the database, like the signing marks: a database restored from yesterday brings
back an older state, but no older promise.

    file = [check 32][number 8][record]      check = SHA-256 of the rest, number counts the pages

Two files are written in turn, each with one call and one sync: a write that a power cut tears
damages the older page only, and what the newer one was to say has not been sent.
"""

import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from node.high_water import SigningError
from node.private_files import create_private, read_private
from protocol import codec
from protocol.agreement_effects import Diary
from protocol.errors import Rejected
from protocol.hashing import HASH_BYTES
from protocol.messages import pack_ids, unpack_ids
from protocol.plan import SET_IDS_MAX
from protocol.schema import AtMost, encode_record, from_plain
from protocol.seals import compute_set_root
from storage.folder import NO_ROOM, translate_os_error

SETS_MAX = 4
FILE_BYTES_MAX = SETS_MAX * SET_IDS_MAX * HASH_BYTES + (1 << 20)
_CHECK_BYTES = 32
_NUMBER_BYTES = 8
_TAG = b"minesync/diary/2"
_TAG_BEFORE = b"minesync/diary/1"
"""Of releases whose sealers signed a state before its set was decided."""


@dataclass(frozen=True, slots=True)
class _Page:
    """What the file holds."""

    diary: Diary
    sets: Annotated[
        tuple[Annotated[bytes, AtMost(SET_IDS_MAX * HASH_BYTES)], ...], AtMost(SETS_MAX)
    ]


class DiaryFile:
    """The diary of one sealer. One writer: the holder of the data directory's lock.

    Args:
        path: of the two files, but for their endings; None: in memory, which a restart forgets.

    Raises:
        SigningError: `diary_damaged`.
        KeyFileError: `key_readable_by_others`, ...
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._page: _Page | None = None
        self._number = 0
        self._handles: list[int] = []
        if path is None:
            return
        places = [path.with_name(f"{path.name}.{ending}") for ending in ("0", "1")]
        for place in places:
            if not place.exists():
                create_private(place, b"")
        contents = [read_private(place, FILE_BYTES_MAX, "a sealer's diary") for place in places]
        pages = [page for page in map(_read_page, contents) if page is not None]
        if pages:
            self._number, self._page = max(pages, key=lambda page: page[0])
        elif all(contents):
            raise SigningError("diary_damaged", path, "one page of two intact")
        self._handles = [os.open(place, os.O_WRONLY | os.O_NOFOLLOW) for place in places]

    def close(self) -> None:
        """Close the files."""
        while self._handles:
            os.close(self._handles.pop())

    def read(self) -> tuple[Diary, dict[bytes, Sequence[bytes]]] | None:
        """Return the diary and its sets by root; None if this sealer never said anything."""
        if self._page is None:
            return None
        sets = [unpack_ids(packed, SET_IDS_MAX) for packed in self._page.sets]
        return self._page.diary, {compute_set_root(ids): ids for ids in sets}

    def write(self, diary: Diary, sets: Mapping[bytes, Sequence[bytes]]) -> None:
        """Put the diary on disk; call it before any word of it is sent.

        Args:
            diary: what the sealer must not forget.
            sets: ids by set root, of the plans that the diary names as far as they are known.

        Raises:
            SigningError: `diary_unwritable`.
            Full: `disk_full`.
        """
        roots = dict.fromkeys(plan.set_root for plan in diary.list_plans())
        packed = tuple(pack_ids(sets[root]) for root in roots if root in sets)
        page = _Page(diary, packed)
        if self._path is not None:
            self._write_page(self._number + 1, encode_record(page))
        self._number += 1
        self._page = page

    def _write_page(self, number: int, record: bytes) -> None:
        body = number.to_bytes(_NUMBER_BYTES, "big") + record
        data = _compute_check(body) + body
        handle = self._handles[number % 2]
        try:
            os.ftruncate(handle, len(data))
            if os.pwrite(handle, data, 0) != len(data):
                raise OSError(errno.ENOSPC, "No space left on device")
            os.fdatasync(handle)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise translate_os_error(error) from error
            raise SigningError("diary_unwritable", error.strerror, "a writable disk") from error


def _read_page(data: bytes) -> tuple[int, _Page | None] | None:
    """Return a page and its number; None if there is none, or a torn one.

    Nothing of an earlier release's page can be said again in this one. It counts as empty: the mark
    of the sealer keeps it silent in the epoch that it spoke of.
    """
    check, body = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if not data or check not in (_compute_check(body), _compute_check(body, _TAG_BEFORE)):
        return None
    number = int.from_bytes(body[:_NUMBER_BYTES], "big")
    if check != _compute_check(body):
        return number, None
    try:
        plain = codec.decode(body[_NUMBER_BYTES:], bytes_max=FILE_BYTES_MAX)
        page = from_plain(_Page, plain)
    except Rejected as error:
        raise SigningError("diary_damaged", str(error), "a diary of this release") from error
    return number, page


def _compute_check(body: bytes, tag: bytes = _TAG) -> bytes:
    return hashlib.sha256(tag + body).digest()
