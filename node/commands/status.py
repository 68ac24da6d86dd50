"""minesync status: what the node is doing, and whether it is ready."""

from typing import Annotated, Any

import trio
from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.text import Text

from node.commands.common import (
    COMMON,
    Common,
    emit,
    make_console,
    show_pairs,
    show_values,
)
from node.exits import Exit
from node.rpc.client import RpcClient, connect

_REFRESH_S = 1


def status(
    *,
    watch: Annotated[bool, Parameter(help="Show it again every second.", negative="")] = False,
    common: Common = COMMON,
) -> int:
    """Print what the node is doing. The exit code is 1 while the node is not ready."""
    with connect(common.paths) as client:
        if watch and not common.json:
            trio.run(_watch, client)
        data = client.call("node_status")
        emit(common, data, lambda console: show_status(console, data))
    return Exit.OK if data.get("ready") else Exit.FAILED


def show_status(console: Console, data: dict[str, Any]) -> None:
    """Write a status for a person."""
    seconds = int(data.get("uptime_ms") or 0) // 1_000
    failing = {
        name: check for name, check in sorted(_get_checks(data).items()) if not check.get("ok")
    }
    ready = "yes" if data.get("ready") else "no: " + (", ".join(failing) or "starting")
    show_pairs(
        console,
        [
            ("ready", ready),
            *((name.replace("_", " "), _explain(check)) for name, check in failing.items()),
            ("alarm", data.get("alarm")),
            ("network", f"{data.get('network')} ({data.get('network_name')})"),
            ("peer id", data.get("peer")),
            *(("listens on", address) for address in data.get("addresses") or []),
            ("peers", data.get("peers")),
            ("last epoch", data.get("epoch")),
            ("its time", _TIME_MARKS.get(str((data.get("sealing") or {}).get("sealed_mark")))),
            *_describe_sealers(data.get("sealing") or {}),
            ("changed", _describe_parameters(data.get("parameters_changed") or [])),
            ("state root", data.get("state_root")),
            ("transactions", data.get("transactions")),
            ("not sealed yet", data.get("open")),
            ("reversals", data.get("reversals")),
            ("account", data.get("account")),
            ("roles", ", ".join(data.get("roles") or []) or None),
            ("running for", f"{seconds // 3_600} h {seconds // 60 % 60} min {seconds % 60} s"),
            ("version", data.get("version")),
        ],
    )


_TIME_MARKS = {
    "ahead": "ahead of this clock: that of a sealer, or this one, is wrong",
    "back": "before that of the seal before: the clock of a sealer is wrong",
}


def _describe_sealers(sealing: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return who signed the last seal, how the next one goes if it is late, and who lied."""
    items = sealing.get("items") or []
    if len(items) < 2:
        return []
    signed = sum(bool(item.get("signed_last")) for item in items)
    voted = sum(item.get("prevote") is not None for item in items)
    proofs = ("contradicted_at", "signed_two_at")
    liars = sum(any(item.get(name) is not None for name in proofs) for item in items)
    is_late = bool(sealing.get("round"))
    return [
        ("sealers", f"{signed} of {len(items)} signed the last seal, {sealing.get('quorum')} must"),
        ("next seal", f"round {sealing['round']}, {voted} voted" if is_late else None),
        ("liars", f"{liars} of the sealers contradicted themselves" if liars else None),
    ]


def _describe_parameters(items: list[dict[str, Any]]) -> str | None:
    """Return which numbers of the network are not those of its genesis."""
    shown = (f"{item.get('name')} {show_values(item.get('values'))}" for item in items)
    return ", ".join(shown) or None


def _explain(check: dict[str, Any]) -> str:
    """Return what a check found, in words."""
    facts = {name: value for name, value in check.items() if name != "ok" and value is not None}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


def _get_checks(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    checks = data.get("checks")
    pairs = checks.items() if isinstance(checks, dict) else ()
    return {name: check for name, check in pairs if isinstance(check, dict)}


async def _watch(client: RpcClient) -> None:
    console = make_console()
    # A console of its own: what is printed on that of a Live brings the frame before with it.
    page = make_console()
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            data = client.call("node_status")
            with page.capture() as capture:
                show_status(page, data)
            live.update(Text.from_ansi(capture.get(), overflow="fold"), refresh=True)
            await trio.sleep(_REFRESH_S)
