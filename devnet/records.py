"""Records as JSON in files that somebody else may have written: read strictly, or refused.

A record is a dataclass whose fields are integers, text, flags, tuples, dictionaries by text, or
records. A key too many, one that lacks, a key twice, another type, a float: each is an error that
names its place.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from devnet.errors import DevnetError
from node.text import clean_text

FORMAT = "format"
"""The field that says of which format a document is; it is read before all others."""
SHOWN_MAX = 64

T = TypeVar("T")


class BadRecord(DevnetError):
    """A document is not of the shape that it should have."""


def write_record(record: Any, format_name: str) -> bytes:
    """Return a record as one document: ASCII, its keys in the order of its fields."""
    document = {FORMAT: format_name, **dataclasses.asdict(record)}
    return (json.dumps(document, indent=1) + "\n").encode("ascii")


def read_record(kind: type[T], data: bytes, format_name: str, what: str) -> T:
    """Return the record of a document.

    Args:
        kind: of the record.
        data: the document.
        format_name: that it must name.
        what: the document, for errors.

    Raises:
        BadRecord: `unknown_format`, `bad_record`.
    """
    try:
        value = json.loads(data, object_pairs_hook=_make_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadRecord("bad_record", f"{what}: no JSON", f"a document {format_name}") from error
    found = value.pop(FORMAT, None) if isinstance(value, dict) else None
    if found != format_name:
        shown = clean_text(str(found), SHOWN_MAX) if found is not None else "none"
        raise BadRecord("unknown_format", f"{what}: format {shown}", format_name)
    try:
        read: T = _read(kind, value, what)
    except RecursionError as error:
        raise BadRecord("bad_record", f"{what}: too deep", f"a document {format_name}") from error
    return read


def _read(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_fields(typing.cast("type", kind), value, place)
    if origin is types.UnionType:
        return None if value is None else _read(arguments[0], value, place)
    if origin is tuple:
        items = _require(list, value, place)
        return tuple(_read(arguments[0], one, f"{place}[{at}]") for at, one in enumerate(items))
    if origin in (dict, Mapping):
        pairs = _require(dict, value, place)
        return {name: _read(arguments[1], one, _name(place, name)) for name, one in pairs.items()}
    return _require(kind, value, place)


def _read_fields(kind: type, value: Any, place: str) -> Any:
    given = _require(dict, value, place)
    hints = typing.get_type_hints(kind)
    names = [one.name for one in dataclasses.fields(kind)]
    for name in given:
        if name not in names:
            raise BadRecord("bad_record", _name(place, name), f"only {', '.join(names)}")
    for name in names:
        if name not in given:
            raise BadRecord("bad_record", f"{place}: no {name}", ", ".join(names))
    return kind(**{name: _read(hints[name], given[name], _name(place, name)) for name in names})


def _require(kind: type, value: Any, place: str) -> Any:
    # Not isinstance: true is no 1.
    if type(value) is not kind:
        raise BadRecord("bad_record", f"{place}: {type(value).__name__}", kind.__name__)
    return value


def _name(place: str, name: str) -> str:
    return f"{place}.{clean_text(name, SHOWN_MAX)}"


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def _refuse(word: str) -> Any:
    raise ValueError(word)
