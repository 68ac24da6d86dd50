"""minesync config: what a node would run with, whether it is right, what there is to choose."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from node.commands.common import COMMON, Common, emit, show_table
from node.commands.loading import load_for
from node.commands.option_flags import OptionFlags
from node.config import Config
from node.config_show import list_docs, list_values, render_commented, render_docs, render_value

app = App(name="config", help="Show, check and explain the configuration.")

ConfigFile = Annotated[
    Path | None, Parameter(help="TOML file, else config.toml of the data directory.")
]


@app.command(name="show")
def show_config(
    *,
    config: ConfigFile = None,
    origin: Annotated[bool, Parameter(help="Where each value comes from.", negative="")] = False,
    flags: OptionFlags | None = None,
    common: Common = COMMON,
) -> None:
    """Print the configuration that `minesync run` would use with the same flags."""
    values = list_values(load_for(common, config, flags))

    def render(console: Console) -> None:
        rows = [[entry["key"], render_value(entry["value"])] for entry in values]
        if origin:
            rows = [[*row, entry["origin"]] for row, entry in zip(rows, values, strict=True)]
            show_table(console, ("key", "value", "origin"), rows)
        else:
            show_table(console, ("key", "value"), rows)

    emit(common, {"items": values}, render)


@app.command(name="check")
def check_config(
    *,
    config: ConfigFile = None,
    flags: OptionFlags | None = None,
    common: Common = COMMON,
) -> None:
    """Read file, environment and flags as `minesync run` would, and do nothing else."""
    load_for(common, config, flags)
    emit(common, {"ok": True}, lambda console: console.print("the configuration is right"))


@app.command(name="docs")
def docs(*, common: Common = COMMON) -> None:
    """Print the reference of every option, in Markdown."""
    emit(common, {"items": list_docs()}, lambda console: _write(render_docs()))


@app.command(name="file")
def file(*, common: Common = COMMON) -> None:
    """Print a configuration file with every option at its default, each explained."""
    text = render_commented(Config())
    emit(common, {"toml": text}, lambda console: _write(text))


def _write(text: str) -> None:
    # Past the console, which would break lines that are meant for a file.
    sys.stdout.write(text)
