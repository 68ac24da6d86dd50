"""minesync db: what the database holds, whether it is whole, copies of it, and its repair.

`info` and `backup` ask the node if it runs; the others need it stopped, and say which process runs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from node.commands.common import COMMON, Common, emit, show_pairs, show_table
from node.commands.db_backup import app as backup_app
from node.commands.db_backup import find_folder
from node.commands.db_prune import db_prune
from node.commands.db_report import db_report
from node.commands.db_store import check_database, hold_data_dir, is_running, open_at_rest
from node.commands.progress import OnProgress, show_progress
from node.exits import Exit, UsageError
from node.rpc.client import connect
from node.rpc.methods.checks import show_report
from node.rpc.methods.database import describe_store
from node.state_check import StateReport, check_state
from protocol.errors import Rejected
from protocol.genesis import Genesis
from storage.compaction import compact_tables, measure_tables
from storage.errors import Corrupt
from storage.migrations import SCHEMA, find_copy
from storage.rebuild import find_missing_keys, find_stale_keys
from storage.restore import restore as restore_backup
from storage.salvage import salvage
from storage.scrub import scrub
from storage.store import Store

FAULTS_SHOWN_MAX = 100
app = App(name="db", help="Inspect, check, copy and repair the database.")
app.command(backup_app)
app.command(db_report, name="report")
app.command(db_prune, name="prune")


@app.command(name="info")
def info(*, common: Common = COMMON) -> None:
    """Print format, network, head, counts and the bytes of every table."""
    if is_running(common.paths):
        with connect(common.paths) as client:
            data: dict[str, Any] = client.call("db_info")
    else:
        with open_at_rest(common.paths) as store:
            data = describe_store(store)

    def render(console: Console) -> None:
        nested = ("columns", "pruned")
        pairs = [(name, value) for name, value in data.items() if name not in nested]
        pairs += [(f"pruned {name}", value) for name, value in data["pruned"].items()]
        show_pairs(console, [(name.replace("_", " "), value) for name, value in pairs])
        rows = [[name, row["keys"], row["bytes"]] for name, row in data["columns"].items()]
        show_table(console, ("table", "keys, about", "bytes"), rows)

    emit(common, data, render)


@app.command(name="verify")
def verify(*, common: Common = COMMON) -> int:
    """Read everything at rest and compare it with what it must be."""
    with open_at_rest(common.paths) as store, show_progress(common, "verify") as tell:
        faults = list(_scrub(store, tell))
    return _report_faults(common, faults, {"epoch": store.head.epoch})


@app.command(name="check")
def check(*, common: Common = COMMON) -> int:
    """Compare every index with the rows; compute state root and sums anew."""
    with open_at_rest(common.paths) as store, show_progress(common, "check") as tell:
        faults = [f"indexes: no {key.hex()[:64]}" for key in find_missing_keys(store.engine)]
        faults += [f"indexes: stale {key.hex()[:64]}" for key in find_stale_keys(store.engine)]
        report = _run_check(store, tell)
    if report.found != report.wanted:
        faults.append(f"rows: they hash to another root than that of epoch {report.epoch}")
    faults += report.broken
    return _report_faults(common, faults, show_report(report, None))


@app.command(name="compact")
def compact(*, common: Common = COMMON) -> None:
    """Rewrite every table without what was deleted."""
    with open_at_rest(common.paths) as store, show_progress(common, "compact") as tell:
        before = measure_tables(store.engine)
        for done, total in compact_tables(store.engine):
            tell(done, total)
        after = measure_tables(store.engine)
    data = {
        "bytes_before": sum(before.values()),
        "bytes_after": sum(after.values()),
        "columns": {name: {"before": before[name], "after": after[name]} for name in before},
    }

    def render(console: Console) -> None:
        rows = [[name, before[name], after[name]] for name in before]
        rows.append(["all", data["bytes_before"], data["bytes_after"]])
        show_table(console, ("table", "bytes before", "bytes after"), rows)

    emit(common, data, render)


@app.command(name="migrate")
def migrate(*, common: Common = COMMON) -> None:
    """Bring a database of an older release to the schema of this one; every open does.

    Before it is changed it is copied, by hard links, to a folder beside it.
    """
    with open_at_rest(common.paths) as store:
        before = store.migrated_from
    copy = None if before is None else str(find_copy(common.paths.database, before))
    data = {"schema": SCHEMA, "migrated_from": before, "copy": copy}
    emit(common, data, lambda console: show_pairs(console, _name_pairs(data)))


@app.command(name="restore")
def restore(
    backup: Annotated[str, Parameter(help="Number of a backup, or the folder of one.")],
    *,
    folder: Annotated[
        Path | None, Parameter(help="Folder of all backups, else that of the data directory.")
    ] = None,
    common: Common = COMMON,
) -> None:
    """Make the database anew from a backup; there must be none yet.

    Every signature, seal and state root is checked. What this machine ever signed stays on record:
    until its peers have told the node what the backup lacks, it signs nothing.
    """
    paths = common.paths
    source = _find_backup(backup, find_folder(common, folder))
    with hold_data_dir(paths) as genesis, show_progress(common, "restore") as tell:
        manifest = restore_backup(source, paths.database, genesis, on_bytes=tell)
    data = {
        "backup": str(source),
        "epoch": manifest.epoch,
        "state_root": manifest.state_root.hex(),
        "transactions": manifest.transactions,
        "evidence": manifest.evidence,
        "blobs": manifest.blobs,
    }
    emit(common, data, lambda console: show_pairs(console, _name_pairs(data)))


@app.command(name="repair")
def repair(
    *,
    accept: Annotated[
        bool,
        Parameter(help="Serve with what a repair left: no peer has more.", negative=""),
    ] = False,
    common: Common = COMMON,
) -> None:
    """Keep a damaged database aside, and make a new one of what is whole in it.

    The node then refills from its peers, and is ready once it stands where they stand. A database
    without damage is left as it is.
    """
    paths = common.paths
    with hold_data_dir(paths) as genesis:
        check_database(paths)
        if accept:
            data = _accept(paths.database, genesis)
        else:
            with show_progress(common, "verify") as tell:
                damage = _find_damage(paths.database, genesis, tell)
            data = _repair(paths.database, genesis, damage)
    emit(common, data, lambda console: show_pairs(console, _name_pairs(data)))


def _scrub(store: Store, tell: OnProgress) -> Iterator[str]:
    # Steps are no share of the whole; the rows and transactions are most of it.
    total = store.totals.rows + 2 * store.totals.stored + store.head.epoch
    for step, line in enumerate(scrub(store)):
        tell(min(step * 100, total - 1), total)
        if line is not None:
            yield line
    tell(total, total)


def _run_check(store: Store, tell: OnProgress) -> StateReport:
    steps = check_state(store)
    while True:
        try:
            tell(next(steps), store.totals.rows)
        except StopIteration as end:
            report: StateReport = end.value
            return report


def _report_faults(common: Common, faults: list[str], facts: dict[str, Any]) -> int:
    data = {
        **facts,
        "ok": not faults,
        "faults": faults[:FAULTS_SHOWN_MAX],
        "faults_count": len(faults),
    }

    def render(console: Console) -> None:
        if not faults:
            console.print(f"whole, at epoch {facts['epoch']}")
            return
        show_table(console, ("fault",), [[line] for line in faults[:FAULTS_SHOWN_MAX]])
        console.print(f"{len(faults)} faults; `minesync db repair` makes the database anew")

    emit(common, data, render)
    return Exit.STORAGE_DAMAGED if faults else Exit.OK


def _find_backup(text: str, folder: Path) -> Path:
    if text.isascii() and text.isdigit() and len(text) <= 6:
        return folder / f"{int(text):06d}"
    if not Path(text).is_dir():
        raise UsageError("bad_backup", repr(text[:200]), "the number of a backup, or its folder")
    return Path(text).absolute()


def _find_damage(path: Path, genesis: Genesis, tell: OnProgress) -> str | None:
    """Return the first damage there is; None if the database is whole."""
    try:
        store = Store.open(path, genesis)
    except (Corrupt, Rejected) as error:
        return str(error)
    try:
        return next(_scrub(store, tell), None)
    finally:
        store.close()


def _repair(path: Path, genesis: Genesis, damage: str | None) -> dict[str, Any]:
    if damage is None:
        return {"damage": "none", "repaired": False}
    saved = salvage(path, genesis)
    try:
        return {
            "damage": damage,
            "repaired": True,
            "aside": str(saved.aside),
            "epoch": saved.replayed.epoch,
            "stopped": saved.replayed.stopped,
            "carried": saved.carried,
            "transactions": saved.store.totals.stored,
            "next": "minesync run: it refills from its peers",
        }
    finally:
        saved.store.close()


def _accept(path: Path, genesis: Genesis) -> dict[str, Any]:
    store = Store.open(path, genesis)
    try:
        reason = store.needs_repair
        store.mark_repaired()
        return {"accepted": reason is not None, "reason": reason, "epoch": store.head.epoch}
    finally:
        store.close()


def _name_pairs(data: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name.replace("_", " "), value) for name, value in data.items()]
