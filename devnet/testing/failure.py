"""What a test that failed shows of its network: seed, manifest, time line, nodes, last words."""

import io

from rich.console import Console

from devnet.layout import Devnet
from devnet.manifests.tables import PROCESS
from devnet.observe import Observer
from devnet.provider import Provider
from devnet.report import explain_kept, render_peers, render_tasks
from devnet.watch.events import read_events

LOG_LINES = 50
EVENTS_MAX = 200
WIDTH = 100


async def describe_network(provider: Provider, *, is_kept: bool) -> str:
    """Return all that helps to see why a test failed.

    Args:
        provider: of the network, whose nodes are still there.
        is_kept: they stay.
    """
    devnet = provider.devnet
    view = await Observer(provider).look()
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as nodes:
        console.print(render_peers(view.peers))
        console.print(render_tasks(view), markup=False, highlight=False)
    roster = devnet.roster
    parts = [
        f"seed {roster.seed}, {roster.provider}, {devnet.root}",
        "manifest:\n" + _indent(devnet.manifest_path.read_text(encoding="utf-8")),
        "time line, in seconds:\n" + _indent(describe_events(devnet)),
        "nodes:\n" + _indent(nodes.get()),
    ]
    if roster.provider == PROCESS:
        for name in devnet.names:
            lines = devnet.read_log_tail(name, LOG_LINES)
            parts.append(f"last lines of {name}:\n" + _indent("\n".join(lines)))
    if is_kept:
        parts.append("\n".join(explain_kept(devnet)))
    return "\n\n".join(parts)


def describe_events(devnet: Devnet) -> str:
    """Return what was done to a devnet, a line each, from its first start on."""
    events = read_events(devnet.events_path)[-EVENTS_MAX:]
    first_ms = events[0].at_ms if events else 0
    return "\n".join(
        f"{(event.at_ms - first_ms) / 1_000:8.1f}  {event.describe()}" for event in events
    )


def _indent(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.strip("\n").splitlines())
