"""The JSON Schema of manifests and the README's table of fields, both drawn from the tables."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from devnet.manifests.fields import (
    NAME_PATTERN,
    OPTIONS_PLACE,
    Entry,
    describe_options,
    list_entries,
)
from devnet.manifests.tables import GroupTable, Manifest, NodeTable

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build_schema() -> dict[str, Any]:
    """Return the schema of a whole manifest."""
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {OPTIONS_PLACE.rpartition("/")[2]: describe_options()}
    for one in dataclasses.fields(Manifest):
        kind, shape = one.metadata["table"], one.metadata["shape"]
        # Whatever [defaults] says, its tables need not; so only tables without defaults require.
        definitions[kind.__name__] = _describe_table(kind)
        reference: dict[str, Any] = {"$ref": f"#/$defs/{kind.__name__}"}
        if shape == "map":
            names = {f"^{NAME_PATTERN}$": reference}
            reference = {"type": "object", "patternProperties": names}
            reference["additionalProperties"] = False
        elif shape == "list":
            reference = {"type": "array", "items": reference}
        properties[one.name] = reference
    return {
        "$schema": DIALECT,
        "title": "minesync devnet manifest",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def render_tables() -> str:
    """Return the reference of all tables and fields, in Markdown."""
    lines: list[str] = []
    for title, kind in _list_tables():
        lines += [f"**`{title}`** {_first_line(kind)}", ""]
        # A group has the fields of a node, as its first line says.
        inherited = list_entries(NodeTable) if kind is GroupTable else {}
        lines += ["| field | default | accepted | what it is |", "|---|---|---|---|"]
        for key, (attribute, one) in list_entries(kind).items():
            if key in inherited:
                continue
            default = _show_default(kind, attribute, one)
            cells = [cell.replace("|", "\\|") for cell in (key, default, one.kind.text, one.doc)]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _list_tables() -> Iterator[tuple[str, type]]:
    for one in dataclasses.fields(Manifest):
        # [defaults] has the fields of [node].
        if one.name != "defaults":
            yield one.metadata["doc"], one.metadata["table"]


def _describe_table(kind: type) -> dict[str, Any]:
    properties = {}
    for key, (attribute, one) in list_entries(kind).items():
        described = {"description": one.doc, **one.kind.schema}
        default = _find_default(kind, attribute)
        if default not in (None, dataclasses.MISSING) and not one.is_required and not one.shown:
            described["default"] = one.kind.write(default)
        properties[key] = described
    required = [key for key, (_, one) in list_entries(kind).items() if one.is_required]
    table = {
        "description": _first_line(kind),
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return {**table, "required": required} if required else table


def _find_default(kind: type, attribute: str) -> Any:
    return getattr(kind(), attribute)


def _show_default(kind: type, attribute: str, one: Entry) -> str:
    if one.is_required:
        return "required"
    if one.shown:
        return one.shown
    return f"`{_show(one.kind.write(_find_default(kind, attribute)))}`"


def _show(value: Any) -> str:
    return {True: "true", False: "false"}[value] if type(value) is bool else str(value) or '""'


def _first_line(kind: type) -> str:
    return str(kind.__doc__).splitlines()[0]
