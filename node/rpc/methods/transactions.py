"""tx_*: signed bytes in, and what became of them."""

from typing import Any

import trio

from node.peer import Peer
from node.rpc.errors import REFUSED, RpcFault, not_found
from node.rpc.method import Method, Param, read_bytes, read_id, read_int
from node.rpc.pages import show_as_of
from node.rpc.views import show_header, show_ruling
from protocol.tables import RULINGS, TASKS, ruling_key
from protocol.transactions import WIRE_BYTES_MAX, SignedTransaction

WAIT_MS_MAX = 8_000
"""Below the deadline of a request, so that a wait ends with an answer."""


def submit(peer: Peer, *, wire: bytes) -> dict[str, Any]:
    """Take in a transaction that somebody signed, and tell the peers of it."""
    tx = take_wire(peer, wire, source=None)
    peer.sync.gossip.tell_nowait([tx])
    return {"tx_id": tx.tx_id.hex(), **show_state(peer, tx)}


def take_wire(peer: Peer, wire: bytes, source: str | None) -> SignedTransaction:
    """Put the bytes of a transaction through the door; return it.

    Raises:
        Rejected: they are no transaction of this network.
        RpcFault: the door refused it: `equivocated`, `unknown_account`, `too_far_ahead`.
    """
    tx = peer.verifier.open_now(wire)
    accepted = peer.state.accept([tx], source)
    for evidence_id in accepted.evidence:
        proof = peer.state.store.journal.evidence_proof(evidence_id)
        if proof is not None:
            peer.sync.gossip.tell_evidence_nowait(proof)
    if accepted.evidence:
        raise RpcFault(REFUSED, "equivocated", f"seq {tx.header.seq} twice", "one of each seq")
    for _, code in accepted.refused:
        raise RpcFault(REFUSED, code, *_explain_refusal(code, tx, peer.state.epoch))
    return tx


def _explain_refusal(code: str, tx: SignedTransaction, sealed: int) -> tuple[str, str]:
    """Return what the door found in a transaction that it did not take, and what it wanted."""
    header = tx.header
    match code:
        case "too_far_ahead":
            return f"epoch {header.epoch}", f"one soon after the last sealed one, {sealed}"
        case "wrong_anchor":
            wanted = f"the first bytes of the seal of epoch {header.epoch - 1}"
            return f"anchor {header.anchor.hex()}", wanted
        case "unknown_account":
            return f"author {header.author.hex()}", "an account that holds coins"
        case _:
            return f"transaction {tx.tx_id.hex()}", "one that can be stored now"


def get_transaction(peer: Peer, *, tx_id: bytes) -> dict[str, Any]:
    """Return a transaction and what became of it."""
    tx = peer.state.store.journal.get(tx_id)
    if tx is None:
        raise not_found("no_such_transaction", tx_id)
    shown = {**show_header(tx), **show_state(peer, tx), "wire": "0x" + tx.wire.hex()}
    shown["as_of"] = show_as_of(peer.state)
    return shown


async def wait(peer: Peer, *, tx_id: bytes, timeout_ms: int) -> dict[str, Any]:
    """Wait until a transaction is sealed, ruled or dead; return what became of it by then.

    It need not be known here yet. `done` tells whether the wait was long enough.
    """
    with peer.state.broadcast.listen() as listener, trio.move_on_after(timeout_ms / 1_000):
        while not _is_done(peer, tx_id):
            await listener.next()
    tx = peer.state.store.journal.get(tx_id)
    if tx is None:
        raise not_found("no_such_transaction", tx_id)
    return {"tx_id": tx_id.hex(), "done": _is_done(peer, tx_id), **show_state(peer, tx)}


def _is_done(peer: Peer, tx_id: bytes) -> bool:
    journal = peer.state.store.journal
    return journal.has(tx_id) and not journal.is_open(tx_id)


def show_state(peer: Peer, tx: SignedTransaction) -> dict[str, Any]:
    """Return what became of a stored transaction.

    `state` is `open`; `waiting` (something of its author's is missing here); `applied` or `ruled`
    once sealed; `pruned` when clean-up may have dropped the ruling; `dead` when no seal can take it
    in any more. While it is open, a ruling is what the next seal would say. Provisional are `open`,
    `waiting`, and `dead` for evidence that no seal took in yet.
    """
    state = peer.state
    epoch = state.store.journal.sealed_epoch(tx.tx_id)
    if epoch is not None:
        ruling = state.store.view.get(RULINGS, ruling_key(epoch, tx.tx_id))
        is_kept = epoch > state.store.pruned.upto
        is_kept = is_kept or state.store.view.get(TASKS, tx.header.subject) is not None
        name = "ruled" if ruling is not None else "applied" if is_kept else "pruned"
        is_provisional = False
    elif tx.tx_id in state.open.transactions:
        is_effective = tx.tx_id in state.open.effective
        ruling = state.open.judge(tx) if is_effective else None
        name = "open" if is_effective else "waiting"
        is_provisional = True
    else:
        ruling, name = None, "dead"
        is_provisional = state.open.find_end(tx) is None
    shown = None if ruling is None else show_ruling(ruling, is_provisional=is_provisional)
    return {"state": name, "provisional": is_provisional, "sealed_epoch": epoch, "ruling": shown}


_TX_ID = Param("tx_id", read_id, "id of a transaction")

METHODS = (
    Method(
        "tx_submit",
        submit,
        "Take in a signed transaction.",
        (Param("wire", read_bytes(WIRE_BYTES_MAX), "the signed bytes, hex"),),
    ),
    Method("tx_get", get_transaction, "A transaction and what became of it.", (_TX_ID,)),
    Method(
        "tx_wait",
        wait,
        "Wait until a transaction is sealed, ruled or dead.",
        (
            _TX_ID,
            Param(
                "timeout_ms", read_int(0, WAIT_MS_MAX), f"integer 0 to {WAIT_MS_MAX}", WAIT_MS_MAX
            ),
        ),
    ),
)
