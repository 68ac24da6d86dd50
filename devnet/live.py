"""A devnet while it runs: a picture that renews itself on a terminal, plain lines elsewhere."""

import json
from collections.abc import Sequence
from types import TracebackType

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from devnet.layout import Devnet
from devnet.observe import NetworkView
from devnet.report import render_peers, render_tasks

REFRESH_S = 0.5
EVENTS_SHOWN = 5
EVENTS_BYTES_MAX = 8_192
QUIET_EPOCHS = 10
"""Plain lines: one at least so often, even if no task has moved."""
_BAR_WIDTH = 30


class Screen:
    """Shows views of a devnet as they come. Use it in a `with`.

    Args:
        console: where it is shown; on one that is no terminal a line is written for each change.
        devnet: whose events are shown, too.
    """

    def __init__(self, console: Console, devnet: Devnet) -> None:
        self._console = console
        self._devnet = devnet
        # Gone at the end: the report that follows says it all again.
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )
        self._began_s = trio.current_time()
        self._last_line = ""
        self._last_epoch = -QUIET_EPOCHS

    def show(self, view: NetworkView) -> None:
        """Show a view in the place of the one before."""
        if self._live is not None:
            self._live.update(self._draw(view), refresh=True)
            return
        epoch = max((peer.epoch for peer in view.peers), default=0)
        line = render_tasks(view)
        if line != self._last_line or epoch >= self._last_epoch + QUIET_EPOCHS:
            self._last_line, self._last_epoch = line, epoch
            self._print(f"epoch {epoch:3d}  {line}")

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._print(text)

    def __enter__(self) -> "Screen":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def _print(self, text: str) -> None:
        elapsed_s = trio.current_time() - self._began_s
        # Lines are not cut where a file has no columns.
        self._console.print(f"{elapsed_s:6.1f} s  {text}", soft_wrap=True)

    def _draw(self, view: NetworkView) -> RenderableType:
        parts: list[RenderableType] = [render_peers(view.peers), "", draw_tasks(view)]
        events = read_events(self._devnet, EVENTS_SHOWN)
        if events:
            parts += ["", *(Text(line, style="dim") for line in events)]
        return Group(*parts)


def draw_tasks(view: NetworkView) -> RenderableType:
    """Return a bar for the tasks in each status and for the rewards."""
    counts = view.count_tasks()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column(width=_BAR_WIDTH)
    for status in sorted(counts):
        bar = ProgressBar(total=max(1, len(view.tasks)), completed=counts[status])
        table.add_row(status.replace("_", " "), str(counts[status]), bar)
    entries = view.list_entries()
    if entries:
        claimed = sum(entry.state == "claimed" for entry in entries)
        bar = ProgressBar(total=len(entries), completed=claimed)
        table.add_row("rewards claimed", f"{claimed}/{len(entries)}", bar)
    if not counts:
        table.add_row("no tasks", "0", "")
    return table


def read_events(devnet: Devnet, lines_max: int) -> Sequence[str]:
    """Return the last events of a devnet, a line each."""
    try:
        with devnet.events_path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - EVENTS_BYTES_MAX))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    shown = []
    for line in text.split("\n")[-lines_max - 1 : -1]:
        try:
            facts = json.loads(line)
        except ValueError:
            # The first line of the last bytes may have lost its beginning.
            continue
        at = str(facts.pop("at"))[11:19]
        event = facts.pop("event")
        groups = " | ".join(" ".join(group) for group in facts.pop("groups", []))
        rest = " ".join(f"{value}" for name, value in facts.items() if name == "peer")
        shown.append(f"{at} {event} {rest}{groups}".rstrip())
    return shown
