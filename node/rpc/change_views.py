"""Changes that sealers vote on, and what holds now, as JSON, in the manner of `node.rpc.views`."""

from collections.abc import Callable, Mapping
from typing import Any

from node.rpc.views import show_id
from node.state_manager import StateManager
from protocol.charter import (
    compute_voting_deadline,
    find_charter,
    list_charters,
)
from protocol.charter_records import (
    Action,
    AdmitSealer,
    AdmitValidator,
    ChangeCase,
    Charter,
    DismissSealer,
    DismissValidator,
    SetParameter,
)
from protocol.parameters import FIXED, NAMES, read_values
from protocol.phases import ChangeStatus, get_label
from protocol.seals import compute_quorum

SET = "set_parameter"
ON_ADDRESSES: Mapping[str, Callable[[bytes], Action]] = {
    "admit_sealer": AdmitSealer,
    "dismiss_sealer": DismissSealer,
    "admit_validator": AdmitValidator,
    "dismiss_validator": DismissValidator,
}
"""Actions that are about somebody, by their names."""
_NAMES = {made_by: name for name, made_by in ON_ADDRESSES.items()}


def show_action(action: Action) -> dict[str, Any]:
    """Return an action: its name and what it is about."""
    if isinstance(action, SetParameter):
        return {"action": SET, "name": action.name, "values": [str(one) for one in action.values]}
    return {"action": _NAMES[type(action)], "address": action.address.hex()}


def show_change_briefly(
    state: StateManager, case: ChangeCase, sealed: ChangeCase | None
) -> dict[str, Any]:
    """Return a change as lists show it.

    Args:
        state: whose sealers are counted while it is open.
        case: the row as the next seal would leave it.
        sealed: the row of the last seal, None if it does not know the change.
    """
    is_open = case.status is ChangeStatus.OPEN
    sealers = state.ballots.box.sealers
    counted = sum(vote.sealer in sealers for vote in case.votes) if is_open else case.counted
    quorum = compute_quorum(len(sealers)) if is_open else case.quorum
    return {
        "change_id": case.change_id.hex(),
        **show_action(case.change.action),
        "effective_at": case.change.effective_at,
        "voting_deadline": compute_voting_deadline(case.change),
        "status": get_label(case.status),
        "provisional": case != sealed,
        "sealed_status": None if sealed is None else get_label(sealed.status),
        "proposer": case.proposer.hex(),
        "proposed_at": case.proposed_at,
        "decided_at": case.decided_at,
        "counted": counted,
        "quorum": quorum,
        "missing": max(0, quorum - counted) if is_open else 0,
        "code": case.code or None,
        "lost_to": show_id(case.lost_to),
    }


def show_change(state: StateManager, case: ChangeCase, sealed: ChangeCase | None) -> dict[str, Any]:
    """Return all of a change; the arguments are those of `show_change_briefly`."""
    voters = {vote.sealer for vote in case.votes}
    is_open = case.status is ChangeStatus.OPEN
    return {
        **show_change_briefly(state, case, sealed),
        "votes": [
            {"sealer": vote.sealer.hex(), "tx_id": vote.tx.hex(), "voted_at": vote.voted_at}
            for vote in case.votes
        ],
        "awaited": [
            sealer.hex() for sealer in state.ballots.box.sealers if is_open and sealer not in voters
        ],
    }


def show_charter(state: StateManager) -> dict[str, Any]:
    """Return what holds in the next epoch, and what is decided for those after it."""
    charter = _read_charter(state)
    later = list_charters(state.store.view, state.genesis)
    return {
        **_show_version(state, charter),
        "parameters": [
            {
                "name": name,
                "values": [str(one) for one in read_values(charter.params, name)],
                "genesis": [str(one) for one in read_values(state.genesis.params, name)],
                "fixed": FIXED.get(name),
            }
            for name in (*NAMES, *FIXED)
        ],
        "later": [_show_version(state, one) for one in later if one.since > state.epoch + 1],
    }


def _show_version(state: StateManager, charter: Charter) -> dict[str, Any]:
    return {
        "since": charter.since,
        "changed": _list_changed(state, charter),
        "sealers": [address.hex() for address in charter.sealers],
        "quorum": compute_quorum(len(charter.sealers)),
    }


def list_changed_parameters(state: StateManager) -> list[dict[str, Any]]:
    """Return the parameters of the next epoch that are not those of the genesis."""
    return _list_changed(state, _read_charter(state))


def _read_charter(state: StateManager) -> Charter:
    return find_charter(state.store.view, state.genesis, state.epoch + 1)


def _list_changed(state: StateManager, charter: Charter) -> list[dict[str, Any]]:
    changed = []
    for name in NAMES:
        values, first = (read_values(one, name) for one in (charter.params, state.genesis.params))
        if values != first:
            shown = [[str(one) for one in of] for of in (values, first)]
            changed.append({"name": name, "values": shown[0], "genesis": shown[1]})
    return changed
