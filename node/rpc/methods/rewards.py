"""reward_*: what is owed to an account, and collecting it."""

from dataclasses import replace
from typing import Any

from node.peer import Peer
from node.roles.claimer import find_claimable, submit_claim
from node.rpc.errors import not_found
from node.rpc.method import CURSOR, LIMIT, Method, Param, read_id
from node.rpc.methods.accounts import choose_address
from node.rpc.pages import build_page
from node.rpc.views import show_reward_entry
from protocol.phases import RewardState
from protocol.records import RewardDistribution, RewardEntry
from protocol.tables import REWARDS, reward_key
from storage.queries import Unclaimed

CLAIMS_MAX = 64
"""Entries collected by one call; a further call collects the rest."""

_OWED = (RewardState.LOCKED, RewardState.CLAIMABLE)


def list_rewards(peer: Peer, *, address: bytes | None, limit: int, cursor: str) -> dict[str, Any]:
    """Return what an account has not collected yet, the oldest first.

    An entry that a claim waits for stays until a seal has taken the claim in.
    """
    state = peer.state
    queries, view = state.store.queries, state.store.view
    recipient = choose_address(peer, address)

    def find_sealed(one: Unclaimed) -> RewardEntry | None:
        sealed = view.get(REWARDS, reward_key(one.task_id, one.round))
        return None if sealed is None else _find_entry(sealed, one.entry.entry_id)

    def refresh(one: Unclaimed) -> Unclaimed | None:
        row = state.open.get(REWARDS, reward_key(one.task_id, one.round))
        entry = None if row is None else _find_entry(row, one.entry.entry_id)
        return None if entry is None else replace(one, entry=entry)

    def show(one: Unclaimed) -> dict[str, Any]:
        shown = show_reward_entry(one.entry, find_sealed(one), one.task_id, one.round)
        return {**shown, "claimable_after": one.claimable_after}

    fresh = [
        Unclaimed(row.task_id, row.round, row.claimable_after, entry)
        for row in state.open.rows(REWARDS).values()
        for entry in row.entries
        if entry.recipient == recipient and entry.state in _OWED
    ]
    return build_page(
        state,
        limit=limit,
        cursor=cursor,
        open_rows=[(one.entry.entry_id, one) for one in fresh if not _is_owed(find_sealed(one))],
        read_sealed=lambda items, place: queries.unclaimed_rewards(recipient, items, place),
        show=show,
        refresh=refresh,
    )


def _find_entry(row: RewardDistribution, entry_id: bytes) -> RewardEntry | None:
    return next((entry for entry in row.entries if entry.entry_id == entry_id), None)


def _is_owed(entry: RewardEntry | None) -> bool:
    return entry is not None and entry.state in _OWED


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
