"""Which of the keys in a data directory a node signs with, unlocked."""

from dataclasses import dataclass
from pathlib import Path

from node.addresses import parse_account
from node.config import Config
from node.keystore import KeyFile, get_key_path, list_keys, read_key, unlock_key
from node.passwords import read_password
from node.paths import DataPaths
from node.private_files import KeyFileError, check_private_folder
from protocol.keys import Signer


@dataclass(frozen=True, slots=True)
class Accounts:
    """The keys that a node signs with; None where it has none and only watches."""

    own: Signer | None
    sealer: Signer | None


def unlock_accounts(config: Config, paths: DataPaths, password_file: Path | None) -> Accounts:
    """Return the keys a node of this configuration signs with; ask for one password at most.

    Raises:
        KeyFileError: `key_missing`, `which_key`, `wrong_password`, `password_required`, ...
    """
    own = _choose_own(config, paths)
    sealer = _choose_sealer(config, paths, own)
    signers: dict[bytes, Signer] = {}
    password: str | None = None
    for file in (own, sealer):
        if file is None or file.address in signers:
            continue
        if file.is_encrypted and password is None:
            password = read_password(password_file, f"Password of {file.address.hex()[:12]}")
        signers[file.address] = Signer(unlock_key(file.path, password))
    return Accounts(
        own=signers[own.address] if own else None,
        sealer=signers[sealer.address] if sealer else None,
    )


def _choose_own(config: Config, paths: DataPaths) -> KeyFile | None:
    """Return the account's key file: the one that is named, else the only one there is."""
    if config.roles.account:
        return _read_named(paths, config.roles.account)
    keys = list_keys(paths.keys)
    if len(keys) > 1:
        wanted = "roles.account, to say which of them signs"
        raise KeyFileError("which_key", f"{len(keys)} keys in {paths.keys}", wanted)
    if not keys and (config.roles.miner or config.roles.validator):
        raise KeyFileError("key_missing", f"no key in {paths.keys}", "`minesync key new`")
    return keys[0] if keys else None


def _choose_sealer(config: Config, paths: DataPaths, own: KeyFile | None) -> KeyFile | None:
    if not config.sealer.enabled:
        return None
    if config.sealer.account:
        return _read_named(paths, config.sealer.account)
    if own is None:
        wanted = "sealer.account or roles.account"
        raise KeyFileError("key_missing", "a sealer without a key", wanted)
    return own


def _read_named(paths: DataPaths, account: str) -> KeyFile:
    if paths.keys.exists():
        check_private_folder(paths.keys)
    return read_key(get_key_path(paths.keys, parse_account(account)))
