"""What a kind of transaction is: a value with its payload and its rules, not a subclass."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from protocol.book import Book
from protocol.params import Params
from protocol.transactions import Header, SignedTransaction


class Stage(IntEnum):
    """The order of kinds inside one epoch and subject: all answers come before any verdict."""

    REGISTER = 0
    PUBLISH = 1
    CANCEL = 2
    COMMIT = 3
    REVEAL = 4
    VALIDATE = 5
    REVEAL_VOTE = 6
    DISPUTE = 7
    VOTE = 8
    CLAIM = 9


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of transaction.

    Attributes:
        code: number on the wire, never reused.
        name: lower_case, stable; the file of the kind bears it.
        stage: place in the order inside an epoch.
        payload: record class of the payload.
        check: what header and payload alone can show; raises `Rejected`.
        compute_debit: nano-units it takes from the author's balance if it applies.
        apply: the rule itself; writes to the book or raises `Refused`.
    """

    code: int
    name: str
    stage: Stage
    payload: type
    check: Callable[[Header, Any], None]
    compute_debit: Callable[[SignedTransaction, Params], int]
    apply: Callable[[Book, SignedTransaction], None]
