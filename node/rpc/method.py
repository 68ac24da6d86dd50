"""What an RPC method is: a value with its name, its typed parameters and its handler."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from node.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, RPC_DEADLINE_MS
from node.rpc.errors import INVALID_PARAMS, RpcFault
from protocol.params import AMOUNT_MAX
from protocol.phases import get_label

_HEX = re.compile(r"(?:0x)?((?:[0-9a-f]{2})*)")
_DIGITS = re.compile(r"[0-9]{1,19}")
CURSOR_CHARACTERS_MAX = 512
REQUIRED = object()
"""The default of a parameter that has none."""

Reader = Callable[[str, Any], Any]
"""Takes the name of a parameter and its JSON value; returns the typed value or raises."""


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter.

    Attributes:
        read: its reader.
        kind: what it is, for people: `id`, `integer 0 to 9`, ...
        default: for a call that leaves it out or gives null.
    """

    name: str
    read: Reader
    kind: str
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    Attributes:
        handler: called with the peer and one keyword for each parameter; may be `async`.
        doc: a sentence for people.
        deadline_ms: for the whole call.
    """

    name: str
    handler: Callable[..., Any]
    doc: str
    params: tuple[Param, ...] = ()
    deadline_ms: int = RPC_DEADLINE_MS

    def read_params(self, given: Any) -> dict[str, Any]:
        """Return typed keyword arguments from the `params` of a request, by name or by place.

        Raises:
            RpcFault: `invalid_params`.
        """
        names = [param.name for param in self.params]
        if isinstance(given, list):
            if len(given) > len(names):
                raise bad_param("params", f"{len(given)} values", f"at most {len(names)}")
            given = dict(zip(names, given, strict=False))
        elif given is None:
            given = {}
        unknown = sorted(set(given) - set(names))
        if unknown:
            wanted = "one of " + ", ".join(names) if names else "no parameter"
            raise bad_param("params", unknown[0], wanted)
        typed = {}
        for param in self.params:
            value = given.get(param.name)
            if value is None:
                if param.default is REQUIRED:
                    raise bad_param(param.name, "nothing", param.kind)
                typed[param.name] = param.default
            else:
                typed[param.name] = param.read(param.name, value)
        return typed


def bad_param(name: str, found: object, wanted: object) -> RpcFault:
    """Return the error for a parameter that cannot be read."""
    return RpcFault(INVALID_PARAMS, "invalid_params", f"{name} = {str(found)[:80]}", wanted)


def read_bytes(bytes_max: int) -> Reader:
    """Return a reader of bytes as lower-case hex, with or without 0x."""

    def read(name: str, value: Any) -> bytes:
        match = _HEX.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise bad_param(name, _show(value), "lower-case hex digits")
        data = bytes.fromhex(match[1])
        if len(data) > bytes_max:
            raise bad_param(name, f"{len(data)} bytes", f"at most {bytes_max}")
        return data

    return read


def read_id(name: str, value: Any) -> bytes:
    """Return the 32 bytes of an id or address."""
    data: bytes = read_bytes(32)(name, value)
    if len(data) != 32:
        raise bad_param(name, _show(value), "64 lower-case hex digits")
    return data


def read_text(characters_max: int) -> Reader:
    """Return a reader of text; what it returns is composed (NFC)."""

    def read(name: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > characters_max:
            raise bad_param(name, _show(value), f"text of at most {characters_max} characters")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise bad_param(name, "half of a surrogate pair", "text") from error
        # Composed, as everything that is signed must be.
        return unicodedata.normalize("NFC", value)

    return read


def read_int(least: int, most: int) -> Reader:
    """Return a reader of integers within bounds."""

    def read(name: str, value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise bad_param(name, _show(value), f"an integer, {least} to {most}")
        return value

    return read


def read_flag(name: str, value: Any) -> bool:
    """Return a truth value."""
    if not isinstance(value, bool):
        raise bad_param(name, _show(value), "true or false")
    return value


def read_amount(name: str, value: Any) -> int:
    """Return nano-units, given as decimal text or as an integer."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if type(value) is not int or not 0 <= value <= AMOUNT_MAX:
        raise bad_param(name, _show(value), "nano-units as decimal digits")
    return value


def read_choice(*choices: str) -> Reader:
    """Return a reader of one of a few words."""

    def read(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise bad_param(name, _show(value), " or ".join(choices))
        return value

    return read


def read_member(members: type[IntEnum]) -> Reader:
    """Return a reader of a member of an enumeration, by its label."""
    by_label = {get_label(member): member for member in members}

    def read(name: str, value: Any) -> IntEnum:
        member = by_label.get(value.lower()) if isinstance(value, str) else None
        if member is None:
            raise bad_param(name, _show(value), " or ".join(by_label))
        return member

    return read


def read_list(read_item: Reader, items_max: int) -> Reader:
    """Return a reader of lists."""

    def read(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > items_max:
            raise bad_param(name, _show(value), f"a list of at most {items_max}")
        return [read_item(f"{name}[{place}]", item) for place, item in enumerate(value)]

    return read


def read_object(name: str, value: Any) -> dict[str, Any]:
    """Return a JSON object; what is inside the method reads itself."""
    if not isinstance(value, dict):
        raise bad_param(name, _show(value), "an object")
    return value


LIMIT = Param(
    "limit",
    read_int(1, PAGE_ITEMS_MAX),
    f"integer 1 to {PAGE_ITEMS_MAX}",
    PAGE_ITEMS_DEFAULT,
)
CURSOR = Param("cursor", read_text(CURSOR_CHARACTERS_MAX), "next_cursor of the page before", "")


def _show(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:40])
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else str(value)[:40]
