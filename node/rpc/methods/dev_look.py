"""dev_look: what a node of a devnet saw lately, and which fault rules it obeys; changes nothing."""

from typing import Any

from node.lookout import Lookout
from node.outages import list_outages
from node.peer import Peer
from node.rpc.errors import NOT_FOUND, RpcFault
from node.rpc.method import Method, Param, read_int
from node.transport.faults import FaultyTransport

SIGHTINGS_SHOWN_MAX = 1_000
_NUMBER_MAX = 1 << 62


def look(peer: Peer, *, run: int, after: int) -> dict[str, Any]:
    """Return what was seen from `after` on; all that is left, if `run` is not this run.

    `stored` holds [transaction, when], `sealed` holds [epoch, state root, when]; when is the wall
    clock of this machine in milliseconds, whatever this node was told about the time.
    """
    lookout, faults = _require(peer)
    own_run = peer.monitor.started_ms
    seen = lookout.list_from(after if run == own_run else 0, SIGHTINGS_SHOWN_MAX)
    return {
        "run": own_run,
        "next": seen[-1].number + 1 if seen else lookout.count,
        "count": lookout.count,
        "peers": [str(name) for name in peer.transport.peers()],
        "cut": [str(name) for name in faults.cut_peers],
        "deaf": [str(name) for name in faults.deaf_peers],
        "slow": [str(name) for name in faults.slow_peers],
        "outages": list_outages(faults, peer.disk),
        "clock_offset_ms": lookout.clock_offset_ms,
        "stored": [[one.tx_id.hex(), one.at_ms] for one in seen if one.tx_id is not None],
        "sealed": [
            [one.epoch, one.state_root.hex(), one.at_ms] for one in seen if one.tx_id is None
        ],
    }


def _require(peer: Peer) -> tuple[Lookout, FaultyTransport]:
    if peer.lookout is None or peer.faults is None:
        raise RpcFault(NOT_FOUND, "no_faults", "a node without fault rules", "dev.faults = true")
    return peer.lookout, peer.faults


_number = read_int(0, _NUMBER_MAX)

METHODS = (
    Method(
        "dev_look",
        look,
        "What this node saw lately, and the fault rules it obeys.",
        (
            Param("run", _number, "run of the reply before", 0),
            Param("after", _number, "next of the reply before", 0),
        ),
    ),
)
