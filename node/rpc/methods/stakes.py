"""stake_*: the registration stake of the node's account: add to it, leave, take it back."""

from typing import Any

from node.peer import Peer
from node.rpc.errors import not_found
from node.rpc.method import Method, Param, read_amount, read_id
from node.rpc.methods.accounts import choose_address
from node.rpc.pages import show_as_of
from protocol.kinds.adjust_stake import AdjustStake, StakeAction, compute_exit_epochs
from protocol.phases import MinerStatus, get_label
from protocol.tables import MINERS


def get_stake(peer: Peer, *, address: bytes | None) -> dict[str, Any]:
    """Return the stake of a miner as the next seal would leave it."""
    state = peer.state
    address = choose_address(peer, address)
    miner = state.open.get(MINERS, address)
    if miner is None:
        raise not_found("no_such_miner", address)
    sealed = state.store.view.get(MINERS, address)
    until = None
    if miner.status is MinerStatus.EXITING:
        until = miner.last_active + compute_exit_epochs(peer.state.params)
    return {
        "address": address.hex(),
        "status": get_label(miner.status),
        "provisional": miner != sealed,
        "sealed_status": None if sealed is None else get_label(sealed.status),
        "stake": str(miner.stake),
        "forfeited": str(miner.forfeited),
        "withdrawable_after": until,
        "as_of": show_as_of(state),
    }


async def deposit(peer: Peer, *, amount: int) -> dict[str, Any]:
    """Add to the stake."""
    return await _adjust(peer, StakeAction.DEPOSIT, amount)


async def leave(peer: Peer) -> dict[str, Any]:
    """Take part no more; the exit window begins."""
    return await _adjust(peer, StakeAction.EXIT, 0)


async def withdraw(peer: Peer) -> dict[str, Any]:
    """Take the stake back once the exit window has passed."""
    return await _adjust(peer, StakeAction.WITHDRAW, 0)


async def _adjust(peer: Peer, action: StakeAction, amount: int) -> dict[str, Any]:
    tx = await peer.require_author().submit("adjust_stake", AdjustStake(action, amount))
    return {"tx_id": tx.tx_id.hex()}


METHODS = (
    Method(
        "stake_get",
        get_stake,
        "The registration stake of a miner.",
        (Param("address", read_id, "address; the node's own by default", None),),
    ),
    Method("stake_deposit", deposit, "Add to it.", (Param("amount", read_amount, "nano-units"),)),
    Method("stake_exit", leave, "Take part no more."),
    Method("stake_withdraw", withdraw, "Take it back after the exit window."),
)
