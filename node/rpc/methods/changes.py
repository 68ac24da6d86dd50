"""change_*, charter_get: vote on what the network has agreed on, and follow the votes."""

from collections.abc import Sequence
from typing import Any

from node.peer import Peer
from node.rpc.change_views import (
    ON_ADDRESSES,
    SET,
    show_change,
    show_change_briefly,
    show_charter,
)
from node.rpc.errors import not_found
from node.rpc.method import (
    CURSOR,
    LIMIT,
    Method,
    Param,
    bad_param,
    read_amount,
    read_choice,
    read_id,
    read_int,
    read_list,
    read_text,
)
from node.rpc.pages import build_table_page, show_as_of
from protocol.charter import compute_change_id, compute_voting_deadline
from protocol.charter_records import PARAMETER_VALUES_MAX, Action, Change, ChangeCase, SetParameter
from protocol.kinds.vote_change import VoteChange
from protocol.params import EPOCH_MAX
from protocol.phases import ChangeStatus
from protocol.tables import CHANGES

_ALL, _OPEN = "all", "open"
NAME_CHARACTERS_MAX = 64


async def propose(
    peer: Peer,
    *,
    action: str,
    name: str,
    values: Sequence[int],
    address: bytes | None,
    effective_at: int | None,
) -> dict[str, Any]:
    """Be for a change, whether somebody proposed it before or not."""
    if effective_at is None:
        # A day: whoever has to vote is not always awake.
        effective_at = peer.state.epoch + 1 + peer.state.params.epochs_per_day
    chosen = _build_action(action, name, values, address)
    return await _vote(peer, Change(min(effective_at, EPOCH_MAX), chosen))


async def vote(peer: Peer, *, change_id: bytes) -> dict[str, Any]:
    """Be for a change that somebody proposed."""
    return await _vote(peer, require_change(peer, change_id).change)


async def _vote(peer: Peer, change: Change) -> dict[str, Any]:
    change_id = compute_change_id(peer.genesis.network, change)
    author = peer.require_author()
    tx = await author.submit("vote_change", VoteChange(change), subject=change_id)
    return {
        "change_id": change_id.hex(),
        "tx_id": tx.tx_id.hex(),
        "effective_at": change.effective_at,
        "voting_deadline": compute_voting_deadline(change),
    }


def get_change(peer: Peer, *, change_id: bytes) -> dict[str, Any]:
    """Return one change: who is for it, and whose vote is awaited."""
    state = peer.state
    case = require_change(peer, change_id)
    sealed = state.store.view.get(CHANGES, change_id)
    return {**show_change(state, case, sealed), "as_of": show_as_of(state)}


def list_changes(peer: Peer, *, which: str, limit: int, cursor: str) -> dict[str, Any]:
    """Return changes, the latest first."""
    state = peer.state

    def is_wanted(case: ChangeCase) -> bool:
        return which == _ALL or case.status is ChangeStatus.OPEN

    return build_table_page(
        state,
        CHANGES,
        limit=limit,
        cursor=cursor,
        get_key=lambda case: case.change_id,
        compute_order=lambda case: case.change_id,
        is_wanted=is_wanted,
        read_sealed=state.store.queries.changes,
        show=lambda case, sealed: show_change_briefly(state, case, sealed),
    )


def get_charter(peer: Peer) -> dict[str, Any]:
    """Return the numbers and the sealers that hold in the next epoch, and what is to follow."""
    return {**show_charter(peer.state), "as_of": show_as_of(peer.state)}


def require_change(peer: Peer, change_id: bytes) -> ChangeCase:
    """Return a change as the next seal would leave it.

    Raises:
        RpcFault: `no_such_change`.
    """
    case = peer.state.open.get(CHANGES, change_id)
    if case is None:
        raise not_found("no_such_change", change_id)
    return case


def _build_action(action: str, name: str, values: Sequence[int], address: bytes | None) -> Action:
    if action == SET:
        if address is not None:
            raise bad_param("address", address.hex(), "none, to set a parameter")
        return SetParameter(name, tuple(values))
    if address is None or name or values:
        raise bad_param("address", "none, or more than that", f"whom to {action.split('_')[0]}")
    return ON_ADDRESSES[action](address)


_CHANGE_ID = Param("change_id", read_id, "id of a change")

METHODS = (
    Method(
        "change_propose",
        propose,
        "Propose a change, as a sealer, and vote for it.",
        (
            Param(
                "action",
                read_choice(SET, *ON_ADDRESSES),
                f"{SET}, or {' or '.join(ON_ADDRESSES)}",
            ),
            Param("name", read_text(NAME_CHARACTERS_MAX), "name of a parameter", ""),
            Param(
                "values",
                read_list(read_amount, PARAMETER_VALUES_MAX),
                "list of its numbers: one, or one for each difficulty",
                (),
            ),
            Param("address", read_id, "address of a sealer or validator", None),
            Param(
                "effective_at",
                read_int(1, EPOCH_MAX),
                "epoch from which it holds; a day ahead by default",
                None,
            ),
        ),
    ),
    Method("change_vote", vote, "Vote for a change, as a sealer.", (_CHANGE_ID,)),
    Method("change_get", get_change, "One change with its votes.", (_CHANGE_ID,)),
    Method(
        "change_list",
        list_changes,
        "Changes, the latest first.",
        (
            Param("which", read_choice(_ALL, _OPEN), "open for those not decided yet", _ALL),
            LIMIT,
            CURSOR,
        ),
    ),
    Method("charter_get", get_charter, "The numbers and the sealers of the network now."),
)
