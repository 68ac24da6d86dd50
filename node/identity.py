"""The node's name among peers: one Ed25519 key, apart from every account."""

import secrets
from pathlib import Path

from node.private_files import KeyFileError, check_private_folder, create_private, read_private
from protocol.keys import SEED_BYTES, compute_address

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PEER_ID_PREFIX = bytes.fromhex("002408011220")
"""Identity multihash of 36 bytes, then the protobuf of an Ed25519 public key of 32."""


def create_identity(path: Path) -> bytes:
    """Create the key file with a fresh seed and return the seed (32 bytes).

    Raises:
        KeyFileError: `key_exists`, `folder_open`, `folder_unusable`, `key_unwritable`.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    create_private(path, seed)
    return seed


def load_identity(path: Path) -> bytes:
    """Return the seed (32 bytes) of a key file.

    Raises:
        KeyFileError: `key_missing`, `key_unreadable`, `key_readable_by_others`, `key_malformed`,
            `folder_open`, `folder_unusable`.
    """
    seed = read_private(path, SEED_BYTES)
    check_private_folder(path.parent)
    if len(seed) != SEED_BYTES:
        raise KeyFileError("key_malformed", f"{path} of {len(seed)} bytes", f"{SEED_BYTES} bytes")
    return seed


def is_peer_id(text: str) -> bool:
    """Tell whether a text can be the peer id of an Ed25519 key: what every node has."""
    if len(text) > 2 * len(_PEER_ID_PREFIX) + 2 * SEED_BYTES or text.strip(_BASE58):
        return False
    number = 0
    for digit in text:
        number = number * len(_BASE58) + _BASE58.index(digit)
    head = int.from_bytes(_PEER_ID_PREFIX, "big")
    return text.startswith(_BASE58[0]) and number >> 8 * SEED_BYTES == head


def compute_peer_id(seed: bytes) -> str:
    """Return the peer id, in base58, of a seed (32 bytes): the same that libp2p derives."""
    data = _PEER_ID_PREFIX + compute_address(seed)
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    zeros = len(data) - len(data.lstrip(b"\x00"))
    return _BASE58[0] * zeros + digits
