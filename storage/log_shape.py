"""The shape of RocksDB's logs, looked at before it reads them: one flipped bit makes it hang.

    log      blocks of 32 KiB, of which a record never takes the last 6 bytes alone
    record   checksum 4, length 2 LE, type 1, data; types 1 to 4 in the logs that we write

RocksDB's reader meets a record of a recycled log, which ours never are, and reads it again and
again without an end: an open that never returns. Checksums are RocksDB's business; here only the
headers are walked. The write-ahead log and the manifest have the same shape.
"""

from pathlib import Path
from struct import Struct

from storage.errors import Corrupt

BLOCK_BYTES = 32 << 10
_HEADER = Struct("<4xHB")
_NOTHING = 0
RECYCLED = frozenset({5, 6, 7, 8, 11, 131})
"""Types of records that only recycled logs have."""


def list_logs(folder: Path) -> list[Path]:
    """Return the logs and manifests of a database, sorted."""
    return sorted([*folder.glob("*.log"), *folder.glob("MANIFEST-*")])


def find_trap(file: Path) -> int | None:
    """Return where in a log the record begins at which RocksDB would hang; None if nowhere."""
    with file.open("rb") as opened:
        start = 0
        while block := opened.read(BLOCK_BYTES):
            place = 0
            while place + _HEADER.size <= len(block):
                length, kind = _HEADER.unpack_from(block, place)
                if kind in RECYCLED:
                    return start + place
                if kind == _NOTHING:
                    # Room that was taken and not written yet.
                    break
                place += _HEADER.size + length
            start += len(block)
    return None


def check_logs(folder: Path) -> None:
    """Check that RocksDB can read the logs of a database to their ends.

    Raises:
        Corrupt: `database_damaged`.
    """
    for file in list_logs(folder):
        place = find_trap(file)
        if place is not None:
            found = f"{file.name} with a record of a recycled log at byte {place}"
            raise Corrupt("database_damaged", found, "the records that were written")


def cut_logs(folder: Path) -> None:
    """Cut the logs of a copy where RocksDB would hang: it reads no further than damage anyway."""
    for file in list_logs(folder):
        place = find_trap(file)
        if place is not None:
            with file.open("r+b") as opened:
                opened.truncate(place)
