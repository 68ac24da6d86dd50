"""Typed records as positional arrays: a frozen dataclass to a plain list and strictly back.

The field order of the class is the order on the wire. Bounds stand in the annotations, so a record
cannot be read past them: `Annotated[int, Between(0, 100)]`, `Annotated[bytes, Exactly(32)]`,
`Annotated[str, AtMost(128)]`, `Annotated[tuple[X, ...], AtMost(16)]`. A union of record classes is
written with its place in the union before the fields. A last field that is
`Annotated[X | None, Trailing()]` is left out where it is None, and only then: a class that gained
one reads the bytes of before.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from protocol import codec
from protocol.errors import InvariantBroken, Rejected

T = TypeVar("T")
Reader = Callable[[Any, str], Any]
Writer = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of an integer, both included."""

    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class Exactly:
    """Length of a byte string."""

    size: int


@dataclass(frozen=True, slots=True)
class AtMost:
    """Greatest length: bytes of a byte string or of a text in UTF-8, items of a tuple."""

    size: int


@dataclass(frozen=True, slots=True)
class Trailing:
    """A last field that is not written when it is None, and never written as null."""


def encode_record(record: object) -> bytes:
    """Return the canonical bytes of a record.

    Raises:
        InvariantBroken: a field is outside its bounds; no record of ours may be.
    """
    return codec.encode(to_plain(record))


def decode_record(cls: type[T], data: bytes) -> T:
    """Return the record of class `cls` that `data` encodes.

    Raises:
        Rejected: `codec_…` for bytes outside the subset, `field_…` for a field outside its bounds.
    """
    return from_plain(cls, codec.decode(data))


def to_plain(record: object) -> list[Any]:
    """Return the fields of a record as a list of plain values."""
    return cast(list[Any], _compile(type(record))[0](record))


def from_plain(cls: type[T], value: object) -> T:
    """Return the record of class `cls` whose plain form is `value`.

    Raises:
        Rejected: `field_…`, naming the field.
    """
    return cast(T, _compile(cls)[1](value, cls.__name__))


_COMPILED: dict[type, tuple[Writer, Reader]] = {}
"""Filled once for each record class; a cache of pure functions, not state."""


def _compile(cls: type) -> tuple[Writer, Reader]:
    """Return how to write and read one record class."""
    if cls not in _COMPILED:
        _COMPILED[cls] = _compile_class(cls)
    return _COMPILED[cls]


def _compile_class(cls: type) -> tuple[Writer, Reader]:
    if not is_dataclass(cls):
        raise TypeError(f"{cls!r} is not a record class")
    hints = get_type_hints(cls, include_extras=True)
    names = [field.name for field in fields(cls)]
    pairs = [_compile_type(hints[name]) for name in names]
    writers = [pair[0] for pair in pairs]
    read_fields = _make_getter(names)
    readers = [(name, pair[1]) for name, pair in zip(names, pairs, strict=True)]
    count = len(names)

    def write(record: Any) -> list[Any]:
        return [writer(value) for writer, value in zip(writers, read_fields(record), strict=True)]

    def read(value: Any, path: str) -> Any:
        if type(value) is not list or len(value) != count:
            raise Rejected("field_shape", f"{path} {_describe(value)}", f"an array of {count}")
        return cls(
            *[
                reader(item, f"{path}.{name}")
                for item, (name, reader) in zip(value, readers, strict=True)
            ]
        )

    if names and Trailing() in get_args(hints[names[-1]]):
        return _make_trailing(write, read, count)
    return write, read


def _make_getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return how to read all fields of a record at once."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _make_trailing(write: Writer, read: Reader, count: int) -> tuple[Writer, Reader]:
    """Return how to write and read a class whose last field is left out when it is None."""

    def write_short(record: Any) -> list[Any]:
        plain: list[Any] = write(record)
        return plain if plain[-1] is not None else plain[:-1]

    def read_short(value: Any, path: str) -> Any:
        if type(value) is list and len(value) == count - 1:
            return read([*value, None], path)
        if type(value) is list and value and len(value) == count and value[-1] is None:
            raise Rejected("field_shape", f"{path} ends in null", f"an array of {count - 1}")
        return read(value, path)

    return write_short, read_short


