"""minesync report: what this node thinks of answers, of miners and of the network."""

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
from node.rpc.client import RpcError, connect

app = App(name="report", help="What this node thinks of answers and miners.")

_AMOUNTS = ("rewards", "staked", "escrowed", "earned", "forfeited")


@app.command
def fraud(
    *,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    common: Common = COMMON,
) -> None:
    """List the answers that this node flags, those of the highest risk first."""
    with connect(common.paths) as client:
        items = list(iterate_pages(client, "fraud_flagged", limit))

    def render(console: Console) -> None:
        if not items:
            console.print("no answer is flagged")
            return
        rows = [
            [
                shorten_id(item.get("submission_id")),
                shorten_id(item.get("miner")),
                item.get("overall_risk"),
                str(item.get("recommendation")).replace("_", " "),
                ", ".join(str(one) for one in item.get("found") or [])[:40],
            ]
            for item in items
        ]
        show_table(console, ("answer", "miner", "risk", "advice", "found"), rows)

    emit(common, {"items": items}, render)


@app.command
def publish(
    answer: Annotated[str, Parameter(help="The answer, or the first digits of its id.")],
    *,
    common: Common = COMMON,
) -> None:
    """Say publicly, under this node's account, that an answer looks like fraud."""
    with connect(common.paths) as client:
        submission_id = find_id(client, answer, "answer_list", "submission_id")
        reply = client.call("fraud_report", submission_id=submission_id)
    emit(common, reply, lambda console: console.print(f"reported, risk {reply.get('risk')}"))


@app.command
def metrics(*, common: Common = COMMON) -> None:
    """Print the network's figures as of the last epoch that was looked at."""
    with connect(common.paths) as client:
        data: dict[str, Any] = client.call("metrics_latest")

    def render(console: Console) -> None:
        show_pairs(console, _read_pairs(data))
        statuses = data.get("statuses")
        rows = [[str(name).replace("_", " "), count] for name, count in (statuses or {}).items()]
        show_table(console, ("tasks that are", "count"), rows)

    emit(common, data, render)


@app.command
def miner(
    address: Annotated[str, Parameter(help="Address of a miner.")], *, common: Common = COMMON
) -> None:
    """Print how a miner behaves and how he did."""
    asked = parse_account(address).hex()
    with connect(common.paths) as client:
        behavior = _ask(client, "behavior_get", asked)
        analytics = _ask(client, "analytics_get", asked)

    def render(console: Console) -> None:
        if behavior is None:
            console.print("this miner has not answered anything yet")
            return
        names = ("miner", "sample_count", "sampled_at", "interval_mean", "interval_deviation")
        shown = {name: behavior.get(name) for name in (*names, "consistency", "frequency")}
        show_pairs(console, _read_pairs(shown))
        if analytics is None:
            console.print("none of these answers is settled yet")
            return
        show_pairs(console, _read_pairs({**analytics, "miner": None, "sample_count": None}))
        rows = [
            [
                slug,
                one.get("tasks"),
                one.get("success_bps"),
                one.get("quality_mean_x100"),
                show_coins(one.get("earned")),
            ]
            for slug, one in (analytics.get("types") or {}).items()
        ]
        columns = ("type", "answers", "success bps", "quality x100", "earned")
        show_table(console, columns, rows)

    emit(common, {"behavior": behavior, "analytics": analytics}, render)


def _ask(client: Any, method: str, address: str) -> dict[str, Any] | None:
    try:
        data: dict[str, Any] = client.call(method, address=address)
    except RpcError as error:
        if error.code not in ("no_such_behavior", "no_such_analytics"):
            raise
        return None
    return data


def _read_pairs(data: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name.replace("_", " "), show_coins(value) if name in _AMOUNTS else value)
        for name, value in data.items()
        if not isinstance(value, dict | list)
    ]
