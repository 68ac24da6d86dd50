"""Plots of a history: the matrix of roots, epochs and tasks over time, how fast things got around.

Times on an axis are seconds since the beginning of what is shown.
"""

from collections.abc import Mapping, Sequence

from devnet.draw.markup import Markup, Text, element, join
from devnet.draw.svg import (
    HUES,
    Frame,
    choose_ticks,
    cut_name,
    draw_box,
    draw_line,
    draw_path,
    draw_svg,
    draw_text,
    draw_title,
)
from devnet.observe import TASK_ORDER
from devnet.watch.events import RunEvent, Span
from devnet.watch.figures import (
    Propagation,
    bin_delays,
    build_matrix,
    compute_spreads,
    show_ms,
)
from devnet.watch.history import History

WIDTH = 640.0
WIDE = 1_240.0
"""Of what has the whole page."""
_CELL_MAX = 36.0
LATE_MS = 1_000
"""From here on a seal counts as late: it did not come by gossip."""
ROOT_LEGEND = (
    ("rank-0", "the root of most"),
    ("rank-1", "another root"),
    ("late rank-0", "sealed a second or more after the first"),
    ("rank-none", "not sealed, or not seen"),
)
FAULT_LEGEND = (
    ("down", "down"),
    ("paused", "paused"),
    ("cut", "links cut"),
    ("disconnect", "disconnected"),
    ("drop_topic", "without gossip"),
    ("disk_full", "disk full"),
)
_LEFT, _RIGHT = 44.0, WIDTH - 12.0
_LANE = 22.0


def draw_matrix(history: History, names: Sequence[str], epochs: Sequence[int]) -> Markup:
    """Return peers x epochs: cells of one column and one colour have one state root."""
    rows = build_matrix(history, names, epochs)
    left = 84.0
    step = min(_CELL_MAX, (WIDE - left - 4) / max(1, len(epochs)))
    parts: list[Markup] = []
    for place, name in enumerate(names):
        top = place * _LANE + 4
        parts.append(draw_text((left - 8, top + 14), cut_name(name), "name", anchor="end"))
        for column, cell in enumerate(rows[name]):
            at, size = (left + column * step, top), (max(1.0, step - 1.5), _LANE - 4)
            if cell is None:
                title = f"{name}, epoch {epochs[column]}: not seen"
                parts.append(draw_box(at, size, "cell rank-none", title))
                continue
            late = f", {show_ms(cell.late_ms)} after the first" if cell.late_ms else ", first"
            title = f"{name}, epoch {cell.seal.epoch}: {cell.seal.state_root[:16]}{late}"
            kind = "cell late" if cell.late_ms >= LATE_MS else "cell"
            parts.append(draw_box(at, size, f"{kind} rank-{min(cell.rank, 4)}", title))
    bottom = len(names) * _LANE + 18
    for column in _choose_columns(len(epochs)):
        at = (left + (column + 0.5) * step, bottom)
        parts.append(draw_text(at, epochs[column], "tick", anchor="middle"))
    if not epochs:
        parts.append(draw_text((left, 18), "no epoch was sealed yet", "unit"))
    label = "state roots of each peer, by epoch; " + describe_roots(history, epochs)
    return draw_svg(WIDE, bottom + 8, label, *parts, kind="matrix")


def describe_roots(history: History, epochs: Sequence[int]) -> str:
    """Return in words whether peers had one root at each of these epochs."""
    for epoch in epochs:
        roots = {seen[epoch].state_root for seen in history.seals.values() if epoch in seen}
        if len(roots) > 1:
            return f"{len(roots)} different roots at epoch {epoch}"
    return "one root at each epoch" if epochs else "none yet"


def draw_histogram(found: Propagation) -> Markup:
    """Return how long transactions took to be on every peer."""
    bins = bin_delays(found.delays_ms)
    most = max(count for _, count in bins) or 1
    top, bottom = 22.0, 160.0
    step = (WIDTH - 16) / len(bins)
    parts = [draw_line((8, bottom), (WIDTH - 8, bottom), "axis")]
    for place, (label, count) in enumerate(bins):
        left, height = 8 + place * step, (bottom - top) * count / most
        at, size = (left + 4, bottom - height), (step - 8, height)
        parts.append(draw_box(at, size, "bar", f"{label}: {count} transactions"))
        middle = left + step / 2
        if count:
            parts.append(draw_text((middle, bottom - height - 5), count, "value", anchor="middle"))
        parts.append(draw_text((middle, bottom + 16), label, "tick", anchor="middle"))
    label = f"time until a transaction was on every peer: {describe_propagation(found)}"
    return draw_svg(WIDTH, bottom + 26, label, *parts, kind="histogram")


