"""The keys and the genesis of a devnet, all from one integer: a seed names a network."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from devnet.errors import DevnetError
from protocol.errors import Rejected
from protocol.genesis import Allocation, Genesis
from protocol.keys import compute_address
from protocol.params import MINIMAL, NANO_PER_COIN, Params

SEED_MAX = (1 << 53) - 1
"""Every JSON reader keeps such an integer exactly."""
LATE_EPOCHS = 60
"""A minute at one second an epoch: what a partition kept back for that long still counts."""
BALANCE_NANO = 100_000 * NANO_PER_COIN
"""Of each account. A demonstration of a thousand tasks spends a tenth."""

_TAG = b"minesync devnet key/1"


def derive_key(seed: int, purpose: str, name: str) -> bytes:
    """Return the private seed (32 bytes) of one key of a devnet. Anybody can compute it."""
    text = f"{seed}/{purpose}/{name}".encode()
    return hashlib.sha256(_TAG + text).digest()


def derive_address(seed: int, name: str) -> bytes:
    """Return the address (32 bytes) of a peer's account."""
    return compute_address(derive_key(seed, "account", name))


def make_params(overrides: Mapping[str, int] | None = None) -> Params:
    """Return MINIMAL with a long window for late transactions, and with `overrides` by name.

    Raises:
        DevnetError: `unknown_param`, `bad_param`.
    """
    values: dict[str, int] = {"late_epochs": LATE_EPOCHS, **(overrides or {})}
    known = [
        entry.name
        for entry in dataclasses.fields(Params)
        if type(getattr(MINIMAL, entry.name)) is int
    ]
    for name in values:
        if name not in known:
            raise DevnetError("unknown_param", name, ", ".join(known))
    try:
        return dataclasses.replace(MINIMAL, **values)  # type: ignore[arg-type]
    except Rejected as error:
        raise DevnetError("bad_param", error.found, error.wanted) from error


def make_genesis(
    name: str,
    seed: int,
    accounts: Sequence[str],
    sealers: Sequence[str],
    params: Params,
    balance: int = BALANCE_NANO,
) -> Genesis:
    """Return the genesis in which every named account is rich and `sealers` end the epochs.

    Args:
        name: of the network.
        seed: from which keys and salt come.
        accounts: names of the peers.
        sealers: those of them that seal.
        params: of the network.
        balance: nano-units of each account.

    Raises:
        DevnetError: `bad_genesis`.
    """
    addresses = sorted(derive_address(seed, one) for one in accounts)
    genesis = Genesis(
        name=name,
        salt=derive_key(seed, "salt", name),
        params=params,
        allocations=tuple(Allocation(address, balance) for address in addresses),
        sealers=tuple(sorted(derive_address(seed, one) for one in sealers)),
    )
    try:
        # Read back strictly: what is written must be what every node accepts.
        return Genesis.from_bytes(genesis.to_bytes())
    except Rejected as error:
        raise DevnetError("bad_genesis", str(error), "a genesis that nodes accept") from error
