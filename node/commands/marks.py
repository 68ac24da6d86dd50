"""How a person sees what no seal has fixed yet: `~` before a value, and a line that explains it."""

from typing import Any

from rich.console import Console

MARK = "~"
LEGEND = f"{MARK} provisional: the next seal may make it otherwise"


def mark(item: dict[str, Any], value: Any) -> Any:
    """Return a value of an item, marked if the item is provisional."""
    return f"{MARK}{value}" if item.get("provisional") and value is not None else value


def explain_marks(console: Console, *items: Any) -> None:
    """Write what the mark means, if anything in these items bears it."""
    if any(_is_marked(item) for item in items):
        console.print(LEGEND)


def _is_marked(item: Any) -> bool:
    if isinstance(item, dict):
        return bool(item.get("provisional")) or any(_is_marked(one) for one in item.values())
    return isinstance(item, list) and any(_is_marked(one) for one in item)
