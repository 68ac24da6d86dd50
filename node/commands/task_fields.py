"""The type of a task as it is typed: `--type code_analysis --field language=python`."""

import dataclasses
import difflib
import typing
from enum import IntEnum
from typing import Any

from node.exits import UsageError
from protocol.task_types import TYPE_SLUGS


def build_task_type(slug: str, pairs: list[str]) -> dict[str, Any]:
    """Return a task type as the RPC takes it; fields that may be empty can be left out.

    Raises:
        UsageError: `unknown_task_type`, `unknown_field`, `missing_field`, `bad_field`.
    """
    classes = {name: kind for kind, name in TYPE_SLUGS.items()}
    if slug not in classes:
        raise UsageError("unknown_task_type", repr(slug[:64]), _suggest(slug, list(classes)))
    texts: dict[str, str] = {}
    fields = {entry.name: entry for entry in dataclasses.fields(classes[slug])}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name in texts:
            raise UsageError("bad_field", repr(pair[:64]), "name=value, each name once")
        if name not in fields:
            raise UsageError("unknown_field", repr(name[:64]), _suggest(name, list(fields)))
        texts[name] = text
    hints = typing.get_type_hints(classes[slug])
    built: dict[str, Any] = {"type": slug}
    for name in fields:
        built[name] = _read_field(name, hints[name], texts.get(name))
    return built


def _read_field(name: str, hint: Any, text: str | None) -> Any:
    is_optional = type(None) in typing.get_args(hint)
    is_list = typing.get_origin(hint) is tuple
    if text is None:
        if is_optional:
            return None
        if is_list:
            return []
        raise UsageError("missing_field", f"no --field {name}=...", f"a value of {name}")
    if is_list:
        return sorted({part.strip() for part in text.split(",") if part.strip()})
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        choices = [member.name.lower() for member in hint]
        if text.lower() not in choices:
            raise UsageError("bad_field", f"{name}={text[:64]!r}", " or ".join(choices))
        return text.lower()
    if hint is int:
        if not text.isascii() or not text.isdigit():
            raise UsageError("bad_field", f"{name}={text[:64]!r}", "an integer")
        return int(text)
    return text


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else ", ".join(known) or "no field"
