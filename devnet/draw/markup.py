"""Elements of HTML and SVG. Text and attributes are always escaped: names come from strangers."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import NewType

from node.text import clean_text

Markup = NewType("Markup", str)
"""Text that is markup already; everything else is escaped."""

TEXT_CHARACTERS_MAX = 512
ATTRIBUTE_CHARACTERS_MAX = 1 << 20
"""Room for the points of a long line."""
_VOID = frozenset({"input", "meta"})


def element(
    name: str, attributes: Mapping[str, object] | None = None, *children: "Markup | Text"
) -> Markup:
    """Return an element.

    Args:
        name: of the element; ours, never a stranger's.
        attributes: an underscore in a name stands for a hyphen, one at the end for nothing; one of
            None or False is left out, one of True has no value.
        children: markup, or `Text`, which is escaped.
    """
    shown = "".join(_show_attribute(key, value) for key, value in (attributes or {}).items())
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{''.join(map(str, children))}</{name}>")


class Text(str):
    """Text made harmless: controls and marks that turn the line around are shown as escapes."""

    __slots__ = ()

    def __new__(cls, text: object, characters_max: int = TEXT_CHARACTERS_MAX) -> "Text":
        """Return the text, cut and escaped."""
        return super().__new__(cls, escape(clean_text(str(text), characters_max)))


def join(parts: Iterable[Markup]) -> Markup:
    """Return markup one after the other."""
    return Markup("".join(parts))


def _show_attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name}="{escape(clean_text(shown, ATTRIBUTE_CHARACTERS_MAX))}"'
