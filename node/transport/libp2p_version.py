"""The one version of libp2p that the guards know."""

import importlib.metadata

from node.transport.base import TransportError

LIBP2P_VERSION = "0.8.1"


def check_version() -> None:
    """Raise `TransportError` (guard_broken) for any libp2p but the one that is guarded."""
    found = importlib.metadata.version("libp2p")
    if found != LIBP2P_VERSION:
        raise TransportError("guard_broken", f"libp2p {found}", f"libp2p {LIBP2P_VERSION}")
