"""The running side of a devnet: a process for each peer, real sockets on 127.0.0.1.

Every command of `minesync devnet` builds one of these on the same directory; what runs is known
from devnet.json, so it does not matter which command started it.
"""

import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from devnet.errors import DevnetError
from devnet.founding import (
    list_spares,
    make_peer_config,
    make_spec,
    write_config,
    write_peer,
)
from devnet.guard import Guard
from devnet.layout import Devnet
from devnet.manifests.lineup import NodePlan
from devnet.namespaces.links import KernelLinks
from devnet.namespaces.names import choose_place
from devnet.namespaces.network import Namespaces
from devnet.namespaces.runner import Runner, SystemRunner
from devnet.node_links import NodeLinks
from devnet.ports import PortReservation
from devnet.processes import (
    KILL_S,
    ProcessRef,
    build_environment,
    is_alive,
    is_stopped,
    kill_now,
    read_memory_bytes,
    send_signal,
    spawn,
    stop_all,
    wait_until,
)
from devnet.provider import DOWN, PAUSED, STOP_S, UP, Links, OnReady, choose_spare, find_lacks
from devnet.remote import ProcessRemote, Remote, is_lost
from devnet.roster import PeerSpec, Seat
from node.config_load import build_config, load_config
from node.rpc.client import RpcError

READY_S = 60.0
"""For a peer to answer and to meet another; a machine that does something else may need it."""
READY_POLL_S = 0.1
LOG_LINES = 8


