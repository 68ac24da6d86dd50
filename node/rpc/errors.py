"""The errors of the RPC: a number by group, a name that is the contract, and what to do about it.

| numbers | group                                              |
|---------|----------------------------------------------------|
| -326xx  | the request is no JSON-RPC of ours                 |
| 1xxx    | the rules of the network refuse it                 |
| 2xxx    | there is no such thing                             |
| 3xxx    | not now: this node is not ready for it             |
| 4xxx    | the caller asks for too much, or may not           |
| 5xxx    | this machine's storage and files                   |
"""

from typing import Any

from node.addresses import AddressError
from node.high_water import SigningError
from node.log_levels import LevelError
from node.options import ConfigError
from node.peer import NoAccountError
from node.private_files import KeyFileError
from node.text import clean_text
from node.transport.base import TransportError
from node.workers.messages import WorkerFault
from protocol.book import Refused
from protocol.errors import BlamedError, PeerFault, Rejected
from storage.errors import Full, StorageError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = 1000
MALFORMED = 1001
NOT_FOUND = 2000
NOT_READY = 3000
NETWORK = 3001
SIGNING = 3002
WORKER = 3003
TOO_SLOW = 3004
LIMITED = 4000
RATE_LIMITED = 4029
STORAGE = 5000
DISK_FULL = 5001

_HINTS = {
    "batch_too_large": "send it in several requests",
    "deadline": "ask again, or for less",
    "disk_full": "make room on the disk; the node resumes by itself",
    "invalid_params": "rpc_discover lists every method with its parameters",
    "no_account": "start the node with a key: minesync key new",
    "not_ready": "see the checks of node_status",
    "catching_up": "wait until this node has the seals that its peers have",
    "own_chain_behind": "wait until this node is in sync with its peers again",
    "rate_limited": "wait a second, or raise rpc.requests_per_s",
    "store_in_repair": "wait for peers; without any, stop and use minesync db repair --accept",
    "unfunded": "a smaller amount, or wait for a payment to be sealed",
    "unknown_method": "rpc_discover lists every method",
    "wrong_phase": "see the status of the task",
}
_RETRYABLE = frozenset(
    {
        "catching_up",
        "deadline",
        "disk_full",
        "not_ready",
        "own_chain_behind",
        "rate_limited",
        "store_in_repair",
    }
)


class RpcFault(BlamedError):
    """A request cannot be answered; the number says to which group the reason belongs."""

    def __init__(self, number: int, code: str, found: object = "", wanted: object = "") -> None:
        super().__init__(code, found, wanted)
        self.number = number


def not_found(code: str, key: bytes | str) -> RpcFault:
    """Return the error for something that this node does not know."""
    shown = key.hex() if isinstance(key, bytes) else key
    return RpcFault(NOT_FOUND, code, shown, "something this node knows")


def find_number(error: BlamedError) -> int:
    """Return the number of the group that an error belongs to."""
    match error:
        case RpcFault():
            return error.number
        case Refused():
            return REFUSED
        case Rejected():
            return MALFORMED if error.code.startswith(("codec_", "field_", "tx_")) else REFUSED
        case Full():
            return DISK_FULL
        case StorageError() | KeyFileError():
            return STORAGE
        case LevelError() | AddressError() | ConfigError():
            return INVALID_PARAMS
        case SigningError() | NoAccountError():
            return SIGNING
        case TransportError() | PeerFault():
            return NETWORK
        case WorkerFault():
            return WORKER
        case _:
            return INTERNAL_ERROR


def describe_error(error: BlamedError) -> dict[str, Any]:
    """Return the `error` object of a reply; text of strangers in it is escaped and cut."""
    number = find_number(error)
    details: dict[str, Any] = {}
    if isinstance(error, Refused) and error.lost_to is not None:
        details["lost_to"] = error.lost_to.hex()
    return {
        "code": number,
        "message": clean_text(str(error)),
        "data": {
            "name": error.code,
            "hint": _HINTS.get(error.code, ""),
            "retryable": error.code in _RETRYABLE or number in (NETWORK, WORKER, TOO_SLOW),
            "found": clean_text(error.found),
            "wanted": clean_text(error.wanted),
            "details": details,
        },
    }
