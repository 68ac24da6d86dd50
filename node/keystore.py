"""Account keys at rest: one encrypted JSON file each.

The shape follows EIP-2335, which is for other keys, so `version` says that this is not one:

    {"version": "minesync-keystore/1", "uuid": ..., "description": ..., "pubkey": <64 hex>,
     "crypto": {"kdf":    {"function": "argon2id", "params": {"m_kib", "t", "p", "salt"}},
                "cipher": {"function": "chacha20-poly1305", "params": {"nonce"}, "message": <hex>}}}

The cipher authenticates version and public key too, so that no part can be exchanged for another's.
`kdf` and `cipher` "none" hold the seed in the open: for devnets and tests, and only when asked for.
"""

import json
import secrets
import unicodedata
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import argon2.low_level
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from node.addresses import parse_account
from node.private_files import (
    KeyFileError,
    check_private_folder,
    create_private,
    make_private_folder,
    read_private,
)
from protocol.errors import BlamedError
from protocol.keys import SEED_BYTES, compute_address

VERSION = "minesync-keystore/1"
FILE_BYTES_MAX = 8_192
KEYS_MAX = 64
DESCRIPTION_CHARACTERS_MAX = 128
PASSWORD_BYTES_MAX = 1_024

ARGON_MEMORY_KIB = 64 * 1024
ARGON_PASSES = 3
ARGON_LANES = 4
"""150 ms and 64 MiB on a machine of 2026; a quarter of the time of EIP-2335's scrypt."""
_MEMORY_KIB_MAX = 1024 * 1024
_PASSES_MAX = 32
_LANES_MAX = 16
_SALT_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file shows without its password."""

    path: Path
    address: bytes
    uuid: str
    description: str
    is_encrypted: bool


def normalise_password(password: str) -> bytes:
    """Return the bytes that are hashed: NFKD, control codes removed, UTF-8 (as EIP-2335 does).

    Raises:
        KeyFileError: `password_empty`, `password_too_long`.
    """
    decomposed = unicodedata.normalize("NFKD", password)
    data = "".join(char for char in decomposed if unicodedata.category(char) != "Cc").encode(
        "utf-8", "surrogateescape"
    )
    if not data:
        raise KeyFileError("password_empty", "an empty password", "at least one character")
    if len(data) > PASSWORD_BYTES_MAX:
        raise KeyFileError("password_too_long", f"{len(data)} bytes", f"{PASSWORD_BYTES_MAX}")
    return data


def create_key(
    folder: Path,
    password: str | None,
    *,
    seed: bytes | None = None,
    description: str = "",
    allow_unencrypted: bool = False,
) -> KeyFile:
    """Write the key file of a fresh seed, or of `seed`, and return what it shows.

    Raises:
        KeyFileError: `password_required` without a password unless `allow_unencrypted`,
            `key_exists`, `too_many_keys`, `bad_description`, and those of private files.
    """
    if seed is None:
        seed = secrets.token_bytes(SEED_BYTES)
    if len(seed) != SEED_BYTES:
        raise KeyFileError("key_malformed", f"a seed of {len(seed)} bytes", f"{SEED_BYTES} bytes")
    if len(description) > DESCRIPTION_CHARACTERS_MAX or not description.isprintable():
        wanted = f"at most {DESCRIPTION_CHARACTERS_MAX} printable characters"
        raise KeyFileError("bad_description", f"{len(description)} characters", wanted)
    if password is None and not allow_unencrypted:
        raise KeyFileError("password_required", "no password", "a password for the new key")
    make_private_folder(folder)
    if len(_list_names(folder)) >= KEYS_MAX:
        raise KeyFileError("too_many_keys", f"{KEYS_MAX} keys in {folder}", f"at most {KEYS_MAX}")
    address = compute_address(seed)
    document = {
        "version": VERSION,
        "uuid": str(uuid.uuid4()),
        "description": description,
        "pubkey": address.hex(),
        "crypto": _encrypt(seed, address, password),
    }
    path = get_key_path(folder, address)
    create_private(path, json.dumps(document, indent=2).encode("ascii") + b"\n")
    return read_key(path)


def import_key(
    source: Path, folder: Path, password: str | None, *, allow_unencrypted: bool = False
) -> KeyFile:
    """Copy a key file from elsewhere into `folder`, after its password has opened it.

    Raises:
        KeyFileError: as `unlock_key` and `create_key`.
    """
    found = read_key(source)
    if not found.is_encrypted and not allow_unencrypted:
        raise KeyFileError("key_unencrypted", source, "an encrypted key, or --unencrypted")
    unlock_key(source, password)
    target = get_key_path(folder, found.address)
    create_private(target, read_private(source, FILE_BYTES_MAX))
    return read_key(target)


def export_key(path: Path, target: Path) -> None:
    """Copy a key file, as encrypted as it is, to a new private file.

    Raises:
        KeyFileError: `key_exists`, and those of private files.
    """
    read_key(path)
    create_private(target, read_private(path, FILE_BYTES_MAX))


def list_keys(folder: Path) -> list[KeyFile]:
    """Return the keys of a folder by address; none if there is no folder.

    Raises:
        KeyFileError: `key_malformed`, `key_readable_by_others`, `folder_open`, ...
    """
    if not folder.exists():
        return []
    check_private_folder(folder)
    return [read_key(folder / name) for name in _list_names(folder)]


def get_key_path(folder: Path, address: bytes) -> Path:
    """Return where the key of an account is kept."""
    return folder / f"{address.hex()}.json"


def read_key(path: Path) -> KeyFile:
    """Return what a key file shows without its password.

    Raises:
        KeyFileError: `key_malformed`, `key_missing`, `key_readable_by_others`, `key_unreadable`.
    """
    document = _load(path)
    return KeyFile(
        path=path,
        address=_read_address(path, document),
        uuid=_read_text(path, document, "uuid"),
        description=_read_text(path, document, "description"),
        is_encrypted=_read_function(path, document, "kdf") != "none",
    )


def unlock_key(path: Path, password: str | None) -> bytes:
    """Return the seed (32 bytes) of a key file.

    Raises:
        KeyFileError: `wrong_password`, `password_required`, `key_malformed`, `key_missing`,
            `key_readable_by_others`, `key_unreadable`.
    """
    document = _load(path)
    address = _read_address(path, document)
    kdf, cipher = (_read_function(path, document, name) for name in ("kdf", "cipher"))
    message = _read_hex(path, document["crypto"]["cipher"].get("message"), "message", None)
    if (kdf, cipher) == ("none", "none"):
        seed = message
    elif (kdf, cipher) == ("argon2id", "chacha20-poly1305"):
        if password is None:
            raise KeyFileError("password_required", f"{path} is encrypted", "its password")
        seed = _decrypt(path, document, address, message, password)
    else:
        raise _malformed(
            path, f"kdf {kdf[:32]!r}, cipher {cipher[:32]!r}", "argon2id, chacha20-poly1305"
        )
    if len(seed) != SEED_BYTES or compute_address(seed) != address:
        raise _malformed(path, "a seed of another account", address.hex())
    return seed


def _encrypt(seed: bytes, address: bytes, password: str | None) -> dict[str, Any]:
    if password is None:
        nothing = {"function": "none", "params": {}}
        return {"kdf": nothing, "cipher": {**nothing, "message": seed.hex()}}
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    params = {"m_kib": ARGON_MEMORY_KIB, "t": ARGON_PASSES, "p": ARGON_LANES, "salt": salt.hex()}
    key = _derive(normalise_password(password), salt, ARGON_MEMORY_KIB, ARGON_PASSES, ARGON_LANES)
    message = ChaCha20Poly1305(key).encrypt(nonce, seed, _bind(address))
    cipher = {"params": {"nonce": nonce.hex()}, "message": message.hex()}
    return {
        "kdf": {"function": "argon2id", "params": params},
        "cipher": {"function": "chacha20-poly1305", **cipher},
    }


def _decrypt(
    path: Path, document: dict[str, Any], address: bytes, message: bytes, password: str
) -> bytes:
    crypto = document["crypto"]
    params = _read_params(path, crypto["kdf"])
    salt = _read_hex(path, params.get("salt"), "salt", _SALT_BYTES)
    nonce = _read_hex(
        path, _read_params(path, crypto["cipher"]).get("nonce"), "nonce", _NONCE_BYTES
    )
    if len(message) != SEED_BYTES + _TAG_BYTES:
        raise _malformed(path, f"a message of {len(message)} bytes", f"{SEED_BYTES + _TAG_BYTES}")
    # A file from elsewhere may name costs that would stop the machine.
    bounds = (("p", 1, _LANES_MAX), ("t", 1, _PASSES_MAX), ("m_kib", 1_024, _MEMORY_KIB_MAX))
    for name, least, most in bounds:
        if type(params.get(name)) is not int or not least <= params[name] <= most:
            raise _malformed(path, f"{name} = {str(params.get(name))[:32]}", f"{least} to {most}")
    key = _derive(normalise_password(password), salt, params["m_kib"], params["t"], params["p"])
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, message, _bind(address))
    except InvalidTag as error:
        wanted = "the password it was made with"
        raise KeyFileError("wrong_password", f"another password for {path}", wanted) from error


def _derive(password: bytes, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    return argon2.low_level.hash_secret_raw(
        password, salt, passes, memory_kib, lanes, 32, argon2.low_level.Type.ID
    )


def _bind(address: bytes) -> bytes:
    return VERSION.encode("ascii") + address


def _load(path: Path) -> dict[str, Any]:
    data = read_private(path, FILE_BYTES_MAX)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _malformed(path, "no JSON", f"a {VERSION}") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise _malformed(path, "another version", VERSION)
    return document


def _list_names(folder: Path) -> list[str]:
    names = (entry.name for entry in folder.iterdir())
    return sorted(name for name in names if name.endswith(".json") and not name.startswith("."))


def _read_address(path: Path, document: dict[str, Any]) -> bytes:
    try:
        return parse_account(_read_text(path, document, "pubkey"))
    except KeyFileError:
        raise
    except BlamedError as error:
        raise _malformed(path, f"pubkey: {error.found}", error.wanted) from error


def _read_text(path: Path, document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if type(value) is not str:
        raise _malformed(path, f"{name} of type {type(value).__name__}", "text")
    return value


def _read_function(path: Path, document: dict[str, Any], name: str) -> str:
    crypto = document.get("crypto")
    module = crypto.get(name) if isinstance(crypto, dict) else None
    if not isinstance(module, dict) or type(module.get("function")) is not str:
        raise _malformed(path, f"no crypto.{name}.function", "a function and its params")
    return str(module["function"])


def _read_params(path: Path, module: dict[str, Any]) -> dict[str, Any]:
    params = module.get("params")
    if not isinstance(params, dict):
        raise _malformed(path, "params that are no object", "an object")
    return params


def _read_hex(path: Path, value: object, name: str, size: int | None) -> bytes:
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError as error:
        raise _malformed(path, f"{name} that is no hex", "hex digits") from error
    if not data or (size is not None and len(data) != size):
        raise _malformed(path, f"{name} of {len(data)} bytes", f"{size or 'some'} bytes")
    return data


def _malformed(path: Path, found: str, wanted: str) -> KeyFileError:
    return KeyFileError("key_malformed", f"{path}: {found}", wanted)
