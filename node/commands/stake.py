"""minesync stake: the registration stake of the account of the node that runs here."""

from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from node.addresses import parse_account
from node.commands.common import COMMON, Common, emit, parse_coins, show_coins, show_pairs
from node.commands.marks import explain_marks, mark
from node.rpc.client import connect

app = App(name="stake", help="Add to the account's stake, leave, take it back.")


@app.command(name="show")
def show_stake(
    miner: Annotated[str | None, Parameter(help="Of this account; else the node's.")] = None,
    *,
    common: Common = COMMON,
) -> None:
    """Show a stake, and when it can be taken back."""
    address = parse_account(miner).hex() if miner else None
    with connect(common.paths) as client:
        data: dict[str, Any] = client.call("stake_get", address=address)

    def render(console: Console) -> None:
        shown = {name: value for name, value in data.items() if not isinstance(value, dict)}
        for name in ("stake", "forfeited"):
            shown[name] = mark(data, show_coins(shown.get(name)))
        shown["status"] = mark(data, shown.get("status"))
        show_pairs(console, [(name.replace("_", " "), value) for name, value in shown.items()])
        explain_marks(console, data)

    emit(common, data, render)


@app.command(name="deposit")
def deposit(
    amount: Annotated[str, Parameter(help="Coins, such as 12.5.")], *, common: Common = COMMON
) -> None:
    """Add to the stake."""
    nano = parse_coins(amount)
    with connect(common.paths) as client:
        reply = client.call("stake_deposit", amount=str(nano))
    emit(common, reply, lambda console: console.print(f"deposited {show_coins(nano)}"))


@app.command(name="exit")
def leave(*, common: Common = COMMON) -> None:
    """Take part no more. The stake can be taken back once the exit window has passed."""
    with connect(common.paths) as client:
        reply = client.call("stake_exit")
        until = client.call("stake_get").get("withdrawable_after")
    emit(common, reply, lambda console: console.print(f"leaving; withdraw after epoch {until}"))


@app.command(name="withdraw")
def withdraw(*, common: Common = COMMON) -> None:
    """Take the stake back once the exit window has passed."""
    with connect(common.paths) as client:
        reply = client.call("stake_withdraw")
    emit(common, reply, lambda console: console.print("withdrawn"))
