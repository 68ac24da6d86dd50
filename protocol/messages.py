"""Every message between peers, on the stream and in gossip: typed, bounded, strictly read.

A message is the canonical array [code, field, ...]. Ids travel packed, 32 bytes each, in one byte
string. On the stream each request has one reply; either may be `Bye`, which ends the stream with a
named reason. Bytes that are no message blame the peer that sent them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from protocol import codec
from protocol.ballots import Ballot, DoubleBallot, Proposal, SealVote, Shown
from protocol.errors import PeerFault, Rejected
from protocol.hashing import HASH_BYTES
from protocol.params import Epochs
from protocol.plan import SET_IDS_MAX
from protocol.schema import AtMost, Between, Exactly, from_plain, to_plain
from protocol.seals import SEAL_BYTES_MAX
from protocol.sharing import Deal, Opening
from protocol.task_types import Address, Id
from protocol.transactions import NETWORK_BYTES, WIRE_BYTES_MAX

VERSION = 1
MESSAGE_BYTES_MAX = 1 << 20
PACKED_IDS_MAX = 16_384
WANT_IDS_MAX = 512
ITEMS_PER_MESSAGE_MAX = 512
ITEMS_BYTES_MAX = 512 * 1024
SEALS_PER_MESSAGE_MAX = 64
GOSSIP_BYTES_MAX = 64 * 1024
GOSSIP_SEAL_IDS_MAX = 1_024
BLOB_CHUNK_BYTES_MAX = 60 * 1024
FINGERPRINT_BYTES = 16

PackedIds = Annotated[bytes, AtMost(PACKED_IDS_MAX * HASH_BYTES)]
ItemBytes = Annotated[bytes, AtMost(2 * WIRE_BYTES_MAX + 64)]

SCOPE_OPEN = 0
"""Reconcile what is not sealed yet; both sides stand at the same seal."""
SCOPE_ALL = 1
"""Reconcile everything: the audit."""


@dataclass(frozen=True, slots=True)
class Status:
    """Where a peer stands (L1): about 100 bytes that tell two equal peers that they are equal."""

    epoch: Epochs
    seal_hash: Id
    open_count: Annotated[int, Between(0, (1 << 32) - 1)]
    open_fingerprint: Annotated[bytes, Exactly(FINGERPRINT_BYTES)]
    state_root: Id


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a stream, both ways."""

    version: int
    network: Annotated[bytes, Exactly(NETWORK_BYTES)]
    agent: Annotated[str, AtMost(64)]
    status: Status


