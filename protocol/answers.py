"""Commitments: how a miner binds himself to an answer before he shows it."""

from protocol.hashing import compute_hash


def compute_commitment(
    network: bytes, task_id: bytes, miner: bytes, content_hash: bytes, salt: bytes
) -> bytes:
    """Return the commitment (32 bytes) of a miner to content.

    The miner's key is inside, so a copied commitment cannot be opened by the copier; the salt
    (32 random bytes) keeps a guessable answer hidden.
    """
    return compute_hash("commitment", network, task_id, miner, content_hash, salt)


def compute_submission_id(task_id: bytes, miner: bytes, commitment: bytes) -> bytes:
    """Return the id (32 bytes) of the submission that a commitment makes."""
    return compute_hash("submission", task_id, miner, commitment)
