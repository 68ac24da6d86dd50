"""reward_*: what is owed to an account, and collecting it."""

from typing import Any

from node.peer import Peer
from node.roles.claimer import find_claimable, submit_claim
from node.rpc.errors import not_found
from node.rpc.method import CURSOR, LIMIT, Method, Param, bad_param, read_id
from node.rpc.methods.accounts import choose_address
from node.rpc.pages import show_as_of
from node.rpc.views import show_reward_entry

CLAIMS_MAX = 64
"""Entries collected by one call; a further call collects the rest."""


def list_rewards(peer: Peer, *, address: bytes | None, limit: int, cursor: str) -> dict[str, Any]:
    """Return what an account has not collected yet, the oldest first."""
    state = peer.state
    address = choose_address(peer, address)
    try:
        place = bytes.fromhex(cursor) or None
    except ValueError as error:
        raise bad_param("cursor", repr(cursor[:40]), "next_cursor of the page before") from error
    page = state.store.queries.unclaimed_rewards(address, limit, place)
    items = []
    for one in page.items:
        shown = show_reward_entry(one.entry, one.task_id, one.round)
        shown["claimable_after"] = one.claimable_after
        items.append(shown)
    next_cursor = None if page.cursor is None else page.cursor.hex()
    return {"items": items, "next_cursor": next_cursor, "as_of": show_as_of(state)}


async def claim(peer: Peer, *, entry_id: bytes | None) -> dict[str, Any]:
    """Collect one entry, or everything that can be collected now."""
    author = peer.require_author()
    found = find_claimable(peer.state, author.address)
    if entry_id is not None:
        found = [one for one in found if one.entry.entry_id == entry_id]
        if not found:
            raise not_found("no_such_reward", entry_id)
    tx_ids = [(await submit_claim(author, one)).tx_id.hex() for one in found[:CLAIMS_MAX]]
    return {"tx_ids": tx_ids, "left": len(found) - len(tx_ids)}


METHODS = (
    Method(
        "reward_list",
        list_rewards,
        "What an account has not collected yet.",
        (Param("address", read_id, "address; the node's own by default", None), LIMIT, CURSOR),
    ),
    Method(
        "reward_claim",
        claim,
        "Collect one entry, or all that can be collected.",
        (Param("entry_id", read_id, "id of an entry; all by default", None),),
    ),
)
