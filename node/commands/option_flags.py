"""Every configuration option as a flag, `--p2p.max-peers 12`, made from the one list of options."""

import dataclasses
import typing
from typing import Annotated, Any

from cyclopts import Group, Parameter

from node.config import OPTIONS, Config
from node.options import OptionSpec


def _build_section(section: str, specs: list[OptionSpec]) -> type:
    fields: list[tuple[str, Any, Any]] = []
    for spec in specs:
        # Text, so that `OptionSpec` reads flags as it reads the environment, with the same errors.
        kinds: dict[type, Any] = {bool: bool, tuple: list[str]}
        kind = kinds.get(spec.kind, str)
        bounds = "" if spec.kind is bool or spec.accepted == "text" else f" ({spec.accepted})"
        help_text = spec.meta.doc + bounds
        parameter = Parameter(help=help_text, negative_iterable="", allow_leading_hyphen=True)
        fields.append((spec.name, Annotated[kind | None, parameter], None))
    return _make_class(f"{section}_flags", fields)


def _make_class(name: str, fields: list[tuple[str, Any, Any]]) -> type:
    # cyclopts does not look into classes of the standard library, which is where they would be.
    home = {"__module__": __name__}
    return dataclasses.make_dataclass(name, fields, namespace=home, frozen=True, slots=True)


def _build_flags() -> type:
    sections: dict[str, list[OptionSpec]] = {}
    for spec in OPTIONS.values():
        sections.setdefault(spec.section, []).append(spec)
    fields: list[tuple[str, Any, Any]] = []
    for place, (section, specs) in enumerate(sections.items()):
        title = f"{section}: {typing.get_type_hints(Config)[section].__doc__}"
        group = Group(title, sort_key=100 + place)
        flags: Any = _build_section(section, specs)
        fields.append((section, Annotated[flags | None, Parameter(group=group)], None))
    flags_class = _make_class("OptionFlags", fields)
    Parameter(name="*")(flags_class)
    return flags_class


OptionFlags: Any = _build_flags()
"""A dataclass of dataclasses: a section that was not named is None, and so is an option."""


def read_flags(flags: Any) -> dict[str, str]:
    """Return the text of every flag that was given, by dotted key."""
    given: dict[str, str] = {}
    for spec in OPTIONS.values():
        value = getattr(getattr(flags, spec.section, None), spec.name, None)
        if isinstance(value, bool):
            given[spec.key] = "true" if value else "false"
        elif isinstance(value, list):
            given[spec.key] = ",".join(value)
        elif value is not None:
            given[spec.key] = value
    return given
