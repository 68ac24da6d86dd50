"""minesync task: publish work, follow it, call it off."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console

from node.addresses import parse_account
from node.commands.answer import show_answers
from node.commands.common import (
    COMMON,
    Common,
    emit,
    find_id,
    iterate_pages,
    parse_coins,
    read_file,
    shorten_id,
    show_coins,
    show_pairs,
    show_table,
)
from node.commands.marks import explain_marks, mark
from node.commands.task_fields import build_task_type
from node.exits import UsageError
from node.rpc.client import connect
from node.text import clean_text
from protocol.params import SCALE
from protocol.task_types import BLOB_BYTES_MAX

app = App(name="task", help="Publish, list, show and cancel tasks.")

TITLE_CHARACTERS_SHOWN = 24
Level = Literal["beginner", "intermediate", "advanced", "expert"]
WhichTask = Annotated[str, Parameter(help="Its id, or the first digits of it.")]


@app.command(name="publish")
def publish(
    title: Annotated[str, Parameter(help="What is wanted, in a line.")],
    *,
    description: Annotated[str, Parameter(help="What is wanted, in full.")],
    reward: Annotated[str, Parameter(help="Coins, such as 12.5; held in escrow at once.")],
    type: Annotated[str, Parameter(help="Type of task, such as code_analysis.")] = "general_task",
    field: Annotated[
        list[str] | None,
        Parameter(help="A field of the type, such as language=python.", negative_iterable=""),
    ] = None,
    input: Annotated[Path | None, Parameter(help="File that miners work on, up to 1 MiB.")] = None,
    window: Annotated[int | None, Parameter(help="Epochs for answers; else the least.")] = None,
    difficulty: Annotated[Level, Parameter(help="Class of the task.")] = "beginner",
    stake: Annotated[str | None, Parameter(help="Coins a miner stakes; else the least.")] = None,
    participants: Annotated[int, Parameter(help="Places for miners.")] = 10,
    reviewers: Annotated[int | None, Parameter(help="Votes an answer needs.")] = None,
    threshold: Annotated[
        int | None, Parameter(help="Agreement it needs, in percent; else 60, or the least.")
    ] = None,
    quality: Annotated[int, Parameter(help="Least score of a winner, 0 to 100.")] = 60,
    requirements: Annotated[str, Parameter(help="What an answer must contain.")] = "",
    dry_run: Annotated[bool, Parameter(help="Only print what it costs.", negative="")] = False,
    common: Common = COMMON,
) -> None:
    """Put a task on offer. The node that runs here signs it with its account."""
    data = b"" if input is None else read_file(input, BLOB_BYTES_MAX)
    terms: dict[str, Any] = {
        "task_type": build_task_type(type, field or []),
        "title": title,
        "description": description,
        "reward": str(parse_coins(reward)),
        "max_participants": participants,
        "difficulty": difficulty,
        "quality_threshold": quality,
        "submission_requirements": requirements,
    }
    chosen = {
        "submission_epochs": window,
        "stake_required": None if stake is None else str(parse_coins(stake)),
        "required_reviewers": reviewers,
        "consensus_threshold": None if threshold is None else _read_threshold(threshold),
    }
    # What is not chosen the node does, which knows what the network asks for now.
    terms |= {name: value for name, value in chosen.items() if value is not None}
    method = "task_estimate" if dry_run else "task_publish"
    with connect(common.paths) as client:
        reply: dict[str, Any] = client.call(method, terms=terms, data="0x" + data.hex())

    def render(console: Console) -> None:
        if dry_run:
            amounts = ("fee", "reward", "total", "balance")
            show_pairs(console, [(name, show_coins(reply.get(name))) for name in amounts])
        else:
            show_pairs(console, [("task", reply.get("task_id")), ("signed as", reply.get("tx_id"))])

    emit(common, reply, render)


@app.command(name="list")
def list_tasks(
    *,
    status: Annotated[str | None, Parameter(help="Only in this status, such as Published.")] = None,
    publisher: Annotated[str | None, Parameter(help="Only of this account.")] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    common: Common = COMMON,
) -> None:
    """List tasks, provisional moves included."""
    address = parse_account(publisher).hex() if publisher else None
    with connect(common.paths) as client:
        pages = iterate_pages(client, "task_list", limit, status=status, publisher=address)
        items = list(pages)

    def render(console: Console) -> None:
        if not items:
            console.print("no tasks")
            return
        rows = [
            [
                shorten_id(item.get("task_id")),
                mark(item, item.get("status")),
                show_coins(item.get("reward")),
                _count(item.get("participants")),
                item.get("submission_deadline"),
                clean_text(str(item.get("title") or ""), TITLE_CHARACTERS_SHOWN),
            ]
            for item in items
        ]
        show_table(console, ("task", "status", "reward", "answers", "until", "title"), rows)
        explain_marks(console, items)

    emit(common, {"items": items}, render)


@app.command(name="show")
def show_task(task: WhichTask, *, common: Common = COMMON) -> None:
    """Show one task and every move it made."""
    with connect(common.paths) as client:
        task_id = find_id(client, task, "task_list", "task_id")
        data: dict[str, Any] = client.call("task_get", task_id=task_id)

    def render(console: Console) -> None:
        shown = {name: value for name, value in data.items() if not isinstance(value, dict | list)}
        shown["participants"] = _count(data.get("participants"))
        for name in ("status", "winner"):
            shown[name] = mark(data, shown.get(name))
        for name in ("reward", "stake_required"):
            if name in shown:
                shown[name] = show_coins(shown[name])
        for name, value in (data.get("task_type") or {}).items():
            shown[name] = ", ".join(value) if isinstance(value, list) else value
        show_pairs(console, [(name.replace("_", " "), value) for name, value in shown.items()])
        _show_moves(console, data)
        if data.get("submissions"):
            console.print()
            show_answers(console, data["submissions"])
        _show_rewards(console, data)
        explain_marks(console, data)

    emit(common, data, render)


@app.command(name="cancel")
def cancel(
    task: WhichTask,
    *,
    reason: Annotated[str, Parameter(help="Why, for people.")] = "",
    common: Common = COMMON,
) -> None:
    """Call off a task of yours that nobody has taken up; its reward comes back."""
    with connect(common.paths) as client:
        task_id = find_id(client, task, "task_list", "task_id")
        data = client.call("task_cancel", task_id=task_id, reason=reason)
    emit(common, data, lambda console: console.print(f"cancelled {task_id}"))


@app.command(name="answers")
def answers(
    task: WhichTask,
    *,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    common: Common = COMMON,
) -> None:
    """List the answers to a task."""
    with connect(common.paths) as client:
        task_id = find_id(client, task, "task_list", "task_id")
        items = list(iterate_pages(client, "task_answers", limit, task_id=task_id))

    def render(console: Console) -> None:
        show_answers(console, items)
        explain_marks(console, items)

    emit(common, {"items": items}, render)


def _show_moves(console: Console, task: dict[str, Any]) -> None:
    rows = [
        [
            move.get("epoch"),
            move.get("from_status"),
            mark(move, move.get("to_status")),
            move.get("trigger"),
        ]
        for move in task.get("transitions") or []
    ]
    if rows:
        console.print()
        show_table(console, ("epoch", "from", "to", "because"), rows)


def _show_rewards(console: Console, task: dict[str, Any]) -> None:
    rows = [
        [
            shorten_id(entry.get("recipient")),
            entry.get("role"),
            show_coins(entry.get("amount")),
            mark(entry, entry.get("state")),
        ]
        for distribution in task.get("rewards") or []
        for entry in distribution.get("entries") or []
    ]
    if rows:
        console.print()
        show_table(console, ("reward of", "as", "coins", "state"), rows)


def _read_threshold(percent: int) -> int:
    """Return a share in basis points."""
    if not 0 <= percent <= 100:
        raise UsageError("bad_percent", percent, "0 to 100")
    return percent * SCALE // 100


def _count(value: Any) -> int | None:
    return len(value) if isinstance(value, list) else value
