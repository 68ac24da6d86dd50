"""Seals: what ends an epoch and fixes its set and its state.

    content = [epoch, prev_seal_hash, set_root, count, state_root, sealers_next, time_ms]
    hash    = SHA-256("minesync/seal/1" || network || content)
    wire    = [content, [[sealer, signature], ...]]     signature over "minesync/vote/1" || hash

A network of n = 3f + 1 sealers needs 2f + 1 signatures; one sealer is the case f = 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from protocol.charter_records import SEALERS_MAX
from protocol.errors import Rejected
from protocol.hashing import compute_hash
from protocol.keys import SIGNATURE_BYTES, Signer, is_valid_signature
from protocol.merkle import compute_root
from protocol.params import Epochs
from protocol.schema import AtMost, Between, Exactly, decode_record, encode_record
from protocol.task_types import Address, Id

_VOTE_TAG = b"minesync/vote/1"
SEAL_BYTES_MAX = 8 * 1024


@dataclass(frozen=True, slots=True)
class SealContent:
    """What the sealers sign.

    Attributes:
        set_root: Merkle root (RFC 9162) over the sorted ids that the epoch takes in.
        state_root: hash of all sealed rows after the epoch.
        sealers_next: hash of the sorted sealers of the next epoch.
        time_ms: wall time of the proposer, shown to people, never read by the fold.
    """

    epoch: Epochs
    prev: Id
    set_root: Id
    count: Annotated[int, Between(0, (1 << 32) - 1)]
    state_root: Id
    sealers_next: Id
    time_ms: Annotated[int, Between(0, (1 << 53) - 1)]


@dataclass(frozen=True, slots=True)
class Vote:
    """One sealer's signature."""

    sealer: Address
    signature: Annotated[bytes, Exactly(SIGNATURE_BYTES)]


@dataclass(frozen=True, slots=True)
class Seal:
    """A sealed epoch: its content and the signatures of a quorum, sorted by sealer."""

    content: SealContent
    votes: Annotated[tuple[Vote, ...], AtMost(SEALERS_MAX)]

    def to_bytes(self) -> bytes:
        """Return the canonical bytes."""
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Seal":
        """Return the seal that `data` encodes.

        Raises:
            Rejected: `seal_too_long`, `codec_…`, `field_…`.
        """
        if len(data) > SEAL_BYTES_MAX:
            raise Rejected("seal_too_long", f"{len(data)} bytes", f"at most {SEAL_BYTES_MAX}")
        return decode_record(cls, data)


def compute_seal_hash(network: bytes, content: SealContent) -> bytes:
    """Return the hash (32 bytes) of a seal; signatures are not part of it."""
    return compute_hash("seal", network, encode_record(content))


def compute_set_root(ids: Iterable[bytes]) -> bytes:
    """Return the root over the ids that an epoch takes in."""
    return compute_root(sorted(ids))


def compute_sealers_hash(sealers: Sequence[bytes]) -> bytes:
    """Return the hash of a set of sealers, given sorted."""
    return compute_hash("sealers", *sealers)


def compute_beacon(prev_seal_hash: bytes, set_root: bytes) -> bytes:
    """Return what breaks ties inside an epoch: fixed with the set, so no author can grind it.

    The seal's own hash cannot serve, since it covers the state root, which the order decides.
    """
    return compute_hash("beacon", prev_seal_hash, set_root)


def compute_quorum(sealers: int) -> int:
    """Return how many of `sealers` must sign: 2f + 1 of 3f + 1, more where n is not 3f + 1."""
    return sealers - (sealers - 1) // 3


def sign_seal(network: bytes, content: SealContent, signer: Signer) -> Vote:
    """Return one sealer's vote for a seal."""
    return Vote(signer.address, signer.sign(_VOTE_TAG + compute_seal_hash(network, content)))


def is_valid_vote(network: bytes, content: SealContent, vote: Vote) -> bool:
    """Tell whether a vote is its sealer's signature under a seal of this content."""
    message = _VOTE_TAG + compute_seal_hash(network, content)
    return is_valid_signature(vote.sealer, message, vote.signature)


def check_seal(
    network: bytes,
    seal: Seal,
    prev: bytes,
    epoch: int,
    sealers: Sequence[bytes],
    sealers_next: Sequence[bytes],
) -> bytes:
    """Check that a seal follows another with a quorum of its sealers; return its hash.

    Args:
        network: its id.
        seal: that is to be checked.
        prev: hash of the seal that it must follow.
        epoch: that it must end.
        sealers: of that epoch, sorted.
        sealers_next: those of the epoch after it, sorted.

    Raises:
        Rejected: `seal_epoch`, `seal_prev`, `seal_sealers`, `seal_votes`, `seal_signature`,
            `seal_quorum`.
    """
    content = seal.content
    if content.epoch != epoch:
        raise Rejected("seal_epoch", content.epoch, epoch)
    if content.prev != prev:
        raise Rejected("seal_prev", content.prev.hex()[:16], prev.hex()[:16])
    if content.sealers_next != compute_sealers_hash(sealers_next):
        wanted = f"those {len(sealers_next)} of the epoch after it"
        raise Rejected("seal_sealers", content.sealers_next.hex()[:16], wanted)
    return check_signatures(network, seal, sealers)


def check_signatures(network: bytes, seal: Seal, sealers: Sequence[bytes]) -> bytes:
    """Check that a quorum of `sealers` signed a seal, whatever it follows; return its hash.

    Raises:
        Rejected: `seal_votes`, `seal_signature`, `seal_quorum`.
    """
    content = seal.content
    names = [vote.sealer for vote in seal.votes]
    if names != sorted(set(names)) or not set(names) <= set(sealers):
        raise Rejected("seal_votes", f"{len(names)} votes", "sorted votes of different sealers")
    if len(names) < compute_quorum(len(sealers)):
        raise Rejected("seal_quorum", f"{len(names)} votes", compute_quorum(len(sealers)))
    seal_hash = compute_seal_hash(network, content)
    for vote in seal.votes:
        if not is_valid_signature(vote.sealer, _VOTE_TAG + seal_hash, vote.signature):
            raise Rejected("seal_signature", vote.sealer.hex()[:16], "a valid signature")
    return seal_hash
