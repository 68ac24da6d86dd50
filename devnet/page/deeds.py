"""What the buttons of the page do: the same faults as the command line, one after the other."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from devnet.errors import DevnetError
from devnet.faults import heal, kill, partition, pause, restart, resume, start
from devnet.provider import Provider
from devnet.watch.events import describe_groups

KILL = "kill"
PAUSE = "pause"
RESUME = "resume"
START = "start"
RESTART = "restart"
PARTITION = "partition"
HEAL = "heal"
# A peer that starts on a lonely side of a cut meets nobody, and is welcome all the same.
_TO_PEER: dict[str, Callable[[Provider, str], Awaitable[None]]] = {
    KILL: kill,
    PAUSE: pause,
    RESUME: resume,
    START: partial(start, meets=False),
    RESTART: partial(restart, meets=False),
}


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing to do.

    Attributes:
        do: one of the names above.
        peers: the one it is done to; of a partition, one side.
        is_one_way: of a partition: the others hear nothing of these peers, which hear them.
    """

    do: str
    peers: tuple[str, ...] = ()
    is_one_way: bool = False


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
    return Deed(do, tuple(peers), asked.get("one_way") is True)


async def perform(provider: Provider, deed: Deed) -> str:
    """Do it; return what was done in a few words.

    Raises:
        DevnetError: as the fault.
        RpcError: a peer refuses.
    """
    if deed.do == HEAL:
        await heal(provider)
        return "healed"
    if deed.do == PARTITION:
        others = [name for name in provider.devnet.names if name not in deed.peers]
        groups = (deed.peers, others)
        await partition(provider, groups, one_way=deed.is_one_way)
        return f"cut {describe_groups(groups, is_one_way=deed.is_one_way)}"
    (name,) = deed.peers
    await _TO_PEER[deed.do](provider, name)
    return f"{deed.do} {name}: done"
