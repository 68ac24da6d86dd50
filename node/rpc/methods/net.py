"""net_* and sync_*: who is connected, and how far apart we are."""

from typing import Any

import trio

from node.addresses import MULTIADDR_CHARACTERS_MAX, check_peer_address
from node.peer import Peer
from node.rpc.errors import NETWORK, RpcFault
from node.rpc.method import Method, Param, bad_param, read_text
from node.transport.base import PeerName, read_peer_name
from protocol.errors import BlamedError

GREETING_S = 2.0
"""How long `net_peer_add` waits for what a peer that was dialled says of itself."""
GREETING_POLL_S = 0.02


def list_peers(peer: Peer) -> dict[str, Any]:
    """Return who is connected now."""
    epoch = peer.state.epoch
    items = []
    for name in peer.transport.peers():
        record = peer.sync.book.get(name)
        if peer.sync.book.is_banned(name, trio.current_time()):
            standing = "banned"
        elif record.equal:
            standing = "equal"
        elif record.epoch < epoch:
            standing = "behind"
        else:
            standing = "ahead" if record.epoch > epoch else "syncing"
        items.append(
            {
                "peer": str(name),
                "state": standing,
                "epoch": record.epoch,
                "state_root": record.state_root.hex(),
                "sessions": record.sessions,
                "received": record.received,
                "sent": record.sent,
                "faults": record.faults,
                "last_fault": record.last_fault_code or None,
                "last_reason": record.last_reason,
            }
        )
    return {"items": items, "next_cursor": None}


async def add_peer(peer: Peer, *, address: str) -> dict[str, Any]:
    """Connect to a peer and keep it connected."""
    if not address.startswith("/memory/"):
        try:
            check_peer_address(address)
        except BlamedError as error:
            raise bad_param("address", error.found, error.wanted) from error
    name = read_peer_name(address)
    _refuse_banned(peer, name)
    if name not in peer.transport.peers():
        await peer.transport.dial(address)
    # It answers, but as whom? One of another network is found out by its first words.
    with trio.move_on_after(GREETING_S):
        while True:
            _refuse_banned(peer, name)
            if name not in peer.transport.peers():
                wanted = f"a peer of network {peer.genesis.network.hex()} that has not banned us"
                raise RpcFault(NETWORK, "peer_hung_up", f"{name} left at once", wanted)
            if peer.sync.book.get(name).sessions:
                break
            await trio.sleep(GREETING_POLL_S)
    peer.sync.add_bootstrap(address)
    return {"peer": str(name)}


def _refuse_banned(peer: Peer, name: PeerName) -> None:
    """Raise what a peer was banned for, if it is."""
    if peer.sync.book.is_banned(name, trio.current_time()):
        code = peer.sync.book.get(name).last_fault_code
        if code == "wrong_network":
            wanted = f"a peer of network {peer.genesis.network.hex()}"
            raise RpcFault(NETWORK, code, f"{name} of another network", wanted)
        raise RpcFault(NETWORK, "peer_banned", f"{name} for {code}", "a peer that is not banned")


def list_addresses(peer: Peer) -> dict[str, Any]:
    """Return where this node listens."""
    return {"items": list(peer.transport.addresses())}


def read_sync_status(peer: Peer) -> dict[str, Any]:
    """Return where this node stands beside its peers."""
    state = peer.state
    records = [peer.sync.book.get(name) for name in peer.transport.peers()]
    status = state.status()
    return {
        "epoch": status.epoch,
        "seal_hash": status.seal_hash.hex(),
        "state_root": status.state_root.hex(),
        "open": status.open_count,
        "open_fingerprint": status.open_fingerprint.hex(),
        "effective": len(state.open.effective),
        "provisional": status.open_count > 0,
        "missing_links": len(state.open.missing_links(64)),
        "peers": len(records),
        "peers_equal": sum(record.equal for record in records),
        "behind": max(0, max((record.epoch for record in records), default=0) - status.epoch),
        "alarm": state.alarm,
    }


METHODS = (
    Method("net_peers", list_peers, "Who is connected now."),
    Method(
        "net_peer_add",
        add_peer,
        "Connect to a peer and keep it connected.",
        (Param("address", read_text(MULTIADDR_CHARACTERS_MAX), "/ip4/HOST/tcp/PORT/p2p/PEER"),),
    ),
    Method("net_addresses", list_addresses, "Where this node listens."),
    Method("sync_status", read_sync_status, "Where this node stands beside its peers."),
)
