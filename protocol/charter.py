"""What a network has agreed on in an epoch, and how an adopted change makes another charter.

Rules:
1. What holds in epoch e is a pure function of sealed state e - 1, and who seals it already of
   e - 2 (`LEAD_EPOCHS`): whoever follows the seals one by one always knows whose the next is.
2. A validator who registered may be drawn unless the sealers dismissed him: registering stays
   open to everybody, and what he was drawn for before stands.
"""

from dataclasses import replace

from protocol.book import Refused
from protocol.charter_records import (
    LEAD_EPOCHS,
    SEALERS_MAX,
    Action,
    AdmitSealer,
    AdmitValidator,
    Change,
    Charter,
    Charters,
    DismissSealer,
    DismissValidator,
    Licence,
    SetParameter,
)
from protocol.genesis import Genesis
from protocol.hashing import compute_hash
from protocol.lifecycle import is_barred
from protocol.parameters import read_values, with_values
from protocol.records import ROLE_VALIDATOR
from protocol.schema import encode_record
from protocol.tables import CHARTERS, CHARTERS_KEY, LICENCES, MINERS
from protocol.view import RowReader


def compute_change_id(network: bytes, change: Change) -> bytes:
    """Return the id of a change: whoever votes for it names all of it."""
    return compute_hash("change", network, encode_record(change))


def compute_voting_deadline(change: Change) -> int:
    """Return the last epoch whose seal counts votes on a change; it decides it too."""
    return change.effective_at - LEAD_EPOCHS


def find_target(action: Action) -> tuple[str, str | bytes]:
    """Return what an action is about: in one epoch one change of it can hold."""
    match action:
        case SetParameter(name):
            return "parameter", name
        case AdmitSealer(address) | DismissSealer(address):
            return "sealer", address
        case AdmitValidator(address) | DismissValidator(address):
            return "validator", address


def find_charter(rows: RowReader, genesis: Genesis, epoch: int) -> Charter:
    """Return the charter of an epoch.

    Args:
        rows: a sealed state, of any of the epochs from `epoch` - `LEAD_EPOCHS` to `epoch`.
        genesis: of the network.
        epoch: for which it is asked.
    """
    for charter in reversed(list_charters(rows, genesis)):
        if charter.since <= epoch:
            return charter
    return genesis.charter


def list_charters(rows: RowReader, genesis: Genesis) -> tuple[Charter, ...]:
    """Return the charters that a sealed state knows of, the earliest first."""
    row = rows.get(CHARTERS, CHARTERS_KEY)
    return (genesis.charter,) if row is None else row.versions


def succeed(versions: tuple[Charter, ...], charter: Charter, epoch: int) -> Charters:
    """Return the row of charters with one more; those that `epoch` left behind are dropped."""
    rest = [one for one in versions if one.since != charter.since]
    in_force = max(one.since for one in rest if one.since <= epoch)
    return Charters((*(one for one in rest if one.since >= in_force), charter))


def amend(
    rows: RowReader, charter: Charter, action: SetParameter | AdmitSealer | DismissSealer
) -> Charter:
    """Return a charter with one thing changed.

    Args:
        rows: the sealed state, for what it knows of a new sealer.
        charter: to be changed.
        action: the change.

    Raises:
        Rejected: `params_relation`, `changes_nothing`, `already_a_sealer`, `no_such_sealer`,
            `last_sealer`, `too_many_sealers`, `equivocated`.
    """
    sealers = charter.sealers
    match action:
        case SetParameter(name, values):
            if read_values(charter.params, name) == values:
                raise Refused("changes_nothing", f"{name} as it is", "another value")
            return replace(charter, params=with_values(charter.params, name, values))
        case AdmitSealer(address):
            if address in sealers:
                raise Refused("already_a_sealer", address.hex()[:16], "somebody else")
            if len(sealers) == SEALERS_MAX:
                raise Refused("too_many_sealers", len(sealers) + 1, f"at most {SEALERS_MAX}")
            if is_barred(rows, address):
                raise Refused("equivocated", address.hex()[:16], "who never signed twice")
            return replace(charter, sealers=tuple(sorted((*sealers, address))))
        case DismissSealer(address):
            if address not in sealers:
                raise Refused("no_such_sealer", address.hex()[:16], "a sealer")
            if len(sealers) == 1:
                raise Refused("last_sealer", "the only one", "one of several")
            return replace(charter, sealers=tuple(one for one in sealers if one != address))


def is_licensed(rows: RowReader, address: bytes, epoch: int) -> bool:
    """Tell whether a validator may be drawn in an epoch; what else he needs is not asked here."""
    licence = rows.get(LICENCES, address)
    if licence is None:
        return True
    return licence.is_admitted == (epoch >= licence.since)


def license_validator(
    rows: RowReader, action: AdmitValidator | DismissValidator, effective_at: int
) -> Licence:
    """Return the licence of a validator once a change holds.

    Raises:
        Refused: `changes_nothing`, `no_such_validator`.
    """
    address, is_admitted = action.address, isinstance(action, AdmitValidator)
    if is_licensed(rows, address, effective_at) == is_admitted:
        wanted = "one who was dismissed" if is_admitted else "one who was not dismissed"
        raise Refused("changes_nothing", address.hex()[:16], wanted)
    miner = rows.get(MINERS, address)
    if miner is None or not miner.roles & ROLE_VALIDATOR:
        raise Refused("no_such_validator", address.hex()[:16], "a registered validator")
    return Licence(address, is_admitted, effective_at)
