"""minesync db backup: make, list and verify copies of what was signed."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from node.commands.common import COMMON, Common, emit, show_pairs, show_table
from node.commands.db_store import is_running, open_at_rest
from node.commands.progress import OnProgress, follow, show_progress
from node.exits import Exit
from node.network import read_genesis
from node.rpc.client import RpcClient, connect
from node.rpc.methods.database import describe_backup
from storage.backup import BackupWriter
from storage.backup_folder import find_backup, list_backups, prune_backups
from storage.errors import StorageError
from storage.restore import verify_backup

app = App(name="backup", help="Make a backup; `list` and `verify` those there are.")

Folder = Annotated[
    Path | None, Parameter(help="Folder of all backups, else that of the data directory.")
]


def find_folder(common: Common, folder: Path | None) -> Path:
    """Return the folder of backups that is meant."""
    return common.paths.backups if folder is None else folder.expanduser().absolute()


@app.default
def backup(
    *,
    folder: Folder = None,
    keep: Annotated[int, Parameter(help="Keep so many, remove older ones; 0 keeps all.")] = 0,
    common: Common = COMMON,
) -> None:
    """Make a backup, of a running node too. It is made under a new number."""
    chosen = find_folder(common, folder)
    if is_running(common.paths):
        with connect(common.paths) as client, show_progress(common, "backup") as tell:
            data = _order(client, chosen, keep, tell)
    else:
        with open_at_rest(common.paths) as store, show_progress(common, "backup") as tell:
            writer = BackupWriter(store, chosen)
            try:
                for progress in writer.steps():
                    tell(progress.done, progress.total)
                made = writer.finish()
            finally:
                writer.abandon()
            pruned = prune_backups(chosen, keep) if keep else []
            data = {**describe_backup(made), "pruned": pruned}
    _emit(common, data)


@app.command(name="list")
def list_all(*, folder: Folder = None, common: Common = COMMON) -> None:
    """List the backups there are. A damaged one is named with its fault."""
    items = [describe_backup(one) for one in list_backups(find_folder(common, folder))]

    def render(console: Console) -> None:
        if not items:
            console.print("no backups")
            return
        names = ("number", "epoch", "transactions", "bytes", "fault")
        show_table(console, names, [[item.get(name) for name in names] for item in items])

    emit(common, {"items": items}, render)


@app.command(name="verify")
def verify(
    number: Annotated[int | None, Parameter(help="Of the backup; by default the latest.")] = None,
    *,
    folder: Folder = None,
    common: Common = COMMON,
) -> int:
    """Check a backup whole: checksum, every signature and every state root. Nothing is changed."""
    chosen = find_folder(common, folder)
    numbers = [one.number for one in list_backups(chosen)]
    if number is None and not numbers:
        raise StorageError("no_backup", f"nothing in {chosen}", "a backup")
    found = find_backup(chosen, numbers[-1] if number is None else number)
    genesis = read_genesis(common.paths.genesis)
    work = chosen / f"{found.number:06d}.verify"
    with show_progress(common, "verify") as tell:
        verify_backup(found.path, genesis, work, on_bytes=tell)
    _emit(common, {"ok": True, **describe_backup(found)})
    return Exit.OK


def _order(client: RpcClient, folder: Path, keep: int, tell: OnProgress) -> dict[str, Any]:
    """Have a running node make a backup; return what it made."""
    status = client.call("db_backup", folder=str(folder), keep=keep)
    status = follow(client, status, "db_backup_status", tell)
    return {**status["backup"], "pruned": status["pruned"]}


def _emit(common: Common, data: dict[str, Any]) -> None:
    pairs = [(name.replace("_", " "), value) for name, value in data.items() if value != []]
    emit(common, data, lambda console: show_pairs(console, pairs))
