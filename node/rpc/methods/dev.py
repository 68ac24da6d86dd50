"""dev_*: faults on demand, for devnets and tests; served only with `dev.faults`."""

import dataclasses
from typing import Any

from node.clock import SettableClock
from node.outages import OUTAGES, list_outages, switch
from node.peer import Peer
from node.rpc.errors import NOT_FOUND, RpcFault, not_found
from node.rpc.method import (
    Method,
    Param,
    read_bytes,
    read_choice,
    read_flag,
    read_id,
    read_int,
    read_list,
)
from node.rpc.method import read_text as _read_text
from node.rpc.methods.transactions import show_state, take_wire
from node.transport.base import PeerName
from node.transport.fault_rules import WAYS, LinkRule
from node.transport.faults import FaultyTransport
from protocol import codec, kinds
from protocol.params import EPOCH_MAX
from protocol.schema import from_plain
from protocol.transactions import (
    VERSION,
    WIRE_BYTES_MAX,
    Header,
    compute_task_id,
    sign_transaction,
)

PEERS_MAX = 500
NAME_CHARACTERS_MAX = 128
DELAY_MS_MAX = 600_000
BYTES_MAX = 1 << 40
OFFSET_MS_MAX = 86_400_000
BOTH = "both"


async def partition(peer: Peer, *, peers: list[str], one_way: bool) -> dict[str, Any]:
    """Cut these peers off, besides those that are; one way: they still hear this one."""
    faults = _require_faults(peer)
    names = [PeerName(name) for name in peers]
    if one_way:
        faults.deafen(names)
    else:
        await faults.cut(names)
    return _show(faults)


def heal(peer: Peer, *, peers: list[str] | None) -> dict[str, Any]:
    """Allow these peers again, or all."""
    faults = _require_faults(peer)
    faults.heal(None if peers is None else [PeerName(name) for name in peers])
    return _show(faults)


def set_link(
    peer: Peer,
    *,
    peer_name: str,
    latency_ms: int,
    jitter_ms: int,
    bandwidth: int,
    reset_after: int,
    ways: str,
) -> dict[str, Any]:
    """Slow down what goes to a peer (out) and the gossip that comes from it (in); 0 all: clear."""
    faults = _require_faults(peer)
    rule = LinkRule(latency_ms, jitter_ms, bandwidth, reset_after)
    faults.set_link(PeerName(peer_name), rule, WAYS if ways == BOTH else (ways,))
    return {**_show(faults), "peer": peer_name, **dataclasses.asdict(rule), "ways": ways}


async def set_outage(peer: Peer, *, outage: str, on: bool) -> dict[str, Any]:
    """Let the node lack its peers, the gossip or room on its disk, until it is switched off."""
    faults = _require_faults(peer)
    await switch(faults, peer.disk, outage, on=on)
    return {"outages": list_outages(faults, peer.disk)}


def set_clock(peer: Peer, *, offset_ms: int) -> dict[str, Any]:
    """Put the node's wall clock wrong by so much; what waits is not touched."""
    if not isinstance(peer.clock, SettableClock):
        raise RpcFault(NOT_FOUND, "no_clock", "a clock that cannot be set", "a clock of a devnet")
    peer.clock.offset_ms = offset_ms
    return {"offset_ms": offset_ms, "now_ms": peer.clock.now_ms()}


def sign(
    peer: Peer, *, kind: str, payload: bytes, seq: int | None, subject: bytes | None
) -> dict[str, Any]:
    """Sign a transaction of the node's account with any seq and store nothing: for equivocations.

    The payload is the canonical bytes of its record.
    """
    own = peer.require_author().address
    state = peer.state
    if peer.signer is None:
        raise RpcFault(NOT_FOUND, "no_account", "a node without a key", "roles.account")
    next_seq, head = state.next_link(own)
    seq = next_seq if seq is None else seq
    prev = head
    if seq != next_seq:
        before = state.store.journal.at(own, seq - 1) if seq else None
        if seq and before is None:
            raise not_found("no_such_transaction", f"seq {seq - 1}")
        prev = None if before is None else before.tx_id
    rule = kinds.BY_NAME[kind]
    if subject is None:
        is_task = kind == "publish_task"
        subject = compute_task_id(state.network, own, seq) if is_task else own
    header = Header(
        version=VERSION,
        network=state.network,
        kind=rule.code,
        author=own,
        seq=seq,
        prev=prev,
        epoch=state.epoch + 1,
        anchor=state.seal_hash[:16],
        subject=subject,
        refs=(),
    )
    typed: Any = from_plain(rule.payload, codec.decode(payload))
    tx = sign_transaction(header, typed, peer.signer)
    return {"tx_id": tx.tx_id.hex(), "wire": "0x" + tx.wire.hex(), "seq": seq}