def describe_propagation(found: Propagation) -> str:
    """Return the figures of the histogram in a line."""
    if not found.delays_ms:
        return f"none on every peer yet, {found.unseen} on some"
    return (
        f"{len(found.delays_ms)} on every peer: median {show_ms(found.quantile_ms(50))}, "
        f"95 % within {show_ms(found.quantile_ms(95))}, slowest {show_ms(found.delays_ms[-1])}; "
        f"{found.unseen} not seen on every peer"
    )


def draw_timeline(
    spans: Sequence[Span], events: Sequence[RunEvent], begin_ms: int, end_ms: int
) -> Markup:
    """Return the faults between two moments, a lane for the links and one for each peer hit."""
    lanes = sorted({span.peer for span in spans})
    left, top = 84.0, 4.0
    bottom = top + max(1, len(lanes)) * _LANE + 8
    frame = Frame(left, top, _RIGHT, bottom, 0, max(0.001, (end_ms - begin_ms) / 1_000), 1)
    parts = [
        _draw_span(frame, span, top + lanes.index(span.peer) * _LANE, begin_ms, end_ms)
        for span in spans
        if span.end_ms is None or span.end_ms >= begin_ms
    ]
    for place, peer in enumerate(lanes):
        at = (left - 8, top + place * _LANE + 14)
        parts.append(draw_text(at, cut_name(peer) or "links", "name", anchor="end"))
    if not lanes:
        parts.append(draw_text((left, top + 16), "no fault so far", "unit"))
    for event in events:
        if begin_ms <= event.at_ms <= end_ms:
            at_s = (event.at_ms - begin_ms) / 1_000
            x = frame.place_x(at_s)
            title = f"{at_s:.1f} s: {event.describe()}"
            parts.append(draw_line((x, bottom - 6), (x, bottom), "mark", title))
    parts.append(draw_line((left, bottom), (_RIGHT, bottom), "axis"))
    for value in choose_ticks(frame.x_min, frame.x_max, 8):
        at = (frame.place_x(value), bottom + 15)
        parts.append(draw_text(at, f"{value:g} s", "tick", anchor="middle"))
    label = f"faults over time: {len(spans)}, {sum(one.end_ms is None for one in spans)} in force"
    return draw_svg(WIDTH, bottom + 24, label, *parts, kind="timeline")


def draw_epochs(
    history: History, names: Sequence[str], spans: Sequence[Span], begin_ms: int, end_ms: int
) -> Markup:
    """Return the sealed epoch of each peer over time, faults shaded."""
    epochs = history.epochs
    least, most = (epochs[0] - 1, epochs[-1]) if epochs else (0, 1)
    end_s = max(0.001, (end_ms - begin_ms) / 1_000)
    frame = Frame(_LEFT, 26, _RIGHT, 230, 0, end_s, most, least)
    parts = [frame.draw_spans(spans, begin_ms), frame.draw_axes("seconds", "epoch")]
    for place, name in enumerate(names):
        points = []
        last = least
        # Side by side: peers that agree would hide each other.
        aside = 1.5 * (place % HUES - min(HUES, len(names)) / 2)
        for seal in sorted(history.seals.get(name, {}).values(), key=lambda one: one.at_ms):
            x = frame.place_x((seal.at_ms - begin_ms) / 1_000) + aside
            points += [(x, frame.place_y(last)), (x, frame.place_y(seal.epoch))]
            last = seal.epoch
        if points:
            line = draw_path(points, f"line hue-{place % HUES}")
            parts.append(element("g", None, line, draw_title(name)))
    return draw_svg(WIDTH, 268, "the last sealed epoch of each peer over time", *parts)


def draw_spreads(history: History, names: Sequence[str]) -> Markup:
    """Return by epoch how long after the first peer the last one had its seal."""
    spreads = compute_spreads(history, names)
    if not spreads:
        words = draw_text((8, 24), "no epoch that every peer sealed", "unit")
        return draw_svg(WIDTH, 40, "no epoch that every peer sealed", words)
    frame = Frame(_LEFT, 26, _RIGHT, 160, min(spreads) - 1, max(spreads) + 1, max(spreads.values()))
    width = max(1.0, (_RIGHT - _LEFT) / (max(spreads) - min(spreads) + 2) - 1)
    parts = [frame.draw_axes("epoch", "ms")]
    for epoch, spread in spreads.items():
        at = (frame.place_x(epoch) - width / 2, frame.place_y(spread))
        title = f"epoch {epoch}: {show_ms(spread)}"
        parts.append(draw_box(at, (width, frame.bottom - at[1]), "bar", title))
    return draw_svg(WIDTH, 198, "time from the first to the last seal of an epoch", *parts)


