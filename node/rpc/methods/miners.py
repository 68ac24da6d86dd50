"""miner_*: who solves and who judges, and how well."""

from typing import Any

from node.peer import Peer
from node.rpc.errors import not_found
from node.rpc.method import CURSOR, LIMIT, Method, Param, read_choice, read_id
from node.rpc.methods.accounts import choose_address
from node.rpc.pages import build_table_page, show_as_of
from node.rpc.views import show_miner
from protocol.records import ROLE_SOLVER, ROLE_VALIDATOR, Miner
from protocol.tables import MINERS
from storage.queries import Page

_ROLES = {"solver": ROLE_SOLVER, "validator": ROLE_VALIDATOR}


def get_miner(peer: Peer, *, address: bytes | None) -> dict[str, Any]:
    """Return one miner as the next seal would leave him."""
    state = peer.state
    address = choose_address(peer, address)
    miner = state.open.get(MINERS, address)
    if miner is None:
        raise not_found("no_such_miner", address)
    sealed = state.store.view.get(MINERS, address)
    return {**show_miner(miner, sealed), "as_of": show_as_of(state)}


def list_miners(peer: Peer, *, role: str | None, limit: int, cursor: str) -> dict[str, Any]:
    """Return miners, those of the open set first, then by reputation or, for a role, by address."""
    queries = peer.state.store.queries
    bit = _ROLES.get(role or "")

    def is_wanted(miner: Miner) -> bool:
        return bit is None or bool(miner.roles & bit)

    def read_sealed(items: int, place: bytes | None) -> Page[Miner]:
        if bit is not None:
            return queries.miners_by_role(bit, items, place)
        return queries.top_miners(items, place)

    return build_table_page(
        peer.state,
        MINERS,
        limit=limit,
        cursor=cursor,
        get_key=lambda miner: miner.address,
        compute_order=lambda miner: miner.address,
        is_wanted=is_wanted,
        read_sealed=read_sealed,
        show=show_miner,
    )


METHODS = (
    Method(
        "miner_get",
        get_miner,
        "One miner.",
        (Param("address", read_id, "address; the node's own by default", None),),
    ),
    Method(
        "miner_list",
        list_miners,
        "Miners by reputation, or those of a role.",
        (
            Param("role", read_choice(*_ROLES), "solver or validator", None),
            LIMIT,
            CURSOR,
        ),
    ),
)
