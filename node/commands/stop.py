"""minesync stop: ask a node to end, and wait until it has."""

import os
import signal

import trio

from node.commands.common import COMMON, Common, emit
from node.exits import CommandError
from node.limits import STOP_WAIT_MS_MAX
from node.lockfile import LockInfo, is_held, read_lock
from node.paths import DataPaths
from node.rpc.client import RpcError, connect

_POLL_MS = 50


def stop(*, common: Common = COMMON) -> None:
    """Stop the node that runs in the data directory; return when it has written down everything."""
    paths = common.paths
    info = read_lock(paths.lock)
    if info is None or not is_held(paths.lock):
        # The number in a file that a killed node left may be another process's by now.
        raise RpcError("not_running", f"no node in {paths.root}", "a node that runs")
    if info.rpc_url:
        with connect(paths) as client:
            client.call("node_stop")
    else:
        os.kill(info.pid, signal.SIGTERM)
    if not trio.run(_wait_gone, paths, info):
        found = f"process {info.pid} still running after {STOP_WAIT_MS_MAX // 1_000} s"
        raise CommandError("not_stopped", found, "an end; its log tells what it waits for")
    emit(common, {"stopped": info.pid}, lambda console: console.print(f"stopped {info.pid}"))


async def _wait_gone(paths: DataPaths, info: LockInfo) -> bool:
    """Wait until the lock is another's or nobody's; return whether that came in time."""
    with trio.move_on_after(STOP_WAIT_MS_MAX / 1_000):
        while True:
            now = read_lock(paths.lock)
            if now is None or (now.pid, now.started_ms) != (info.pid, info.started_ms):
                return True
            await trio.sleep(_POLL_MS / 1_000)
    return False
