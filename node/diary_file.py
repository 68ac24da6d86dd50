"""The diary of this node's sealer, on disk before a word of it is sent.

A sealer that crashed and came back must not contradict what it said before, and must be able to
show again what it made others vote for. So its diary and the sets that it names lie in a file of
their own beside the database, like the signing marks: a database restored from yesterday brings
back an older state, but no older promise.

    file = [check 32][record]      check = SHA-256 of the record; written anew, whole or not at all
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from node.high_water import SigningError
from node.private_files import KeyFileError, read_private, replace_private
from protocol import codec
from protocol.agreement_effects import Diary
from protocol.ballots import SET_IDS_MAX
from protocol.errors import Rejected
from protocol.hashing import HASH_BYTES
from protocol.messages import pack_ids, unpack_ids
from protocol.schema import AtMost, encode_record, from_plain
from protocol.seals import compute_set_root

SETS_MAX = 4
FILE_BYTES_MAX = SETS_MAX * SET_IDS_MAX * HASH_BYTES + (1 << 20)
_CHECK_BYTES = 32
_TAG = b"minesync/diary/1"


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
        path: the file; None: in memory, which a restart forgets.

    Raises:
        SigningError: `diary_damaged`.
        KeyFileError: `key_readable_by_others`, ...
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._page: _Page | None = None
        if path is not None and path.exists():
            self._page = _read(path)

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
            sets: ids by set root, of the contents that the diary names as far as they are known.

        Raises:
            SigningError: `diary_unwritable`.
        """
        roots = dict.fromkeys(content.set_root for content in diary.list_contents())
        packed = tuple(pack_ids(sets[root]) for root in roots if root in sets)
        page = _Page(diary, packed)
        if self._path is not None:
            record = encode_record(page)
            try:
                replace_private(self._path, _compute_check(record) + record)
            except KeyFileError as error:
                raise SigningError("diary_unwritable", error.found, "a writable disk") from error
        self._page = page


def _read(path: Path) -> _Page:
    data = read_private(path, FILE_BYTES_MAX, "a sealer's diary")
    check, record = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if check != _compute_check(record):
        raise SigningError("diary_damaged", path, "the check of what it holds")
    try:
        return from_plain(_Page, codec.decode(record, bytes_max=FILE_BYTES_MAX))
    except Rejected as error:
        raise SigningError("diary_damaged", f"{path}: {error}", "a diary") from error


def _compute_check(record: bytes) -> bytes:
    return hashlib.sha256(_TAG + record).digest()
