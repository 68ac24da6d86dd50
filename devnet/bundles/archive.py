"""A tar.gz of a few known files: written the same for the same content, read as a stranger's.

Read is less than tar can say: plain files in ustar headers, nothing else. No file is unpacked, so
no name can lead anywhere; what is read is bounded by file, by count, in all, and by how much a
byte of the archive may become.
"""

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from devnet.errors import DevnetError
from devnet.manifests.tables import NODES_MAX, SPARES_MAX
from node.text import clean_text

FILES_MAX = 2 * (NODES_MAX + SPARES_MAX) + 8
"""Options and a log of every peer that a devnet can have, and what is there once."""
BYTES_MAX = 640 << 20
"""Of all files together."""
RATIO_MAX = 400
"""Bytes that one byte of the archive may become. Logs become some twenty."""
RATIO_FREE_BYTES = 4 << 20
"""So much may come of any archive."""
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 18

FindLimit = Callable[[str], int | None]
"""Returns how long a file of a name may be; None for a name that nobody knows."""


def write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    """Write an archive, in the order of names, without times, owners and modes of this machine.

    Raises:
        DevnetError: `no_bundle`: it cannot be written.
    """
    made = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=made, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, data in sorted(files.items()):
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(data), 0o600
            archive.addfile(header, io.BytesIO(data))
    draft = path.with_name(f".{path.name}.draft")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        # For the owner alone: logs and options are his to give away.
        with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
            file.write(made.getvalue())
        draft.replace(path)
    except OSError as error:
        raise DevnetError("no_bundle", f"{path}: {error.strerror}", "a writable folder") from error


def read_archive(path: Path, find_limit: FindLimit) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of an archive.

    Args:
        path: of the archive.
        find_limit: what may be in it.

    Raises:
        DevnetError: `no_bundle`, or `bad_bundle`: whatever is wrong with it.
    """
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file, mode="rb") as packed:
            yield from _Reader(file, packed, find_limit).read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad("the stream is damaged, or cut off", "a whole tar.gz") from error
    except OSError as error:
        raise DevnetError("no_bundle", f"{path}: {error.strerror}", "a file") from error


class _Reader:
    def __init__(self, file: BinaryIO, packed: gzip.GzipFile, find_limit: FindLimit) -> None:
        self._file = file
        self._packed = packed
        self._find_limit = find_limit
        self._bytes = 0

    def read(self) -> Iterator[tuple[str, bytes]]:
        names: set[str] = set()
        while True:
            block = self._take(_BLOCK)
            if not any(block):
                break
            header = _read_header(block)
            name, size = header.name, header.size
            limit = self._find_limit(name)
            if limit is None or name in names:
                what = "twice" if name in names else "of no bundle"
                raise _bad(f"a file {clean_text(name, 64)!r} {what}", "known files, each once")
            if not 0 <= size <= limit:
                raise _bad(f"{name} of {size} bytes", f"at most {limit}")
            names.add(name)
            if len(names) > FILES_MAX:
                raise _bad(f"more than {FILES_MAX} files", f"at most {FILES_MAX}")
            data = self._take(size)
            if any(self._take(-size % _BLOCK)):
                raise _bad(f"bytes between files, after {name}", "nothing")
            yield name, data
        self._check_end()

    def _check_end(self) -> None:
        """Check that only the zeros with which tar fills its last record come after the files."""
        left = 0
        while chunk := self._pull(_CHUNK):
            left += len(chunk)
            if any(chunk) or left > tarfile.RECORDSIZE:
                raise _bad("bytes after the end", "nothing")

    def _take(self, size: int) -> bytes:
        parts, left = [], size
        while left:
            part = self._pull(min(left, _CHUNK))
            if not part:
                raise _bad("the archive ends within a file", "a whole tar.gz")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _pull(self, size: int) -> bytes:
        part = self._packed.read(size)
        self._bytes += len(part)
        if self._bytes > BYTES_MAX:
            raise _bad(f"more than {BYTES_MAX} bytes in all", f"at most {BYTES_MAX}")
        read = max(1, self._file.tell())
        if self._bytes > max(RATIO_FREE_BYTES, RATIO_MAX * read):
            raise _bad(f"{self._bytes} bytes out of {read}", f"at most {RATIO_MAX} for one")
        return part


def _read_header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise _bad("a header that is none", "ustar headers") from error
    # A link or a device has no business here; long names and sparse files are not needed.
    if header.type != tarfile.REGTYPE or block[257:265] != tarfile.POSIX_MAGIC:
        raise _bad(f"{clean_text(header.name, 64)!r} is no plain file", "plain files")
    return header


def _bad(found: object, wanted: object) -> DevnetError:
    return DevnetError("bad_bundle", found, wanted)
