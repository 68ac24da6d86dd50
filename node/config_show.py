"""The configuration as people read it: values with origins, a reference, a commented file."""

import json
import typing
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from node.config import OPTIONS, Config
from node.config_load import LoadedConfig, get_value
from node.options import OptionSpec


def list_values(loaded: LoadedConfig) -> list[dict[str, Any]]:
    """Return key, value and origin of every option, in order."""
    return [
        {"key": key, "value": get_value(loaded.config, spec), "origin": loaded.origins[key]}
        for key, spec in OPTIONS.items()
    ]


def list_docs() -> list[dict[str, Any]]:
    """Return what is known of every option, in order."""
    return [
        {
            "key": spec.key,
            "flag": spec.flag,
            "variable": spec.variable,
            "default": spec.default,
            "accepted": spec.accepted,
            "doc": spec.meta.doc,
        }
        for spec in OPTIONS.values()
    ]


def render_value(value: Any) -> str:
    """Return a value as TOML writes it. TOML's basic strings are JSON's, but for DEL."""
    if isinstance(value, tuple):
        return "[" + ", ".join(render_value(entry) for entry in value) + "]"
    return json.dumps(value).replace("\x7f", "\\u007f")


def render_docs() -> str:
    """Return the reference of all options, in Markdown."""
    lines = ["# Configuration", "", "Flags come before the environment, the environment before the"]
    lines += ["file, the file before the default.", ""]
    for section, doc, specs in _by_section():
        lines += [f"## [{section}]", "", doc, ""]
        lines += ["| key | default | accepted | what it is |", "|---|---|---|---|"]
        for spec in specs:
            default = render_value(spec.default).replace("|", "\\|")
            lines.append(f"| {spec.name} | `{default}` | {spec.accepted} | {spec.meta.doc} |")
        lines.append("")
    first = next(iter(OPTIONS.values()))
    lines.append(f"`{first.key}` is the flag `{first.flag}` and the variable `{first.variable}`.")
    return "\n".join(lines) + "\n"


def render_commented(config: Config) -> str:
    """Return a TOML file that holds every option; those at their default are commented out."""
    lines = [
        "# minesync. What is commented out is the default. `minesync config check` reads this."
    ]
    for section, doc, specs in _by_section():
        lines += ["", f"# {doc}", f"[{section}]"]
        for spec in specs:
            value = get_value(config, spec)
            mark = "# " if value == spec.default else ""
            lines.append(f"# {spec.meta.doc} ({spec.accepted})")
            lines.append(f"{mark}{spec.name} = {render_value(value)}")
    return "\n".join(lines) + "\n"


def _by_section() -> Iterator[tuple[str, str, list[OptionSpec]]]:
    classes = typing.get_type_hints(Config)
    for section, specs in groupby(OPTIONS.values(), key=lambda spec: spec.section):
        yield section, str(classes[section].__doc__), list(specs)
