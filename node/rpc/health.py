"""Whether this node is alive and ready, as checks with names that an operator can act on."""

from collections.abc import Mapping
from typing import Any

from node.config import MIB
from node.peer import Peer
from node.workers.supervisor import WorkerState

BEHIND_EPOCHS_MAX = 2
"""A peer that heard of the next seal a moment before us does not make us unready."""


def run_checks(peer: Peer) -> dict[str, dict[str, Any]]:
    """Return every check by name: `ok`, and the figures it stands on."""
    checks: dict[str, dict[str, Any]] = {
        "loop": {"ok": peer.monitor.is_alive, "lag_ms": peer.monitor.lag_ms},
        "state": {"ok": peer.state.alarm is None, "alarm": peer.state.alarm},
        "peers": _check_peers(peer),
        "sync": _check_sync(peer),
        "db": _check_store(peer),
    }
    free_bytes = peer.disk.free_bytes
    if free_bytes is not None:
        checks["disk"] = _check_disk(peer, free_bytes)
    for desk in peer.desks:
        status = desk.status
        checks[f"worker_{desk.role}"] = {
            "ok": status.state is WorkerState.UP,
            "state": status.state.value,
            "reason": status.reason,
        }
    return checks


def is_ready(checks: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether all checks hold."""
    return all(check["ok"] for check in checks.values())


def _check_peers(peer: Peer) -> dict[str, Any]:
    # The first node of a network has nobody to wait for.
    need = 1 if peer.config.p2p.bootstrap else 0
    have = len(peer.transport.peers())
    return {"ok": have >= need, "have": have, "need": need}


def _check_sync(peer: Peer) -> dict[str, Any]:
    known = [peer.sync.book.get(name).epoch for name in peer.transport.peers()]
    behind = max(0, max(known, default=0) - peer.state.epoch)
    return {"ok": behind <= BEHIND_EPOCHS_MAX, "behind": behind, "max": BEHIND_EPOCHS_MAX}


def _check_store(peer: Peer) -> dict[str, Any]:
    reason = peer.state.store.needs_repair
    return {"ok": reason is None, "needs_repair": reason}


def _check_disk(peer: Peer, free_bytes: int) -> dict[str, Any]:
    free_mib, need_mib = free_bytes // MIB, peer.config.store.disk_free_mib_min
    fault = peer.state.store.gate.fault
    return {
        "ok": fault is None and free_mib >= need_mib,
        "free_mib": free_mib,
        "need_mib": need_mib,
        "read_only": None if fault is None else str(fault),
    }
