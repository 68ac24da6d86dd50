"""Loading the configuration of a command: which file, which environment, which flags."""

import os
from pathlib import Path
from typing import Any

from node.commands.common import Common
from node.commands.option_flags import read_flags
from node.config_load import LoadedConfig, load_config

CONFIG_VARIABLE = "MINESYNC_CONFIG"


def load_for(common: Common, file: Path | None, flags: Any) -> LoadedConfig:
    """Return the configuration that a node would run with.

    The file is `--config`, else MINESYNC_CONFIG, else `config.toml` of the data directory. One that
    was named must exist.

    Raises:
        ConfigError: as `load_config`.
    """
    named = file or os.environ.get(CONFIG_VARIABLE) or None
    path = Path(named) if named else common.paths.config
    return load_config(path, os.environ, read_flags(flags), must_exist=named is not None)
