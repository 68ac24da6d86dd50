"""How much one author may ask of one seal for nothing.

A transaction that is refused changes nothing, so it costs its author nothing: a fee is taken from
what applies. Most kinds reserve a reward or a stake while they wait, which bounds how many of them
a balance carries. What reserves less than the fee of a publication is free in this sense, and so is
what its author cannot pay for. A seal takes in only so many of these from one author; the rest of
his chain waits for the next seal. The rule reads the set and the last seal and nothing else.
"""

from collections.abc import Iterable

from protocol import kinds
from protocol.accounts import find_unfunded
from protocol.params import Params
from protocol.transactions import SignedTransaction
from protocol.view import StateView

FREE_PER_SEAL_MAX = 1_024
"""Far above what an honest author does in one epoch: one reveal and one claim for each task, and
one reveal for each vote."""


def is_free(debit: int, params: Params, *, is_unfunded: bool) -> bool:
    """Tell whether a transaction that takes `debit` nano-units if it applies counts as free."""
    return is_unfunded or debit < params.publish_fee


def find_crowded(
    transactions: Iterable[SignedTransaction], view: StateView, params: Params
) -> bytes | None:
    """Return the id of a transaction that is one too many in a seal, None if there is none.

    Args:
        transactions: all that the seal takes in.
        view: the state before the epoch.
        params: of the network.
    """
    ordered = sorted(transactions, key=lambda tx: (tx.header.author, tx.header.seq))
    unfunded = find_unfunded(view, params, ordered)
    counts: dict[bytes, int] = {}
    for tx in ordered:
        debit = kinds.BY_CODE[tx.header.kind].compute_debit(tx, params)
        if is_free(debit, params, is_unfunded=tx.tx_id in unfunded):
            author = tx.header.author
            counts[author] = counts.get(author, 0) + 1
            if counts[author] > FREE_PER_SEAL_MAX:
                return tx.tx_id
    return None