class ProcessCluster:
    """Starts, finds and ends the peers of one devnet.

    Args:
        devnet: its directory.
        guarded: all peers end when this process ends, even if it is killed, unless it has let
            them go or has ended them itself.
        runner: runs programs of the system, for a network of namespaces.

    Attributes:
        links: its nodes keep them, or the kernel does.
    """

    def __init__(
        self, devnet: Devnet, *, guarded: bool = False, runner: Runner | None = None
    ) -> None:
        self.devnet = devnet
        self._namespaces = Namespaces(devnet, runner or SystemRunner())
        self.links: Links = NodeLinks(self)
        if devnet.roster.switch:
            self.links = KernelLinks(devnet, self._namespaces, self.links)
        self._is_guarded = guarded
        self._guard: Guard | None = None
        self._remotes: dict[str, Remote] = {
            name: ProcessRemote(devnet, name) for name in devnet.names
        }

    def remote(self, name: str) -> Remote:
        """Return the RPC of a peer.

        Raises:
            DevnetError: `unknown_peer`.
        """
        return self._remotes[self.devnet.peer(name).name]

    def refresh(self) -> None:
        """See `Provider.refresh`."""
        self.devnet.reload()
        known, names = self._remotes, self.devnet.names
        self._remotes = {
            name: known.get(name) or ProcessRemote(self.devnet, name) for name in names
        }

    def find_running(self) -> dict[str, ProcessRef]:
        """Return the processes of the peers that run, or are stopped."""
        refs = self.devnet.read_processes()
        return {name: ref for name, ref in refs.items() if is_alive(ref)}

    def require_running(self, name: str) -> ProcessRef:
        """Return the process of a peer.

        Raises:
            DevnetError: `unknown_peer`, `not_running`.
        """
        ref = self.find_running().get(self.devnet.peer(name).name)
        if ref is None:
            raise DevnetError("not_running", f"no process of {name}", "a peer that runs")
        return ref

    def read_states(self) -> dict[str, str]:
        """See `Provider.read_states`, here and below."""
        running = self.find_running()
        return {name: _read_state(running.get(name)) for name in self.devnet.names}

    def read_memory_bytes(self, name: str) -> int:
        """Return the resident memory of a peer's process, without its worker."""
        ref = self.find_running().get(name)
        return 0 if ref is None else read_memory_bytes(ref)

    async def start(
        self,
        names: Sequence[str] | None = None,
        on_ready: OnReady | None = None,
        *,
        meets: bool = True,
    ) -> None:
        """Start peers; if one does not come up, all that were started here are ended again."""
        chosen = [self.devnet.peer(name) for name in names or self.devnet.names]
        running = self.find_running()
        for peer in chosen:
            if peer.name in running:
                found = f"{peer.name} as process {running[peer.name].pid}"
                raise DevnetError("already_running", found, "a peer that does not run")
        self._namespaces.ensure(chosen)
        ports = tuple(port for peer in chosen for port in (peer.p2p_port, peer.rpc_port))
        started: list[ProcessRef] = []
        is_ready = False
        try:
            # Held until the peers listen: nobody else takes one in between.
            with PortReservation.hold(ports):
                for peer in chosen:
                    started.append(self._spawn(peer.name))
                async with trio.open_nursery() as nursery:
                    for peer in chosen:
                        nursery.start_soon(self._wait_ready, peer.name, on_ready, meets)
            is_ready = True
        finally:
            if not is_ready:
                kill_now(started)

    async def stop(self, names: Sequence[str] | None = None, *, limit_s: float = STOP_S) -> int:
        """End peers by SIGTERM, then by SIGKILL; with all of them, the network."""
        running = self.find_running()
        chosen = [running[name] for name in names or self.devnet.names if name in running]
        killed = await stop_all(chosen, limit_s)
        if names is None:
            self.take_down_network()
            self.let_go()
        return killed

    def end_now(self) -> None:
        """Kill every peer without waiting for anything; the network is gone, too."""
        kill_now(self.find_running().values())
        self.take_down_network()
        self.let_go()

    def let_go(self) -> None:
        """Let the peers that run outlive this process."""
        if self._guard is not None:
            self._guard.let_go()
            self._guard = None

    def take_down_network(self) -> None:
        """Delete the namespaces of the devnet, if it has any: also those of a run that was killed.

        Raises:
            DevnetError: `command_failed`, `no_program`.
        """
        self._namespaces.remove()

    async def kill(self, name: str) -> None:
        """See `Provider.kill`, here and below."""
        ref = self.require_running(name)
        send_signal(ref, signal.SIGKILL)
        await wait_until(lambda: not is_alive(ref), KILL_S)

    async def pause(self, name: str) -> None:
        """Freeze a peer by SIGSTOP."""
        ref = self.require_running(name)
        send_signal(ref, signal.SIGSTOP)
        await wait_until(lambda: is_stopped(ref), KILL_S)

    async def resume(self, name: str) -> None:
        """Let a frozen peer go on, by SIGCONT."""
        ref = self.require_running(name)
        send_signal(ref, signal.SIGCONT)
        await wait_until(lambda: not is_stopped(ref), KILL_S)

    def reconfigure(self, name: str, values: Mapping[str, Any]) -> None:
        """Rewrite the configuration of a peer; it reads it at its next start."""
        path = self.devnet.data_paths(self.devnet.peer(name).name).config
        write_config(self.devnet, name, build_config(values, load_config(path).config))

    def add(self, plan: NodePlan) -> PeerSpec:
        """Make the data directory of one more peer."""
        devnet, table = self.devnet, plan.table
        key = choose_spare(devnet, plan.name, list_spares(devnet.read_manifest()))
        fixed = (table.p2p_port, table.rpc_port)
        taken = {port for peer in devnet.roster.peers for port in (peer.p2p_port, peer.rpc_port)}
        with PortReservation.find(fixed.count(0), str(devnet.root), taken) as reservation:
            found = iter(reservation.ports)
            p2p_port, rpc_port = (port or next(found) for port in fixed)
        hosts = [peer.host for peer in devnet.roster.peers]
        host, namespace = choose_place(devnet.roster.switch, plan.name, hosts)
        seat = Seat(host, p2p_port, rpc_port, namespace)
        spec = make_spec(plan, devnet.roster.seed, seat, key)
        devnet.add_peer(spec)
        write_peer(devnet, spec, make_peer_config(devnet.roster, plan))
        self._remotes[spec.name] = ProcessRemote(devnet, spec.name)
        return spec

    def remove(self, name: str) -> None:
        """Delete the data directory of a peer."""
        if self.devnet.peer(name).name in self.find_running():
            raise DevnetError("already_running", name, "a peer that does not run")
        self._namespaces.remove_peer(self.devnet.peer(name))
        self.devnet.remove_peer(name)
        del self._remotes[name]

    def _spawn(self, name: str) -> ProcessRef:
        paths = self.devnet.data_paths(name)
        # -P: not the folder we happen to be in, which may have a `node` of its own.
        peer = self.devnet.peer(name)
        command = [peer.exe or sys.executable, "-P", "-m"]
        command += ["devnet.liar"] if peer.byzantine else ["node", "run"]
        command += ["--data-dir", str(paths.root)]
        if peer.byzantine:
            command += ["--lies", ",".join(peer.byzantine), "--seed", str(self.devnet.roster.seed)]
        if self._is_guarded and self._guard is None:
            self._guard = Guard(self.devnet.root)

        def write_down(ref: ProcessRef) -> None:
            self.devnet.record_process(name, ref)
            self.devnet.note_event("start", peer=name, pid=ref.pid)

        command = self._namespaces.enter(peer, command)
        return spawn(command, self.devnet.log_path(name), build_environment(peer.env), write_down)

    async def _wait_ready(self, name: str, on_ready: OnReady | None, meets: bool) -> None:
        ref = self.devnet.read_processes()[name]
        last: object = "no answer"
        with trio.move_on_after(READY_S):
            while True:
                if not is_alive(ref):
                    raise self._explain("peer_died", name, "ended while starting")
                try:
                    status = await self.remote(name).call("node_status")
                except (RpcError, DevnetError) as error:
                    if not is_lost(error):
                        raise
                else:
                    is_alone = self.find_running().keys() <= {name}
                    lacks = find_lacks(status, is_alone=is_alone, meets=meets)
                    if not lacks:
                        break
                    last = f"not yet {', '.join(lacks)}"
                await trio.sleep(READY_POLL_S)
            if on_ready is not None:
                on_ready(name)
            return
        raise self._explain("not_ready", name, f"{last} after {READY_S:g} s")

    def _explain(self, code: str, name: str, found: str) -> DevnetError:
        # What a traceback draws around itself says nothing.
        tail = [line.strip(" |+-") for line in self.devnet.read_log_tail(name, LOG_LINES)]
        words = [line for line in tail if line]
        last = f"; its last line: {words[-1]}" if words else ""
        return DevnetError(code, f"{name}: {found}{last}", f"see {self.devnet.log_path(name)}")


def _read_state(ref: ProcessRef | None) -> str:
    if ref is None:
        return DOWN
    return PAUSED if is_stopped(ref) else UP