async def author(peer: Peer, *, kind: str, payload: bytes, subject: bytes | None) -> dict[str, Any]:
    """Sign and submit what no role of the node would: the way of its own transactions, any kind.

    The payload is the canonical bytes of its record.
    """
    typed: Any = from_plain(kinds.BY_NAME[kind].payload, codec.decode(payload))
    tx = await peer.require_author().submit(kind, typed, subject=subject)
    return {"tx_id": tx.tx_id.hex(), "subject": tx.header.subject.hex(), "seq": tx.header.seq}


def inject(peer: Peer, *, wire: bytes) -> dict[str, Any]:
    """Put a transaction through the door as if a peer had sent it; nobody is told of it."""
    tx = take_wire(peer, wire, source="dev")
    return {"tx_id": tx.tx_id.hex(), **show_state(peer, tx)}


def _require_faults(peer: Peer) -> FaultyTransport:
    if peer.faults is None:
        raise RpcFault(NOT_FOUND, "no_faults", "a node without fault rules", "dev.faults = true")
    return peer.faults


def _show(faults: FaultyTransport) -> dict[str, Any]:
    return {
        "cut": [str(name) for name in faults.cut_peers],
        "deaf": [str(name) for name in faults.deaf_peers],
    }


_name = _read_text(NAME_CHARACTERS_MAX)
_names = read_list(_name, PEERS_MAX)
_delay = read_int(0, DELAY_MS_MAX)
_bytes = read_int(0, BYTES_MAX)

METHODS = (
    Method(
        "dev_partition",
        partition,
        "Cut peers off, at this end.",
        (
            Param("peers", _names, "names of peers"),
            Param("one_way", read_flag, "true: they still hear this node", False),
        ),
    ),
    Method(
        "dev_heal",
        heal,
        "Allow peers again.",
        (Param("peers", _names, "names of peers; all by default", None),),
    ),
    Method(
        "dev_link",
        set_link,
        "Slow down the link to a peer, at this end.",
        (
            Param("peer_name", _name, "name of a peer"),
            Param("latency_ms", _delay, f"integer 0 to {DELAY_MS_MAX}", 0),
            Param("jitter_ms", _delay, f"integer 0 to {DELAY_MS_MAX}", 0),
            Param("bandwidth", _bytes, "bytes a second; 0: no bound", 0),
            Param("reset_after", _bytes, "bytes; 0: never", 0),
            Param("ways", read_choice(BOTH, *WAYS), "both, in or out", BOTH),
        ),
    ),
    Method(
        "dev_outage",
        set_outage,
        "Let the node lack its peers, the gossip or room on its disk.",
        (
            Param("outage", read_choice(*OUTAGES), ", ".join(OUTAGES)),
            Param("on", read_flag, "false: it is over", True),
        ),
    ),
    Method(
        "dev_clock",
        set_clock,
        "Put the wall clock wrong.",
        (Param("offset_ms", read_int(-OFFSET_MS_MAX, OFFSET_MS_MAX), "milliseconds, either sign"),),
    ),
    Method(
        "dev_sign",
        sign,
        "Sign a transaction with any seq; store nothing.",
        (
            Param("kind", read_choice(*kinds.BY_NAME), "name of a kind"),
            Param("payload", read_bytes(WIRE_BYTES_MAX), "canonical bytes of the payload, hex"),
            Param("seq", read_int(0, EPOCH_MAX), "integer; the next one by default", None),
            Param("subject", read_id, "id; of author and seq by default", None),
        ),
    ),
    Method(
        "dev_author",
        author,
        "Sign and submit a transaction of any kind.",
        (
            Param("kind", read_choice(*kinds.BY_NAME), "name of a kind"),
            Param("payload", read_bytes(WIRE_BYTES_MAX), "canonical bytes of the payload, hex"),
            Param("subject", read_id, "id; of author and seq by default", None),
        ),
    ),
    Method(
        "dev_inject",
        inject,
        "Take in a transaction as if a peer had sent it.",
        (Param("wire", read_bytes(WIRE_BYTES_MAX), "the signed bytes, hex"),),
    ),
)
