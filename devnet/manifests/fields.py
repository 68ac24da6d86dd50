"""What may stand in a field of a manifest: each kind reads, writes and describes its values.

A kind is the one place that knows a type: the reader, the JSON Schema, the table in the README and
the writer all ask it.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from devnet.conditions import parse_condition
from devnet.errors import DevnetError
from node.config import OPTIONS
from node.options import ConfigError
from node.text import suggest

TEXT_CHARACTERS_MAX = 1_024
ITEMS_MAX = 256
NAME_PATTERN = "[a-z][a-z0-9_-]{0,23}"
_DURATION_PATTERN = "[0-9]{1,9}(ms|s|m|h)"
_SIZE_PATTERN = "[0-9]{1,9}(B|kB|MB)"
_UNITS_MS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_UNITS_BYTES = {"MB": 1_000_000, "kB": 1_000, "B": 1}


class BadValue(DevnetError):
    """A value that a field does not take; whoever knows the place says where it stands."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of value.

    Attributes:
        text: what is accepted, for people.
        schema: the same as JSON Schema.
        read: takes what TOML gave and returns the typed value, or raises `BadValue`.
        write: takes the typed value and returns what TOML is to hold.
    """

    text: str
    schema: Mapping[str, Any]
    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a table.

    Attributes:
        key: its name in the file.
        doc: a sentence for people.
        is_required: whether it must be there.
        shown: its default, for people, where the value itself says nothing.
    """

    key: str
    doc: str
    kind: Kind
    is_required: bool = False
    shown: str = ""


def entry(
    default: Any, doc: str, kind: Kind, *, key: str = "", required: bool = False, shown: str = ""
) -> Any:
    """Return the dataclass field of one entry; without `key` the attribute's name is the key."""
    meta = Entry(key, doc, kind, required, shown)
    if isinstance(default, dict):
        return field(default_factory=dict, metadata={"entry": meta})
    return field(default=default, metadata={"entry": meta})


def list_entries(table: type) -> dict[str, tuple[str, Entry]]:
    """Return attribute and entry of each field of a table, by key; what is required comes first."""
    found = {}
    for one in dataclasses.fields(table):
        meta: Entry = one.metadata["entry"]
        named = dataclasses.replace(meta, key=meta.key or one.name)
        found[named.key] = (one.name, named)
    return dict(sorted(found.items(), key=lambda item: not item[1][1].is_required))


# ------------------------------------------------------------------------------------ kinds


def _read_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise _bad_type(value, "true or false")
    return value


FLAG = Kind("true or false", {"type": "boolean"}, _read_flag)


def integer(least: int, most: int) -> Kind:
    """Return the kind of integers within bounds."""
    text = f"{least} to {most}"

    def read(value: Any) -> int:
        if type(value) is not int:
            raise _bad_type(value, f"an integer, {text}")
        if not least <= value <= most:
            raise BadValue("out_of_range", value, text)
        return value

    return Kind(text, {"type": "integer", "minimum": least, "maximum": most}, read)


def choice(*words: str) -> Kind:
    """Return the kind of one of a few words."""
    text = " or ".join(words)

    def read(value: Any) -> str:
        if type(value) is not str:
            raise _bad_type(value, text)
        if value not in words:
            raise BadValue("not_a_choice", repr(value[:64]), text + suggest(value, words))
        return value

    return Kind(text, {"enum": list(words)}, read)


def _read_text(value: Any) -> str:
    if type(value) is not str:
        raise _bad_type(value, "text")
    if len(value) > TEXT_CHARACTERS_MAX or not value.isprintable():
        wanted = f"at most {TEXT_CHARACTERS_MAX} printable characters"
        raise BadValue("out_of_range", f"{len(value)} characters", wanted)
    return value


TEXT = Kind("text", {"type": "string", "maxLength": TEXT_CHARACTERS_MAX}, _read_text)


def _pattern(text: str, pattern: str) -> tuple[Callable[[Any], re.Match[str]], dict[str, Any]]:
    compiled = re.compile(pattern)

    def match(value: Any) -> re.Match[str]:
        if type(value) is not str:
            raise _bad_type(value, text)
        found = compiled.fullmatch(value)
        if found is None:
            raise BadValue("malformed", repr(value[:64]), text)
        return found

    return match, {"type": "string", "pattern": f"^{pattern}$"}


def _measure(text: str, pattern: str, units: Mapping[str, int], *, signed: bool = False) -> Kind:
    """Return the kind of amounts with a unit; the typed value is in the smallest one."""
    match, schema = _pattern(text, f"[+-]?{pattern}" if signed else pattern)

    def read(value: Any) -> int:
        found = match(value)
        unit = found[1]
        return int(found[0].removesuffix(unit)) * units[unit]

    def write(value: int) -> str:
        unit = next(
            one for one, size in units.items() if value % size == 0 and (value or size == 1)
        )
        amount = value // units[unit]
        return f"{amount:+}{unit}" if signed else f"{amount}{unit}"

    return Kind(text, schema, read, write)


def _make_name() -> Kind:
    text = "a name of small letters, digits, - and _"
    match, schema = _pattern(text, NAME_PATTERN)
    return Kind(text, schema, lambda value: match(value)[0])


