"""account_* and key_*: what an account has, what it signed, and which keys this node holds."""

from typing import Any

from node.keystore import list_keys
from node.peer import Peer
from node.rpc.errors import not_found
from node.rpc.method import CURSOR, LIMIT, Method, Param, bad_param, read_id
from node.rpc.methods.transactions import show_state
from node.rpc.pages import show_as_of
from node.rpc.views import show_account, show_header
from protocol.phases import RewardState
from protocol.tables import ACCOUNTS, LEDGER, LEDGER_KEY, MINERS
from storage.queries import PAGE_ITEMS_MAX


def choose_address(peer: Peer, address: bytes | None) -> bytes:
    """Return the address asked for, or the node's own.

    Raises:
        NoAccountError: neither.
    """
    return address if address is not None else peer.require_author().address


def get_account(peer: Peer, *, address: bytes | None) -> dict[str, Any]:
    """Return balance and chain of an account, sealed and as open debits leave it."""
    state = peer.state
    address = choose_address(peer, address)
    account = state.store.view.get(ACCOUNTS, address)
    if account is None:
        raise not_found("no_such_account", address)
    provisional = state.open.get(ACCOUNTS, address)
    available = provisional.balance if provisional else account.balance
    shown = show_account(account, available, state.next_link(address)[0])
    miner = state.store.view.get(MINERS, address)
    shown["staked"] = str(miner.stake if miner else 0)
    unclaimed = state.store.queries.unclaimed_rewards(address, PAGE_ITEMS_MAX).items
    claimable = sum(
        one.entry.amount for one in unclaimed if one.entry.state is RewardState.CLAIMABLE
    )
    shown["claimable"] = str(claimable)
    shown["as_of"] = show_as_of(state)
    return shown


def list_history(peer: Peer, *, address: bytes | None, limit: int, cursor: str) -> dict[str, Any]:
    """Return what an account signed, the latest first."""
    state = peer.state
    address = choose_address(peer, address)
    first = state.next_link(address)[0] - 1
    if cursor:
        if not cursor.isdigit() or len(cursor) > 19:
            raise bad_param("cursor", repr(cursor[:40]), "next_cursor of the page before")
        first = min(first, int(cursor))
    items: list[dict[str, Any]] = []
    seq = first
    while seq >= 0 and len(items) < limit:
        tx = state.store.journal.at(address, seq)
        if tx is not None:
            items.append({**show_header(tx), **show_state(peer, tx)})
        seq -= 1
    return {
        "items": items,
        "next_cursor": str(seq) if seq >= 0 else None,
        "as_of": show_as_of(state),
    }


def read_ledger(peer: Peer) -> dict[str, Any]:
    """Return where all money of the network is, as of the last seal."""
    ledger = peer.state.store.view.get(LEDGER, LEDGER_KEY)
    if ledger is None:
        raise not_found("no_such_row", "ledger")
    names = ("supply", "balances", "escrowed", "staked", "treasury", "burned")
    amounts = {name: str(getattr(ledger, name)) for name in names}
    return {**amounts, "as_of": show_as_of(peer.state)}


def list_key_files(peer: Peer) -> dict[str, Any]:
    """Return the keys in the data directory, without their secrets."""
    own = None if peer.author is None else peer.author.address
    files = [] if peer.paths is None else list_keys(peer.paths.keys)
    items = [
        {
            "address": file.address.hex(),
            "description": file.description,
            "encrypted": file.is_encrypted,
            "used": file.address == own,
        }
        for file in files
    ]
    return {"items": items, "next_cursor": None}


_ADDRESS = Param("address", read_id, "address; the node's own by default", None)

METHODS = (
    Method("account_get", get_account, "What an account has.", (_ADDRESS,)),
    Method(
        "account_history",
        list_history,
        "What an account signed, the latest first.",
        (_ADDRESS, LIMIT, CURSOR),
    ),
    Method("ledger_get", read_ledger, "Where all money of the network is."),
    Method("key_list", list_key_files, "The keys in the data directory."),
)
