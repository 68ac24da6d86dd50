"""minesync answer: the answers that miners gave."""

from typing import Annotated, Any

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
    show_coins,
    show_pairs,
    show_table,
)
from node.commands.marks import explain_marks, mark
from node.rpc.client import connect

app = App(name="answer", help="List and show answers.")


@app.command(name="list")
def list_answers(
    *,
    task: Annotated[str | None, Parameter(help="Only to this task.")] = None,
    miner: Annotated[str | None, Parameter(help="Only of this account.")] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    common: Common = COMMON,
) -> None:
    """List answers, the newest last."""
    address = parse_account(miner).hex() if miner else None
    with connect(common.paths) as client:
        task_id = find_id(client, task, "task_list", "task_id") if task else None
        pages = iterate_pages(client, "answer_list", limit, task_id=task_id, miner=address)
        items = list(pages)

    def render(console: Console) -> None:
        show_answers(console, items)
        explain_marks(console, items)

    emit(common, {"items": items}, render)


@app.command(name="show")
def show_answer(
    answer: Annotated[str, Parameter(help="Its id, or the first digits of it.")],
    *,
    common: Common = COMMON,
) -> None:
    """Show one answer with what is known of its content."""
    with connect(common.paths) as client:
        submission_id = find_id(client, answer, "answer_list", "submission_id")
        data: dict[str, Any] = client.call("answer_get", submission_id=submission_id)

    def render(console: Console) -> None:
        shown = {name: value for name, value in data.items() if not isinstance(value, dict | list)}
        content = shown.pop("content", None)
        for name in ("stake", "forfeited"):
            if name in shown:
                shown[name] = show_coins(shown[name])
        shown["status"] = mark(data, shown.get("status"))
        pairs = [(name.replace("_", " "), value) for name, value in shown.items()]
        show_pairs(console, [*pairs, ("content", _read_content(content))])
        _show_votes(console, data)
        explain_marks(console, data)

    emit(common, data, render)


def show_answers(console: Console, items: list[dict[str, Any]]) -> None:
    """Write answers as a table."""
    if not items:
        console.print("no answers")
        return
    rows = [
        [
            shorten_id(item.get("submission_id")),
            shorten_id(item.get("task_id")),
            shorten_id(item.get("miner")),
            mark(item, item.get("status")),
            mark(item, item.get("score")),
        ]
        for item in items
    ]
    show_table(console, ("answer", "task", "miner", "status", "score"), rows)


def _show_votes(console: Console, answer: dict[str, Any]) -> None:
    rows = [
        [
            shorten_id(vote.get("validator")),
            mark(vote, vote.get("state")),
            vote.get("verdict"),
            vote.get("score"),
            vote.get("round"),
            vote.get("voted_at"),
        ]
        for vote in answer.get("validations") or []
    ]
    if rows:
        console.print()
        show_table(console, ("vote of", "state", "verdict", "score", "round", "shown at"), rows)


def _read_content(content: Any) -> str | None:
    """Return content as text if it is text, else as the hex that came."""
    if not isinstance(content, str):
        return None
    try:
        return bytes.fromhex(content.removeprefix("0x")).decode("utf-8")
    except ValueError:
        return content
