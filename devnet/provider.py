"""What a running devnet can do, whichever way its nodes run: one API, two providers.

`devnet.cluster` runs a process for each node, in real time; `devnet.virtual.cluster` runs all of
them in one loop, in virtual time. Faults, load, checks, conditions and scenarios know no more of
either than what stands here.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import trio

from devnet.errors import DevnetError
from devnet.layout import Devnet
from devnet.manifests.lineup import LinkPlan, NodePlan, Pair
from devnet.remote import Remote
from devnet.roster import PeerSpec
from node.rpc.client import RpcError

UP = "up"
DOWN = "down"
PAUSED = "paused"

STOP_S = 10.0
"""For a node to write down what it holds; then it is killed."""

OnReady = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class KeptWays:
    """What the network does to ways by itself, without the nodes knowing: from whom, to whom.

    Attributes:
        cut: nothing passes.
        poor: slow, narrow or lossy.
    """

    cut: frozenset[Pair] = frozenset()
    poor: frozenset[Pair] = frozenset()


class Links(Protocol):
    """Cuts and slows down the links of one devnet: the nodes themselves do, or the network."""

    async def partition(self, groups: Sequence[Sequence[str]], *, one_way: bool) -> None:
        """See `devnet.faults.partition`, here and below."""
        ...

    async def heal(self) -> None:
        """Allow every link."""
        ...

    async def set_link(self, pair: Pair, plan: LinkPlan, told: Iterable[str]) -> None:
        """Put a plan on what goes from the first to the second of a pair.

        Args:
            pair: from whom to whom.
            plan: in the place of the one before.
            told: those nodes that do not know it yet.

        Raises:
            DevnetError: `cannot_lose`, `no_namespaces`.
            RpcError: a node refuses.
        """
        ...

    async def read_kept(self) -> KeptWays:
        """Return what is done to ways of which the nodes know nothing."""
        ...


class Provider(Protocol):
    """Runs the nodes of one devnet."""

    @property
    def links(self) -> Links:
        """What keeps its links cut and slow."""
        ...

    @property
    def devnet(self) -> Devnet:
        """Its directory, its roster and its events."""
        ...

    def remote(self, name: str) -> Remote:
        """Return the RPC of a node.

        Raises:
            DevnetError: `unknown_peer`.
        """
        ...

    def read_states(self) -> dict[str, str]:
        """Return of each node, in order, whether it is up, down or paused."""
        ...

    def read_memory_bytes(self, name: str) -> int:
        """Return the resident memory of a node; 0 where it is not its own."""
        ...

    async def start(
        self,
        names: Sequence[str] | None = None,
        on_ready: OnReady | None = None,
        *,
        meets: bool = True,
    ) -> None:
        """Start nodes, all by default, and wait until each answers.

        Args:
            names: of nodes that are down.
            on_ready: told of each.
            meets: wait until each has met another, too.

        Raises:
            DevnetError: `already_running`, `port_in_use`, `peer_died`, `not_ready`.
        """
        ...

    async def stop(self, names: Sequence[str] | None = None, *, limit_s: float = STOP_S) -> int:
        """End nodes, gently first; return how many had to be killed after `limit_s`."""
        ...

    async def kill(self, name: str) -> None:
        """End a node as a power cut does.

        Raises:
            DevnetError: `unknown_peer`, `not_running`.
        """
        ...

    async def pause(self, name: str) -> None:
        """Freeze a node; its connections stay open and fall silent.

        Raises:
            DevnetError: `unknown_peer`, `not_running`.
        """
        ...

    async def resume(self, name: str) -> None:
        """Let a frozen node go on.

        Raises:
            DevnetError: `unknown_peer`, `not_running`.
        """
        ...

    def reconfigure(self, name: str, values: Mapping[str, Any]) -> None:
        """Change options of a node, by dotted key, from its next start on.

        Raises:
            DevnetError: `unknown_peer`.
        """
        ...

    def add(self, plan: NodePlan) -> PeerSpec:
        """Give a node that is new to the devnet all that it needs; it does not run yet.

        Raises:
            DevnetError: `peer_exists`, `no_spare`, `no_free_port`.
        """
        ...

    def remove(self, name: str) -> None:
        """Strike off a node that is down, with all that is its own.

        Raises:
            DevnetError: `unknown_peer`, `already_running`.
        """
        ...


def find_awake(provider: Provider) -> list[str]:
    """Return the nodes that run and are not frozen, in order."""
    return [name for name, state in provider.read_states().items() if state == UP]


def find_honest(provider: Provider) -> list[str]:
    """Return those of the awake nodes that do not cheat: what must hold is asked of them."""
    return [name for name in find_awake(provider) if not provider.devnet.peer(name).byzantine]


def require_awake(provider: Provider) -> list[str]:
    """Return the nodes that can be told something.

    Raises:
        DevnetError: `nobody_told`.
    """
    awake = find_awake(provider)
    if not awake:
        raise DevnetError("nobody_told", "no peer that answers", "a running devnet")
    return awake


async def call_each(
    provider: Provider, names: Iterable[str], call: Callable[[Remote], Awaitable[Any]]
) -> dict[str, Any]:
    """Return what `call` returns for each of the nodes, asked at the same time.

    A node that is not there has its error in the place of a result.
    """
    results: dict[str, Any] = {}

    async def ask(name: str) -> None:
        try:
            results[name] = await call(provider.remote(name))
        except (RpcError, DevnetError) as error:
            results[name] = error

    chosen = list(names)
    async with trio.open_nursery() as nursery:
        for name in chosen:
            nursery.start_soon(ask, name)
    return {name: results[name] for name in chosen}


def find_lacks(status: Mapping[str, Any], *, is_alone: bool, meets: bool) -> list[str]:
    """Return the checks that keep a node from being ready.

    Args:
        status: its reply to `node_status`.
        is_alone: no other node runs.
        meets: whether it must have met another.
    """
    lacks = [check for check, found in status["checks"].items() if not found["ok"]]
    # The first peer seeks nobody, so it is content alone; it is not when there are others.
    if not status["peers"] and "peers" not in lacks:
        lacks.append("peers")
    return [check for check in lacks if check != "peers" or (meets and not is_alone)]


def choose_spare(devnet: Devnet, name: str, spares: Sequence[str]) -> str:
    """Return the name of the next spare account that nobody has, for a node of a new name.

    Raises:
        DevnetError: `peer_exists`, `no_spare`.
    """
    if name in devnet.names:
        raise DevnetError("peer_exists", name, "a new name")
    taken = {peer.key for peer in devnet.roster.peers}
    free = next((name for name in spares if name not in taken), None)
    if free is None:
        wanted = "genesis.spare_accounts for as many as are added"
        raise DevnetError("no_spare", f"{len(spares)} spare accounts, all taken", wanted)
    return free
