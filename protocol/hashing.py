"""Every hash of the protocol, each under a domain tag of its own."""

import hashlib

HASH_BYTES = 32


def compute_hash(tag: str, *parts: bytes) -> bytes:
    """Return SHA-256 over `minesync/<tag>/1` and the parts.

    The caller keeps the parts unambiguous: all but one of them have a fixed length.
    """
    digest = hashlib.sha256(b"minesync/" + tag.encode("ascii") + b"/1")
    for part in parts:
        digest.update(part)
    return digest.digest()


def compute_content_hash(content: bytes) -> bytes:
    """Return the address of a blob: plain SHA-256, so that any tool can check it."""
    return hashlib.sha256(content).digest()