@dataclass(frozen=True, slots=True)
class Ranges:
    """One message of a Negentropy session (L3)."""

    scope: Annotated[int, Between(0, 1)]
    epoch: Epochs
    """The last seal of the sender; the open sets of different seals cannot be compared."""
    is_first: bool
    message: Annotated[bytes, AtMost(MESSAGE_BYTES_MAX // 2)]


@dataclass(frozen=True, slots=True)
class Want:
    """Please send these transactions or evidence."""

    ids: PackedIds


@dataclass(frozen=True, slots=True)
class Items:
    """Signed transactions and proofs of equivocation."""

    transactions: Annotated[tuple[ItemBytes, ...], AtMost(ITEMS_PER_MESSAGE_MAX)]
    evidence: Annotated[tuple[ItemBytes, ...], AtMost(ITEMS_PER_MESSAGE_MAX)]


@dataclass(frozen=True, slots=True)
class Taken:
    """How many of the items pushed were new."""

    count: int


@dataclass(frozen=True, slots=True)
class GetSeals:
    """Please send the seals from an epoch on."""

    first: Epochs


@dataclass(frozen=True, slots=True)
class SealedIds:
    """A seal and the ids it takes in; None when they are too many and must be asked for."""

    seal: Annotated[bytes, AtMost(SEAL_BYTES_MAX)]
    ids: PackedIds | None


@dataclass(frozen=True, slots=True)
class Seals:
    """Consecutive seals."""

    seals: Annotated[tuple[SealedIds, ...], AtMost(SEALS_PER_MESSAGE_MAX)]


@dataclass(frozen=True, slots=True)
class GetIds:
    """Please send the ids that an epoch takes in, from a place on."""

    epoch: Epochs
    offset: int


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids that an epoch takes in."""

    epoch: Epochs
    offset: int
    ids: PackedIds


@dataclass(frozen=True, slots=True)
class GetChain:
    """Please send what you have of an author's chain, from `last` downwards, not below `first`.

    The reply is `Items`, in that order and without a hole, as much as one message holds. It is how
    links are fetched that died unsealed: no seal and no open set names them any more.
    """

    author: Address
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class GetBlob:
    """Please send a blob, from an offset on."""

    content_hash: Id
    offset: int


@dataclass(frozen=True, slots=True)
class Blob:
    """A piece of a blob; a total of 0 says that the peer does not have it."""

    content_hash: Id
    total: int
    offset: int
    data: Annotated[bytes, AtMost(BLOB_CHUNK_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class GetBallots:
    """Please show what you heard of the agreement on the next seal, if it differs from mine."""

    epoch: Epochs
    digest: Annotated[bytes, Exactly(FINGERPRINT_BYTES)]


@dataclass(frozen=True, slots=True)
class Ballots:
    """What a peer heard; nothing if it is the same, or if he is at another epoch."""

    epoch: Epochs
    shown: Shown


@dataclass(frozen=True, slots=True)
class GetSet:
    """Please send the ids of a set that was proposed, from a place on."""

    set_root: Id
    offset: Annotated[int, Between(0, SET_IDS_MAX)]


@dataclass(frozen=True, slots=True)
class SetIds:
    """Ids of a proposed set; none where the peer does not have it, or there are no more."""

    set_root: Id
    offset: Annotated[int, Between(0, SET_IDS_MAX)]
    ids: PackedIds


@dataclass(frozen=True, slots=True)
class Bye:
    """The end of a stream, with a code from `BlamedError` and a line for people."""

    code: Annotated[str, AtMost(64)]
    reason: Annotated[str, AtMost(256)]


@dataclass(frozen=True, slots=True)
class Transactions:
    """Gossip: a small batch of signed transactions."""

    wires: Annotated[
        tuple[Annotated[bytes, AtMost(WIRE_BYTES_MAX)], ...], AtMost(ITEMS_PER_MESSAGE_MAX)
    ]


@dataclass(frozen=True, slots=True)
class Announcement:
    """Gossip: ids that the sender has; ask him for what you lack."""

    origin: Annotated[str, AtMost(128)]
    ids: Annotated[bytes, AtMost(GOSSIP_SEAL_IDS_MAX * HASH_BYTES)]


@dataclass(frozen=True, slots=True)
class SealNotice:
    """Gossip: a new seal, with its ids unless they are too many."""

    sealed: SealedIds


@dataclass(frozen=True, slots=True)
class EvidenceNotice:
    """Gossip: a proof of equivocation."""

    proof: ItemBytes


@dataclass(frozen=True, slots=True)
class BallotNotice:
    """Gossip: what a sealer says in a round."""

    ballot: Ballot


@dataclass(frozen=True, slots=True)
class ProposalNotice:
    """Gossip: what a sealer wants sealed, with its ids unless they are too many.

    Attributes:
        origin: who says that he has all of it; ask him for what you lack.
    """

    origin: Annotated[str, AtMost(128)]
    proposal: Proposal
    ids: Annotated[bytes, AtMost(GOSSIP_SEAL_IDS_MAX * HASH_BYTES)] | None


@dataclass(frozen=True, slots=True)
class SealVoteNotice:
    """Gossip: a sealer's signature under a seal that is decided."""

    seal_vote: SealVote


@dataclass(frozen=True, slots=True)
class DoubleBallotNotice:
    """Gossip: proof that a sealer contradicted itself."""

    proof: DoubleBallot


@dataclass(frozen=True, slots=True)
class DealNotice:
    """Gossip: what a sealer deals for the next epoch."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class OpeningNotice:
    """Gossip: a sealer's opened shares of what was dealt for this epoch, whose set is decided."""

    opening: Opening


STREAM_MESSAGES: dict[int, type] = {
    1: Hello,
    2: Status,
    3: Ranges,
    4: Want,
    5: Items,
    6: Taken,
    7: GetSeals,
    8: Seals,
    9: GetIds,
    10: Ids,
    11: GetBlob,
    12: Blob,
    13: Bye,
    14: GetChain,
    15: GetBallots,
    16: Ballots,
    17: GetSet,
    18: SetIds,
}
GOSSIP_MESSAGES: dict[int, type] = {
    20: Transactions,
    21: Announcement,
    22: SealNotice,
    23: EvidenceNotice,
    24: BallotNotice,
    25: ProposalNotice,
    26: SealVoteNotice,
    27: DoubleBallotNotice,
    28: DealNotice,
    29: OpeningNotice,
}
_CODES = {cls: code for code, cls in (STREAM_MESSAGES | GOSSIP_MESSAGES).items()}


def encode_message(message: object) -> bytes:
    """Return the bytes of a message."""
    return codec.encode([_CODES[type(message)], *to_plain(message)])


def decode_stream_message(data: bytes) -> Any:
    """Return the message that a frame holds.

    Raises:
        PeerFault: `message_…`.
    """
    return _decode(data, STREAM_MESSAGES, MESSAGE_BYTES_MAX)


def decode_gossip_message(data: bytes) -> Any:
    """Return the message that a gossip payload holds.

    Raises:
        PeerFault: `message_…`.
    """
    return _decode(data, GOSSIP_MESSAGES, GOSSIP_BYTES_MAX)


def _decode(data: bytes, classes: dict[int, type], bytes_max: int) -> Any:
    try:
        value = codec.decode(data, bytes_max=bytes_max)
        if type(value) is not list or not value or type(value[0]) is not int:
            raise PeerFault("message_shape", "another shape", "[code, fields...]")
        cls = classes.get(value[0])
        if cls is None:
            raise PeerFault("message_unknown", value[0], f"one of {sorted(classes)}")
        return from_plain(cls, value[1:])
    except Rejected as error:
        raise PeerFault("message_malformed", str(error), "a well-formed message") from error


def pack_ids(ids: Iterable[bytes]) -> bytes:
    """Return ids as one byte string."""
    return b"".join(ids)


def unpack_ids(packed: bytes, ids_max: int = PACKED_IDS_MAX) -> list[bytes]:
    """Return the ids of a byte string.

    Raises:
        PeerFault: `ids_malformed`, `ids_too_many`.
    """
    if len(packed) % HASH_BYTES:
        raise PeerFault("ids_malformed", f"{len(packed)} bytes", f"a multiple of {HASH_BYTES}")
    count = len(packed) // HASH_BYTES
    if count > ids_max:
        raise PeerFault("ids_too_many", count, f"at most {ids_max}")
    return [packed[i : i + HASH_BYTES] for i in range(0, len(packed), HASH_BYTES)]
