"""minesync change: what the network has agreed on, and the votes of its sealers to change it."""

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console

from node.addresses import parse_account
from node.commands.common import (
    COMMON,
    Common,
    emit,
    find_id,
    iterate_pages,
    shorten_id,
    show_pairs,
    show_table,
    show_values,
)
from node.commands.marks import explain_marks, mark
from node.exits import UsageError
from node.rpc.client import connect

app = App(name="change", help="Vote as a sealer on numbers, sealers, validators.")

Action = Literal["set", "admit-sealer", "dismiss-sealer", "admit-validator", "dismiss-validator"]
WhichChange = Annotated[str, Parameter(help="Its id, or the first digits of it.")]


@app.command(name="propose")
def propose(
    action: Annotated[Action, Parameter(help="What is to be done.")],
    what: Annotated[str, Parameter(help="The parameter, or the address of whom it is about.")],
    *values: Annotated[
        int, Parameter(help="Its number, amounts in nano-units; or one for each difficulty.")
    ],
    at: Annotated[int | None, Parameter(help="Epoch from which it holds; else in a day.")] = None,
    common: Common = COMMON,
) -> None:
    """Propose a change and vote for it. Those who seal adopt it by a quorum before it holds."""
    if (action == "set") != bool(values):
        raise UsageError("bad_values", f"{len(values)} values", "numbers to set, none otherwise")
    given: dict[str, Any]
    if action == "set":
        given = {"action": "set_parameter", "name": what, "values": [str(one) for one in values]}
    else:
        given = {"action": action.replace("-", "_"), "address": parse_account(what).hex()}
    with connect(common.paths) as client:
        reply: dict[str, Any] = client.call("change_propose", **given, effective_at=at)
    emit(common, reply, lambda console: _show_vote(console, reply))


@app.command(name="vote")
def vote(change: WhichChange, *, common: Common = COMMON) -> None:
    """Vote for a change that another sealer proposed."""
    with connect(common.paths) as client:
        change_id = find_id(client, change, "change_list", "change_id")
        reply: dict[str, Any] = client.call("change_vote", change_id=change_id)
    emit(common, reply, lambda console: _show_vote(console, reply))


@app.command(name="list")
def list_changes(
    *,
    open: Annotated[bool, Parameter(help="Only those not decided yet.", negative="")] = False,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    common: Common = COMMON,
) -> None:
    """List changes with their votes, provisional ones included."""
    which = "open" if open else None
    with connect(common.paths) as client:
        items = list(iterate_pages(client, "change_list", limit, which=which))

    def render(console: Console) -> None:
        if not items:
            console.print("no changes")
            return
        rows = [
            [
                shorten_id(item.get("change_id")),
                _describe(item),
                item.get("effective_at"),
                mark(item, item.get("status")),
                mark(item, f"{item.get('counted')}/{item.get('quorum')}"),
            ]
            for item in items
        ]
        show_table(console, ("change", "what", "from", "status", "votes"), rows)
        explain_marks(console, items)

    emit(common, {"items": items}, render)


@app.command(name="show")
def show_change(change: WhichChange, *, common: Common = COMMON) -> None:
    """Show one change: who is for it, whose vote is awaited, why it was refused."""
    with connect(common.paths) as client:
        change_id = find_id(client, change, "change_list", "change_id")
        data: dict[str, Any] = client.call("change_get", change_id=change_id)

    def render(console: Console) -> None:
        shown = {name: value for name, value in data.items() if not isinstance(value, dict | list)}
        if data.get("values"):
            shown["values"] = show_values(data["values"])
        for name in ("status", "counted", "missing"):
            shown[name] = mark(data, shown.get(name))
        show_pairs(console, [(name.replace("_", " "), value) for name, value in shown.items()])
        for one in data.get("votes") or []:
            show_pairs(console, [("for it", one.get("sealer"))])
        for address in data.get("awaited") or []:
            show_pairs(console, [("awaited", address)])
        explain_marks(console, data)

    emit(common, data, render)


@app.command(name="charter")
def show_charter(*, common: Common = COMMON) -> None:
    """Show the numbers and the sealers of the network, and what is decided for later."""
    with connect(common.paths) as client:
        data: dict[str, Any] = client.call("charter_get")

    def render(console: Console) -> None:
        rows = [
            [one.get("name"), show_values(one.get("values")), _describe_origin(one)]
            for one in data.get("parameters") or []
        ]
        show_table(console, ("parameter", "value", ""), rows)
        console.print()
        _show_sealers(console, data)
        for later in data.get("later") or []:
            console.print()
            show_pairs(console, [("from epoch", later.get("since"))])
            for one in later.get("changed") or []:
                show_pairs(console, [(one.get("name"), show_values(one.get("values")))])
            _show_sealers(console, later)

    emit(common, data, render)


def _describe(item: dict[str, Any]) -> str:
    about = item.get("name") or shorten_id(item.get("address"))
    verb = str(item.get("action")).removesuffix("_parameter").replace("_", " ")
    words = [verb, about, show_values(item.get("values"))]
    return " ".join(str(word) for word in words if word)


def _describe_origin(one: dict[str, Any]) -> str:
    if one.get("fixed"):
        return "fixed"
    return "" if one.get("values") == one.get("genesis") else f"was {show_values(one['genesis'])}"


def _show_sealers(console: Console, version: dict[str, Any]) -> None:
    show_pairs(console, [("sealer", address) for address in version.get("sealers") or []])
    show_pairs(console, [("quorum", version.get("quorum"))])


def _show_vote(console: Console, reply: dict[str, Any]) -> None:
    names = ("change_id", "voting_deadline", "effective_at")
    show_pairs(console, [(name.replace("_", " "), reply.get(name)) for name in names])
