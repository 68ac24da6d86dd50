"""The signed transaction: the one thing that is replicated.

Layout, all of it canonical CBOR:

    body = [version, network, kind, author, seq, prev, epoch, anchor, subject, refs, payload]
    id   = SHA-256("minesync/tx/1" || body)
    wire = [body bytes, signature],  signature = Ed25519("minesync/sig/1" || id)

The id leaves the signature out, so a second valid signature makes no second transaction.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from protocol import codec
from protocol.errors import Rejected
from protocol.hashing import compute_hash
from protocol.keys import SIGNATURE_BYTES, Signer, is_valid_signature
from protocol.params import Epochs
from protocol.schema import AtMost, Exactly, from_plain, to_plain
from protocol.task_types import Address, Id

VERSION = 1
WIRE_BYTES_MAX = 16 * 1024
REFS_MAX = 8
NETWORK_BYTES = 8
ANCHOR_BYTES = 16
_SIGNATURE_TAG = b"minesync/sig/1"


@dataclass(frozen=True, slots=True)
class Header:
    """Everything of a transaction but its payload.

    Attributes:
        network: first 8 bytes of the genesis hash.
        seq: place in the author's chain, gapless from 0.
        prev: id of the author's transaction before this one, None at seq 0.
        epoch: the last sealed epoch the author knew, plus one.
        anchor: first 16 bytes of that seal's hash.
        subject: the task or miner that this transaction belongs to.
        refs: ids that the fold will read because of this one, sorted, 0 to 8.
    """

    version: int
    network: Annotated[bytes, Exactly(NETWORK_BYTES)]
    kind: int
    author: Address
    seq: int
    prev: Id | None
    epoch: Epochs
    anchor: Annotated[bytes, Exactly(ANCHOR_BYTES)]
    subject: Id
    refs: Annotated[tuple[Id, ...], AtMost(REFS_MAX)]


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A transaction with its typed payload, its exact bytes and its id."""

    header: Header
    payload: Any
    body: bytes
    signature: bytes
    tx_id: bytes

    @property
    def wire(self) -> bytes:
        """The bytes that travel and that are stored."""
        return codec.encode([self.body, self.signature])


def compute_tx_id(body: bytes) -> bytes:
    """Return the id (32 bytes) of a transaction's body."""
    return compute_hash("tx", body)


def compute_task_id(network: bytes, author: bytes, seq: int) -> bytes:
    """Return the id of the task that an author's transaction `seq` publishes."""
    return compute_hash("task", network, author, seq.to_bytes(8, "big"))


def sign_transaction(header: Header, payload: Any, signer: Signer) -> SignedTransaction:
    """Return the transaction of `header` and `payload`, signed by its author.

    Raises:
        Rejected: `tx_too_long`.
    """
    body = codec.encode([*to_plain(header), to_plain(payload)])
    tx_id = compute_tx_id(body)
    signature = signer.sign(_SIGNATURE_TAG + tx_id)
    signed = SignedTransaction(header, payload, body, signature, tx_id)
    if len(signed.wire) > WIRE_BYTES_MAX:
        raise Rejected("tx_too_long", f"{len(signed.wire)} bytes", f"at most {WIRE_BYTES_MAX}")
    return signed


def is_signed_by_author(tx: SignedTransaction) -> bool:
    """Tell whether the signature is the author's: the costly half of the stateless check."""
    return is_valid_signature(tx.header.author, _SIGNATURE_TAG + tx.tx_id, tx.signature)


def split_wire(wire: bytes) -> tuple[bytes, bytes]:
    """Return (body, signature) of the bytes of a signed transaction.

    Raises:
        Rejected: `tx_too_long`, `codec_…`, `tx_shape`.
    """
    if len(wire) > WIRE_BYTES_MAX:
        raise Rejected("tx_too_long", f"{len(wire)} bytes", f"at most {WIRE_BYTES_MAX}")
    value = codec.decode(wire)
    if type(value) is not list or len(value) != 2 or not all(type(v) is bytes for v in value):
        raise Rejected("tx_shape", "another shape", "[body, signature]")
    body, signature = value
    if len(signature) != SIGNATURE_BYTES:
        raise Rejected("tx_shape", f"a signature of {len(signature)}", f"{SIGNATURE_BYTES} bytes")
    return body, signature


def read_header(body: bytes) -> tuple[Header, Any]:
    """Return the header and the plain, still untyped payload of a body.

    Raises:
        Rejected: `codec_…`, `field_…`, `tx_shape`, `tx_version`, `tx_chain`, `tx_refs`.
    """
    value = codec.decode(body)
    if type(value) is not list or len(value) != 11:
        raise Rejected("tx_shape", "another shape", "an array of 11")
    header = from_plain(Header, value[:10])
    if header.version != VERSION:
        raise Rejected("tx_version", header.version, VERSION)
    if (header.seq == 0) != (header.prev is None):
        raise Rejected("tx_chain", f"seq {header.seq}", "prev null at seq 0 and only there")
    if header.epoch == 0:
        raise Rejected("tx_epoch", 0, "at least 1")
    if list(header.refs) != sorted(set(header.refs)):
        raise Rejected("tx_refs", f"{len(header.refs)} refs", "sorted and unique")
    return header, value[10]
