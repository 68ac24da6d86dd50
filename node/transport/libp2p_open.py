"""The door to libp2p: importing this file is cheap, opening a transport imports the library.

The import takes 0.6 s and 60 MB, which a command that asks a running node for its status, or a
simulation, has no use for.
"""

import functools
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

from node.transport.base import GossipValidator, Transport
from node.transport.libp2p_version import check_version
from node.transport.limits import TransportLimits


@asynccontextmanager
async def open_libp2p_transport(
    *,
    seed: bytes,
    listen: str,
    topic: str,
    validate: GossipValidator,
    limits: TransportLimits | None = None,
) -> AsyncIterator[Transport]:
    """Listen, and be part of the network while the block runs.

    On exit peers have been told, and the port is free again, within `limits.close_timeout_s`.

    Args:
        seed: 32 bytes, the Ed25519 seed that the peer's name comes from.
        listen: `/ip4/<address>/tcp/<port>` or the same with ip6; port 0 means any.
        topic: the one topic of `publish` and `gossip`.
        validate: which messages of others are delivered and passed on.
        limits: the bounds; left out, the defaults.

    Raises:
        TransportError: address_malformed, port_in_use, listen_failed, guard_broken.
        ValueError: the seed does not have 32 bytes.
    """
    if len(seed) != 32:
        raise ValueError(f"a seed of {len(seed)} bytes, 32 wanted")
    check_version()
    run = _load_host().run_libp2p_transport
    async with run(
        seed=seed,
        listen=listen,
        topic=topic,
        validate=validate,
        limits=limits or TransportLimits(),
    ) as transport:
        yield transport


@functools.cache
def _load_host() -> ModuleType:
    from node.transport import libp2p_host

    # The library leaves objects behind that live as long as the process. Without this, every full
    # collection walks all of them, and the event loop stands still for 80 ms.
    gc.collect()
    gc.freeze()
    return libp2p_host
