"""RocksEngine: RocksDB through rocksdict. The only file that imports rocksdict.

Rule 1: raw mode, always; the default mode unpickles what it reads.
Rule 2: every error of the library is translated here, once.
Rule 3: an iterator is asked for its status when it ends: a flipped bit ends a scan in silence.
Rule 4: iterators and table handles are dropped before the close, or the lock outlives it. Read
        options are kept as long as their iterator, which looks into their memory.
Rule 5: the sequence number after each synced write goes to the floor file; a database that
        opens below its floor has lost acknowledged writes, whatever its own checks say.

The folder around RocksDB's own files is `storage.folder`'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakSet

from rocksdict import (
    BlockBasedOptions,
    Cache,
    Checkpoint,
    ColumnFamily,
    DbClosedError,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from storage.engine import TABLES, Batch, Row
from storage.errors import Closed, Corrupt, Full, StorageError
from storage.folder import Folder
from storage.rocks_texts import DATABASE_FIGURES, DETAIL_CHARS_MAX, TABLE_FIGURES, translate_text

MIB = 1 << 20
SCAN_PAGE_ROWS_MAX = 128


@dataclass(frozen=True, slots=True)
class RocksSettings:
    """Memory and work of one database.

    Attributes:
        cache_bytes: block cache of all tables together, index and filter blocks included.
        write_buffers_bytes: memtables of all tables together.
        background_jobs: threads for flushes and compactions.
    """

    cache_bytes: int = 8 * MIB
    write_buffers_bytes: int = 16 * MIB
    background_jobs: int = 2


class _Cursor:
    """The one reference to a running iterator, so that a close can drop it.

    The read options live as long: the bound that the iterator compares with is their memory.
    """

    __slots__ = ("__weakref__", "iterator", "options")

    def __init__(self, iterator: RdictIter, options: ReadOptions) -> None:
        self.iterator: RdictIter | None = iterator
        self.options = options


class RocksEngine:
    """An engine in a folder of its own."""

    def __init__(
        self,
        path: Path,
        *,
        network: bytes,
        settings: RocksSettings | None = None,
        tables: Sequence[str] = TABLES,
        salvage: bool = False,
    ) -> None:
        """Open the database of `network` in `path`; create it where there is none.

        With `salvage` a damaged log is read up to the damage, and lost writes are no error: only
        `storage.salvage` asks for it.

        Raises:
            InUse: another process has it; the error names the process if it left a lock file.
            WrongNetwork: the folder is another network's or holds something that is not ours.
            FormatTooNew: a later release wrote it.
            Corrupt: files are missing or damaged, or acknowledged writes are gone.
            Full: no room.
        """
        self._folder = Folder(path, network)
        self._settings = settings or RocksSettings()
        self._table_names = tuple(tables)
        self._synced = WriteOptions()
        self._synced.sync = True
        self._unsynced = WriteOptions()
        self._database: Rdict | None = None
        self._columns: dict[str, Rdict] = {}
        self._handles: dict[str, ColumnFamily] = {}
        self._cursors: WeakSet[_Cursor] = WeakSet()
        self._open(salvage)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def get(self, table: str, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        column = self._column(table)
        try:
            value: bytes | None = column.get(key)
        except Exception as error:
            raise self._translate(error) from error
        return value

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in the order asked."""
        column = self._column(table)
        try:
            values: list[bytes | None] | None = column.get(list(keys))
        except Exception as error:
            raise self._translate(error) from error
        return values or []

    def scan(
        self, table: str, lower: bytes = b"", upper: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Row]:
        """Return the rows with lower <= key < upper as of now."""
        column = self._column(table)
        if upper is not None and upper <= lower:
            return iter(())
        options = ReadOptions()
        # The library does not apply a lower bound in raw mode: it is compared here instead.
        if upper is not None:
            options.set_iterate_upper_bound(upper)
        try:
            iterator = column.iter(options)
            if reverse:
                iterator.seek_to_last()
            else:
                iterator.seek(lower)
        except Exception as error:
            raise self._translate(error) from error
        cursor = _Cursor(iterator, options)
        self._cursors.add(cursor)
        return self._walk(cursor, lower, reverse)

    def _walk(self, cursor: _Cursor, lower: bytes, reverse: bool) -> Iterator[Row]:
        page_rows = 1
        while True:
            page, is_last = self._read_page(cursor, lower, reverse, page_rows)
            yield from page
            if is_last:
                return
            page_rows = min(2 * page_rows, SCAN_PAGE_ROWS_MAX)

    def _read_page(
        self, cursor: _Cursor, lower: bytes, reverse: bool, page_rows: int
    ) -> tuple[list[Row], bool]:
        iterator = cursor.iterator
        if iterator is None:
            raise _closed()
        page: list[Row] = []
        try:
            step = iterator.prev if reverse else iterator.next
            while len(page) < page_rows and iterator.valid():
                key = iterator.key()
                if reverse and key < lower:
                    return page, True
                page.append((key, iterator.value()))
                step()
            if not iterator.valid():
                iterator.status()
                return page, True
        except Exception as error:
            raise self._translate(error) from error
        return page, False

    def write(self, batch: Batch, *, sync: bool) -> None:
        """Apply a batch atomically; with `sync` it is on disk when this returns.

        Raises:
            Full: reads do not see the batch; after making room, `reopen`, and it is in or not.
        """
        database = self._require_open()
        raw = WriteBatch(raw_mode=True)
        handles = self._handles
        for table, key, value in batch.operations:
            if type(key) is not bytes or (value is not None and type(value) is not bytes):
                raise TypeError(f"{table}: keys and values are bytes")
            if value is None:
                raw.delete(key, handles[table])
            else:
                raw.put(key, value, handles[table])
        try:
            database.write(raw, self._synced if sync else self._unsynced)
            if sync:
                self._folder.write_floor(database.latest_sequence_number())
        except Exception as error:
            raise self._translate(error) from error

    def flush(self) -> None:
        """Write all memtables to files and sync them."""
        database = self._require_open()
        try:
            for column in self._columns.values():
                column.flush(wait=True)
            database.flush_wal(sync=True)
            self._folder.write_floor(database.latest_sequence_number())
        except Exception as error:
            raise self._translate(error) from error

    def compact(self, table: str) -> None:
        """Rewrite a table without what was deleted. Releases the interpreter's lock."""
        column = self._column(table)
        try:
            column.compact_range(None, None)
        except Exception as error:
            raise self._translate(error) from error

    def checkpoint(self, path: Path) -> None:
        """Write a consistent copy to a new folder; it opens like any other. Files are hard links.

        Raises:
            StorageError: `folder_not_empty`; or as `write`.
        """
        database = self._require_open()
        copy = Folder(path, self._folder.network)
        copy.create()
        copy.lock(is_new=True)
        try:
            Checkpoint(database).create_checkpoint(str(copy.rocks))
            copy.write_floor(database.latest_sequence_number())
            copy.mark_ready()
        except Exception as error:
            raise self._translate(error) from error
        finally:
            copy.close()

    def properties(self) -> Mapping[str, Mapping[str, int]]:
        """Return RocksDB's figures by table; the row "" holds those of the whole database."""
        database = self._require_open()
        figures = {"": _read_properties(database, DATABASE_FIGURES)}
        for name, column in self._columns.items():
            row = _read_properties(column, TABLE_FIGURES)
            row["bytes"] = row["files_bytes"] + row["memtables_bytes"]
            figures[name] = row
        return figures

    def close(self) -> None:
        """Drop iterators and handles, then the database; a second close is no error."""
        database, self._database = self._database, None
        for cursor in list(self._cursors):
            cursor.iterator = None
        self._columns.clear()
        self._handles.clear()
        self._folder.close()
        if database is None:
            return
        try:
            database.close()
        except Exception as error:
            raise self._translate(error) from error

    def reopen(self, *, room_bytes_min: int | None = None) -> None:
        """Close and open again: RocksDB stays read-only after a full disk until this is done.

        `room_bytes_min` is what must be free first; by default two rounds of write buffers.

        Raises:
            Full: there is still too little room; this handle goes on serving reads.
            StorageError: as the constructor, with this handle closed.
        """
        if room_bytes_min is None:
            room_bytes_min = 2 * self._settings.write_buffers_bytes
        self._folder.check_room(room_bytes_min)
        # The last flush may have no room; what it would have written is in the log.
        with suppress(Full):
            self.close()
        self._open(salvage=False)

    def _open(self, salvage: bool) -> None:
        try:
            is_new = self._folder.prepare(is_salvage=salvage)
            floor = 0 if is_new or salvage else self._folder.read_floor()
            sequence = self._open_database(is_new, salvage)
            if sequence < floor:
                raise Corrupt("acknowledged_lost", f"sequence {sequence}", f"at least {floor}")
            self._folder.write_floor(sequence)
            if is_new:
                self._folder.mark_ready()
        except Exception as error:
            with suppress(StorageError):
                self.close()
            raise self._translate(error) from error

    def _open_database(self, is_new: bool, salvage: bool) -> int:
        """Open RocksDB with all tables; return its sequence number."""
        cache = Cache(self._settings.cache_bytes)
        modes = DBRecoveryMode
        mode = modes.point_in_time() if salvage else modes.tolerate_corrupted_tail_records()
        names = set(self._table_names)
        if not is_new:
            # A later release's tables too: its schema can then be read, and names the release.
            names |= set(Rdict.list_cf(str(self._folder.rocks))) - {"default"}
        build = partial(_build_options, self._settings, cache, mode, is_new)
        columns = {name: build() for name in sorted(names)}
        database = Rdict(str(self._folder.rocks), build(), column_families=columns)
        self._database = database
        for name in self._table_names:
            self._columns[name] = database.get_column_family(name)
            self._handles[name] = database.get_column_family_handle(name)
        return database.latest_sequence_number()

    def _require_open(self) -> Rdict:
        if self._database is None:
            raise _closed()
        return self._database

    def _column(self, table: str) -> Rdict:
        self._require_open()
        return self._columns[table]

    def _translate(self, error: Exception) -> StorageError:
        """Return our error for one of the library, which raises plain exceptions with a text."""
        if isinstance(error, StorageError):
            return error
        if isinstance(error, DbClosedError):
            return _closed()
        return translate_text(str(error), self._folder.path)


