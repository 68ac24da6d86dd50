"""The network a node belongs to, as a file: reading a genesis, and founding a new one."""

import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from protocol.charter_records import SEALERS_MAX
from protocol.errors import BlamedError, Rejected
from protocol.genesis import Allocation, Genesis
from protocol.params import Params

GENESIS_BYTES_MAX = 1 << 20
NAME_BYTES_MAX = 32
_SALT_BYTES = 32


class GenesisError(BlamedError):
    """A genesis file is missing, damaged or of another network."""


def read_genesis(path: Path) -> Genesis:
    """Return the genesis that a file holds.

    Raises:
        GenesisError: `genesis_missing`, `genesis_unreadable`, `genesis_malformed`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(GENESIS_BYTES_MAX + 1)
    except FileNotFoundError as error:
        wanted = "a genesis file (minesync init --genesis FILE)"
        raise GenesisError("genesis_missing", f"no file {path}", wanted) from error
    except OSError as error:
        raise GenesisError("genesis_unreadable", f"{path}: {error.strerror}", "a file") from error
    if len(data) > GENESIS_BYTES_MAX:
        raise GenesisError("genesis_malformed", f"{path} is too long", f"{GENESIS_BYTES_MAX} bytes")
    try:
        return Genesis.from_bytes(data)
    except Rejected as error:
        found = f"{path}: {error.code} ({error.found})"
        raise GenesisError("genesis_malformed", found, "a genesis file, whole") from error


def name_topic(genesis: Genesis) -> str:
    """Return the topic on which the nodes of a network gossip."""
    return f"minesync/{genesis.network.hex()}"


def check_network_name(name: str) -> None:
    """Check that a new network can bear a name.

    Raises:
        GenesisError: `bad_network_name`.
    """
    size = len(name.encode("utf-8", "surrogateescape"))
    is_plain = name.isprintable() and unicodedata.is_normalized("NFC", name) and name.strip()
    if not is_plain or size > NAME_BYTES_MAX:
        wanted = f"1 to {NAME_BYTES_MAX} bytes of printable text"
        raise GenesisError("bad_network_name", repr(name[:NAME_BYTES_MAX]), wanted)


def check_sealers(addresses: Sequence[bytes]) -> None:
    """Check that a network can be sealed by these accounts, the founder's among them.

    Raises:
        GenesisError: `bad_sealers`.
    """
    if len(addresses) > SEALERS_MAX or len(set(addresses)) != len(addresses):
        wanted = f"up to {SEALERS_MAX}, each once, and the founder's own not named"
        raise GenesisError("bad_sealers", f"{len(addresses)} addresses", wanted)


def create_network(
    name: str, params: Params, founder: bytes, supply: int, others: Sequence[bytes] = ()
) -> Genesis:
    """Return the genesis of a new network that one account owns, and seals with others.

    Args:
        founder: address of that account.
        supply: all nano-units there will ever be.
        others: addresses of the further sealers, none of them twice.

    Raises:
        GenesisError: `bad_network_name`, `bad_sealers`.
    """
    check_network_name(name)
    check_sealers((founder, *others))
    # An empty account is one: with it a sealer can vote on changes, which costs nothing.
    allocations = (Allocation(founder, supply), *(Allocation(one, 0) for one in others))
    return Genesis(
        name=name,
        salt=secrets.token_bytes(_SALT_BYTES),
        params=params,
        allocations=tuple(sorted(allocations, key=lambda one: one.address)),
        sealers=tuple(sorted((founder, *others))),
    )
