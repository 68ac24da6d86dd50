"""What the buttons of the page do: the same faults as the command line, one after the other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devnet.cluster import ProcessCluster
from devnet.errors import DevnetError
from devnet.faults import heal, kill, partition, pause, restart, resume

KILL = "kill"
PAUSE = "pause"
RESUME = "resume"
RESTART = "restart"
PARTITION = "partition"
HEAL = "heal"
_TO_PEER = {KILL: kill, PAUSE: pause, RESUME: resume, RESTART: restart}


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing to do.

    Attributes:
        do: one of the names above.
        peers: the one it is done to; of a partition, one side.
    """

    do: str
    peers: tuple[str, ...] = ()


def read_deed(body: bytes, names: Sequence[str]) -> Deed:
    """Return what the body of a request asks for.

    Raises:
        DevnetError: `bad_deed`, `unknown_peer`, `bad_groups`.
    """
    try:
        asked: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DevnetError("bad_deed", "no JSON", "an object with `do`") from error
    do = asked.get("do") if isinstance(asked, dict) else None
    peers = asked.get("peers", []) if isinstance(asked, dict) else None
    if not isinstance(do, str) or do not in (*_TO_PEER, PARTITION, HEAL):
        raise DevnetError("bad_deed", repr(do)[:32], ", ".join((*_TO_PEER, PARTITION, HEAL)))
    if not isinstance(peers, list) or not all(isinstance(one, str) for one in peers):
        raise DevnetError("bad_deed", f"{do} of no list", "names of peers")
    for name in peers:
        if name not in names:
            raise DevnetError("unknown_peer", repr(name[:32]), ", ".join(names))
    if len(set(peers)) != len(peers):
        raise DevnetError("bad_deed", "a peer twice", "each once")
    if do in _TO_PEER and len(peers) != 1:
        raise DevnetError("bad_deed", f"{do} of {len(peers)} peers", "one peer")
    if do == PARTITION and not 0 < len(peers) < len(names):
        raise DevnetError("bad_groups", f"{len(peers)} of {len(names)} peers", "some, not all")
    return Deed(do, tuple(peers))


async def perform(cluster: ProcessCluster, deed: Deed) -> str:
    """Do it; return what was done in a few words.

    Raises:
        DevnetError: as the fault.
        RpcError: a peer refuses.
    """
    if deed.do == HEAL:
        await heal(cluster)
        return "healed"
    if deed.do == PARTITION:
        others = [name for name in cluster.devnet.names if name not in deed.peers]
        await partition(cluster, [list(deed.peers), others])
        return f"cut {' '.join(deed.peers)} | {' '.join(others)}"
    (name,) = deed.peers
    await _TO_PEER[deed.do](cluster, name)
    return f"{deed.do} {name}: done"
