"""From the text of a manifest to a `Manifest`: strict, and with the place in every complaint."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from devnet.conditions import ConditionError
from devnet.errors import DevnetError
from devnet.manifests.fields import NAME, BadValue, describe_type, list_entries
from devnet.manifests.tables import Manifest, NodeTable
from node.options import ConfigError
from node.text import clean_text, suggest

BYTES_MAX = 256 * 1024
SHIPPED = Path(__file__).parent
ENDING = ".toml"

T = TypeVar("T")


class ManifestError(DevnetError, ConfigError):
    """A manifest cannot be used: the line names file, table, key, what was found and wanted."""


def list_shipped() -> tuple[str, ...]:
    """Return the names of the manifests that are shipped."""
    return tuple(sorted(path.stem for path in SHIPPED.glob(f"*{ENDING}")))


def find_manifest(name: str) -> Path:
    """Return the file of a manifest: a path, or the name of a shipped one.

    Raises:
        ManifestError: `no_manifest`.
    """
    path = Path(name)
    if path.suffix == ENDING or "/" in name:
        return path
    if name in list_shipped():
        return SHIPPED / f"{name}{ENDING}"
    wanted = f"a file, or one of {', '.join(list_shipped())}{suggest(name, list_shipped())}"
    raise ManifestError("no_manifest", repr(clean_text(name, 64)), wanted)


def load_manifest(name: str) -> Manifest:
    """Return the manifest of a file, or a shipped one by its name.

    Raises:
        ManifestError: it is not there, or not a manifest.
    """
    path = find_manifest(name)
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ManifestError("no_manifest", f"{path}: {error.strerror}", "a file") from error
    if len(data) > BYTES_MAX:
        raise ManifestError("manifest_too_long", path, f"at most {BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8")
    except ValueError as error:
        raise ManifestError("manifest_syntax", path, "TOML in UTF-8") from error
    return read_manifest(text, str(path))


def read_manifest(text: str, where: str) -> Manifest:
    """Return the manifest that a text is.

    What tables say of each other is checked by `devnet.manifests.relations`.

    Args:
        text: TOML.
        where: its file, for errors.

    Raises:
        ManifestError: `manifest_syntax`, `unknown_table`, `unknown_key`, `missing_key`, or what is
            wrong with a value.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ManifestError("manifest_syntax", f"{where}: {reason}", "TOML") from error
    return _Reader(where).read(document)


class _Reader:
    def __init__(self, where: str) -> None:
        self._where = where

    def read(self, document: Mapping[str, Any]) -> Manifest:
        tables = {one.name: one for one in dataclasses.fields(Manifest)}
        for name in document:
            if name not in tables:
                wanted = "a known table" + suggest(name, tables)
                raise self._error("unknown_table", f"[{clean_text(name, 64)}]", "", "", wanted)
        defaults = document.get("defaults", {})
        read: dict[str, Any] = {}
        for name, one in tables.items():
            given = document.get(name)
            kind, shape = one.metadata["table"], one.metadata["shape"]
            base = defaults if issubclass(kind, NodeTable) and name != "defaults" else {}
            if given is None:
                continue
            if shape == "one":
                read[name] = self._read_table(kind, given, f"[{name}]")
            elif shape == "map":
                read[name] = self._read_map(kind, given, name, base)
            else:
                read[name] = self._read_list(kind, given, name)
        return Manifest(**read)

    def _read_map(
        self, kind: type[T], given: Any, name: str, base: Mapping[str, Any]
    ) -> dict[str, T]:
        self._check_table(given, f"[{name}]")
        typed = {}
        for own, content in given.items():
            place = f"[{name}.{clean_text(own, 64)}]"
            try:
                NAME.read(own)
            except BadValue as error:
                raise self._error(error.code, place, "", error.found, error.wanted) from error
            self._check_table(content, place)
            typed[own] = self._read_table(kind, _merge(base, content), place)
        return typed

    def _read_list(self, kind: type[T], given: Any, name: str) -> tuple[T, ...]:
        if type(given) is not list:
            raise self._error("wrong_type", f"[{name}]", "", "", f"tables [[{name}]]")
        return tuple(
            self._read_table(kind, content, f"[[{name}]] {place}")
            for place, content in enumerate(given, start=1)
        )

    def _read_table(self, kind: type[T], given: Any, place: str) -> T:
        self._check_table(given, place)
        entries = list_entries(kind)
        for key in given:
            if key not in entries:
                shown = clean_text(key, 64)
                wanted = "a known key" + suggest(key, entries)
                raise self._error("unknown_key", place, shown, "", wanted)
        typed: dict[str, Any] = {}
        for key, (attribute, one) in entries.items():
            if key in given:
                try:
                    typed[attribute] = one.kind.read(given[key])
                except (BadValue, ConditionError) as error:
                    raise self._error(error.code, place, key, error.found, error.wanted) from error
            elif one.is_required:
                raise self._error("missing_key", place, key, "nothing", one.kind.text)
        return kind(**typed)

    def _check_table(self, given: Any, place: str) -> None:
        if type(given) is not dict:
            raise self._error("wrong_type", place, "", describe_type(given), "a table")

    def _error(self, code: str, place: str, key: str, found: str, wanted: str) -> ManifestError:
        at = " ".join(part for part in (place, key) if part)
        shown = f"{at} in {self._where}" + (f": {found}" if found else "")
        return ManifestError(code, shown, wanted)


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `own` says and, where it says nothing, what `base` does; tables are merged."""
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged
