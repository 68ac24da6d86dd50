"""The stateless check: from hostile bytes to a typed transaction, or a reason.

This is what gossip validates before it relays, so it reads no state: size, canonical form, schema,
id, network and signature, in the order of their cost.
"""

from dataclasses import dataclass
from typing import Any

from protocol import kinds
from protocol.errors import Rejected
from protocol.schema import from_plain
from protocol.transactions import (
    SignedTransaction,
    compute_tx_id,
    is_signed_by_author,
    read_header,
    split_wire,
)

AHEAD_EPOCHS_MAX = 2
"""How far beyond the next epoch a transaction may be dated; further is ignored, not blamed."""


@dataclass(frozen=True, slots=True)
class Intake:
    """The stateless check of one network."""

    network: bytes

    def read(self, wire: bytes) -> SignedTransaction:
        """Return the transaction of `wire`; its signature is not yet verified.

        Raises:
            Rejected: `codec_…`, `field_…`, `tx_…`, `wrong_network`, `unknown_kind`, `wrong_subject`
                or a reason of the kind's own.
        """
        body, signature = split_wire(wire)
        header, plain = read_header(body)
        if header.network != self.network:
            raise Rejected("wrong_network", header.network.hex(), self.network.hex())
        kind = kinds.BY_CODE.get(header.kind)
        if kind is None:
            raise Rejected("unknown_kind", header.kind, f"one of {sorted(kinds.BY_CODE)}")
        payload: Any = from_plain(kind.payload, plain)
        kind.check(header, payload)
        return SignedTransaction(header, payload, body, signature, compute_tx_id(body))

    def open(self, wire: bytes) -> SignedTransaction:
        """Return the transaction of `wire`, its signature verified.

        Raises:
            Rejected: as `read`, and `bad_signature`.
        """
        tx = self.read(wire)
        check_signature(tx)
        return tx


def check_signature(tx: SignedTransaction) -> None:
    """Check that the author signed the transaction.

    Raises:
        Rejected: `bad_signature`.
    """
    if not is_signed_by_author(tx):
        raise Rejected("bad_signature", tx.tx_id.hex()[:16], "the author's signature")
