"""minesync account: what an account has and how far its chain is."""

from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from node.addresses import parse_account
from node.commands.common import COMMON, Common, emit, show_coins, show_pairs
from node.commands.marks import explain_marks, mark
from node.rpc.client import connect


def account(
    address: Annotated[str | None, Parameter(help="Address; the node's own by default.")] = None,
    *,
    common: Common = COMMON,
) -> None:
    """Print balance and chain of an account."""
    asked = parse_account(address).hex() if address else None
    with connect(common.paths) as client:
        data: dict[str, Any] = client.call("account_get", address=asked)

    def render(console: Console) -> None:
        amounts = {"balance", "provisional_balance", "staked", "claimable"}
        shown = {
            name: show_coins(value) if name in amounts else value
            for name, value in data.items()
            if not isinstance(value, dict | list)
        }
        for name in ("provisional_balance", "next_seq"):
            shown[name] = mark(data, shown.get(name))
        show_pairs(console, [(name.replace("_", " "), value) for name, value in shown.items()])
        explain_marks(console, data)

    emit(common, data, render)
