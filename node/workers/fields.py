"""The fields of a message: readers that accept one sort of value, and records made of them.

A reader takes a value as JSON gives it, or as it stands in a record already, and returns it in its
frozen form, or raises `BadField`. A record names the reader of each field in its annotation, so a
record that exists is valid.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, get_type_hints

SHOWN_CHARS_MAX = 200
"""Of a worker's own words in an error or a log line."""
PARAMS_MAX = 16
INTEGER_MAX = (1 << 53) - 1
"""What every JSON reader keeps exact."""

Value = str | int | None | tuple[str, ...]
"""What a parameter of a task can be, and an entry of an answer's `meta`."""


class BadField(ValueError):
    """A field holds what it must not; `found` and `wanted` say what."""

    def __init__(self, found: str, wanted: str) -> None:
        self.found = found
        self.wanted = wanted
        super().__init__(f"found {found}, wanted {wanted}")


def show(text: str | bytes) -> str:
    """Return foreign text as printable ASCII, cut to `SHOWN_CHARS_MAX` characters."""
    if isinstance(text, bytes):
        text = text[: 4 * SHOWN_CHARS_MAX].decode("utf-8", "backslashreplace")
    head = text[: SHOWN_CHARS_MAX + 1]
    escaped = head.encode("unicode_escape").decode("ascii")
    return escaped if len(escaped) <= SHOWN_CHARS_MAX else escaped[: SHOWN_CHARS_MAX - 3] + "..."


# Readers of single fields: a value in, the same value in its frozen form out, or BadField.


def text(bytes_max: int, pattern: str | None = None) -> Callable[[object], str]:
    """Return a reader of text: at most so many bytes of UTF-8, all of it as in the pattern."""
    shape = None if pattern is None else re.compile(pattern)

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise BadField(type(value).__name__, "text")
        try:
            size = len(value.encode("utf-8"))
        except UnicodeEncodeError:
            raise BadField("half of a surrogate pair", "text") from None
        if size > bytes_max:
            raise BadField(f"{size} bytes", f"at most {bytes_max} bytes")
        if shape is not None and not shape.fullmatch(value):
            raise BadField(show(value), shape.pattern)
        return value

    return read


def integer(least: int, most: int) -> Callable[[object], int]:
    """Return a reader of integers, both ends included."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise BadField(_describe(value), f"an integer {least} to {most}")
        return value

    return read


def fraction(value: object) -> float:
    """Read a number 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadField(_describe(value), "a number 0 to 1")
    return float(value)


def boolean(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise BadField(_describe(value), "true or false")
    return value


def optional(read: Callable[[object], Any]) -> Callable[[object], Any]:
    """Return a reader that takes null as well."""
    return lambda value: None if value is None else read(value)


def several(
    read: Callable[[object], Any], least: int, most: int, key: Callable[[Any], object] = repr
) -> Callable[[object], tuple[Any, ...]]:
    """Return a reader of a list of so many entries, no two of the same key."""

    def read_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            found = f"{len(value)} entries" if isinstance(value, list | tuple) else _describe(value)
            raise BadField(found, f"{least} to {most} entries")
        entries = tuple(read(one) for one in value)
        if len({key(one) for one in entries}) != len(entries):
            raise BadField("an entry twice", "each once")
        return entries

    return read_all


def _value(value: object) -> Value:
    if value is None:
        return None
    if isinstance(value, str):
        return _param_text(value)
    if isinstance(value, list | tuple):
        return _param_texts(value)
    return _param_integer(value)


def mapping(value: object) -> Mapping[str, Value]:
    """Read an object of slugs to small values."""
    if not isinstance(value, Mapping) or len(value) > PARAMS_MAX:
        raise BadField(_describe(value), f"an object of at most {PARAMS_MAX} fields")
    return {slug(name): _value(one) for name, one in value.items()}


def record(cls: type) -> Callable[[object], Any]:
    """Return a reader of a record inside another."""
    return lambda value: value if isinstance(value, cls) else build_record(cls, value)


def _describe(value: object) -> str:
    # Containers and texts may be large; their sort says enough.
    small = value is None or isinstance(value, bool | int | float)
    return str(value) if small and len(str(value)) < 32 else type(value).__name__


slug = text(64, r"[a-z0-9][a-z0-9_-]*")
IDENTITY_MAX = 80
identity = text(IDENTITY_MAX, r"[0-9A-Za-z][0-9A-Za-z._:-]*")
_param_text = text(256)
_param_texts = several(slug, 0, PARAMS_MAX)
_param_integer = integer(-INTEGER_MAX, INTEGER_MAX)


class Record:
    """Base of every record: each field passes the reader in its annotation when it is built."""

    __slots__ = ()

    def __post_init__(self) -> None:
        cls: Any = type(self)
        for name, read in _get_readers(cls).items():
            try:
                object.__setattr__(self, name, read(getattr(self, name)))
            except BadField as bad:
                raise BadField(f"{name}: {bad.found}", bad.wanted) from None


@cache
def _get_readers(cls: type) -> dict[str, Callable[[object], Any]]:
    hints = get_type_hints(cls, include_extras=True)
    return {one.name: hints[one.name].__metadata__[0] for one in fields(cls)}


def build_record(cls: type, plain: object) -> Any:
    """Build a record from plain JSON with exactly its fields; one with a default may be absent.

    Raises:
        BadField: something is not as the record wants it.
    """
    if not isinstance(plain, dict):
        raise BadField(_describe(plain), "an object")
    known = {one.name: one for one in fields(cls)}
    unknown = sorted(plain.keys() - known.keys())
    if unknown:
        raise BadField(f"the field {show(unknown[0])}", f"only {', '.join(known)}")
    for name, one in known.items():
        has_default = one.default is not MISSING or one.default_factory is not MISSING
        if name not in plain and not has_default:
            raise BadField(f"no field {name}", name)
    return cls(**plain)
