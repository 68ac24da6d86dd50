"""minesync conflicts: what the rules refused, and what a seal made otherwise than it was shown."""

from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from node.commands.common import (
    COMMON,
    Common,
    emit,
    find_id,
    iterate_pages,
    shorten_id,
    show_table,
)
from node.commands.marks import explain_marks, mark
from node.exits import UsageError
from node.rpc.client import connect


def conflicts(
    task: Annotated[
        str | None, Parameter(help="Only of this task: its id or the first digits.")
    ] = None,
    *,
    reversals: Annotated[
        bool,
        Parameter(help="What this node showed and a seal made otherwise.", negative=""),
    ] = False,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    common: Common = COMMON,
) -> None:
    """List rulings: transactions that did not apply, each with its reason."""
    if reversals:
        if task is not None:
            raise UsageError("bad_flags", "a task and --reversals", "either of them")
        _list_reversals(common, limit)
        return
    with connect(common.paths) as client:
        task_id = find_id(client, task, "task_list", "task_id") if task else None
        items = list(iterate_pages(client, "check_conflicts", limit, task_id=task_id))

    def render(console: Console) -> None:
        if not items:
            console.print("nothing was refused")
            return
        rows = [
            [
                shorten_id(item.get("tx_id")),
                item.get("kind"),
                item.get("epoch"),
                mark(item, item.get("code")),
                shorten_id(item.get("lost_to")),
            ]
            for item in items
        ]
        show_table(console, ("transaction", "kind", "epoch", "because", "lost to"), rows)
        explain_marks(console, items)

    emit(common, {"items": items}, render)


def _list_reversals(common: Common, limit: int) -> None:
    with connect(common.paths) as client:
        items = list(iterate_pages(client, "check_reversals", limit))
        total = client.call("check_reversals", limit=1).get("total")

    def render(console: Console) -> None:
        if not items:
            console.print("no seal made otherwise what this node had shown")
            return
        rows = [
            [
                item.get("epoch"),
                item.get("what"),
                shorten_id(item.get("id")),
                item.get("was"),
                item.get("is"),
                item.get("code"),
                shorten_id(item.get("lost_to")),
            ]
            for item in items
        ]
        show_table(console, ("epoch", "what", "id", "was", "is", "because", "lost to"), rows)
        console.print(f"{len(items)} of {total}")

    emit(common, {"items": items, "total": total}, render)
