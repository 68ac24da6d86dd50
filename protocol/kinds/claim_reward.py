"""claim_reward: the recipient of a reward entry collects it, once."""

from dataclasses import dataclass, replace
from typing import Any

from protocol.book import Book, Note, Pot, Refused
from protocol.fees import split_fee
from protocol.kind import Kind, Stage
from protocol.lifecycle import require_task
from protocol.params import Params, Small
from protocol.phases import RewardState, TaskStatus
from protocol.tables import REWARDS, TASKS, reward_key
from protocol.task_types import Id
from protocol.transactions import Header, SignedTransaction


@dataclass(frozen=True, slots=True)
class ClaimReward:
    """Payload: which entry of which round."""

    entry_id: Id
    round: Small


def _check(header: Header, payload: Any) -> None:
    """Nothing to see without the state."""


def _compute_debit(tx: SignedTransaction, params: Params) -> int:
    return params.claim_fee


def _apply(book: Book, tx: SignedTransaction) -> None:
    payload: ClaimReward = tx.payload
    task = require_task(book, tx.header.subject)
    key = reward_key(task.task_id, payload.round)
    distribution = book.require(REWARDS, key, "no_such_reward")
    entry = next((e for e in distribution.entries if e.entry_id == payload.entry_id), None)
    if entry is None:
        raise Refused("no_such_reward", payload.entry_id.hex()[:16], "an entry of the task")
    author = tx.header.author
    if author != entry.recipient:
        raise Refused("not_recipient", author.hex()[:16], entry.recipient.hex()[:16])
    if task.status is TaskStatus.DISPUTED:
        raise Refused("dispute_open", "a disputed task", "its resolution")
    if entry.state is RewardState.CLAIMED:
        raise Refused("already_claimed", "a second claim", "one", entry.claim_tx)
    if entry.state is not RewardState.CLAIMABLE:
        raise Refused(
            "not_claimable", entry.state.name.lower(), f"after epoch {distribution.claimable_after}"
        )
    treasury, burned = split_fee(book.params.claim_fee, book.params)
    book.pay(author, Pot.TREASURY, treasury)
    book.pay(author, Pot.BURNED, burned)
    book.pay(Pot.ESCROW, author, entry.amount)
    book.note(Note(author, earned=entry.amount))
    pool = replace(
        task.pool,
        escrowed=task.pool.escrowed - entry.amount,
        paid_out=task.pool.paid_out + entry.amount,
    )
    closed = replace(entry, state=RewardState.CLAIMED, claimed_at=book.epoch, claim_tx=tx.tx_id)
    entries = tuple(closed if e is entry else e for e in distribution.entries)
    book.put(REWARDS, key, replace(distribution, entries=entries))
    book.put(TASKS, task.task_id, replace(task, pool=pool))


CLAIM_REWARD = Kind(3, "claim_reward", Stage.CLAIM, ClaimReward, _check, _compute_debit, _apply)
