"""minesync peers: who is connected, and how to meet one more."""

from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from node.addresses import check_peer_address
from node.commands.common import COMMON, Common, emit, show_line, show_table
from node.rpc.client import connect

app = App(name="peers", help="Who is connected; `peers add` dials one more.")
_DIAL_TIMEOUT_MS = 15_000


@app.default
def list_peers(*, common: Common = COMMON) -> None:
    """List the peers that are connected now."""
    with connect(common.paths) as client:
        data = client.call("net_peers")
    columns = ("peer", "state", "epoch", "faults")
    rows = [[entry.get(name) for name in columns] for entry in data.get("items", [])]

    def render(console: Console) -> None:
        if rows:
            show_table(console, columns, rows)
        else:
            console.print("no peers")

    emit(common, data, render)


@app.command(name="add")
def add_peer(
    address: Annotated[str, Parameter(help="/ip4/HOST/tcp/PORT/p2p/PEER")],
    *,
    common: Common = COMMON,
) -> None:
    """Dial a peer and stay in touch with it."""
    check_peer_address(address)
    with connect(common.paths, _DIAL_TIMEOUT_MS) as client:
        data = client.call("net_peer_add", address=address)
    emit(common, data, lambda console: show_line(console, f"connected to {address}"))
