"""The birth of a network: its numbers, its first balances and its sealers."""

from dataclasses import dataclass
from typing import Annotated

from protocol.charter_records import SEALERS_MAX, Charter
from protocol.errors import Rejected
from protocol.hashing import compute_hash
from protocol.params import AMOUNT_MAX, Amount, Params
from protocol.records import Account, Ledger
from protocol.schema import AtMost, decode_record, encode_record
from protocol.tables import ACCOUNTS, LEDGER, LEDGER_KEY
from protocol.task_types import Address, Id
from protocol.transactions import NETWORK_BYTES
from protocol.view import Key

ACCOUNTS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Allocation:
    """The balance that an address starts with."""

    address: Address
    balance: Amount


@dataclass(frozen=True, slots=True)
class Genesis:
    """What everybody on a network must have in common. Its hash is the network.

    Attributes:
        salt: makes two networks of equal contents two networks.
        allocations: sorted by address; after them no money is ever created.
        params: what holds of them now, and who seals, `protocol.charter` tells.
        sealers: sorted addresses; a quorum of them ends each epoch until they change themselves.
    """

    name: Annotated[str, AtMost(32)]
    salt: Id
    params: Params
    allocations: Annotated[tuple[Allocation, ...], AtMost(ACCOUNTS_MAX)]
    sealers: Annotated[tuple[Address, ...], AtMost(SEALERS_MAX)]

    def to_bytes(self) -> bytes:
        """Return the canonical bytes."""
        return encode_record(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Genesis":
        """Return the genesis that `data` encodes.

        Raises:
            Rejected: `codec_…`, `field_…`, `params_relation`, `genesis_…`.
        """
        genesis = decode_record(cls, data)
        genesis.check()
        return genesis

    def check(self) -> None:
        """Check that accounts and sealers are sorted and that the supply is an amount.

        Raises:
            Rejected: `genesis_unsorted`, `genesis_no_sealer`, `genesis_supply`.
        """
        addresses = [allocation.address for allocation in self.allocations]
        if addresses != sorted(set(addresses)):
            raise Rejected("genesis_unsorted", f"{len(addresses)} accounts", "sorted and unique")
        if list(self.sealers) != sorted(set(self.sealers)):
            raise Rejected("genesis_unsorted", f"{len(self.sealers)} sealers", "sorted and unique")
        if not self.sealers:
            raise Rejected("genesis_no_sealer", "0 sealers", "at least 1")
        if self.supply > AMOUNT_MAX:
            raise Rejected("genesis_supply", self.supply, f"at most {AMOUNT_MAX}")

    @property
    def supply(self) -> int:
        """All money there will ever be, in nano-units."""
        return sum(allocation.balance for allocation in self.allocations)

    @property
    def charter(self) -> Charter:
        """What holds until the sealers change it."""
        return Charter(0, self.params, self.sealers)

    @property
    def hash(self) -> bytes:
        """The genesis hash: it stands in for the seal of epoch 0."""
        return compute_hash("genesis", self.to_bytes())

    @property
    def network(self) -> bytes:
        """The network id: the first 8 bytes of the hash."""
        return self.hash[:NETWORK_BYTES]

    def rows(self) -> dict[Key, object]:
        """Return the rows of the state before the first epoch."""
        rows: dict[Key, object] = {
            (ACCOUNTS.name, entry.address): Account(entry.address, entry.balance, 0, None, None)
            for entry in self.allocations
        }
        rows[(LEDGER.name, LEDGER_KEY)] = Ledger(self.supply, self.supply, 0, 0, 0, 0)
        return rows
