"""Blobs: what is too large for a transaction, under the hash of its content.

    blobs          hash -> size (8 BE)
    blob_pieces    hash, offset (8 BE) -> up to 64 KiB

In pieces, because a peer asks for pieces and RocksDB does not like large values. In two tables, so
that listing blobs does not read them.
"""

from protocol.errors import Rejected
from protocol.hashing import HASH_BYTES, compute_content_hash
from protocol.task_types import BLOB_BYTES_MAX
from storage.engine import Batch, Engine
from storage.errors import Corrupt

BLOBS, PIECES = "blobs", "blob_pieces"
PIECE_BYTES = 64 << 10


class Blobs:
    """Content-addressed bytes, each at most `BLOB_BYTES_MAX`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def has(self, content_hash: bytes) -> bool:
        """Tell whether a blob is stored."""
        return self.size(content_hash) is not None

    def size(self, content_hash: bytes) -> int | None:
        """Return the length of a blob in bytes, or None."""
        if len(content_hash) != HASH_BYTES:
            return None
        data = self._engine.get(BLOBS, content_hash)
        return None if data is None else int.from_bytes(data, "big")

    def get(self, content_hash: bytes) -> bytes | None:
        """Return a blob, its hash checked, or None.

        Raises:
            Corrupt: `blob_damaged`.
        """
        size = self.size(content_hash)
        if size is None:
            return None
        data = self.read(content_hash, 0, size)
        if compute_content_hash(data) != content_hash:
            raise Corrupt("blob_damaged", content_hash.hex()[:16], "content of this hash")
        return data

    def read(self, content_hash: bytes, offset: int, size: int) -> bytes:
        """Return at most `size` bytes of a blob from an offset on; nothing beyond its end."""
        first = offset // PIECE_BYTES * PIECE_BYTES
        lower = content_hash + first.to_bytes(8, "big")
        upper = content_hash + (offset + size).to_bytes(8, "big")
        pieces = b"".join(piece for _, piece in self._engine.scan(PIECES, lower, upper))
        return pieces[offset - first : offset - first + size]

    def put(self, content_hash: bytes, data: bytes) -> None:
        """Store a blob; one that is there already is left alone.

        Raises:
            Rejected: `blob_too_long` or `blob_mismatch`.
        """
        if len(data) > BLOB_BYTES_MAX:
            raise Rejected("blob_too_long", f"{len(data)} bytes", f"at most {BLOB_BYTES_MAX}")
        found = compute_content_hash(data)
        if found != content_hash:
            raise Rejected("blob_mismatch", found.hex()[:16], content_hash.hex()[:16])
        if self.has(content_hash):
            return
        batch = Batch()
        batch.put(BLOBS, content_hash, len(data).to_bytes(8, "big"))
        for offset in range(0, len(data), PIECE_BYTES):
            piece = data[offset : offset + PIECE_BYTES]
            batch.put(PIECES, content_hash + offset.to_bytes(8, "big"), piece)
        self._engine.write(batch, sync=True)

    def stage_delete(self, batch: Batch, content_hash: bytes) -> int:
        """Remove a blob that nothing needs any more; return the bytes freed."""
        size = self.size(content_hash)
        if size is None:
            return 0
        batch.delete(BLOBS, content_hash)
        for offset in range(0, size, PIECE_BYTES):
            batch.delete(PIECES, content_hash + offset.to_bytes(8, "big"))
        return size
