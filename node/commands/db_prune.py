"""minesync db prune: drop the rows of tasks that closed long ago, of a running node too."""

from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from node.commands.common import COMMON, Common, emit, show_pairs
from node.commands.db_store import is_running, open_at_rest
from node.commands.progress import OnProgress, follow, show_progress
from node.rpc.client import RpcClient, connect
from storage.compaction import compact_tables, measure_tables
from storage.prune import Pruner
from storage.store import Store


def db_prune(
    *,
    retention: Annotated[
        int, Parameter(help="Epochs for which a task is kept after it closed for good.")
    ],
    common: Common = COMMON,
) -> None:
    """Drop tasks that closed long ago: rows, index keys, opinions and inputs; then compact.

    Open, disputed and unclaimed tasks stay, and so does everything that was signed. The state root
    is that of before, and peers with another retention have the same.
    """
    if is_running(common.paths):
        with connect(common.paths) as client, show_progress(common, "prune") as tell:
            data = _order(client, retention, tell)
    else:
        with open_at_rest(common.paths) as store, show_progress(common, "prune") as tell:
            data = _prune(store, retention, tell)

    def render(console: Console) -> None:
        show_pairs(console, [(name.replace("_", " "), value) for name, value in data.items()])

    emit(common, data, render)


def _prune(store: Store, retention: int, tell: OnProgress) -> dict[str, Any]:
    before, disk_before = store.pruned, sum(measure_tables(store.engine).values())
    for progress in Pruner(store, retention).steps():
        tell(progress.done, progress.total)
    dropped = store.pruned
    for done, total in compact_tables(store.engine) if dropped.rows > before.rows else ():
        tell(done, total)
    return {
        "retention": retention,
        "tasks": dropped.tasks - before.tasks,
        "rows": dropped.rows - before.rows,
        "dropped_bytes": dropped.size_bytes - before.size_bytes,
        "disk_bytes_before": disk_before,
        "disk_bytes_after": sum(measure_tables(store.engine).values()),
    }


def _order(client: RpcClient, retention: int, tell: OnProgress) -> dict[str, Any]:
    """Have a running node clean up; return what it dropped."""
    status = client.call("db_prune", retention=retention)
    status = follow(client, status, "db_prune_status", tell)
    hidden = ("running", "done", "total", "error")
    return {name: value for name, value in status.items() if name not in hidden}