NAME = _make_name()
DURATION = _measure("a time such as 500ms, 30s, 2m or 1h", _DURATION_PATTERN, _UNITS_MS)
OFFSET = _measure("a time such as +30s or -1h", _DURATION_PATTERN, _UNITS_MS, signed=True)
SIZE = _measure("bytes such as 512B, 64kB or 1MB", _SIZE_PATTERN, _UNITS_BYTES)


def _make_share() -> Kind:
    text = "a share such as 5% or 0.5%"
    match, schema = _pattern(text, r"[0-9]{1,2}([.][0-9])?%")

    def read(value: Any) -> int:
        """Return how many of a thousand."""
        whole, _, tenth = match(value)[0].removesuffix("%").partition(".")
        return 10 * int(whole) + int(tenth or 0)

    def write(value: int) -> str:
        whole, tenth = divmod(value, 10)
        return f"{whole}.{tenth}%" if tenth else f"{whole}%"

    return Kind(text, schema, read, write)


SHARE = _make_share()


def _read_condition(value: Any) -> str:
    text = _read_text(value)
    parse_condition(text)
    return text


CONDITION = Kind("a condition", {"type": "string"}, _read_condition)


def list_of(kind: Kind, *, least: int = 0, most: int = ITEMS_MAX) -> Kind:
    """Return the kind of lists; the typed value is a tuple."""
    text = f"a list, each {kind.text}"

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _bad_type(value, text)
        if not least <= len(value) <= most:
            raise BadValue("out_of_range", f"{len(value)} items", f"{least} to {most}")
        return tuple(kind.read(item) for item in value)

    schema = {"type": "array", "items": kind.schema, "minItems": least, "maxItems": most}
    return Kind(text, schema, read, lambda value: [kind.write(item) for item in value])


def table_of(kind: Kind, what: str, known: Callable[[], tuple[str, ...]] | None = None) -> Kind:
    """Return the kind of tables from names to values of one kind.

    Args:
        what: the names are, for people.
        known: returns the names that are accepted; any without it.
    """
    text = f"a table from {what} to {kind.text}"

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _bad_type(value, text)
        names = known() if known else None
        for name in value:
            if names is not None and name not in names:
                raise BadValue("unknown_key", name[:64], f"{what}{suggest(name, names)}")
        return {_read_text(name): kind.read(item) for name, item in value.items()}

    schema: dict[str, Any] = {"type": "object", "additionalProperties": kind.schema}
    if known is not None:
        schema = {
            "type": "object",
            "properties": dict.fromkeys(known(), kind.schema),
            "additionalProperties": False,
        }
    return Kind(text, schema, read, lambda value: {k: kind.write(v) for k, v in value.items()})


# -------------------------------------------------------------------------- options of a node

OPTIONS_PLACE = "#/$defs/Options"
"""Where the schema of a manifest describes them, once for all tables."""


def _read_options(value: Any) -> dict[str, Any]:
    """Return typed values by dotted key of tables of options by section."""
    if type(value) is not dict:
        raise _bad_type(value, OPTION_VALUES.text)
    sections = {spec.section for spec in OPTIONS.values()}
    typed = {}
    for section, content in value.items():
        if section not in sections:
            raise BadValue("unknown_key", section[:64], "a section" + suggest(section, sections))
        if type(content) is not dict:
            raise _bad_type(content, f"a table of options of {section}")
        for name, given in content.items():
            key = f"{section}.{name}"
            if key not in OPTIONS:
                raise BadValue("unknown_key", key[:64], "an option" + suggest(key, OPTIONS))
            try:
                typed[key] = OPTIONS[key].read_value(given, "config")
            except ConfigError as error:
                raise BadValue(error.code, error.found, error.wanted) from error
    return typed


def _write_options(values: Mapping[str, Any]) -> dict[str, Any]:
    written: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        written.setdefault(section, {})[name] = list(value) if type(value) is tuple else value
    return written


def describe_options() -> dict[str, Any]:
    """Return the JSON Schema of what `OPTION_VALUES` takes."""
    names = {bool: "boolean", int: "integer", str: "string", tuple: "array"}
    sections: dict[str, Any] = {}
    for spec in OPTIONS.values():
        table = sections.setdefault(
            spec.section, {"type": "object", "properties": {}, "additionalProperties": False}
        )
        described: dict[str, Any] = {"type": names[spec.kind], "description": spec.meta.doc}
        if spec.kind is int:
            described |= {"minimum": spec.meta.least, "maximum": spec.meta.most}
        elif spec.kind is tuple:
            described["items"] = {"type": "string"}
        elif spec.meta.choices:
            described["enum"] = list(spec.meta.choices)
        table["properties"][spec.name] = described
    return {"type": "object", "properties": sections, "additionalProperties": False}


OPTION_VALUES = Kind(
    "tables of options of a node, by section",
    {"$ref": OPTIONS_PLACE},
    _read_options,
    _write_options,
)


def _bad_type(value: Any, wanted: str) -> BadValue:
    return BadValue("wrong_type", describe_type(value), wanted)


def describe_type(value: Any) -> str:
    """Return what TOML gave, in a few words."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return repr(value)[:80]
