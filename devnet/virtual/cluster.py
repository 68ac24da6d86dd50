"""The running side of a devnet in virtual time; see `devnet.provider` for what each method does."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from devnet.errors import DevnetError
from devnet.founding import list_spares, make_peer_config, make_spec
from devnet.layout import Devnet
from devnet.manifests.lineup import NodePlan, line_up
from devnet.node_links import NodeLinks
from devnet.provider import DOWN, PAUSED, STOP_S, OnReady, choose_spare, find_lacks
from devnet.remote import Remote
from devnet.roster import PeerSpec, Seat
from devnet.sim.heap import START_MS
from devnet.sim.scheduler import run_seeded
from devnet.virtual.member import Member
from devnet.virtual.network import VirtualNetwork
from node.config_load import build_config
from node.network import read_genesis
from node.rpc.client import RpcError, read_result
from node.rpc.gate import RPC_PATH
from node.rpc.http import Request
from node.rpc.server import RpcApp

READY_S = 60.0
READY_POLL_S = 0.1

T = TypeVar("T")


class VirtualRemote(Remote):
    """The RPC of a node in this loop: the same bytes, without a socket."""

    def __init__(self, cluster: "VirtualCluster", name: str) -> None:
        super().__init__(name)
        self._cluster = cluster

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": given}
        return read_result(*await self._ask("POST", RPC_PATH, json.dumps(request).encode()))

    async def _read_metrics(self) -> str:
        body, _ = await self._ask("GET", "/metrics")
        return body.decode("utf-8")

    async def _ask(self, method: str, path: str, body: bytes = b"") -> tuple[bytes, int]:
        app = await self._cluster.find_app(self.name)
        response = await app.answer(Request(method, path, "", (), body))
        assert isinstance(response.body, bytes)
        return response.body, response.status


class VirtualCluster:
    """Starts, steers and ends the nodes of one devnet in this loop.

    Args:
        devnet: its directory; its events get virtual time.
        nursery: in which the nodes live.

    Attributes:
        network: on which they meet.
        links: its nodes keep them.
    """

    def __init__(self, devnet: Devnet, nursery: trio.Nursery) -> None:
        self.devnet = devnet
        devnet.read_now_ms = lambda: START_MS + round(trio.current_time() * 1_000)
        self._nursery = nursery
        self._genesis = read_genesis(devnet.genesis_path)
        self.network = VirtualNetwork()
        self.links = NodeLinks(self)
        self._members: dict[str, Member] = {}
        self._remotes: dict[str, Remote] = {}
        for plan in line_up(devnet.read_manifest()).nodes:
            self._take_in(plan)

    def remote(self, name: str) -> Remote:
        """See `Provider`, here and below."""
        return self._remotes[self.devnet.peer(name).name]

    def read_states(self) -> dict[str, str]:
        """Return the state of each node."""
        return {name: self._members[name].state for name in self.devnet.names}

    def read_memory_bytes(self, name: str) -> int:
        """Return 0: the memory is that of all nodes together."""
        del name
        return 0

    async def start(
        self,
        names: Sequence[str] | None = None,
        on_ready: OnReady | None = None,
        *,
        meets: bool = True,
    ) -> None:
        """Start nodes."""
        chosen = [self._member(name) for name in names or self.devnet.names]
        for one in chosen:
            if one.state != DOWN:
                raise DevnetError("already_running", one.spec.name, "a peer that does not run")
        for one in chosen:
            await one.start(self._nursery)
            self.devnet.note_event("start", peer=one.spec.name)
        for one in chosen:
            await self._wait_ready(one.spec.name, meets)
            if on_ready is not None:
                on_ready(one.spec.name)

    async def stop(self, names: Sequence[str] | None = None, *, limit_s: float = STOP_S) -> int:
        """End nodes."""
        chosen = [self._member(name) for name in names or self.devnet.names]
        return [await one.stop(limit_s) for one in chosen].count(False)

    async def kill(self, name: str) -> None:
        """End a node as a power cut does."""
        await self._member(name).kill()

    async def pause(self, name: str) -> None:
        """Freeze a node."""
        self._member(name).freeze()

    async def resume(self, name: str) -> None:
        """Let a frozen node go on."""
        member = self._member(name)
        if member.state == DOWN:
            raise DevnetError("not_running", name, "a peer that runs")
        member.thaw()

    def reconfigure(self, name: str, values: Mapping[str, Any]) -> None:
        """Change options of a node from its next start on."""
        member = self._member(name)
        member.config = build_config(values, member.config)

    def add(self, plan: NodePlan) -> PeerSpec:
        """Take in a new node."""
        spares = list_spares(self.devnet.read_manifest())
        key = choose_spare(self.devnet, plan.name, spares)
        self.devnet.add_peer(make_spec(plan, self.devnet.roster.seed, Seat(), key))
        self._take_in(plan)
        return self.devnet.peer(plan.name)

    def remove(self, name: str) -> None:
        """Strike off a node."""
        if self._member(name).state != DOWN:
            raise DevnetError("already_running", name, "a peer that does not run")
        self.devnet.remove_peer(name)
        del self._members[name], self._remotes[name]

    async def find_app(self, name: str) -> RpcApp:
        """Return what answers for a node; a frozen one does not answer, ever.

        Raises:
            RpcError: `not_running`.
        """
        member = self._member(name)
        if member.state == PAUSED:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if member.app is None:
            raise RpcError("not_running", f"no node {name}", "a node that runs")
        return member.app

    def _take_in(self, plan: NodePlan) -> None:
        roster = self.devnet.roster
        spec, config = roster.peer(plan.name), make_peer_config(roster, plan)
        self._members[spec.name] = Member(spec, config, self._genesis, self.network, roster.seed)
        self._remotes[spec.name] = VirtualRemote(self, spec.name)

    def _member(self, name: str) -> Member:
        return self._members[self.devnet.peer(name).name]

    async def _wait_ready(self, name: str, meets: bool) -> None:
        lacks: list[str] = []
        with trio.move_on_after(READY_S):
            while True:
                status = await self.remote(name).call("node_status")
                others = [one for one, state in self.read_states().items() if state != DOWN]
                lacks = find_lacks(status, is_alone=others == [name], meets=meets)
                if not lacks:
                    return
                await trio.sleep(READY_POLL_S)
        raise DevnetError("not_ready", f"{name}: not yet {', '.join(lacks)}", f"in {READY_S:g} s")


@asynccontextmanager
async def open_virtual(devnet: Devnet) -> AsyncIterator[VirtualCluster]:
    """Hold the nodes of a devnet, none of which runs yet; all of them are gone after the block."""
    async with trio.open_nursery() as nursery:
        yield VirtualCluster(devnet, nursery)
        nursery.cancel_scope.cancel()


def run_virtual(devnet: Devnet, work: Callable[[VirtualCluster], Awaitable[T]]) -> T:
    """Run `work` on a devnet in virtual time, in the one order that the devnet's seed names.

    Raises:
        DevnetError: `trio_changed`, or what `work` raises.
    """

    async def main() -> T:
        async with open_virtual(devnet) as cluster:
            return await work(cluster)

    return run_seeded(devnet.roster.seed, main)
