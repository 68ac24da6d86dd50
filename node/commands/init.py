"""minesync init: a data directory with all that `minesync run` asks for."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from node.addresses import parse_account
from node.commands.common import COMMON, Common, emit, parse_coins, show_line, show_pairs
from node.config import Config, RolesConfig, SealerConfig
from node.config_load import load_config
from node.config_show import render_commented
from node.exits import CommandError, UsageError
from node.identity import compute_peer_id, create_identity, load_identity
from node.keystore import KeyFile, create_key, list_keys
from node.network import check_network_name, check_sealers, create_network, read_genesis
from node.passwords import read_password
from node.paths import DataPaths
from node.private_files import make_private_folder
from protocol.genesis import Genesis
from protocol.params import PRESETS


def init(
    *,
    genesis: Annotated[Path | None, Parameter(help="Genesis file of the network to join.")] = None,
    new_network: Annotated[
        str | None, Parameter(help="Found a network of this name; this node seals it.")
    ] = None,
    sealer: Annotated[
        list[str] | None,
        Parameter(
            help="For a new network: address of a further sealer. Repeat it: of 4 one may fail.",
            negative_iterable="",
        ),
    ] = None,
    params: Annotated[str, Parameter(help="For a new network: minimal or mainnet.")] = "minimal",
    supply: Annotated[str, Parameter(help="For a new network: all its coins, yours.")] = "1000000",
    key: Annotated[bool, Parameter(help="Make an account key if there is none.")] = True,
    password_file: Annotated[
        Path | None, Parameter(help="Private file whose first line is the key's password.")
    ] = None,
    unencrypted: Annotated[
        bool, Parameter(help="Keep the key in the open: devnets only.", negative="")
    ] = False,
    common: Common = COMMON,
) -> None:
    """Make a data directory: identity, account key, configuration, genesis.

    What is there already is checked and kept, so the command may be repeated.
    """
    paths = common.paths
    if genesis is not None and new_network is not None:
        raise UsageError("two_networks", "--genesis and --new-network", "one of them")
    if new_network is not None and params not in PRESETS:
        raise UsageError("unknown_params", repr(params[:40]), " or ".join(PRESETS))
    if new_network is not None:
        check_network_name(new_network)
    elif sealer:
        raise UsageError("no_new_network", "--sealer", "--new-network, which names its sealers")
    others = [parse_account(address) for address in sealer or []]
    # Everything that can be wrong is looked at before anything is written.
    kept = read_genesis(paths.genesis) if paths.genesis.exists() else None
    given = read_genesis(genesis) if genesis is not None else None
    if kept is not None and given is not None and kept.hash != given.hash:
        found = f"{genesis} of network {given.network.hex()}"
        raise CommandError("genesis_mismatch", found, f"{kept.network.hex()}, as in {paths.root}")
    if kept is not None and new_network is not None:
        found = f"network {kept.network.hex()} in {paths.root}"
        raise CommandError("genesis_mismatch", found, "a data directory without a network")
    coins = parse_coins(supply)
    if not coins:
        raise UsageError("bad_amount", "a supply of 0", "coins: a network without any is idle")
    load_config(paths.config)
    keys = list_keys(paths.keys)
    check_sealers([*(key.address for key in keys[:1]), *others])
    if paths.identity.exists():
        load_identity(paths.identity)
    needs_key = key and not keys
    if new_network is not None and not keys and not key:
        raise UsageError("no_key", "--no-key", "a key: it seals the new network")
    password = None
    if needs_key and not unencrypted:
        password = read_password(password_file, "Password for the account key", is_new=True)

    make_private_folder(paths.root)
    if needs_key:
        keys = [create_key(paths.keys, password, allow_unencrypted=unencrypted)]
    if not paths.identity.exists():
        create_identity(paths.identity)
    chosen = kept or given
    if new_network is not None:
        chosen = create_network(new_network, PRESETS[params], keys[0].address, coins, others)
    if chosen is not None and kept is None:
        _write(paths.genesis, chosen.to_bytes())
    if not paths.config.exists():
        config = _choose_config(keys, is_founder=new_network is not None)
        _write(paths.config, render_commented(config).encode("utf-8"))
    seals = load_config(paths.config).config.sealer.enabled
    _report(common, paths, chosen, keys, seals=seals)


def _choose_config(keys: list[KeyFile], *, is_founder: bool) -> Config:
    account = keys[0].address.hex() if len(keys) == 1 else ""
    return dataclasses.replace(
        Config(), roles=RolesConfig(account=account), sealer=SealerConfig(enabled=is_founder)
    )


def _report(
    common: Common,
    paths: DataPaths,
    genesis: Genesis | None,
    keys: list[KeyFile],
    *,
    seals: bool,
) -> None:
    data: dict[str, Any] = {
        "data_dir": str(paths.root),
        "network": genesis.network.hex() if genesis else None,
        "network_name": genesis.name if genesis else None,
        "genesis_hash": genesis.hash.hex() if genesis else None,
        "peer": compute_peer_id(load_identity(paths.identity)),
        "accounts": [entry.address.hex() for entry in keys],
        "sealers": [address.hex() for address in genesis.sealers] if genesis else [],
    }
    may_seal = genesis is not None and any(key.address in genesis.sealers for key in keys)

    def render(console: Console) -> None:
        show_pairs(
            console,
            [
                ("data directory", data["data_dir"]),
                ("network", f"{data['network']} ({data['network_name']})" if genesis else None),
                ("peer id", data["peer"]),
                *(("account", address) for address in data["accounts"]),
            ],
        )
        following = "minesync run" if genesis else "minesync init --genesis FILE"
        show_line(console, f"Next: {following}")
        if may_seal and not seals:
            show_line(console, "The network counts on this account: set sealer.enabled = true.")

    emit(common, data, render)


def _write(path: Path, content: bytes) -> None:
    """Write a file that need not be private, whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise CommandError("unwritable", f"{path}: {error.strerror}", "a writable disk") from error
