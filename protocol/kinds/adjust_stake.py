"""adjust_stake: a miner adds to his registration stake, leaves, or takes it back once he has left.

What answers, votes and bonds have locked lies in their own rows and is not touched here: so nobody
escapes a verdict by leaving.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from protocol.book import Book, Pot, Refused
from protocol.errors import Rejected
from protocol.kind import Kind, Stage
from protocol.lifecycle import is_taking_part
from protocol.params import Amount, Params
from protocol.phases import MinerStatus
from protocol.tables import MINERS
from protocol.transactions import Header, SignedTransaction


class StakeAction(IntEnum):
    """What a miner does with his registration stake."""

    DEPOSIT = 0
    EXIT = 1
    """He takes part no more; from his last action on the exit window runs."""
    WITHDRAW = 2
    """The window has passed: all of it is paid back."""


@dataclass(frozen=True, slots=True)
class AdjustStake:
    """Payload; `amount` is what is added, 0 unless it is a deposit."""

    action: StakeAction
    amount: Amount


def compute_exit_epochs(params: Params) -> int:
    """Return how long a stake stays after its miner's last action: two resolution windows."""
    return 2 * params.resolution_epochs


def _check(header: Header, payload: Any) -> None:
    if header.subject != header.author:
        raise Rejected("wrong_subject", header.subject.hex()[:16], "the author's address")
    if (payload.action is StakeAction.DEPOSIT) != (payload.amount != 0):
        raise Rejected("bad_amount", payload.amount, "an amount with a deposit, else 0")


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return int(tx.payload.amount)


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: AdjustStake = tx.payload
    author = tx.header.author
    miner = book.require(MINERS, author, "not_registered")
    if payload.action is StakeAction.WITHDRAW:
        if miner.status is not MinerStatus.EXITING:
            raise Refused("not_exiting", miner.status.name.lower(), "a miner who has left")
        until = miner.last_active + compute_exit_epochs(book.params)
        if book.epoch <= until:
            raise Refused("too_early", f"epoch {book.epoch}", f"after {until}")
        book.pay(Pot.STAKE, author, miner.stake)
        book.put(MINERS, author, replace(miner, stake=0, status=MinerStatus.EXITED))
        return
    if not is_taking_part(miner):
        raise Refused("not_active", miner.status.name.lower(), "an active miner")
    if payload.action is StakeAction.EXIT:
        # Whoever slept wakes by leaving, so the window runs from now.
        leaving = replace(miner, status=MinerStatus.EXITING, last_active=book.epoch)
        book.put(MINERS, author, leaving)
        return
    book.pay(author, Pot.STAKE, payload.amount)
    book.put(MINERS, author, replace(miner, stake=miner.stake + payload.amount))


ADJUST_STAKE = Kind(13, "adjust_stake", Stage.REGISTER, AdjustStake, _check, _compute_debit, _apply)
