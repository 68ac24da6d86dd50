"""One configuration option: its type, bounds and sentence, and how a value is read from outside.

Flags and environment variables are text, the file is TOML: both are read by the same function, so
that a wrong value gets the same line wherever it stands.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protocol.errors import BlamedError

TEXT_CHARACTERS_MAX = 4_096
LIST_ENTRIES_MAX = 256
_META = "option"
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


class ConfigError(BlamedError):
    """The operator's configuration is wrong: one line says where, what was found and wanted."""


@dataclass(frozen=True, slots=True)
class OptionMeta:
    """What is known of an option beside its name, type and default.

    Attributes:
        doc: a sentence for people.
        least: smallest integer that is accepted.
        most: largest integer that is accepted.
        choices: the texts that are accepted; empty: any.
        check: raises ConfigError(code, found, wanted) for a text, or for each entry of a list.
    """

    doc: str
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()
    check: Callable[[str], object] | None = None


def option(
    default: Any,
    doc: str,
    *,
    least: int = 0,
    most: int = 0,
    choices: tuple[str, ...] = (),
    check: Callable[[str], object] | None = None,
) -> Any:
    """Return the dataclass field of one option; see `OptionMeta` for the arguments."""
    meta = OptionMeta(doc, least, most, choices, check)
    return field(default=default, metadata={_META: meta})


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One option of one section.

    Attributes:
        kind: bool, int, str, or tuple for a list of texts.
    """

    section: str
    name: str
    kind: type
    default: Any
    meta: OptionMeta

    @property
    def key(self) -> str:
        """Its name in the file and in messages."""
        return f"{self.section}.{self.name}"

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.section}.{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"MINESYNC_{self.section}_{self.name}".upper()

    @property
    def accepted(self) -> str:
        """What is accepted, in a few words."""
        if self.kind is bool:
            return "true or false"
        if self.kind is int:
            return f"{self.meta.least} to {self.meta.most}"
        if self.meta.choices:
            return " or ".join(choice or '""' for choice in self.meta.choices)
        return "a list of texts" if self.kind is tuple else "text"

    def read_value(self, value: Any, where: str) -> Any:
        """Return the typed value of what a TOML file holds.

        Raises:
            ConfigError: `wrong_type`, `out_of_range`, `not_a_choice`, or what the check raises;
                all of them name `where` and the key.
        """
        if self.kind is bool and type(value) is bool:
            return value
        if self.kind is int and type(value) is int:
            return self._check_int(value, where)
        if self.kind is str and type(value) is str:
            return self._check_text(value, where)
        if self.kind is tuple and type(value) is list:
            if len(value) > LIST_ENTRIES_MAX:
                found = f"{len(value)} entries"
                raise self._error("out_of_range", found, f"at most {LIST_ENTRIES_MAX}", where)
            if not all(type(entry) is str for entry in value):
                raise self._error("wrong_type", "an entry that is no text", self.accepted, where)
            return tuple(self._check_text(entry, where) for entry in value)
        raise self._error(
            "wrong_type", f"{type(value).__name__} {_cut(value)}", self.accepted, where
        )

    def read_text(self, text: str, where: str) -> Any:
        """Return the typed value of a flag or a variable; entries of a list are split at commas.

        Raises:
            ConfigError: as `read_value`.
        """
        if self.kind is bool:
            word = text.strip().lower()
            if word not in _TRUE | _FALSE:
                raise self._error("wrong_type", _cut(text), self.accepted, where)
            return word in _TRUE
        if self.kind is int:
            digits = text.strip().replace("_", "")
            if not _INTEGER.fullmatch(digits):
                raise self._error("wrong_type", _cut(text), f"an integer {self.accepted}", where)
            return self._check_int(int(digits), where)
        if self.kind is tuple:
            return self.read_value(
                [part.strip() for part in text.split(",") if part.strip()], where
            )
        return self._check_text(text, where)

    def _check_int(self, value: int, where: str) -> int:
        if not self.meta.least <= value <= self.meta.most:
            raise self._error("out_of_range", value, self.accepted, where)
        return value

    def _check_text(self, text: str, where: str) -> str:
        if len(text) > TEXT_CHARACTERS_MAX or "\x00" in text:
            wanted = f"at most {TEXT_CHARACTERS_MAX} characters, none of them NUL"
            raise self._error("out_of_range", f"{len(text)} characters", wanted, where)
        if self.meta.choices and text not in self.meta.choices:
            raise self._error("not_a_choice", _cut(text), self.accepted, where)
        if self.meta.check is not None and text:
            try:
                self.meta.check(text)
            except BlamedError as error:
                raise self._error(error.code, error.found, error.wanted, where) from error
        return text

    def _error(self, code: str, found: object, wanted: str, where: str) -> ConfigError:
        return ConfigError(code, f"{self.key} = {found} in {where}", wanted)


def collect_options(config_class: type) -> dict[str, OptionSpec]:
    """Return every option of a dataclass of sections, by its dotted key, in order."""
    specs: dict[str, OptionSpec] = {}
    for section, section_class in typing.get_type_hints(config_class).items():
        hints = typing.get_type_hints(section_class)
        for entry in dataclasses.fields(section_class):
            hint = hints[entry.name]
            kind = typing.get_origin(hint) or hint
            if kind not in (bool, int, str, tuple) or isinstance(hint, types.UnionType):
                raise TypeError(f"an option cannot be of type {hint}")
            spec = OptionSpec(section, entry.name, kind, entry.default, entry.metadata[_META])
            specs[spec.key] = spec
    return specs


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