def _build_options(
    settings: RocksSettings, cache: Cache, recovery: DBRecoveryMode, is_new: bool
) -> Options:
    """Return the founding document's options and the bounds that keep an idle node small."""
    options = Options(raw_mode=True)
    # A database that has been there once is never created anew in the place of a lost one.
    options.create_if_missing(is_new)
    options.create_missing_column_families(True)
    options.set_max_open_files(1_000)
    options.set_use_fsync(False)
    options.set_bytes_per_sync(MIB)
    options.set_wal_bytes_per_sync(MIB)
    options.set_max_background_jobs(settings.background_jobs)
    options.set_paranoid_checks(True)
    options.set_wal_recovery_mode(recovery)
    # Tables flush together, so that a lost log leaves an older state and not a mixed one.
    options.set_atomic_flush(True)
    options.set_db_write_buffer_size(settings.write_buffers_bytes)
    options.set_write_buffer_size(max(MIB, settings.write_buffers_bytes // 2))
    # The default arena would take a mebibyte for the first byte of each table.
    options.set_arena_block_size(32 << 10)
    options.set_max_write_buffer_number(2)
    options.set_max_total_wal_size(4 * settings.write_buffers_bytes)
    options.set_manifest_preallocation_size(64 << 10)
    options.set_max_manifest_file_size(4 * MIB)
    options.set_keep_log_file_num(3)
    options.set_max_log_file_size(MIB)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_level_compaction_dynamic_level_bytes(True)
    blocks = BlockBasedOptions()
    blocks.set_block_size(8 << 10)
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(10, False)
    blocks.set_cache_index_and_filter_blocks(True)
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
    blocks.set_format_version(5)
    options.set_block_based_table_factory(blocks)
    return options


def repair_files(folder: Folder) -> None:
    """Let RocksDB rebuild its list of files from those that are readable.

    Raises:
        Corrupt: it found none.
    """
    try:
        Rdict.repair(str(folder.rocks), Options(raw_mode=True))
    except Exception as error:
        raise Corrupt("repair_failed", str(error)[:DETAIL_CHARS_MAX], "a database") from error


def _read_properties(database: Rdict, names: Mapping[str, str]) -> dict[str, int]:
    return {name: database.property_int_value(source) or 0 for name, source in names.items()}


def _closed() -> Closed:
    return Closed("storage_closed", "a call after close", "an open database")
