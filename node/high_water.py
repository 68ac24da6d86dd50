"""The highest sequence number that each of this node's accounts ever signed.

Two transactions of one author with one number are the worst thing an honest node can do by
accident: a database restored from yesterday is enough. So the mark lives beside the database, is on
disk before anything it covers is published, and only rises. The order is: store, mark, publish. A
mark above the database's own head then means one thing only: the database is older than the mark.

    slot = [address 32][seq 8, big-endian][check 24]     check = SHA-256 of the rest, cut

An account has two slots that are written in turn: a write that is torn by a power cut damages the
older truth only. A slot never crosses a sector.
"""

import hashlib
import os
from pathlib import Path

from node.private_files import create_private, read_private
from protocol.errors import BlamedError
from protocol.keys import ADDRESS_BYTES
from storage.folder import NO_ROOM, translate_os_error

SLOT_BYTES = 64
PAIR_BYTES = 2 * SLOT_BYTES
ACCOUNTS_MAX = 64
FILE_BYTES_MAX = PAIR_BYTES * ACCOUNTS_MAX
SEQ_MAX = (1 << 63) - 1
_SEQ_BYTES = 8
_TAG = b"minesync/mark/1"


class SigningError(BlamedError):
    """This machine must not sign: it did already, or can no longer tell whether it did."""


class HighWater:
    """The marks of one data directory. One writer: the holder of the directory's lock.

    Args:
        path: the file; it is made when it is missing. None: in memory, which a restart forgets.

    Raises:
        SigningError: `mark_damaged`.
        KeyFileError: `key_readable_by_others`, `key_unwritable`, ...
    """

    def __init__(self, path: Path | None) -> None:
        self._places: dict[bytes, int] = {}
        self._marks: dict[bytes, int] = {}
        self._newer: dict[bytes, int] = {}
        self._handle = -1
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        if not path.exists():
            create_private(path, b"")
        content = read_private(path, FILE_BYTES_MAX)
        # A last pair that is short or blank was being appended when the power went: what it was to
        # cover has not been published.
        content = content[: len(content) // PAIR_BYTES * PAIR_BYTES]
        if content.endswith(bytes(PAIR_BYTES)):
            content = content[:-PAIR_BYTES]
        for start in range(0, len(content), PAIR_BYTES):
            self._read_pair(path, content[start : start + PAIR_BYTES], start)
        self._handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)

    def get(self, address: bytes) -> int | None:
        """Return the highest number that an account ever signed, None if it never did."""
        return self._marks.get(address)

    def raise_to(self, address: bytes, seq: int) -> None:
        """Put on disk that an account signs up to `seq`; call it before publishing any of it.

        One call covers a whole batch: only its highest number matters.

        Raises:
            SigningError: `already_signed` at or below the mark, `too_many_accounts`,
                `mark_unwritable`.
            Full: `disk_full`.
        """
        mark = self._marks.get(address)
        if mark is not None and seq <= mark:
            raise SigningError("already_signed", f"seq {seq}", f"above {mark}")
        if len(address) != ADDRESS_BYTES or not 0 <= seq <= SEQ_MAX:
            raise ValueError("an address of 32 bytes and a seq of 63 bits")
        if self._handle >= 0:
            self._write(address, seq)
        self._marks[address] = seq

    def _write(self, address: bytes, seq: int) -> None:
        start = self._places.get(address)
        slot = encode_slot(address, seq)
        try:
            if start is None:
                start = self._append(address, slot)
            else:
                place = 1 - self._newer[address]
                os.pwrite(self._handle, slot, start + place * SLOT_BYTES)
                os.fdatasync(self._handle)
                self._newer[address] = place
        except OSError as error:
            if error.errno in NO_ROOM:
                raise translate_os_error(error) from error
            raise SigningError("mark_unwritable", error.strerror, "a writable disk") from error

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _append(self, address: bytes, slot: bytes) -> int:
        if len(self._places) >= ACCOUNTS_MAX:
            raise SigningError("too_many_accounts", len(self._places) + 1, f"up to {ACCOUNTS_MAX}")
        start = PAIR_BYTES * len(self._places)
        os.pwrite(self._handle, slot + slot, start)
        os.fsync(self._handle)
        self._places[address] = start
        self._newer[address] = 0
        return start

    def _read_pair(self, path: Path, pair: bytes, start: int) -> None:
        slots = [decode_slot(pair[:SLOT_BYTES]), decode_slot(pair[SLOT_BYTES:])]
        valid = [(slot[1], slot[0], place) for place, slot in enumerate(slots) if slot is not None]
        if not valid:
            raise SigningError("mark_damaged", f"{path} at byte {start}", "one slot of two intact")
        seq, address, place = max(valid)
        self._places[address] = start
        self._marks[address] = seq
        self._newer[address] = place


def encode_slot(address: bytes, seq: int) -> bytes:
    """Return the 64 bytes of one slot."""
    head = address + seq.to_bytes(_SEQ_BYTES, "big")
    return head + _compute_check(head)


def decode_slot(slot: bytes) -> tuple[bytes, int] | None:
    """Return (address, seq) of a slot, None if its check fails."""
    head, check = slot[: ADDRESS_BYTES + _SEQ_BYTES], slot[ADDRESS_BYTES + _SEQ_BYTES :]
    if check != _compute_check(head):
        return None
    return head[:ADDRESS_BYTES], int.from_bytes(head[ADDRESS_BYTES:], "big")


def _compute_check(head: bytes) -> bytes:
    return hashlib.sha256(_TAG + head).digest()[: SLOT_BYTES - len(head)]
