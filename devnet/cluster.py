"""The running side of a devnet: a process for each peer, real sockets on 127.0.0.1.

Every command of `minesync devnet` builds one of these on the same directory; what runs is known
from devnet.json, so it does not matter which command started it.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import trio

from devnet.errors import DevnetError
from devnet.layout import Devnet
from devnet.ports import PortReservation
from devnet.processes import TERM_S, ProcessRef, is_alive, kill_now, spawn, stop_all
from devnet.remote import Remote, is_lost
from node.rpc.client import RpcError

READY_S = 60.0
"""For a peer to answer and to meet another; a machine that does something else may need it."""
READY_POLL_S = 0.1
LOG_LINES = 8


class ProcessCluster:
    """Starts, finds and ends the peers of one devnet.

    Args:
        devnet: its directory.
        tethered: what is started here ends with this process, however that ends.
    """

    def __init__(self, devnet: Devnet, *, tethered: bool = False) -> None:
        self.devnet = devnet
        self._tethered = tethered
        self._remotes = {name: Remote(devnet, name) for name in devnet.names}

    def remote(self, name: str) -> Remote:
        """Return the RPC of a peer.

        Raises:
            DevnetError: `unknown_peer`.
        """
        return self._remotes[self.devnet.peer(name).name]

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

    async def start(
        self, names: Sequence[str] | None = None, on_ready: Callable[[str], None] | None = None
    ) -> None:
        """Start peers and wait until each answers and has met those it dials.

        Raises:
            DevnetError: `already_running`, `port_in_use`, `peer_died`, `not_ready`; what was
                started here has been ended again.
        """
        chosen = [self.devnet.peer(name) for name in names or self.devnet.names]
        running = self.find_running()
        for peer in chosen:
            if peer.name in running:
                found = f"{peer.name} as process {running[peer.name].pid}"
                raise DevnetError("already_running", found, "a peer that does not run")
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
                        nursery.start_soon(self._wait_ready, peer.name, on_ready)
            is_ready = True
        finally:
            if not is_ready:
                kill_now(started)

    async def stop(self, names: Sequence[str] | None = None, *, limit_s: float = TERM_S) -> int:
        """End peers, gently first; return how many had to be killed after `limit_s`."""
        running = self.find_running()
        chosen = [running[name] for name in names or self.devnet.names if name in running]
        return await stop_all(chosen, limit_s)

    def end_now(self) -> None:
        """Kill every peer without waiting for anything."""
        kill_now(self.find_running().values())

    async def call_each(
        self, names: Iterable[str], call: Callable[[Remote], Awaitable[Any]]
    ) -> dict[str, Any]:
        """Return what `call` returns for each of the peers, asked at the same time.

        A peer that is not there has its error in the place of a result.
        """
        results: dict[str, Any] = {}

        async def ask(name: str) -> None:
            try:
                results[name] = await call(self.remote(name))
            except (RpcError, DevnetError) as error:
                results[name] = error

        chosen = list(names)
        async with trio.open_nursery() as nursery:
            for name in chosen:
                nursery.start_soon(ask, name)
        return {name: results[name] for name in chosen}

    def _spawn(self, name: str) -> ProcessRef:
        paths = self.devnet.data_paths(name)
        # -P: not the folder we happen to be in, which may have a `node` of its own.
        command = [sys.executable, "-P", "-m", "node", "run", "--data-dir", str(paths.root)]
        # What was chosen for one node by variables is not meant for each of these.
        environment = {key: text for key, text in os.environ.items() if key[:9] != "MINESYNC_"}
        ref = spawn(command, self.devnet.log_path(name), environment, tethered=self._tethered)
        self.devnet.record_process(name, ref)
        self.devnet.note_event("start", peer=name, pid=ref.pid)
        return ref

    async def _wait_ready(self, name: str, on_ready: Callable[[str], None] | None) -> None:
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
                    lacks = self._find_lacks(name, status)
                    if not lacks:
                        break
                    last = f"not yet {', '.join(lacks)}"
                await trio.sleep(READY_POLL_S)
            if on_ready is not None:
                on_ready(name)
            return
        raise self._explain("not_ready", name, f"{last} after {READY_S:g} s")

    def _find_lacks(self, name: str, status: dict[str, Any]) -> list[str]:
        """Return the checks that keep a peer from being ready."""
        is_alone = self.find_running().keys() <= {name}
        lacks = [check for check, found in status["checks"].items() if not found["ok"]]
        # The first peer seeks nobody, so it is content alone; it is not when there are others.
        if not is_alone and not status["peers"] and "peers" not in lacks:
            lacks.append("peers")
        return [check for check in lacks if not (is_alone and check == "peers")]

    def _explain(self, code: str, name: str, found: str) -> DevnetError:
        # What a traceback draws around itself says nothing.
        tail = [line.strip(" |+-") for line in self.devnet.read_log_tail(name, LOG_LINES)]
        words = [line for line in tail if line]
        last = f"; its last line: {words[-1]}" if words else ""
        return DevnetError(code, f"{name}: {found}{last}", f"see {self.devnet.log_path(name)}")
