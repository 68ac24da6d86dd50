"""How namespaces, addresses and ports of a devnet are called; nothing else is ever touched.

    ms-1f9ac02b          the switch: a bridge with a port for each node, in a namespace of its own
    ms-1f9ac02b-n1       node n1: one interface, eth0, with an address out of 10.77.0.0/24

The addresses are private (RFC 1918) and exist in these namespaces alone: two devnets have the same
ones, and no route of the machine leads to them.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path

from devnet.errors import DevnetError
from devnet.ports import HOST

PREFIX_BITS = 24
HOSTS_MAX = 254
_SUBNET = "10.77.0."
_DIGITS = 8


def name_switch(root: Path, seed: int) -> str:
    """Return the name of the switch of a devnet: its directory and its seed make it unique."""
    text = f"{root}\n{seed}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return f"ms-{digest[:_DIGITS]}"


def choose_place(switch: str, name: str, taken: Collection[str]) -> tuple[str, str]:
    """Return the address of a new node, and its namespace; on loopback if there is no switch.

    Args:
        switch: of the devnet; empty for one on loopback.
        name: of the node.
        taken: the addresses of the others.

    Raises:
        DevnetError: `no_free_address`.
    """
    if not switch:
        return HOST, ""
    for number in range(1, HOSTS_MAX + 1):
        host = f"{_SUBNET}{number}"
        if host not in taken:
            return host, f"{switch}-{name}"
    raise DevnetError("no_free_address", f"{len(taken)} nodes", f"at most {HOSTS_MAX}")


def read_number(host: str) -> int:
    """Return which port of the switch an address is behind."""
    return int(host.removeprefix(_SUBNET))


def name_port(host: str) -> str:
    """Return the interface of the switch that an address is behind."""
    return f"port{read_number(host)}"
