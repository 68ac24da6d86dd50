"""Seals: what ends an epoch and fixes its set and its state.

    content = [epoch, prev_seal_hash, set_root, count, state_root, sealers_next, time_ms, sharing]
    sharing = [secret, hashes of deals]                 left out where f = 0: then there are 7
    hash    = SHA-256("minesync/seal/1" || network || content)
    wire    = [content, [[sealer, signature], ...]]     signature over "minesync/vote/1" || hash

A network of n = 3f + 1 sealers needs 2f + 1 signatures; one sealer is the case f = 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from protocol.charter_records import SEALERS_MAX
from protocol.errors import Rejected
from protocol.hashing import HASH_BYTES, compute_hash
from protocol.keys import SIGNATURE_BYTES, Signer, is_valid_signature
from protocol.merkle import compute_root
from protocol.params import Epochs
from protocol.schema import AtMost, Between, Exactly, Trailing, decode_record, encode_record
from protocol.sharing import DEALS_MAX, count_deals
from protocol.task_types import Address, Id

_VOTE_TAG = b"minesync/vote/1"
SEAL_BYTES_MAX = 8 * 1024


@dataclass(frozen=True, slots=True)
class Sharing:
    """What a seal says of secrets that its sealers shared (`protocol.sharing`).

    Attributes:
        secret: of this epoch, opened when its set was decided; None if nothing was dealt for it.
        deals: hashes of those that make the secret of the next epoch, by dealer, packed.
    """

    secret: Id | None
    deals: Annotated[bytes, AtMost(DEALS_MAX * HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class SealContent:
    """What the sealers sign.

    Attributes:
        set_root: Merkle root (RFC 9162) over the sorted ids that the epoch takes in.
        state_root: hash of all sealed rows after the epoch.
        sealers_next: hash of the sorted sealers of the next epoch.
        time_ms: wall time of the proposer, shown to people, never read by the fold.
        sharing: None where there is neither a secret nor a deal.
    """

    epoch: Epochs
    prev: Id
    set_root: Id
    count: Annotated[int, Between(0, (1 << 32) - 1)]
    state_root: Id
    sealers_next: Id
    time_ms: Annotated[int, Between(0, (1 << 53) - 1)]
    sharing: Annotated[Sharing | None, Trailing()] = None

    @property
    def secret(self) -> bytes | None:
        """The secret of this epoch, None if nothing was dealt for it."""
        return None if self.sharing is None else self.sharing.secret

    @property
    def deals(self) -> tuple[bytes, ...]:
        """Hashes of the deals that make the secret of the next epoch."""
        packed = b"" if self.sharing is None else self.sharing.deals
        return tuple(packed[i : i + HASH_BYTES] for i in range(0, len(packed), HASH_BYTES))


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


@lru_cache(maxsize=64)
def compute_seal_hash(network: bytes, content: SealContent) -> bytes:
    """Return the hash (32 bytes) of a seal; signatures are not part of it.

    It is asked with every signature under the seal.
    """
    return compute_hash("seal", network, encode_record(content))


def compute_set_root(ids: Iterable[bytes]) -> bytes:
    """Return the root over the ids that an epoch takes in."""
    return compute_root(sorted(ids))


def compute_sealers_hash(sealers: Sequence[bytes]) -> bytes:
    """Return the hash of a set of sealers, given sorted."""
    return compute_hash("sealers", *sealers)


def compute_beacon(prev_seal_hash: bytes, set_root: bytes, secret: bytes | None) -> bytes:
    """Return what breaks ties inside an epoch and draws its panels.

    The secret was shared before anybody chose the set, and nobody knows it before the set is
    decided: whoever varies the set, or signs last, gets another beacon and cannot tell which.
    Without a secret, where f = 0 and in the first epoch, whoever knows the set knows the beacon.

    The seal's own hash cannot serve, since it covers the state root, which the order decides.
    """
    return compute_hash("beacon", prev_seal_hash, set_root, secret or b"")


def build_sharing(secret: bytes | None, deals: Sequence[bytes]) -> Sharing | None:
    """Return what a seal says of shared secrets: nothing, where there are none."""
    return None if secret is None and not deals else Sharing(secret, b"".join(deals))


def has_secret(epoch: int, sealers: int) -> bool:
    """Tell whether an epoch that so many seal has a secret; before the first nobody could deal."""
    return epoch > 1 and count_deals(sealers) > 0


def check_sharing(content: SealContent, sealers: int, sealers_next: int) -> None:
    """Check that a seal names a secret and deals if, and only if, it must.

    Args:
        content: of the seal.
        sealers: how many seal this epoch.
        sealers_next: how many seal the next one, for which deals are named.

    Raises:
        Rejected: `seal_sharing`.
    """
    wanted = has_secret(content.epoch, sealers), count_deals(sealers_next)
    found = content.secret is not None, len(content.deals)
    sharing = content.sharing
    # One spelling of nothing, and no hash cut short.
    is_crooked = sharing is not None and (not any(found) or len(sharing.deals) % HASH_BYTES)
    if found != wanted or is_crooked:
        raise Rejected(
            "seal_sharing",
            f"{'a' if found[0] else 'no'} secret, {found[1]} deals",
            f"{'a' if wanted[0] else 'no'} secret, {wanted[1]} deals",
        )


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
        Rejected: `seal_epoch`, `seal_prev`, `seal_sealers`, `seal_sharing`, `seal_votes`,
            `seal_signature`, `seal_quorum`.
    """
    content = seal.content
    if content.epoch != epoch:
        raise Rejected("seal_epoch", content.epoch, epoch)
    if content.prev != prev:
        raise Rejected("seal_prev", content.prev.hex()[:16], prev.hex()[:16])
    if content.sealers_next != compute_sealers_hash(sealers_next):
        wanted = f"those {len(sealers_next)} of the epoch after it"
        raise Rejected("seal_sealers", content.sealers_next.hex()[:16], wanted)
    check_sharing(content, len(sealers), len(sealers_next))
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