def _compile_type(hint: Any) -> tuple[Writer, Reader]:
    bound: Any = None
    if get_origin(hint) is Annotated:
        hint, bound = get_args(hint)[:2]
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _compile_union(hint)
    if origin is tuple:
        return _compile_tuple(get_args(hint)[0], bound)
    if hint is bool:
        return _same, _read_bool
    if hint is int:
        return _compile_int(bound)
    if hint in (bytes, str):
        return _compile_sized(hint, bound)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _compile_enum(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _compile(hint)
    raise TypeError(f"no byte form for {hint!r}")


def _same(value: Any) -> Any:
    return value


def _read_bool(value: Any, path: str) -> bool:
    if type(value) is not bool:
        raise Rejected("field_type", f"{path} {_describe(value)}", "true or false")
    return value


def _compile_int(bound: Any) -> tuple[Writer, Reader]:
    limits = bound if isinstance(bound, Between) else Between(0, (1 << 64) - 1)
    lowest, highest = limits.lowest, limits.highest

    def write(value: Any) -> int:
        if not lowest <= value <= highest:
            raise InvariantBroken(f"{value} outside {lowest}..{highest}")
        return int(value)

    def read(value: Any, path: str) -> int:
        if type(value) is not int:
            raise Rejected("field_type", f"{path} {_describe(value)}", "an integer")
        if not lowest <= value <= highest:
            raise Rejected("field_range", f"{path} {value}", f"{lowest}..{highest}")
        return value

    return write, read


def _compile_sized(kind: type, bound: Any) -> tuple[Writer, Reader]:
    most = bound.size if isinstance(bound, (Exactly, AtMost)) else codec.BYTES_MAX
    least = most if isinstance(bound, Exactly) else 0
    wanted = f"{most} bytes" if isinstance(bound, Exactly) else f"at most {most} bytes"
    measure: Callable[[Any], int] = _count_utf8 if kind is str else len

    def write(value: Any) -> Any:
        if not least <= measure(value) <= most:
            raise InvariantBroken(f"{_describe(value)}, wanted {wanted}")
        return value

    def read(value: Any, path: str) -> Any:
        if type(value) is not kind:
            raise Rejected("field_type", f"{path} {_describe(value)}", kind.__name__)
        if not least <= measure(value) <= most:
            raise Rejected("field_size", f"{path} {_describe(value)}", wanted)
        return value

    return write, read


def _compile_tuple(item: Any, bound: Any) -> tuple[Writer, Reader]:
    most = bound.size if isinstance(bound, AtMost) else codec.ITEMS_MAX
    writer, reader = _compile_type(item)

    def write(value: Any) -> list[Any]:
        if len(value) > most:
            raise InvariantBroken(f"{len(value)} items, at most {most}")
        return [writer(entry) for entry in value]

    def read(value: Any, path: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise Rejected("field_type", f"{path} {_describe(value)}", "an array")
        if len(value) > most:
            raise Rejected("field_size", f"{path} {len(value)} items", f"at most {most}")
        return tuple(reader(entry, f"{path}[{i}]") for i, entry in enumerate(value))

    return write, read


def _compile_enum(cls: type[IntEnum]) -> tuple[Writer, Reader]:
    members = {member.value: member for member in cls}

    def read(value: Any, path: str) -> IntEnum:
        member = members.get(value) if type(value) is int else None
        if member is None:
            raise Rejected("field_enum", f"{path} {_describe(value)}", f"a {cls.__name__}")
        return member

    return int, read


def _compile_union(hint: Any) -> tuple[Writer, Reader]:
    options = [option for option in get_args(hint) if option is not NoneType]
    if len(options) == 1:
        return _compile_optional(options[0])
    if NoneType in get_args(hint):
        raise TypeError("wrap an optional union in a record")
    compiled = [_compile(option) for option in options]
    places = {option: place for place, option in enumerate(options)}

    def write(value: Any) -> list[Any]:
        place = places[type(value)]
        return [place, *compiled[place][0](value)]

    def read(value: Any, path: str) -> Any:
        if type(value) is not list or not value or type(value[0]) is not int:
            raise Rejected("field_shape", f"{path} {_describe(value)}", "a tagged array")
        if not 0 <= value[0] < len(options):
            raise Rejected("field_enum", f"{path} tag {value[0]}", f"below {len(options)}")
        return compiled[value[0]][1](value[1:], f"{path}:{options[value[0]].__name__}")

    return write, read


def _compile_optional(hint: Any) -> tuple[Writer, Reader]:
    writer, reader = _compile_type(hint)

    def write(value: Any) -> Any:
        return None if value is None else writer(value)

    def read(value: Any, path: str) -> Any:
        return None if value is None else reader(value, path)

    return write, read


def _count_utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def _describe(value: object) -> str:
    """Say what was found without printing hostile text."""
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    return f"{type(value).__name__} {value}"
