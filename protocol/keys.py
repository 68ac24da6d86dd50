"""Signatures. With `protocol.group` the only importer of PyNaCl: two libraries differ in validity.

Sources: RFC 8032; libsodium refuses small-order keys and non-canonical encodings, OpenSSL does not.
"""

import hashlib

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

    def read_scalar(self) -> int:
        """Return the secret scalar: the address is so many times the base point (RFC 8032, 5.1.5).

        It is clamped and may exceed the order of the group.
        """
        half = bytearray(hashlib.sha512(self._secret[:SEED_BYTES]).digest()[:32])
        half[0] &= 248
        half[31] = half[31] & 127 | 64
        return int.from_bytes(half, "little")

    def derive(self, purpose: bytes, statement: bytes) -> bytes:
        """Return 64 bytes that only the holder of the key can know; the same for the same words.

        Args:
            purpose: up to 16 bytes; two purposes have nothing in common.
            statement: what the bytes are for.
        """
        key = self._secret[:SEED_BYTES]
        return hashlib.blake2b(statement, key=key, person=purpose).digest()


def is_valid_signature(address: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is the holder of `address` signing `message`."""
    if len(address) != ADDRESS_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        nacl.bindings.crypto_sign_open(signature + message, address)
    except nacl.exceptions.BadSignatureError:
        return False
    return True
