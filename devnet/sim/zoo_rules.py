"""Planted bugs of the rules: the fold, money, windows, chains."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from devnet.sim import cast
from devnet.sim.plan import CORE
from devnet.sim.zoo import Bug, Patch
from node import open_set
from node.open_set import OpenSet
from protocol import chains, fold, kinds, panel, settlement, windows
from protocol.answers import compute_commitment
from protocol.book import Book, Pot
from protocol.chains import Barrier, find_barrier, is_alive
from protocol.fees import split_fee
from protocol.invariants import ConsistencyChecker
from protocol.kind import Kind
from protocol.kinds import reveal_answer, submit_answer
from protocol.kinds.claim_reward import CLAIM_REWARD
from protocol.panel import draw_panel
from protocol.params import EPOCH_MAX
from protocol.phases import RewardState, TaskStatus
from protocol.settlement import settle_task
from protocol.tables import REWARDS, TASKS, reward_key
from protocol.transactions import SignedTransaction

_pay: Callable[..., None] = Book.pay
_UNCHECKED = Patch(ConsistencyChecker, "check", lambda checker, view, outcome: None)


def _nothing(*arguments: Any) -> None:
    """Check nothing."""


def _late_by_one() -> list[Patch]:
    def is_alive_longer(tx_epoch: int, sealing_epoch: int, late_epochs: int) -> bool:
        return is_alive(tx_epoch, sealing_epoch, late_epochs + 1)

    return [Patch(chains, "is_alive", is_alive_longer)]


def _ignore_barrier(code: str) -> list[Patch]:
    def find(*arguments: Any) -> Barrier | None:
        barrier = find_barrier(*arguments)
        return None if barrier is not None and barrier.code == code else barrier

    return [Patch(chains, "find_barrier", find), Patch(open_set, "find_barrier", find)]


def _never_barred() -> list[Patch]:
    return [
        Patch(OpenSet, "_least_barred", lambda opened, author: None),
        *_ignore_barrier("equivocated"),
    ]


def _deadlines_ignored() -> list[Patch]:
    return [
        Patch(submit_answer, "require_before", _nothing),
        Patch(submit_answer, "require_status", _nothing),
    ]


def _commitment_of_nobody() -> list[Patch]:
    def compute(network: bytes, task_id: bytes, miner: bytes, content: bytes, salt: bytes) -> bytes:
        return compute_commitment(network, task_id, bytes(32), content, salt)

    return [
        Patch(reveal_answer, "compute_commitment", compute),
        Patch(cast, "compute_commitment", compute),
    ]


def _claimed_again() -> list[Patch]:
    def apply(book: Book, tx: SignedTransaction) -> None:
        key = reward_key(tx.header.subject, tx.payload.round)
        row = book.get(REWARDS, key)
        if row is not None:
            entries = tuple(
                replace(one, state=RewardState.CLAIMABLE)
                if one.state is RewardState.CLAIMED
                else one
                for one in row.entries
            )
            book.put(REWARDS, key, replace(row, entries=entries))
        CLAIM_REWARD.apply(book, tx)

    return _replace_kind(replace(CLAIM_REWARD, apply=apply))


def _one_claim_for_all() -> list[Patch]:
    def apply(book: Book, tx: SignedTransaction) -> None:
        CLAIM_REWARD.apply(book, tx)
        key = reward_key(tx.header.subject, tx.payload.round)
        row = book.require(REWARDS, key, "no_such_reward")
        entries = tuple(replace(one, claim_tx=tx.tx_id) for one in row.entries)
        book.put(REWARDS, key, replace(row, entries=entries))

    return [*_replace_kind(replace(CLAIM_REWARD, apply=apply)), _UNCHECKED]


def _claimed_by_anybody() -> list[Patch]:
    def apply(book: Book, tx: SignedTransaction) -> None:
        key = reward_key(tx.header.subject, tx.payload.round)
        row = book.require(REWARDS, key, "no_such_reward")
        entries = tuple(
            replace(one, recipient=tx.header.author) if one.entry_id == tx.payload.entry_id else one
            for one in row.entries
        )
        book.put(REWARDS, key, replace(row, entries=entries))
        CLAIM_REWARD.apply(book, tx)

    return [*_replace_kind(replace(CLAIM_REWARD, apply=apply)), _UNCHECKED]


def _replace_kind(kind: Kind) -> list[Patch]:
    return [Patch(kinds, "BY_CODE", {**kinds.BY_CODE, kind.code: kind})]


def _order_of_the_list() -> list[Patch]:
    def compute_order(tx: SignedTransaction, beacon: bytes | None) -> tuple[int, bytes]:
        return kinds.BY_CODE[tx.header.kind].stage, b""

    return [Patch(fold, "compute_order", compute_order)]


def _panel_by_turns() -> list[Patch]:
    turns = count()

    def draw(*arguments: Any) -> tuple[bytes, ...]:
        drawn = draw_panel(*arguments)
        return drawn[next(turns) % 2 :]

    return [Patch(panel, "draw_panel", draw)]


def _a_nano_more() -> list[Patch]:
    def split(fee: int, params: Any) -> tuple[int, int]:
        treasury, burned = split_fee(fee, params)
        return treasury + 1, burned

    return [Patch(settlement, "split_fee", split)]


def _burned_twice() -> list[Patch]:
    def pay(book: Book, source: Any, target: Any, amount: int) -> None:
        if not (source is Pot.ESCROW and target is Pot.BURNED):
            _pay(book, source, target, amount)

    return [Patch(Book, "pay", pay), _UNCHECKED]


def _task_begins_again() -> list[Patch]:
    def settle(*arguments: Any) -> Any:
        task = settle_task(*arguments)
        times = replace(task.lifecycle, submission_deadline=EPOCH_MAX)
        return replace(task, status=TaskStatus.PUBLISHED, lifecycle=times)

    return [Patch(windows, "settle_task", settle), _UNCHECKED]


def _places_without_end() -> list[Patch]:
    def apply(book: Book, tx: SignedTransaction) -> None:
        task = book.get(TASKS, tx.header.subject)
        if task is not None:
            terms = replace(task.terms, max_participants=255)
            book.put(TASKS, task.task_id, replace(task, terms=terms))
        try:
            submit_answer.SUBMIT_ANSWER.apply(book, tx)
        finally:
            after = book.get(TASKS, tx.header.subject)
            if task is not None and after is not None:
                book.put(TASKS, task.task_id, replace(after, terms=task.terms))

    return _replace_kind(replace(kinds.BY_NAME["submit_answer"], apply=apply))


BUGS: tuple[Bug, ...] = (
    Bug("late_by_one", "a transaction lives an epoch too long", CORE, _late_by_one),
    Bug(
        "anchor_ignored",
        "a made-up anchor is good enough",
        CORE,
        lambda: _ignore_barrier("wrong_anchor"),
    ),
    Bug("never_barred", "evidence bars nobody", CORE, _never_barred),
    Bug("deadlines_ignored", "answers are taken after their deadline", CORE, _deadlines_ignored),
    Bug("commitment_of_nobody", "a commitment names no miner", CORE, _commitment_of_nobody),
    Bug("claimed_again", "an entry can be claimed twice", CORE, _claimed_again),
    Bug("one_claim_for_all", "one claim takes all entries, unchecked", CORE, _one_claim_for_all),
    Bug("claimed_by_anybody", "whoever claims is paid, unchecked", CORE, _claimed_by_anybody),
    Bug("order_of_the_list", "ties go by the order of the list", CORE, _order_of_the_list),
    Bug("panel_by_turns", "a panel depends on what was drawn before", CORE, _panel_by_turns),
    Bug("a_nano_more", "a fee is split into more than it was", CORE, _a_nano_more),
    Bug("burned_twice", "what is burned vanishes, unchecked", CORE, _burned_twice),
    Bug("task_begins_again", "a settled task goes back, unchecked", CORE, _task_begins_again),
    Bug("places_without_end", "the last place is taken twice", CORE, _places_without_end),
)
