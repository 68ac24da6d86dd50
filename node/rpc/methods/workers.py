"""worker_*: how the workers do, and what the operator wants of them."""

from typing import Any

from node.peer import Peer
from node.roles.desk import WorkerDesk
from node.rpc.errors import NOT_FOUND, RpcFault
from node.rpc.method import Method


def read_status(peer: Peer) -> dict[str, Any]:
    """Return how the workers do; the first one's figures stand at the top."""
    desks = _require_desks(peer)
    shown = [_show(desk) for desk in desks]
    return {**shown[0], "workers": shown}


def pause(peer: Peer) -> dict[str, Any]:
    """Cancel what the workers do and give them nothing more."""
    for desk in _require_desks(peer):
        desk.pause()
    return read_status(peer)


def finish(peer: Peer) -> dict[str, Any]:
    """Let the workers finish what they do and give them nothing more."""
    for desk in _require_desks(peer):
        desk.finish()
    return read_status(peer)


def resume(peer: Peer) -> dict[str, Any]:
    """Give the workers tasks again, also after too many failures."""
    for desk in _require_desks(peer):
        desk.resume()
    return read_status(peer)


def _require_desks(peer: Peer) -> tuple[WorkerDesk, ...]:
    if not peer.desks:
        raise RpcFault(NOT_FOUND, "no_worker", "a node without a worker", "roles.miner = true")
    return peer.desks


def _show(desk: WorkerDesk) -> dict[str, Any]:
    status = desk.status
    return {
        "role": desk.role,
        "order": desk.order.value,
        "state": status.state.value,
        "reason": status.reason,
        "command": desk.command,
        "worker": None if status.hello is None else status.hello.worker,
        "kinds": list(desk.kinds),
        "current": list(desk.current),
        "done": status.answered,
        "failed": status.failed,
        "failures_in_a_row": status.failures_in_row,
        "starts": status.starts,
    }


METHODS = (
    Method("worker_status", read_status, "How the workers do."),
    Method("worker_pause", pause, "Cancel what the workers do and give them nothing more."),
    Method("worker_finish", finish, "Let the workers finish and give them nothing more."),
    Method("worker_resume", resume, "Give the workers tasks again."),
)
