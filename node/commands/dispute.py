"""minesync dispute: object to what became of a task, judge, appeal, follow it."""

from pathlib import Path
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
    parse_coins,
    read_file,
    shorten_id,
    show_coins,
    show_pairs,
    show_table,
)
from node.commands.marks import explain_marks, mark
from node.exits import UsageError
from node.rpc.client import connect
from protocol.params import SCALE
from protocol.task_types import BLOB_BYTES_MAX

app = App(name="dispute", help="Object to a result, judge, appeal, follow disputes.")

WhichDispute = Annotated[str, Parameter(help="Its id, or the first digits of it.")]
EvidenceFile = Annotated[Path | None, Parameter(help="File with evidence, up to 1 MiB.")]
EvidenceKind = Annotated[str, Parameter(help="What the evidence is, such as original_work.")]
Why = Annotated[str, Parameter(help="Why, for people.")]


@app.command(name="open")
def open_dispute(
    task: Annotated[str, Parameter(help="The task, or the first digits of its id.")],
    *,
    type: Annotated[str, Parameter(help="What it is about, such as plagiarism.")],
    evidence: Annotated[Path, Parameter(help="File with evidence, up to 1 MiB.")],
    kind: EvidenceKind = "technical_analysis",
    answer: Annotated[str | None, Parameter(help="The answer in dispute; else the task.")] = None,
    reason: Why = "",
    bond: Annotated[str | None, Parameter(help="Coins at stake; else the least.")] = None,
    common: Common = COMMON,
) -> None:
    """Object to a task you have a part in. Half of a frivolous bond goes to the other side."""
    data = read_file(evidence, BLOB_BYTES_MAX)
    with connect(common.paths) as client:
        reply: dict[str, Any] = client.call(
            "dispute_open",
            task_id=find_id(client, task, "task_list", "task_id"),
            type=type,
            evidence=[{"type": kind, "data": "0x" + data.hex()}],
            submission_id=find_id(client, answer, "answer_list", "submission_id")
            if answer
            else None,
            reason=reason,
            bond=None if bond is None else str(parse_coins(bond)),
        )

    def render(console: Console) -> None:
        pairs = [("dispute", reply.get("dispute_id")), ("bond", show_coins(reply.get("bond")))]
        show_pairs(console, pairs)

    emit(common, reply, render)


@app.command(name="list")
def list_disputes(
    *,
    open: Annotated[bool, Parameter(help="Only those that await a judgment.", negative="")] = False,
    task: Annotated[str | None, Parameter(help="Only of this task.")] = None,
    status: Annotated[str | None, Parameter(help="Only in this status.")] = None,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    common: Common = COMMON,
) -> None:
    """List disputes, provisional steps included."""
    which = "open" if open else None
    with connect(common.paths) as client:
        task_id = find_id(client, task, "task_list", "task_id") if task else None
        pages = iterate_pages(
            client, "dispute_list", limit, task_id=task_id, status=status, which=which
        )
        items = list(pages)

    def render(console: Console) -> None:
        if not items:
            console.print("no disputes")
            return
        rows = [
            [
                shorten_id(item.get("dispute_id")),
                shorten_id(item.get("task_id")),
                mark(item, item.get("status")),
                item.get("hearing"),
                item.get("voting_deadline"),
                mark(item, item.get("verdict")),
            ]
            for item in items
        ]
        columns = ("dispute", "task", "status", "hearing", "until", "verdict")
        show_table(console, columns, rows)
        explain_marks(console, items)

    emit(common, {"items": items}, render)


@app.command(name="show")
def show_dispute(dispute: WhichDispute, *, common: Common = COMMON) -> None:
    """Show one dispute: who is in it, what was brought, how it was judged."""
    with connect(common.paths) as client:
        dispute_id = find_id(client, dispute, "dispute_list", "dispute_id")
        data: dict[str, Any] = client.call("dispute_get", dispute_id=dispute_id)

    def render(console: Console) -> None:
        shown = {name: value for name, value in data.items() if not isinstance(value, dict | list)}
        for name in ("locked", "forfeited"):
            shown[name] = show_coins(shown.get(name))
        for name in ("status", "verdict"):
            shown[name] = mark(data, shown.get(name))
        show_pairs(console, [(name.replace("_", " "), value) for name, value in shown.items()])
        for name in ("defendants", "panel"):
            for address in data.get(name) or []:
                show_pairs(console, [(name.removesuffix("s"), address)])
        _show_rows(console, data, "evidence", ("type", "content_hash", "submitter", "added_at"))
        _show_rows(console, data, "votes", ("hearing", "arbiter", "choice", "share"))
        _show_rows(console, data, "judgments", ("hearing", "choice", "share", "decided_at"))
        _show_rows(console, data, "appeals", ("appellant", "reason", "appealed_at"))
        explain_marks(console, data)

    emit(common, data, render)


