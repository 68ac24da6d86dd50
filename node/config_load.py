"""Where a configuration comes from: flags before environment before file before defaults.

Each value keeps its origin, so that `minesync config show --origin` can answer the question that
every operator asks sooner or later. A key nobody knows is an error: a typo that is passed over in
silence is a node that runs with what its operator did not choose.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.config import OPTIONS, Config, check_config
from node.options import ConfigError, OptionSpec
from node.text import suggest

CONFIG_BYTES_MAX = 256 * 1024
PREFIX = "MINESYNC_"
OTHER_VARIABLES = frozenset(
    {
        "MINESYNC_CONFIG",
        "MINESYNC_DATA_DIR",
        "MINESYNC_PASSWORD_FILE",
    }
)
"""Variables of ours that are no option."""
OTHER_PREFIXES = ("MINESYNC_DEVNET_", "MINESYNC_HYPOTHESIS_", "MINESYNC_TEST_")
"""Variables for devnets and for tests."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration and, for each dotted key, where its value was found."""

    config: Config
    origins: Mapping[str, str]
    """`default`, `file <path>`, `environment <variable>` or `flag <flag>`."""


def load_config(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
    *,
    must_exist: bool = False,
) -> LoadedConfig:
    """Return the configuration of a node.

    Args:
        file: a TOML file; a missing one is an empty one unless `must_exist`.
        environment: the process's variables; those without our prefix are passed over.
        flags: texts by dotted key; the entries of a list are separated by commas.

    Raises:
        ConfigError: one line that names the place, what was found and what was wanted.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = dict.fromkeys(OPTIONS, "default")
    if file is not None:
        for key, value in _read_file(file, must_exist=must_exist).items():
            origins[key] = f"file {file}"
            values[key] = OPTIONS[key].read_value(value, str(file))
    by_variable = {spec.variable: spec for spec in OPTIONS.values()}
    for name, text in sorted((environment or {}).items()):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        if name.startswith(OTHER_PREFIXES):
            continue
        spec = by_variable.get(name)
        if spec is None:
            raise _unknown("unknown_variable", name, "the environment", by_variable)
        origins[spec.key] = f"environment {name}"
        values[spec.key] = spec.read_text(text, f"${name}")
    for key, text in (flags or {}).items():
        if key not in OPTIONS:
            raise _unknown("unknown_key", key, "the command line", OPTIONS)
        origins[key] = f"flag {OPTIONS[key].flag}"
        values[key] = OPTIONS[key].read_text(text, OPTIONS[key].flag)
    config = build_config(values)
    check_config(config)
    return LoadedConfig(config, origins)


def build_config(values: Mapping[str, Any], base: Config | None = None) -> Config:
    """Return `base`, or the defaults, with typed values, by dotted key, in their place."""
    by_section: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        spec = OPTIONS[key]
        by_section.setdefault(spec.section, {})[spec.name] = value
    base = base or Config()
    sections: dict[str, Any] = {
        section: dataclasses.replace(getattr(base, section), **changes)
        for section, changes in by_section.items()
    }
    return dataclasses.replace(base, **sections)


def get_value(config: Config, spec: OptionSpec) -> Any:
    """Return the value that a configuration has for an option."""
    return getattr(getattr(config, spec.section), spec.name)


def _read_file(path: Path, *, must_exist: bool) -> dict[str, Any]:
    """Return the values of a TOML file by dotted key; every key is known."""
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
    except FileNotFoundError as error:
        if must_exist:
            raise ConfigError("config_missing", f"no file {path}", "a TOML file") from error
        return {}
    except OSError as error:
        found = f"{path}: {error.strerror}"
        raise ConfigError("config_unreadable", found, "a file that can be read") from error
    if len(data) > CONFIG_BYTES_MAX:
        raise ConfigError("config_too_long", path, f"at most {CONFIG_BYTES_MAX} bytes")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ConfigError("config_syntax", f"{path}: {reason}", "TOML in UTF-8") from error
    sections = sorted({spec.section for spec in OPTIONS.values()})
    values: dict[str, Any] = {}
    for section, content in document.items():
        if section not in sections:
            raise _unknown("unknown_section", section, str(path), sections)
        if type(content) is not dict:
            found = f"{section} = {type(content).__name__} in {path}"
            raise ConfigError("wrong_type", found, f"a table [{section}]")
        for name, value in content.items():
            key = f"{section}.{name}"
            if key not in OPTIONS:
                raise _unknown("unknown_key", key, str(path), OPTIONS)
            values[key] = value
    return values


def _unknown(
    code: str, name: str, where: str, known: Mapping[str, object] | list[str]
) -> ConfigError:
    wanted = "a known name" + suggest(name, known)
    shown = name if name.isprintable() else repr(name)
    return ConfigError(code, f"{shown[:80]} in {where}", wanted)
