"""minesync conflicts: what the rules refused, which rule it was, and which transaction won."""

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
from node.rpc.client import connect


def conflicts(
    task: Annotated[
        str | None, Parameter(help="Only of this task: its id or the first digits.")
    ] = None,
    *,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    common: Common = COMMON,
) -> None:
    """List rulings: transactions that did not apply, each with its reason."""
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
                item.get("code"),
                shorten_id(item.get("lost_to")),
            ]
            for item in items
        ]
        show_table(console, ("transaction", "kind", "epoch", "because", "lost to"), rows)

    emit(common, {"items": items}, render)
