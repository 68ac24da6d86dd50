"""RocksDB's texts: names of its figures, and its errors, of which only a text arrives in Python."""

import shutil
from pathlib import Path

from storage.errors import Corrupt, Full, InUse, StorageError
from storage.folder import read_holder

DETAIL_CHARS_MAX = 300

DATABASE_FIGURES = {
    "background_errors": "rocksdb.background-errors",
    "is_write_stopped": "rocksdb.is-write-stopped",
    "delayed_write_rate": "rocksdb.actual-delayed-write-rate",
    "block_cache_bytes": "rocksdb.block-cache-usage",
    "snapshots": "rocksdb.num-snapshots",
}

TABLE_FIGURES = {
    "keys": "rocksdb.estimate-num-keys",
    "files_bytes": "rocksdb.live-sst-files-size",
    "files_all_bytes": "rocksdb.total-sst-files-size",
    "memtables_bytes": "rocksdb.cur-size-all-mem-tables",
    "pending_compaction_bytes": "rocksdb.estimate-pending-compaction-bytes",
}

_FULL = ("No space left", "quota exceeded", "Space limit")
_DAMAGED = ("Corruption", "No such file", "does not exist")


def translate_text(text: str, path: Path) -> StorageError:
    """Return our error for a text of RocksDB about the database in `path`."""
    text = text[:DETAIL_CHARS_MAX]
    if "/LOCK" in text and ("lock hold" in text or "lock file" in text):
        return InUse("database_in_use", read_holder(path), "a database at rest")
    if any(mark in text for mark in _FULL):
        free = shutil.disk_usage(path).free
        return Full("disk_full", f"{free} bytes free, {text}", "room on the disk")
    if any(mark in text for mark in _DAMAGED):
        return Corrupt("database_damaged", text, "the bytes that were written")
    return StorageError("storage_failed", text, "a working disk")
