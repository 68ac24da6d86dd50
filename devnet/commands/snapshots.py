"""`snapshot save`, `load` and `list`: the state of the whole devnet under a name."""

from datetime import UTC, datetime
from typing import Annotated, Any

import trio
from cyclopts import App, Parameter

from devnet.commands.common import HERE, Json, Where, print_json
from devnet.errors import DevnetError
from devnet.snapshots.album import list_names, read_index
from devnet.snapshots.keeper import load_snapshot, save_snapshot
from node.commands.common import make_console, show_table

app = App(name="snapshot", help="Keep the state of the whole devnet, and bring it back.")

Name = Annotated[str, Parameter(help="Of the snapshot.")]
_MIB = 1 << 20


@app.command(name="save")
def save(name: Name, *, where: Where = HERE) -> None:
    """Keep the state under a name; peers that run are restarted for it."""
    index = trio.run(save_snapshot, where.open(), name)
    size = f"{index.bytes_total / _MIB:.1f} MiB"
    make_console().print(f"{name}: {len(index.nodes)} peers, {len(index.files)} files, {size}")


@app.command(name="load")
def load(name: Name, *, where: Where = HERE) -> None:
    """Bring all peers back to that state; what came since is gone, peers that came too."""
    cluster = where.open()
    after = trio.run(load_snapshot, cluster, name)
    console = make_console()
    console.print(f"{name}: {', '.join(after.devnet.names)} are as they were")
    gone = [one for one in cluster.devnet.names if one not in after.devnet.names]
    if gone:
        console.print(f"gone: {', '.join(gone)}")
    if not after.find_running():
        console.print("none runs: `minesync devnet up` starts them")


@app.command(name="list")
def list_all(*, as_json: Json = False, where: Where = HERE) -> None:
    """List the snapshots. One that cannot be loaded is named with its fault."""
    devnet = where.load()
    rows: list[dict[str, Any]] = []
    for name in list_names(devnet.root):
        try:
            index = read_index(devnet.root, name)
        except DevnetError as error:
            rows.append({"name": name, "fault": str(error)})
            continue
        made = datetime.fromtimestamp(index.made_ms / 1_000, UTC)
        rows.append(
            {
                "name": name,
                "made": made.isoformat(timespec="seconds"),
                "peers": len(index.nodes),
                "bytes": index.bytes_total,
                "version": index.version,
            }
        )
    if as_json:
        print_json({"items": rows})
        return
    console = make_console()
    if not rows:
        console.print("no snapshots")
        return
    names = ("name", "made", "peers", "bytes", "fault")
    show_table(console, names, [[row.get(name) for name in names] for row in rows])
