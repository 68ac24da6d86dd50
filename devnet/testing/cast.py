"""From the mark of a test to a manifest: which nodes there are, and what they are called."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devnet.errors import DevnetError
from devnet.founding import make_manifest
from devnet.functions import judge, solve_or_echo, write_command
from devnet.genesis import SEED_MAX
from devnet.manifests.reader import ENDING, load_manifest
from devnet.manifests.tables import (
    MINER,
    OBSERVER,
    VALIDATOR,
    DevnetTable,
    GenesisTable,
    Manifest,
    NodeTable,
)
from node.text import suggest
from node.workers.messages import SCORER, SOLVER

NODES_DEFAULT = 5
LETTERS = {VALIDATOR: "v", MINER: "m", OBSERVER: "n"}
"""How the names of nodes of a role begin."""
ARGUMENTS: Mapping[str, type] = {
    "nodes": int,
    "validators": int,
    "miners": int,
    "sealers": int,
    "seed": int,
    "params": dict,
    "manifest": str,
}
"""Those of the mark, and of `devnet_factory`."""


def make_cast(given: Mapping[str, Any], provider: str, seed: int, folder: Path) -> Manifest:
    """Return the manifest that the arguments of a mark ask for.

    Args:
        given: the arguments.
        provider: process or sim.
        seed: of the network.
        folder: from which the path of a manifest is meant.

    Raises:
        DevnetError: `bad_mark`, or what is wrong with the network that is asked for.
    """
    check_arguments(given)
    if "manifest" in given:
        others = sorted(given.keys() - {"manifest", "seed"})
        if others:
            raise DevnetError("bad_mark", f"manifest with {others[0]}", "the manifest alone")
        if not 0 <= seed <= SEED_MAX:
            raise DevnetError("bad_seed", seed, f"0 to {SEED_MAX}")
        name = given["manifest"]
        is_path = name.endswith(ENDING) or "/" in name
        manifest = load_manifest(str(folder / name) if is_path else name)
        table = dataclasses.replace(manifest.devnet, provider=provider, seed=seed)
        return dataclasses.replace(manifest, devnet=table)
    usual = make_manifest(
        given.get("nodes", NODES_DEFAULT),
        seed,
        given.get("params"),
        "test",
        given.get("sealers", 1),
    )
    roles = {name: one.role for name, one in usual.node.items()}
    if "validators" in given or "miners" in given:
        roles = _name_by_role(len(roles), given.get("validators", 0), given.get("miners", 0))
    return Manifest(
        devnet=DevnetTable(name="test", provider=provider, seed=seed),
        genesis=GenesisTable(
            sealers=tuple(list(roles)[: given.get("sealers", 1)]), params=usual.genesis.params
        ),
        defaults=make_table(OBSERVER),
        node={name: make_table(role) for name, role in roles.items()},
    )


def check_arguments(given: Mapping[str, Any]) -> None:
    """Check the names and types of the arguments of a mark.

    Raises:
        DevnetError: `bad_mark`.
    """
    for name, value in given.items():
        if name not in ARGUMENTS:
            wanted = ", ".join(ARGUMENTS) + suggest(name, ARGUMENTS)
            raise DevnetError("bad_mark", f"unknown argument {name}", wanted)
        if type(value) is not ARGUMENTS[name]:
            raise DevnetError("bad_mark", f"{name}={value!r}"[:80], ARGUMENTS[name].__name__)
        if type(value) is int and value < 0:
            raise DevnetError("bad_mark", f"{name}={value}", "0 or more")


def make_table(role: str) -> NodeTable:
    """Return a node whose worker, if its role has one, can do every type of task."""
    config = {
        "worker.command": write_command(SOLVER, solve_or_echo),
        "worker.scorer_command": write_command(SCORER, judge),
    }
    return NodeTable(role=role, config=config)


def _name_by_role(count: int, validators: int, miners: int) -> dict[str, str]:
    rest = count - validators - miners
    if rest < 0:
        found = f"{validators} validators and {miners} miners"
        raise DevnetError("bad_mark", found, f"at most {count}, which is nodes")
    counts = {VALIDATOR: validators, MINER: miners, OBSERVER: rest}
    return {
        f"{LETTERS[role]}{place}": role
        for role, many in counts.items()
        for place in range(1, many + 1)
    }
