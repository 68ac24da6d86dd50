"""Money and chains of authors: who can pay, and what the accounts hold after a seal.

Only an author can debit his own account and his chain is gapless, so solvency needs no order over
all authors: a transaction is funded when the sealed balance, less the debits of the author's
earlier transactions of the epoch, covers it. Credits arrive at seals only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from protocol import kinds
from protocol.book import Payment, Pot, Refused
from protocol.epoch import Epoch
from protocol.errors import InvariantBroken
from protocol.params import Params
from protocol.records import Account, Ledger
from protocol.tables import ACCOUNTS, LEDGER, LEDGER_KEY, Table
from protocol.transactions import SignedTransaction
from protocol.view import Key, StateView


def find_unfunded(
    view: StateView, params: Params, transactions: Iterable[SignedTransaction]
) -> Mapping[bytes, Refused]:
    """Return, by id, why each transaction that its author cannot pay for is refused.

    A refused debit is not charged, but it does reserve: whether it applies is another subject's
    business, which funding must not wait for.
    """
    left: dict[bytes, int] = {}
    refused: dict[bytes, Refused] = {}
    for tx in sorted(transactions, key=lambda tx: (tx.header.author, tx.header.seq)):
        author = tx.header.author
        if author not in left:
            account = view.get(ACCOUNTS, author)
            left[author] = account.balance if account else 0
        debit = kinds.BY_CODE[tx.header.kind].compute_debit(tx, params)
        if debit > left[author]:
            refused[tx.tx_id] = Refused("unfunded", f"{left[author]} nano", f"{debit} nano")
        else:
            left[author] -= debit
    return refused


class Tally:
    """Money moves added up: they commute, so nothing depends on the order of subjects."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, int] = {}
        self.pots: dict[Pot, int] = dict.fromkeys(Pot, 0)

    def add(self, payments: Iterable[Payment]) -> None:
        """Count payments in."""
        for payment in payments:
            self._change(payment.source, -payment.amount)
            self._change(payment.target, payment.amount)

    def _change(self, place: bytes | Pot, amount: int) -> None:
        if isinstance(place, Pot):
            self.pots[place] += amount
        else:
            self.accounts[place] = self.accounts.get(place, 0) + amount


def settle_accounts(
    view: StateView, epoch: Epoch, rows: dict[Key, tuple[Table[Any], Any]], tally: Tally
) -> None:
    """Write every account that an epoch touches, and the ledger.

    Raises:
        InvariantBroken: an account would go below zero, or money would appear or vanish.
    """
    heads: dict[bytes, SignedTransaction] = {}
    for tx in epoch.transactions:
        author = tx.header.author
        if author not in heads or heads[author].header.seq < tx.header.seq:
            heads[author] = tx
    barred: dict[bytes, int] = {}
    for author, seq in epoch.evidence:
        barred[author] = min(seq, barred.get(author, seq))
    for address in sorted({*tally.accounts, *heads, *barred}):
        account = view.get(ACCOUNTS, address) or Account(address, 0, 0, None, None)
        balance = account.balance + tally.accounts.get(address, 0)
        if balance < 0:
            raise InvariantBroken(f"account {address.hex()[:16]} at {balance} nano")
        account = replace(account, balance=balance)
        if address in heads:
            last = heads[address]
            account = replace(account, next_seq=last.header.seq + 1, head=last.tx_id)
        if address in barred:
            least = barred[address]
            known = account.barred_from
            account = replace(account, barred_from=least if known is None else min(least, known))
        rows[(ACCOUNTS.name, address)] = (ACCOUNTS, account)
    rows[(LEDGER.name, LEDGER_KEY)] = (LEDGER, _settle_ledger(view, tally))


def _settle_ledger(view: StateView, tally: Tally) -> Ledger:
    ledger = view.get(LEDGER, LEDGER_KEY)
    if ledger is None:
        raise InvariantBroken("a state without a ledger")
    ledger = Ledger(
        supply=ledger.supply,
        balances=ledger.balances + sum(tally.accounts.values()),
        escrowed=ledger.escrowed + tally.pots[Pot.ESCROW],
        staked=ledger.staked + tally.pots[Pot.STAKE],
        treasury=ledger.treasury + tally.pots[Pot.TREASURY],
        burned=ledger.burned + tally.pots[Pot.BURNED],
    )
    held = ledger.balances + ledger.escrowed + ledger.staked + ledger.treasury + ledger.burned
    if held != ledger.supply or min(ledger.escrowed, ledger.staked, ledger.balances) < 0:
        raise InvariantBroken(f"money: {held} held, supply {ledger.supply}")
    return ledger