def draw_tasks(counts: Mapping[str, int], provisional: int = 0) -> Markup:
    """Return a bar for the tasks in each status."""
    total = sum(counts.values())
    shown = [status for status in TASK_ORDER if counts.get(status)]
    parts: list[Markup] = []
    left = 150.0
    for place, status in enumerate(shown):
        top = place * _LANE + 4
        width = (WIDTH - left - 60) * counts[status] / total
        parts.append(draw_text((left - 8, top + 14), name_status(status), "name", anchor="end"))
        hue = f"hue-{TASK_ORDER.index(status)}"
        parts.append(draw_box((left, top), (max(2.0, width), _LANE - 6), f"bar {hue}"))
        parts.append(draw_text((left + width + 8, top + 13), counts[status], "value"))
    if not shown:
        parts.append(draw_text((8, 18), "no tasks", "unit"))
    height = max(1, len(shown)) * _LANE + 8
    words = ", ".join(f"{counts[status]} {name_status(status)}" for status in shown)
    label = f"tasks: {words or 'none'}; {provisional} provisional"
    return draw_svg(WIDTH, height, label, *parts, kind="tasks")


def draw_course(history: History, begin_ms: int, end_ms: int) -> Markup:
    """Return how many tasks were in each status over time, one over the other."""
    samples = history.samples
    most = max((sum(sample.tasks.values()) for sample in samples), default=0) or 1
    frame = Frame(_LEFT, 26, _RIGHT, 190, 0, max(0.001, (end_ms - begin_ms) / 1_000), most)
    times = [(sample.at_ms - begin_ms) / 1_000 for sample in samples]
    parts: list[Markup] = []
    below = [0] * len(samples)
    for status in TASK_ORDER:
        counts = [sample.tasks.get(status, 0) for sample in samples]
        above = [low + count for low, count in zip(below, counts, strict=True)]
        if any(counts):
            points = _step(frame, times, above) + _step(frame, times, below)[::-1]
            parts.append(draw_path(points, f"area hue-{TASK_ORDER.index(status)}", is_closed=True))
        below = above
    parts.append(frame.draw_axes("seconds", "tasks"))
    return draw_svg(WIDTH, 228, "tasks in each status over time", *parts)


def draw_legend(items: Sequence[tuple[str, str]]) -> Markup:
    """Return what colours mean: pairs of a class and words."""
    keys = [
        element(
            "li",
            None,
            element("span", {"class": f"key {kind}", "aria_hidden": "true"}),
            element("span", None, Text(words)),
        )
        for kind, words in items
    ]
    return element("ul", {"class": "legend"}, *keys)


def name_status(status: str) -> str:
    """Return the name of a status for people."""
    return status.replace("_", " ")


def _draw_span(frame: Frame, span: Span, top: float, begin_ms: int, end_ms: int) -> Markup:
    begin = frame.place_x((span.begin_ms - begin_ms) / 1_000)
    end = frame.place_x(((span.end_ms or end_ms) - begin_ms) / 1_000)
    lasted = show_ms((span.end_ms or end_ms) - span.begin_ms)
    words = " ".join(part for part in (span.peer, span.kind, span.text) if part)
    title = f"{words}, {lasted}" + ("" if span.end_ms else ", in force")
    size = (max(2.0, end - begin), _LANE - 6)
    parts = [draw_box((begin, top), size, f"span {span.kind}", title)]
    shown = span.text or span.kind
    if size[0] > 7 * len(shown) + 8:
        parts.append(draw_text((begin + 5, top + 12), shown, "span-text"))
    return join(parts)


def _step(frame: Frame, times: Sequence[float], values: Sequence[int]) -> list[tuple[float, float]]:
    """Return the points of a line that keeps each value until the next."""
    points: list[tuple[float, float]] = []
    for place, (at, value) in enumerate(zip(times, values, strict=True)):
        until = times[place + 1] if place + 1 < len(times) else frame.x_max
        y = frame.place_y(value)
        points += [(frame.place_x(at), y), (frame.place_x(until), y)]
    return points


def _choose_columns(count: int) -> range:
    """Return the columns that are numbered: as many as there is room for."""
    return range(0, count, max(1, -(-count // 12)))
