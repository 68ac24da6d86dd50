"""node_*: what this node is, how it does, and its end."""

from typing import Any

from node.peer import Peer
from node.rpc.change_views import list_changed_parameters
from node.rpc.errors import NOT_READY, RpcFault
from node.rpc.health import is_ready, run_checks
from node.rpc.method import Method, Param, read_text
from node.rpc.sealing_view import show_sealing
from node.version import VERSION
from protocol.transactions import VERSION as TX_VERSION

LEVEL_CHARACTERS_MAX = 256


def read_info(peer: Peer) -> dict[str, Any]:
    """Return what hardly ever changes while the node runs."""
    genesis = peer.genesis
    return {
        "version": VERSION,
        "network": genesis.network.hex(),
        "network_name": genesis.name,
        "genesis_hash": genesis.hash.hex(),
        "tx_version": TX_VERSION,
        "peer": str(peer.transport.name),
        "addresses": list(peer.transport.addresses()),
        "account": None if peer.author is None else peer.author.address.hex(),
        "roles": list(peer.roles),
        "epoch_ms": peer.state.params.epoch_ms,
        "started_ms": peer.monitor.started_ms,
    }


def read_status(peer: Peer) -> dict[str, Any]:
    """Return how the node does now."""
    state = peer.state
    checks = run_checks(peer)
    totals = state.store.totals
    status = state.status()
    return {
        **read_info(peer),
        "uptime_ms": peer.monitor.uptime_ms,
        "memory_bytes": peer.monitor.memory_bytes,
        "loop_lag_ms": peer.monitor.lag_ms,
        "ready": is_ready(checks),
        "checks": checks,
        "alarm": state.alarm,
        "epoch": status.epoch,
        "seal_hash": status.seal_hash.hex(),
        "state_root": status.state_root.hex(),
        "open": status.open_count,
        "open_fingerprint": status.open_fingerprint.hex(),
        "transactions": totals.stored,
        "sealed": totals.sealed,
        "evidence": totals.evidence,
        "rows": totals.rows,
        "sealing": show_sealing(state, peer.clock.now_ms()),
        "parameters_changed": list_changed_parameters(state),
        "peers": len(peer.transport.peers()),
        "gossip_dropped": peer.transport.gossip_dropped,
        "provisional": state.open.count > 0,
        "tasks_active": peer.counts.read(),
        "tasks_sealed": peer.counts.read_sealed(),
        "reversals": state.store.local.reversals.total,
    }


def stop(peer: Peer) -> bool:
    """Ask the node to end; its process is gone soon after the reply."""
    peer.stop.set()
    return True


def set_log_level(peer: Peer, *, level: str) -> dict[str, Any]:
    """Change what is logged, at once."""
    if peer.log_control is None:
        raise RpcFault(NOT_READY, "not_ready", "a log of others", "a node in its own process")
    peer.log_control.set_level(level)
    return {"level": level}


METHODS = (
    Method("node_info", read_info, "What this node is: versions, network, addresses, account."),
    Method("node_status", read_status, "How it does: epoch, sets, peers, checks, memory."),
    Method("node_stop", stop, "End the node, everything written down."),
    Method(
        "node_log_level",
        set_log_level,
        "Change the least level of the log: info,p2p=debug.",
        (Param("level", read_text(LEVEL_CHARACTERS_MAX), "text such as info,p2p=debug"),),
    ),
)
