"""Signatures. The only importer of PyNaCl: two Ed25519 libraries disagree on what is valid.

Sources: RFC 8032; libsodium refuses small-order keys and non-canonical encodings, OpenSSL does not.
"""

import nacl.bindings
import nacl.exceptions

ADDRESS_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64


def compute_address(seed: bytes) -> bytes:
    """Return the public key (32 bytes) of a private seed (32 bytes)."""
    public, _ = nacl.bindings.crypto_sign_seed_keypair(seed)
    return public


class Signer:
    """A key that signs often: the key pair is expanded once."""

    def __init__(self, seed: bytes) -> None:
        self.address, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes) of `message`."""
        return nacl.bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]


def is_valid_signature(address: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is the holder of `address` signing `message`."""
    if len(address) != ADDRESS_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, address)
    except nacl.exceptions.BadSignatureError:
        return False
    return True
