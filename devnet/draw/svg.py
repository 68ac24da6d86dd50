"""The few shapes that the pictures are made of, and the frame of a plot with its axes.

Colours are classes, so that one style sheet serves light and dark; a picture scales to the width
it is given and says in words what it shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from devnet.draw.markup import Markup, Text, element, join
from devnet.watch.events import Span

Point = tuple[float, float]

HUES = 8
"""Classes `hue-0` to `hue-7` of the style sheet; further ones begin anew."""
_STEPS = [lead * 10**power for power in range(8) for lead in (1, 2, 5)]


def draw_svg(width: float, height: float, label: str, *parts: Markup, kind: str = "") -> Markup:
    """Return a picture; `label` says what it shows to whoever does not see it."""
    attributes: dict[str, object] = {
        "class": f"picture {kind}".strip(),
        "viewBox": f"0 0 {width:g} {height:g}",
        "role": "img",
        "aria_label": label,
    }
    return element("svg", attributes, *parts)


def draw_text(
    at: Point, text: object, kind: str = "", *, anchor: str = "start", title: str = ""
) -> Markup:
    """Return a line of text whose base line begins, ends or is centred at a point."""
    attributes = {"x": at[0], "y": at[1], "class": kind or None, "text_anchor": anchor}
    parts: list[Markup | Text] = [Text(text)]
    if title:
        parts.append(draw_title(title))
    return element("text", attributes, *parts)


def draw_title(text: str) -> Markup:
    """Return what is shown to whoever points at the shape that has it."""
    return element("title", None, Text(text))


def draw_box(at: Point, size: Point, kind: str, title: str = "") -> Markup:
    """Return a rectangle."""
    attributes: dict[str, object] = {
        "x": at[0],
        "y": at[1],
        "width": max(0.0, size[0]),
        "height": max(0.0, size[1]),
        "class": kind,
    }
    return element("rect", attributes, *([draw_title(title)] if title else []))


def draw_line(begin: Point, end: Point, kind: str, title: str = "") -> Markup:
    """Return a straight line."""
    attributes: dict[str, object] = {
        "x1": begin[0],
        "y1": begin[1],
        "x2": end[0],
        "y2": end[1],
        "class": kind,
    }
    return element("line", attributes, *([draw_title(title)] if title else []))


def draw_path(points: Sequence[Point], kind: str, *, is_closed: bool = False) -> Markup:
    """Return a line through points, or the area it goes around."""
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    name = "polygon" if is_closed else "polyline"
    return element(name, {"points": text, "class": kind})


@dataclass(frozen=True, slots=True)
class Frame:
    """Where data lie in a picture: x grows to the right, y upward.

    Attributes:
        left, top, right, bottom: the edges in the units of the picture.
        x_min, x_max, y_max, y_min: the range of the data.
    """

    left: float
    top: float
    right: float
    bottom: float
    x_min: float
    x_max: float
    y_max: float
    y_min: float = 0.0

    def place_x(self, x: float) -> float:
        """Return where a value lies, never outside."""
        share = (x - self.x_min) / ((self.x_max - self.x_min) or 1.0)
        return self.left + min(1.0, max(0.0, share)) * (self.right - self.left)

    def place_y(self, y: float) -> float:
        """Return where a value lies, never outside."""
        share = (y - self.y_min) / ((self.y_max - self.y_min) or 1.0)
        return self.bottom - min(1.0, max(0.0, share)) * (self.bottom - self.top)

    def draw_axes(self, x_unit: str, y_unit: str) -> Markup:
        """Return the axes with a few round numbers each."""
        parts = [
            draw_line((self.left, self.bottom), (self.right, self.bottom), "axis"),
            draw_text((self.right, self.bottom + 30), x_unit, "unit", anchor="end"),
            draw_text((self.left - 34, self.top - 8), y_unit, "unit"),
        ]
        for value in choose_ticks(self.x_min, self.x_max):
            at = self.place_x(value)
            parts.append(draw_text((at, self.bottom + 15), f"{value:g}", "tick", anchor="middle"))
        for value in choose_ticks(self.y_min, self.y_max):
            at = self.place_y(value)
            parts.append(draw_line((self.left, at), (self.right, at), "grid"))
            parts.append(draw_text((self.left - 6, at + 4), f"{value:g}", "tick", anchor="end"))
        return join(parts)

    def draw_spans(self, spans: Sequence[Span], begin_ms: int) -> Markup:
        """Return a shade for each fault; x is in seconds since `begin_ms`."""
        parts = []
        for span in spans:
            begin = self.place_x((span.begin_ms - begin_ms) / 1_000)
            end = self.right
            if span.end_ms is not None:
                end = self.place_x((span.end_ms - begin_ms) / 1_000)
            size = (max(1.0, end - begin), self.bottom - self.top)
            title = " ".join(part for part in (span.peer, span.kind, span.text) if part)
            parts.append(draw_box((begin, self.top), size, f"shade {span.kind}", title))
        return join(parts)


def choose_ticks(least: float, most: float, count: int = 6) -> list[float]:
    """Return at most about `count` round whole numbers within a range."""
    step = next((step for step in _STEPS if (most - least) / step <= count), _STEPS[-1])
    first = -int(-least // step)
    last = int(most // step)
    return [float(place * step) for place in range(first, last + 1)]


def cut_name(name: str, characters_max: int = 9) -> str:
    """Return a name that fits beside a picture."""
    return name if len(name) <= characters_max else name[: characters_max - 1] + "…"
