"""From a `Manifest` to TOML that reads back as the same: for `gen`, and for what a devnet keeps."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from devnet.manifests.fields import list_entries
from devnet.manifests.tables import Manifest, NodeTable
from node.config_show import render_value


def write_manifest(manifest: Manifest, comment: str = "") -> str:
    """Return the text of a manifest; what is at its default is left out."""
    blocks = [f"# {comment}"] if comment else []
    for one in dataclasses.fields(manifest):
        kind, shape = one.metadata["table"], one.metadata["shape"]
        value: Any = getattr(manifest, one.name)
        base = kind()
        if shape == "one":
            lines = list(_list_lines(value, base))
            if lines:
                blocks.append("\n".join([f"[{one.name}]", *lines]))
        elif shape == "map":
            if issubclass(kind, NodeTable):
                base = kind(**_list_attributes(manifest.defaults))
            for name, content in value.items():
                lines = list(_list_lines(content, base))
                blocks.append("\n".join([f"[{one.name}.{name}]", *lines]))
        else:
            for content in value:
                lines = list(_list_lines(content, base))
                blocks.append("\n".join([f"[[{one.name}]]", *lines]))
    return "\n\n".join(blocks) + "\n"


def _list_attributes(value: Any) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}


def _list_lines(value: Any, base: Any) -> Iterator[str]:
    for key, (attribute, one) in list_entries(type(value)).items():
        own = getattr(value, attribute)
        if own is None or (own == getattr(base, attribute) and not one.is_required):
            continue
        yield f"{key} = {_render(one.kind.write(own))}"


def _render(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_render_key(name)} = {_render(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_render, value)) + "]"
    return render_value(value)


def _render_key(name: str) -> str:
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare else render_value(name)