@app.command(name="evidence")
def add_evidence(
    dispute: WhichDispute,
    file: Annotated[Path, Parameter(help="File with evidence, up to 1 MiB.")],
    *,
    kind: EvidenceKind = "technical_analysis",
    common: Common = COMMON,
) -> None:
    """Add to the file of an open dispute that you are a side of."""
    given = {"type": kind, "data": "0x" + read_file(file, BLOB_BYTES_MAX).hex()}
    with connect(common.paths) as client:
        dispute_id = find_id(client, dispute, "dispute_list", "dispute_id")
        reply = client.call("dispute_evidence", dispute_id=dispute_id, evidence=given)
    emit(common, reply, lambda console: console.print(f"added {reply.get('content_hash')}"))


@app.command(name="vote")
def vote(
    dispute: WhichDispute,
    choice: Annotated[str, Parameter(help="uphold, overturn, split, revalidate, void or abstain.")],
    *,
    answer: Annotated[
        list[str] | None, Parameter(help="An answer that is guilty.", negative_iterable="")
    ] = None,
    validator: Annotated[
        list[str] | None, Parameter(help="A validator who is guilty.", negative_iterable="")
    ] = None,
    share: Annotated[int, Parameter(help="Percent that goes back, to split.")] = 0,
    reason: Why = "",
    common: Common = COMMON,
) -> None:
    """Vote as an arbiter of a dispute's panel."""
    if not 0 <= share < 100:
        raise UsageError("bad_percent", share, "0 to 99")
    named = [parse_account(one).hex() for one in validator or []]
    with connect(common.paths) as client:
        reply = client.call(
            "dispute_vote",
            dispute_id=find_id(client, dispute, "dispute_list", "dispute_id"),
            choice=choice,
            share=share * SCALE // 100,
            submissions=[
                find_id(client, one, "answer_list", "submission_id") for one in answer or []
            ],
            validators=named,
            reasoning=reason,
        )
    emit(common, reply, lambda console: console.print(f"voted {choice}"))


@app.command(name="appeal")
def appeal(
    dispute: WhichDispute,
    *,
    evidence: EvidenceFile = None,
    reason: Why = "",
    deposit: Annotated[str | None, Parameter(help="Coins at stake; else the least.")] = None,
    common: Common = COMMON,
) -> None:
    """Ask another, larger panel to judge again. The deposit is lost if it says the same."""
    data = None if evidence is None else "0x" + read_file(evidence, BLOB_BYTES_MAX).hex()
    with connect(common.paths) as client:
        reply: dict[str, Any] = client.call(
            "dispute_appeal",
            dispute_id=find_id(client, dispute, "dispute_list", "dispute_id"),
            reason=reason,
            data=data,
            deposit=None if deposit is None else str(parse_coins(deposit)),
        )
    pairs = [("deposit", show_coins(reply.get("deposit"))), ("signed as", reply.get("tx_id"))]
    emit(common, reply, lambda console: show_pairs(console, pairs))


@app.command(name="withdraw")
def withdraw(dispute: WhichDispute, *, common: Common = COMMON) -> None:
    """Take your dispute back before a panel has it; half of the bond is lost."""
    with connect(common.paths) as client:
        dispute_id = find_id(client, dispute, "dispute_list", "dispute_id")
        reply = client.call("dispute_withdraw", dispute_id=dispute_id)
    emit(common, reply, lambda console: console.print(f"withdrawn {dispute_id}"))


def _show_rows(console: Console, data: dict[str, Any], name: str, columns: tuple[str, ...]) -> None:
    items = [one for one in data.get(name) or [] if isinstance(one, dict)]
    rows = [[_shorten(column, item.get(column)) for column in columns] for item in items]
    if rows:
        console.print()
        titles = (name.removesuffix("s"), *columns[1:])
        show_table(console, [title.replace("_", " ") for title in titles], rows)


def _shorten(column: str, value: Any) -> Any:
    is_id = column in ("arbiter", "submitter", "appellant", "content_hash")
    return shorten_id(value) if is_id else value
