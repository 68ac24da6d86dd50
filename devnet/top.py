"""A devnet on a terminal: peers, faults in force, tasks and events, in whatever room there is.

80 x 24 shows it all for a few peers. A wider terminal adds the roots of the last epochs, a block
for each; a higher one adds bars of tasks and more events. What finds no room is counted.
"""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from devnet.observe import TASK_ORDER, NetworkView
from devnet.provider import DOWN, PAUSED
from devnet.report import ROOT_STYLES, render_peers, render_reversals, render_tasks
from devnet.watch.events import RunEvent
from devnet.watch.figures import (
    Cell,
    build_matrix,
    compute_propagation,
    compute_rates,
    show_ms,
    show_time,
)
from devnet.watch.links import list_faults
from devnet.watch.snapshot import Snapshot
from node.text import clean_text

WIDE_COLUMNS = 100
"""From here on there is room for the strip of roots beside the table."""
TABLE_COLUMNS = 80
EVENTS_MIN = 3
PEERS_MIN = 3
_BAR_WIDTH = 30
_STATUS_CHARACTERS_MAX = 24


def draw_top(snapshot: Snapshot, width: int, height: int) -> RenderableType:
    """Return the whole picture, at most `height` lines of `width` columns."""
    head = draw_head(snapshot, width)
    bars = draw_bars(snapshot.view)
    foot = [_line(render_tasks(snapshot.view), width), _line(_describe_pace(snapshot), width)]
    # One line between the parts, and the head of the table.
    room = height - len(head) - len(foot) - 3
    shown = min(len(snapshot.view.peers), max(PEERS_MIN, room - EVENTS_MIN - 1))
    table = draw_peers(snapshot, shown, width)
    hidden = len(snapshot.view.peers) - shown
    more = [Text(f"and {hidden} more peers", style="dim")] if hidden else []
    room -= 1 + shown + len(more)
    parts: list[RenderableType] = [*head, "", table, *more, ""]
    if room >= bars.row_count + EVENTS_MIN:
        parts += [bars, foot[1]]
        room -= bars.row_count - 1
    else:
        parts += foot
    if room > 1:
        parts += ["", *draw_events(snapshot.events, room, width)]
    return Group(*parts)


def draw_head(snapshot: Snapshot, width: int) -> list[Text]:
    """Return which devnet it is, and the faults in force."""
    known = snapshot.identity
    up = sum(peer.state not in (DOWN, PAUSED) for peer in snapshot.view.peers)
    facts = f"{known.name}  {up}/{len(known.names)} up  seed {known.seed}  {known.network}"
    faults = list_faults(snapshot)
    first = _line(f"{facts}  {show_time(snapshot.at_ms)}", width)
    first.stylize("bold")
    if not faults:
        return [first, Text("no fault in force", style="green")]
    second = _line("in force: " + ", ".join(faults), width)
    second.stylize("bold red")
    return [first, second]


def draw_peers(snapshot: Snapshot, most: int, width: int) -> Table:
    """Return the table of the first peers, with the strip of roots where there is room."""
    rates = compute_rates(snapshot.history, snapshot.at_ms)
    strips = None
    if width >= WIDE_COLUMNS:
        epochs = snapshot.history.epochs[TABLE_COLUMNS - width :]
        rows = build_matrix(snapshot.history, snapshot.identity.names, epochs)
        strips = {name: draw_strip(cells) for name, cells in rows.items()}
    return render_peers(snapshot.view.peers[:most], rates, strips)


def draw_strip(cells: Sequence[Cell | None]) -> Text:
    """Return a block for each epoch; blocks of one column and one colour are of one root."""
    strip = Text()
    for cell in cells:
        if cell is None:
            strip.append("·", style="dim")
        else:
            strip.append("█", style=ROOT_STYLES[min(cell.rank, len(ROOT_STYLES) - 1)])
    return strip


def draw_bars(view: NetworkView) -> Table:
    """Return a bar for the tasks in each status and for the rewards."""
    counts = view.count_tasks()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column(width=_BAR_WIDTH)
    for status in sorted(counts, key=_place_status):
        bar = ProgressBar(total=max(1, len(view.tasks)), completed=counts[status])
        name = clean_text(status.replace("_", " "), _STATUS_CHARACTERS_MAX)
        table.add_row(name, str(counts[status]), bar)
    entries = view.list_entries()
    if entries:
        claimed = sum(entry.state == "claimed" for entry in entries)
        bar = ProgressBar(total=len(entries), completed=claimed)
        table.add_row("rewards claimed", f"{claimed}/{len(entries)}", bar)
    if not counts:
        table.add_row("no tasks", "0", "")
    return table


def draw_events(events: Sequence[RunEvent], lines_max: int, width: int) -> list[Text]:
    """Return the last events, the newest first, a line each."""
    shown = []
    for event in reversed(events[-lines_max:]):
        line = _line(f"{show_time(event.at_ms)}  {event.describe()}", width)
        line.stylize("dim")
        shown.append(line)
    return shown


def _place_status(status: str) -> tuple[int, str]:
    # One that nobody knows comes last.
    place = TASK_ORDER.index(status) if status in TASK_ORDER else len(TASK_ORDER)
    return place, status


def _describe_pace(snapshot: Snapshot) -> str:
    found = compute_propagation(snapshot.history, snapshot.identity.names)
    reversals = render_reversals(snapshot.view.peers)
    if not found.delays_ms:
        return f"on all peers: no transaction yet; {reversals}"
    return (
        f"on all peers within {show_ms(found.quantile_ms(50))} (median), "
        f"{show_ms(found.quantile_ms(95))} (95 %); {reversals}"
    )


def _line(text: str, width: int) -> Text:
    """Return text that takes one line, whatever is in it."""
    return Text(clean_text(text, max(1, width)), no_wrap=True, overflow="ellipsis")
