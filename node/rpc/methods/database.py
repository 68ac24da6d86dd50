"""db_*: what the database of this node holds, and copies of it."""

from pathlib import Path
from typing import Any

from node.peer import Peer
from node.rpc.method import Method, Param, bad_param, read_int, read_text
from protocol.errors import BlamedError
from protocol.params import EPOCH_MAX
from storage.backup_folder import Backup
from storage.folder import FORMAT
from storage.migrations import SCHEMA
from storage.store import Store

PATH_CHARACTERS_MAX = 4_096
KEEP_MAX = 10_000


def read_database(peer: Peer) -> dict[str, Any]:
    """Return format, head, counts, and bytes by table."""
    return describe_store(peer.state.store)


def start_backup(peer: Peer, *, folder: str, keep: int) -> dict[str, Any]:
    """Begin a backup; `db_backup_status` tells how it goes."""
    if folder:
        chosen = Path(folder)
        if not chosen.is_absolute():
            raise bad_param("folder", folder, "an absolute path")
    elif peer.paths is not None:
        chosen = peer.paths.backups
    else:
        raise bad_param("folder", "nothing", "an absolute path: this node has no data directory")
    peer.backups.start(chosen, keep)
    return read_backup_status(peer)


def read_backup_status(peer: Peer) -> dict[str, Any]:
    """Return how the latest backup stands."""
    status = peer.backups.status
    progress, error = status.progress, status.error
    return {
        "running": status.is_running,
        "done": 0 if progress is None else progress.done,
        "total": 0 if progress is None else progress.total,
        "backup": None if status.backup is None else describe_backup(status.backup),
        "pruned": list(status.pruned),
        "error": None if error is None else _show_error(error),
    }


def start_prune(peer: Peer, *, retention: int) -> dict[str, Any]:
    """Begin a clean-up; `db_prune_status` tells how it goes."""
    peer.cleaner.start(retention)
    return read_prune_status(peer)


def read_prune_status(peer: Peer) -> dict[str, Any]:
    """Return how the latest clean-up stands."""
    status = peer.cleaner.status
    progress, error = status.progress, status.error
    before, after = status.disk_bytes
    return {
        "running": status.is_running,
        "retention": status.retention,
        "done": 0 if progress is None else progress.done,
        "total": 0 if progress is None else progress.total,
        "tasks": status.tasks,
        "rows": status.rows,
        "dropped_bytes": status.dropped_bytes,
        "disk_bytes_before": before,
        "disk_bytes_after": after,
        "error": None if error is None else _show_error(error),
    }


def _show_error(error: BlamedError) -> dict[str, str]:
    return {"name": error.code, "found": error.found, "wanted": error.wanted}


def describe_store(store: Store) -> dict[str, Any]:
    """Return what is in a store, for people and programs."""
    head, totals = store.head, store.totals
    figures = store.engine.properties()
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "network": store.genesis.network.hex(),
        "network_name": store.genesis.name,
        "genesis_hash": store.genesis.hash.hex(),
        "epoch": head.epoch,
        "seal_hash": head.seal_hash.hex(),
        "state_root": head.state_root.hex(),
        "transactions": totals.stored,
        "open": totals.open,
        "sealed": totals.sealed,
        "evidence": totals.evidence,
        "rows": totals.rows,
        "pruned": {
            "upto_epoch": store.pruned.upto,
            "tasks": store.pruned.tasks,
            "rows": store.pruned.rows,
            "bytes": store.pruned.size_bytes,
        },
        "needs_repair": store.needs_repair,
        "columns": {
            name: {"keys": row.get("keys", 0), "bytes": row.get("bytes", 0)}
            for name, row in sorted(figures.items())
            if name
        },
    }


def describe_backup(backup: Backup) -> dict[str, Any]:
    """Return one backup, for people and programs."""
    manifest = backup.manifest
    shown: dict[str, Any] = {
        "number": backup.number,
        "path": str(backup.path),
        "fault": backup.fault,
    }
    if manifest is not None:
        shown |= {
            "network": manifest.network.hex(),
            "epoch": manifest.epoch,
            "seal_hash": manifest.seal_hash.hex(),
            "state_root": manifest.state_root.hex(),
            "transactions": manifest.transactions,
            "evidence": manifest.evidence,
            "blobs": manifest.blobs,
            "bytes": manifest.items_bytes,
        }
    return shown


METHODS = (
    Method("db_info", read_database, "What the database holds: head, counts, bytes by table."),
    Method(
        "db_backup",
        start_backup,
        "Begin a backup of this node; db_backup_status tells how it goes.",
        (
            Param("folder", read_text(PATH_CHARACTERS_MAX), "absolute path of all backups", ""),
            Param("keep", read_int(0, KEEP_MAX), "how many stay; 0 for all", 0),
        ),
    ),
    Method("db_backup_status", read_backup_status, "How the latest backup stands."),
    Method(
        "db_prune",
        start_prune,
        "Drop tasks that closed for good so many epochs ago; db_prune_status tells how it goes.",
        (Param("retention", read_int(1, EPOCH_MAX), "epochs for which such a task is kept"),),
    ),
    Method("db_prune_status", read_prune_status, "How the latest clean-up stands."),
)
