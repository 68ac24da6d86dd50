"""The group of prime order inside edwards25519: points, scalars, and hashes to both.

A point is the 32 bytes of RFC 8032, a scalar an integer modulo `ORDER`. Libsodium multiplies only
points that are canonical, of the prime-order group and not its identity, so whatever was multiplied
once is such a point: there is no cofactor to think of.

Sources: RFC 8032, section 5.1; libsodium, "Finite field arithmetic"; the map of a hash to a point
is its Elligator 2, whose result nobody knows as a multiple of the base point.
"""

import hashlib

import nacl.bindings
import nacl.exceptions

from protocol.errors import Rejected

ORDER = (1 << 252) + 27742317777372353535851937790883648493
POINT_BYTES = 32
SCALAR_BYTES = 32
IDENTITY = (1).to_bytes(POINT_BYTES, "little")


def is_point(data: bytes) -> bool:
    """Tell whether bytes are a point of the group other than its identity."""
    return len(data) == POINT_BYTES and nacl.bindings.crypto_core_ed25519_is_valid_point(data)


def multiply(scalar: int, point: bytes) -> bytes:
    """Return `scalar` times `point`.

    Raises:
        Rejected: `group_point`: no point of the group, or its identity.
    """
    scalar %= ORDER
    if not scalar:
        return IDENTITY
    try:
        return nacl.bindings.crypto_scalarmult_ed25519_noclamp(_write(scalar), point)
    except (nacl.exceptions.RuntimeError, nacl.exceptions.TypeError) as error:
        raise _refuse(point) from error


def multiply_base(scalar: int) -> bytes:
    """Return `scalar` times the base point."""
    scalar %= ORDER
    if not scalar:
        return IDENTITY
    return nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(_write(scalar))


def add(one: bytes, other: bytes) -> bytes:
    """Return the sum of two points, of which each was multiplied before.

    Raises:
        Rejected: `group_point`.
    """
    try:
        return nacl.bindings.crypto_core_ed25519_add(one, other)
    except (nacl.exceptions.RuntimeError, nacl.exceptions.TypeError) as error:
        raise _refuse(one + other) from error


def hash_to_scalar(tag: bytes, *parts: bytes) -> int:
    """Return a scalar that nobody chose; the parts are told apart by their lengths."""
    digest = hashlib.sha512(b"minesync/" + tag + b"/1")
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return to_scalar(digest.digest())


def hash_to_point(tag: bytes) -> bytes:
    """Return a point of which nobody knows how many times the base point it is."""
    digest = hashlib.sha256(b"minesync/" + tag + b"/1").digest()
    return nacl.bindings.crypto_core_ed25519_from_uniform(digest)


def to_scalar(data: bytes) -> int:
    """Return a scalar from 64 random bytes; no value is likelier than another."""
    return int.from_bytes(data, "little") % ORDER


def read_scalar(data: bytes) -> int:
    """Return the scalar that 32 bytes encode.

    Raises:
        Rejected: `group_scalar`: it has a shorter name.
    """
    scalar = int.from_bytes(data, "little")
    if len(data) != SCALAR_BYTES or scalar >= ORDER:
        raise Rejected("group_scalar", f"{len(data)} bytes", "a number below the order")
    return scalar


def write_scalar(scalar: int) -> bytes:
    """Return the 32 bytes of a scalar."""
    return _write(scalar % ORDER)


def _write(scalar: int) -> bytes:
    return scalar.to_bytes(SCALAR_BYTES, "little")


def _refuse(data: bytes) -> Rejected:
    return Rejected("group_point", data.hex()[:16], "a point of the group")
