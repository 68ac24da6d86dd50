"""`schema` and `gen`: what manifests may say, and manifests made up from a seed."""

import json
import sys
from typing import Annotated

from cyclopts import Parameter

from devnet.manifests.generate import make_random_manifest
from devnet.manifests.reader import list_shipped
from devnet.manifests.schema import build_schema
from devnet.manifests.writer import write_manifest


def schema() -> None:
    """Print the JSON Schema of manifests, for editors."""
    sys.stdout.write(json.dumps(build_schema(), indent=2) + "\n")


def gen(*, seed: Annotated[int, Parameter(help="The same seed, the same manifest.")]) -> None:
    """Print a random manifest that can be run."""
    comment = f"minesync devnet gen --seed {seed}"
    sys.stdout.write(write_manifest(make_random_manifest(seed), comment))


def manifests() -> None:
    """List the manifests that are shipped; `up` and `run` take their names."""
    for name in list_shipped():
        sys.stdout.write(name + "\n")
