"""A devnet on paper: the tables and lines that end a demonstration and answer `devnet status`.

Everything fits 80 columns; what a peer or publisher may have chosen is never shown as markup.
"""

import shlex
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from devnet.checks import Ledger, Verdict
from devnet.layout import Devnet
from devnet.observe import ALARM, SILENT, TASK_ORDER, NetworkView, PeerView, RewardView
from devnet.provider import DOWN, PAUSED, UP
from devnet.watch.figures import rank_roots
from node.commands.common import show_coins
from node.text import clean_text

ROOT_DIGITS = 12
NAME_CHARACTERS_MAX = 16
_STATE_STYLES = {UP: "green", DOWN: "red", PAUSED: "yellow", SILENT: "yellow", ALARM: "bold red"}
ROOT_STYLES = ("cyan", "magenta", "yellow", "blue", "red")
"""Peers of one state root have one colour; the most common root has the first."""
_MIB = 1 << 20
WIDTH = 80


def render_peers(
    peers: Sequence[PeerView],
    rates: Mapping[str, float] | None = None,
    strips: Mapping[str, Text] | None = None,
) -> Table:
    """Return the table of peers.

    Args:
        peers: a row each.
        rates: transactions a second, by peer; without them there is no such column.
        strips: what stands at the end of each row, by peer; as with the rates.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, is_number in (
        ("peer", False),
        ("role", False),
        ("state", False),
        ("epoch", True),
        ("state root", False),
        ("peers", True),
        ("stored", True),
        *([] if rates is None else [("tx/s", True)]),
        ("memory", True),
        *([] if strips is None else [("roots of the last epochs", False)]),
    ):
        table.add_column(title, justify="right" if is_number else "left", no_wrap=True)
    ranks = rank_roots(peer.state_root for peer in peers)
    for peer in peers:
        is_seen = bool(peer.state_root)
        rank = min(ranks.get(peer.state_root, 0), len(ROOT_STYLES) - 1)
        table.add_row(
            clean_text(peer.name, NAME_CHARACTERS_MAX),
            clean_text(peer.role, NAME_CHARACTERS_MAX),
            Text(peer.state, style=_STATE_STYLES[peer.state]),
            str(peer.epoch) if is_seen else "-",
            Text(peer.state_root[:ROOT_DIGITS], style=ROOT_STYLES[rank]) if is_seen else "-",
            str(peer.peers) if is_seen else "-",
            str(peer.transactions) if is_seen else "-",
            *([] if rates is None else [f"{rates.get(peer.name, 0.0):.1f}" if is_seen else "-"]),
            f"{peer.memory_bytes // _MIB} MiB" if peer.memory_bytes else "-",
            *([] if strips is None else [strips.get(peer.name, Text())]),
        )
    return table


def describe_tasks(counts: dict[str, int]) -> str:
    """Return how many tasks are in each status, in the order of their lives."""
    parts = [f"{counts[status]} {_name(status)}" for status in TASK_ORDER if counts.get(status)]
    return ", ".join(parts) or "none"


def describe_claims(entries: Sequence[RewardView]) -> str:
    """Return how many rewards were claimed of those that are owed."""
    owed = [entry for entry in entries if entry.state != "revoked"]
    claimed = sum(entry.state == "claimed" for entry in owed)
    return f"{claimed}/{len(owed)} rewards"


def render_tasks(view: NetworkView) -> str:
    """Return the tasks and their rewards in a line."""
    entries = view.list_entries()
    claims = f"; {describe_claims(entries)} claimed" if entries else ""
    provisional = view.count_provisional()
    waiting = f"; {provisional} provisional" if provisional else ""
    return f"tasks: {describe_tasks(view.count_tasks())}{claims}{waiting}"


def render_reversals(peers: Sequence[PeerView]) -> str:
    """Return in a line how many provisional results seals changed, by the peer that showed them."""
    counts = [f"{peer.name} {peer.reversals}" for peer in peers if peer.reversals]
    return "reversals: " + (", ".join(counts) or "none")


def render_rewards(devnet: Devnet, entries: Sequence[RewardView]) -> Table:
    """Return what each account has claimed."""
    names = {peer.account: peer.name for peer in devnet.roster.peers}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("account", no_wrap=True)
    table.add_column("claimed", justify="right")
    table.add_column("coins", justify="right", no_wrap=True)
    for account in sorted({entry.recipient for entry in entries}, key=lambda a: names.get(a, a)):
        own = [one for one in entries if one.recipient == account and one.state == "claimed"]
        name = f"{names.get(account, '?')}  {account[:ROOT_DIGITS]}"
        table.add_row(name, str(len(own)), show_coins(sum(one.amount for one in own)))
    return table


def render_ledger(ledger: Ledger) -> Table:
    """Return the line of conservation: where the coins are, and that they are all there."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    places = ("balances", "escrowed", "staked", "treasury", "burned")
    for place, sign in zip(places, " ++++", strict=True):
        table.add_row(f"{sign} {place}", show_coins(getattr(ledger, place)))
    equal = "=" if ledger.held == ledger.supply else "≠"
    table.add_row(Text(f"{equal} supply", style="bold"), show_coins(ledger.supply))
    return table


def render_verdicts(verdicts: Sequence[Verdict]) -> Table:
    """Return PASS or FAIL of each check, with its figures."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for verdict in verdicts:
        mark = Text("PASS", style="green") if verdict.ok else Text("FAIL", style="bold red")
        table.add_row(mark, verdict.name, Text(clean_text(verdict.detail, 400)))
    return table


def render_report(
    devnet: Devnet, view: NetworkView, ledger: Ledger | None, verdicts: Sequence[Verdict]
) -> RenderableType:
    """Return everything that a demonstration shows at its end."""
    parts: list[RenderableType] = [render_peers(view.peers), ""]
    entries = view.list_entries()
    parts += [render_tasks(view), render_reversals(view.peers), ""]
    if entries:
        parts += [render_rewards(devnet, entries), ""]
    if ledger is not None:
        parts += [render_ledger(ledger), ""]
    return Group(*parts, render_verdicts(verdicts))


def explain_kept(devnet: Devnet) -> list[str]:
    """Return the commands for looking at a devnet that was left running."""
    where = f"--dir {shlex.quote(str(devnet.root))}"
    return [
        "It is still running:",
        f"  minesync devnet status {where}",
        f"  minesync devnet logs {where}",
        f"  minesync devnet down {where}",
    ]


def _name(status: str) -> str:
    return status.replace("_", " ")
