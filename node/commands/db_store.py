"""The database of a node that does not run, for commands: locked, opened, described."""

from collections.abc import Iterator
from contextlib import contextmanager

from node.clock import read_wall_ms
from node.exits import CommandError
from node.lockfile import NodeLock, read_lock
from node.network import read_genesis
from node.paths import DataPaths
from node.private_files import check_private_folder
from node.version import VERSION
from protocol.genesis import Genesis
from storage.store import Store


@contextmanager
def hold_data_dir(paths: DataPaths) -> Iterator[Genesis]:
    """Keep every node out of a data directory while the block lasts; give its genesis.

    Raises:
        DataDirError: `data_dir_in_use`, naming the process.
        GenesisError, KeyFileError: the directory is not one of ours.
    """
    # Read first: a directory that is none is not given a lock file.
    genesis = read_genesis(paths.genesis)
    check_private_folder(paths.root)
    with NodeLock.acquire(paths.lock, started_ms=read_wall_ms(), version=VERSION):
        yield genesis


@contextmanager
def open_at_rest(paths: DataPaths) -> Iterator[Store]:
    """Open the database of a node that does not run.

    Raises:
        CommandError: `no_database`.
        DataDirError, StorageError: as `hold_data_dir` and `Store.open`.
    """
    with hold_data_dir(paths) as genesis:
        check_database(paths)
        store = Store.open(paths.database, genesis)
        try:
            yield store
        finally:
            store.close()


def check_database(paths: DataPaths) -> None:
    """Check that there is a database.

    Raises:
        CommandError: `no_database`.
    """
    if not paths.database.is_dir() or not any(paths.database.iterdir()):
        wanted = "one that `minesync run` or `minesync db restore` made"
        raise CommandError("no_database", f"nothing in {paths.database}", wanted)


def is_running(paths: DataPaths) -> bool:
    """Tell whether a node with an RPC runs here."""
    info = read_lock(paths.lock)
    return info is not None and bool(info.rpc_url)
