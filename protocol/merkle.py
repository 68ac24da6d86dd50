"""The Merkle tree of RFC 9162 (section 2.1) over SHA-256: roots and inclusion proofs.

    leaf  = SHA-256(00 || entry)        node = SHA-256(01 || left || right)

A tree of n entries splits at the largest power of two below n; the root of none is the SHA-256 of
nothing. Over ids the caller gives them sorted, so that a set has one root.
"""

import hashlib
from collections.abc import Iterable, Sequence

from protocol.hashing import HASH_BYTES

PROOF_HASHES_MAX = 64
"""A tree of 2^64 entries needs no more."""


def compute_root(entries: Iterable[bytes]) -> bytes:
    """Return the root (32 bytes) over entries in the order given."""
    level = [_hash_leaf(entry) for entry in entries]
    if not level:
        return hashlib.sha256().digest()
    while len(level) > 1:
        level = _compute_parents(level)
    return level[0]


def compute_inclusion_proof(entries: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the hashes beside the way from entry `index` to the root, the lowest first.

    Raises:
        IndexError: there is no such entry.
    """
    if not 0 <= index < len(entries):
        raise IndexError(f"entry {index} of {len(entries)}")
    level = [_hash_leaf(entry) for entry in entries]
    proof = []
    while len(level) > 1:
        sibling = index ^ 1
        # The last of an odd level has none and rises as it is.
        if sibling < len(level):
            proof.append(level[sibling])
        level = _compute_parents(level)
        index >>= 1
    return tuple(proof)


def is_included(entry: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether a proof shows that `entry` is number `index` of the `size` under `root`.

    Any arguments may come from a peer: what is malformed is simply no proof.
    """
    if not 0 <= index < size or len(proof) > PROOF_HASHES_MAX:
        return False
    if any(len(sibling) != HASH_BYTES for sibling in proof):
        return False
    place, last = index, size - 1
    result = _hash_leaf(entry)
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            result = _hash_node(sibling, result)
            # Levels at which the way rises without a sibling have no hash in the proof.
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            result = _hash_node(result, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and result == root


def _hash_leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def _hash_node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _compute_parents(level: list[bytes]) -> list[bytes]:
    # Pairing neighbours and letting the odd one rise is the split of the RFC, from below.
    parents = [_hash_node(*pair) for pair in zip(level[::2], level[1::2], strict=False)]
    if len(level) % 2:
        parents.append(level[-1])
    return parents
